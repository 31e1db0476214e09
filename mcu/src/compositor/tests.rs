use rotunda_media::mark::{self, Mark};
use rotunda_proto::ids::{RoomKey, Source, TrackSource};

use super::*;
use crate::layout::Content;

fn placement(name: &str, rect: Rect, z: u32, render_mode: RenderMode) -> Placement {
    let video = Source {
        room: RoomKey {
            app: 1.try_into().unwrap(),
            room: "1".parse().unwrap(),
        },
        user: name.parse().unwrap(),
        track: TrackSource::Camera,
    };
    Placement {
        video,
        content: Content::Live,
        rect,
        z,
        render_mode,
        placeholder: None,
    }
}

fn marked(id: u8) -> VideoFrame {
    let mut frame = VideoFrame::filled(640, 360, Yuv::from_rgb(0x80_8080));
    let whole = frame.rect();
    mark::draw(&mut frame, whole, Mark { id, count: 77 });
    frame
}

#[test]
fn every_frame_is_in_its_cell() {
    let canvas = Canvas {
        width: 1280,
        height: 720,
    };
    let mut compositor = Compositor::new(canvas, 0, None);
    let cells: Vec<Rect> = (0..4)
        .map(|n| Rect {
            x: n % 2 * 640,
            y: n / 2 * 360,
            width: 640,
            height: 360,
        })
        .collect();
    let names = ["0", "1", "2", "3"];
    let placements = names
        .iter()
        .zip(&cells)
        .map(|(name, rect)| placement(name, *rect, 0, RenderMode::Crop));
    compositor.handle_placements(placements.collect());
    let frames: Vec<VideoFrame> = (0..4).map(marked).collect();
    let out = compositor.compose(
        |placement| {
            let index: usize = placement.video.user.as_str().parse().unwrap();
            Shown::Live(&frames[index], 1)
        },
        nobody,
    );
    for (index, rect) in cells.iter().enumerate() {
        assert_eq!(
            mark::read(out.y(), out.width(), *rect),
            Some(Mark {
                id: index as u8,
                count: 77
            })
        );
    }
}

#[test]
fn a_frame_in_front_stays_in_front_when_the_one_behind_changes() {
    let mut compositor = Compositor::new(
        Canvas {
            width: 640,
            height: 360,
        },
        0,
        None,
    );
    let front = Rect {
        x: 400,
        y: 200,
        width: 160,
        height: 90,
    };
    compositor.handle_placements(vec![
        placement(
            "back",
            Rect {
                x: 0,
                y: 0,
                width: 640,
                height: 360,
            },
            0,
            RenderMode::Crop,
        ),
        placement("front", front, 1, RenderMode::Crop),
    ]);
    let (dark, light) = (
        VideoFrame::filled(640, 360, Yuv::BLACK),
        VideoFrame::filled(640, 360, Yuv::WHITE),
    );
    for serial in 0..3 {
        let out = compositor.compose(
            |placement| match placement.video.user.as_str() {
                "back" => Shown::Live(&dark, serial),
                _ => Shown::Live(&light, 0),
            },
            nobody,
        );
        assert_eq!(out.y()[240 * 640 + 480], 235);
        assert_eq!(out.y()[10 * 640 + 10], 16);
    }
}

#[test]
fn a_whole_frame_leaves_the_background_beside_it() {
    let mut compositor = Compositor::new(
        Canvas {
            width: 640,
            height: 360,
        },
        0x00ff_ffff,
        None,
    );
    let rect = Rect {
        x: 0,
        y: 0,
        width: 640,
        height: 360,
    };
    let tall = VideoFrame::filled(180, 360, Yuv { y: 100, u: 128, v: 128 });
    compositor.handle_placements(vec![placement("tall", rect, 0, RenderMode::Scale)]);
    let out = compositor.compose(|_| Shown::Live(&tall, 0), nobody);
    let middle_row = &out.y()[180 * 640..181 * 640];
    assert_eq!((middle_row[100], middle_row[320]), (235, 100));
}

#[test]
fn a_frozen_video_is_dimmed_once_and_bright_again_with_its_next_frame() {
    let canvas = Canvas {
        width: 640,
        height: 360,
    };
    let mut compositor = Compositor::new(canvas, 0, None);
    let whole = VideoFrame::filled(640, 360, Yuv::WHITE).rect();
    compositor.handle_placements(vec![placement("a", whole, 0, RenderMode::Crop)]);
    let light = VideoFrame::filled(640, 360, Yuv::WHITE);
    let mut middle = |shown: Shown<'_>| compositor.compose(|_| shown, nobody).y()[180 * 640 + 320];
    assert_eq!(middle(Shown::Live(&light, 1)), 235);
    let dimmed = middle(Shown::Frozen(&light, 1));
    assert!((60..150).contains(&dimmed), "{dimmed}");
    assert_eq!(middle(Shown::Frozen(&light, 1)), dimmed);
    assert_eq!(middle(Shown::Live(&light, 2)), 235);
}

#[test]
fn a_card_shows_the_disc_and_the_name() {
    let mut compositor = Compositor::new(
        Canvas {
            width: 640,
            height: 360,
        },
        0,
        Font::system(),
    );
    let rect = Rect {
        x: 0,
        y: 0,
        width: 640,
        height: 360,
    };
    compositor.handle_placements(vec![placement("alice", rect, 0, RenderMode::Crop)]);
    let out = compositor.compose(|_| Shown::Card, nobody);
    let ground = out.y()[0];
    assert!(out.y()[144 * 640 + 320].abs_diff(ground) > 40);
}

fn nobody(_: &RoomUser) -> bool {
    false
}

#[test]
fn round_corners_show_what_is_behind_also_when_only_one_of_both_changes() {
    let mut compositor = Compositor::new(CANVAS, 0, None);
    let whole = Rect {
        x: 0,
        width: 640,
        ..RIGHT
    };
    let front = Rect {
        x: 200,
        y: 100,
        width: 200,
        height: 100,
    };
    let mut scene = Scene {
        placements: vec![
            placement("back", whole, 0, RenderMode::Crop),
            placement("front", front, 1, RenderMode::Crop),
        ],
        ..Scene::default()
    };
    scene.style.corner_radius = 20;
    compositor.handle_scene(&scene);
    let (dark, light) = (
        VideoFrame::filled(640, 360, Yuv { y: 60, u: 128, v: 128 }),
        VideoFrame::filled(640, 360, Yuv::WHITE),
    );
    for serial in 0..10 {
        let out = compositor.compose(
            |placement| match placement.video.user.as_str() {
                "back" => Shown::Live(&dark, serial / 5),
                _ => Shown::Live(&light, serial / 2),
            },
            nobody,
        );
        let at = |x: usize, y: usize| out.y()[y * 640 + x];
        assert_eq!((at(201, 101), at(398, 198), at(300, 150), at(1, 1)), (60, 60, 235, 16));
        // On the arc, half of both, and not more of one with every frame.
        let edge = at(206, 105);
        assert!((70..225).contains(&edge), "{serial}: {edge}");
    }
}

#[test]
fn a_member_who_speaks_has_a_frame_and_videos_have_names_if_the_style_says_so() {
    let mut compositor = Compositor::new(CANVAS, 0, Font::system());
    let mut scene = Scene {
        placements: vec![placement("ann", RIGHT, 0, RenderMode::Crop)],
        ..Scene::default()
    };
    scene.style.speaking_rgb = Some(0xff_ffff);
    scene.style.names = true;
    compositor.handle_scene(&scene);
    let grey = VideoFrame::filled(320, 360, Yuv { y: 100, u: 128, v: 128 });
    let mut at = |speaks: bool, x: usize, y: usize| {
        let out = compositor.compose(|_| Shown::Live(&grey, 1), |_| speaks);
        out.y()[y * 640 + x]
    };
    assert_eq!(at(false, 321, 180), 100);
    assert_eq!(at(true, 321, 180), 235);
    assert_eq!(at(false, 321, 180), 100);
    let label: Vec<u8> = (324..420).map(|x| at(false, x, 340)).collect();
    assert!(
        label.iter().any(|value| *value < 60) && label.iter().any(|value| *value > 150),
        "{label:?}"
    );
}

/// A PNG of one colour.
fn picture(rgba: [u8; 4]) -> Picture {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 64, 64);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&rgba.repeat(64 * 64)).unwrap();
    drop(writer);
    Picture::decode(&file).unwrap()
}

const CANVAS: Canvas = Canvas {
    width: 640,
    height: 360,
};
const RIGHT: Rect = Rect {
    x: 320,
    y: 0,
    width: 320,
    height: 360,
};

#[test]
fn a_background_picture_is_behind_and_beside_the_cells() {
    let id = PictureId::new(1);
    let mut compositor = Compositor::new(CANVAS, 0, None);
    compositor.handle_picture(id, Some(picture([255, 255, 255, 255])));
    let scene = Scene {
        background: Some(id),
        placements: vec![placement("tall", RIGHT, 0, RenderMode::Scale)],
        ..Scene::default()
    };
    compositor.handle_scene(&scene);
    let wide = VideoFrame::filled(640, 180, Yuv { y: 100, u: 128, v: 128 });
    let out = compositor.compose(|_| Shown::Live(&wide, 1), nobody);
    let at = |x: usize, y: usize| out.y()[y * 640 + x];
    assert_eq!((at(10, 10), at(400, 10), at(400, 180)), (235, 235, 100));
}

#[test]
fn a_half_transparent_watermark_stays_the_same_over_changing_and_standing_videos() {
    let id = PictureId::new(7);
    let mut compositor = Compositor::new(CANVAS, 0, None);
    compositor.handle_picture(id, Some(picture([255, 255, 255, 128])));
    let left = Rect { x: 0, ..RIGHT };
    let scene = Scene {
        placements: vec![
            placement("left", left, 0, RenderMode::Crop),
            placement("right", RIGHT, 0, RenderMode::Crop),
        ],
        watermark: Some(Watermark {
            picture: id,
            x: 300,
            y: 100,
            width: 40,
            height: 40,
        }),
        ..Scene::default()
    };
    compositor.handle_scene(&scene);
    let grey = VideoFrame::filled(320, 360, Yuv { y: 100, u: 128, v: 128 });
    for serial in 0..20 {
        let out = compositor.compose(
            |placement| match placement.video.user.as_str() {
                "left" => Shown::Live(&grey, serial),
                _ => Shown::Live(&grey, 0),
            },
            nobody,
        );
        let at = |x: usize| out.y()[120 * 640 + x];
        assert_eq!(at(290), 100);
        assert!(
            (165..=170).contains(&at(310)) && at(310) == at(330),
            "{} {}",
            at(310),
            at(330)
        );
    }
}

#[test]
fn placeholders_are_shown_in_cells_without_video_and_in_empty_cells() {
    let id = PictureId::new(3);
    let mut compositor = Compositor::new(CANVAS, 0, None);
    let mut held = placement("held", RIGHT, 0, RenderMode::Crop);
    held.placeholder = Some(id);
    let scene = Scene {
        empty_cells: vec![EmptyCell {
            picture: id,
            rect: Rect { x: 0, ..RIGHT },
            render_mode: RenderMode::Crop,
        }],
        placements: vec![held],
        ..Scene::default()
    };
    compositor.handle_scene(&scene);
    // The picture comes later than the scene.
    compositor.compose(|_| Shown::Card, nobody);
    compositor.handle_picture(id, Some(picture([255, 255, 255, 255])));
    let out = compositor.compose(|_| Shown::Card, nobody);
    assert_eq!((out.y()[180 * 640 + 160], out.y()[180 * 640 + 480]), (235, 235));
    let grey = VideoFrame::filled(320, 360, Yuv { y: 100, u: 128, v: 128 });
    let out = compositor.compose(|_| Shown::Live(&grey, 1), nobody);
    assert_eq!(out.y()[180 * 640 + 480], 100);
}
