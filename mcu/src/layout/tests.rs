use proptest::prelude::*;

use rotunda_proto::mix::{Cell, CellInput};

use super::*;

const HD: Canvas = Canvas {
    width: 1280,
    height: 720,
};

fn room(name: &str) -> RoomKey {
    RoomKey {
        app: 1.try_into().unwrap(),
        room: name.parse().unwrap(),
    }
}

fn of_room(name: &str, user: &str) -> RoomUser {
    RoomUser {
        room: room(name),
        user: user.parse().unwrap(),
    }
}

fn user(name: &str) -> RoomUser {
    of_room("own", name)
}

fn lay_out(layout: &Layout, members: &[Member], canvas: Option<Canvas>) -> Scene {
    super::lay_out(&room("own"), layout, members, canvas)
}

fn on_camera(name: &str) -> Member {
    Member {
        id: user(name),
        audio: Some(TrackState::On),
        camera: Some(TrackState::On),
        screen: None,
    }
}

fn cameras(count: usize) -> Vec<Member> {
    (0..count).map(|index| on_camera(&format!("u{index}"))).collect()
}

fn template(template: Template) -> Layout {
    Layout {
        template,
        ..Layout::default()
    }
}

fn rect(x: usize, y: usize, width: usize, height: usize) -> Rect {
    Rect { x, y, width, height }
}

#[test]
fn four_in_a_grid_are_two_by_two_in_reading_order_of_entering() {
    let scene = lay_out(&template(Template::Grid), &cameras(4), Some(HD));
    let rects: Vec<Rect> = scene.placements.iter().map(|placement| placement.rect).collect();
    assert_eq!(
        rects,
        [
            rect(0, 0, 640, 360),
            rect(640, 0, 640, 360),
            rect(0, 360, 640, 360),
            rect(640, 360, 640, 360)
        ]
    );
    let users: Vec<&str> = scene
        .placements
        .iter()
        .map(|placement| placement.video.user.as_str())
        .collect();
    assert_eq!(users, ["u0", "u1", "u2", "u3"]);
}

#[test]
fn a_muted_camera_and_a_member_with_audio_alone_show_cards() {
    let mut members = cameras(3);
    members[0].camera = Some(TrackState::Muted);
    members[1].camera = None;
    let scene = lay_out(&template(Template::Grid), &members, Some(HD));
    let contents: Vec<Content> = scene.placements.iter().map(|placement| placement.content).collect();
    assert_eq!(contents, [Content::Card, Content::Card, Content::Live]);
}

#[test]
fn only_named_users_are_seen_and_all_are_heard() {
    let layout = Layout {
        only_users: vec![user("u1")],
        ..template(Template::Grid)
    };
    let scene = lay_out(&layout, &cameras(3), Some(HD));
    assert_eq!(scene.placements.len(), 1);
    assert_eq!(scene.heard.len(), 3);
}

#[test]
fn float_puts_small_videos_from_the_bottom_left() {
    let scene = lay_out(&template(Template::Float), &cameras(6), Some(HD));
    assert_eq!(scene.placements[0].rect, rect(0, 0, 1280, 720));
    let first = scene.placements[1].rect;
    let fifth = scene.placements[5].rect;
    assert_eq!((first.x, first.y + first.height), (10, 710));
    assert_eq!(fifth.x, first.x);
    assert!(fifth.y + fifth.height <= first.y);
}

#[test]
fn screen_share_without_its_main_user_leaves_the_background() {
    let main = Some(user("absent").track(TrackSource::Screen));
    let scene = lay_out(
        &Layout {
            main,
            ..template(Template::ScreenShare)
        },
        &cameras(2),
        Some(HD),
    );
    assert_eq!(scene.placements.len(), 2);
    assert!(scene.placements.iter().all(|placement| placement.rect.x == 1120));
}

#[test]
fn picture_in_picture_shows_two_and_lets_everybody_be_heard() {
    let cell = |name: &str| Cell {
        video: Some(user(name).track(TrackSource::Camera)),
        room: None,
        x: 900,
        y: 500,
        width: 320,
        height: 180,
        z: 1,
        render_mode: None,
        input: CellInput::AudioVideo,
        placeholder: None,
    };
    let layout = Layout {
        small: Some(cell("u0")),
        ..template(Template::PictureInPicture)
    };
    let scene = lay_out(&layout, &cameras(3), Some(HD));
    let users: Vec<&str> = scene
        .placements
        .iter()
        .map(|placement| placement.video.user.as_str())
        .collect();
    assert_eq!(users, ["u1", "u0"]);
    assert_eq!(scene.heard.len(), 3);
}

#[test]
fn custom_cells_beyond_the_last_are_neither_seen_nor_heard() {
    let cell = |name: Option<&str>, x: u16, input: CellInput| Cell {
        video: name.map(|name| user(name).track(TrackSource::Camera)),
        room: None,
        x,
        y: 0,
        width: 200,
        height: 200,
        z: 0,
        render_mode: None,
        input,
        placeholder: None,
    };
    let cells = vec![
        cell(None, 0, CellInput::AudioVideo),
        cell(Some("u0"), 200, CellInput::VideoOnly),
    ];
    let scene = lay_out(
        &Layout {
            cells,
            ..template(Template::Custom)
        },
        &cameras(3),
        Some(HD),
    );
    let users: Vec<&str> = scene
        .placements
        .iter()
        .map(|placement| placement.video.user.as_str())
        .collect();
    assert_eq!(users, ["u1", "u0"]);
    assert_eq!(scene.heard, [user("u1")]);
}

#[test]
fn the_main_video_is_among_the_sixteen_however_late_its_user_entered() {
    let main = Some(user("u19").track(TrackSource::Camera));
    let scene = lay_out(
        &Layout {
            main,
            ..template(Template::Float)
        },
        &cameras(20),
        Some(HD),
    );
    assert_eq!(scene.placements.len(), 16);
    assert_eq!(scene.placements[0].video.member(), user("u19"));
}

#[test]
fn a_named_user_is_among_the_sixteen_however_late_they_entered() {
    let layout = Layout {
        only_users: vec![user("u18"), user("u2")],
        ..template(Template::Grid)
    };
    let scene = lay_out(&layout, &cameras(20), Some(HD));
    let users: Vec<&str> = scene
        .placements
        .iter()
        .map(|placement| placement.video.user.as_str())
        .collect();
    assert_eq!(users, ["u2", "u18"]);
    assert_eq!(scene.heard.len(), MAX_INPUTS);
    assert!(scene.heard.contains(&user("u18")) && scene.heard.contains(&user("u0")));
}

#[test]
fn the_list_of_users_does_not_touch_picture_in_picture() {
    let layout = Layout {
        only_users: vec![user("u2")],
        ..template(Template::PictureInPicture)
    };
    let scene = lay_out(&layout, &cameras(3), Some(HD));
    assert_eq!(scene.placements[0].video.member(), user("u0"));
}

#[test]
fn a_presenter_is_shown_by_screen_or_camera_and_everybody_is_heard() {
    let layout = Layout {
        main: Some(user("u1").track(TrackSource::Camera)),
        ..template(Template::Presenter)
    };
    let mut members = cameras(3);
    let shown = |members: &[Member]| {
        let scene = lay_out(&layout, members, Some(HD));
        assert_eq!(scene.heard.len(), 3);
        assert!(
            scene
                .placements
                .iter()
                .all(|placement| placement.rect == rect(0, 0, 1280, 720))
        );
        let shown = scene.placements.iter();
        shown
            .map(|placement| (placement.video.user.to_string(), placement.video.track))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&members), [("u1".to_owned(), TrackSource::Camera)]);
    members[1].screen = Some(TrackState::On);
    assert_eq!(shown(&members), [("u1".to_owned(), TrackSource::Screen)]);
    members[1].screen = Some(TrackState::Muted);
    assert_eq!(shown(&members), [("u1".to_owned(), TrackSource::Camera)]);
}

#[test]
fn the_canvas_of_a_screen_is_its_own_size_or_that_of_its_aspect_ratio() {
    let canvas = |width, height| {
        let canvas = canvas_of_screen(width, height);
        (canvas.width, canvas.height)
    };
    assert_eq!(canvas(1367, 768), (1366, 768));
    assert_eq!(canvas(1920, 1080), (1920, 1080));
    assert_eq!(canvas(2560, 1440), (1920, 1080));
    assert_eq!(canvas(2560, 1600), (1920, 1200));
    assert_eq!(canvas(2048, 1536), (1920, 1440));
    assert_eq!(canvas(3440, 1440), (1920, 1080));
}

#[test]
fn placeholders_are_in_empty_cells_and_in_cells_without_video_only_when_asked_for() {
    let cell = |name: Option<&str>, picture: i64| Cell {
        video: name.map(|name| user(name).track(TrackSource::Camera)),
        room: None,
        x: 0,
        y: 0,
        width: 200,
        height: 200,
        z: 0,
        render_mode: None,
        input: CellInput::AudioVideo,
        placeholder: Some(PictureId::new(picture)),
    };
    let mut layout = Layout {
        cells: vec![
            cell(Some("u0"), 1),
            cell(Some("absent"), 2),
            cell(None, 3),
            cell(None, 4),
        ],
        placeholders: true,
        ..template(Template::Custom)
    };
    let scene = lay_out(&layout, &cameras(2), Some(HD));
    let empty: Vec<i64> = scene.empty_cells.iter().map(|cell| cell.picture.get()).collect();
    assert_eq!(empty, [2, 4]);
    let held: Vec<Option<PictureId>> = scene.placements.iter().map(|placement| placement.placeholder).collect();
    assert_eq!(held, [Some(PictureId::new(1)), Some(PictureId::new(3))]);
    layout.placeholders = false;
    let scene = lay_out(&layout, &cameras(2), Some(HD));
    assert!(scene.empty_cells.is_empty() && scene.placements.iter().all(|placement| placement.placeholder.is_none()));
}

#[test]
fn the_local_user_fills_no_cell_of_others() {
    let cell = Cell {
        video: None,
        room: None,
        x: 0,
        y: 0,
        width: 200,
        height: 200,
        z: 0,
        render_mode: None,
        input: CellInput::AudioVideo,
        placeholder: None,
    };
    let layout = Layout {
        cells: vec![cell.clone(), cell],
        local_user: Some(user("u0")),
        ..template(Template::Custom)
    };
    let scene = lay_out(&layout, &cameras(2), Some(HD));
    assert_eq!(scene.heard, [user("u1")]);
}

#[test]
fn a_video_that_another_cell_covers_needs_no_frames() {
    let cell = |name: &str, z: u32, width: u16| Cell {
        video: Some(user(name).track(TrackSource::Camera)),
        room: None,
        x: 0,
        y: 0,
        width,
        height: 200,
        z,
        render_mode: None,
        input: CellInput::AudioVideo,
        placeholder: None,
    };
    let layout = Layout {
        cells: vec![cell("u0", 1, 200), cell("u1", 2, 200), cell("u2", 0, 202)],
        ..template(Template::Custom)
    };
    let scene = lay_out(&layout, &cameras(3), Some(HD));
    let live: Vec<&str> = scene.live().map(|placement| placement.video.user.as_str()).collect();
    assert_eq!(live, ["u2", "u1"]);
    assert_eq!(scene.placements.len(), 3);
}

#[test]
fn a_margin_leaves_free_pixels_around_cells_but_not_around_a_whole_canvas() {
    let with_margin = |kind: Template, count: usize| {
        let mut layout = template(kind);
        layout.style.margin = 8;
        let scene = lay_out(&layout, &cameras(count), Some(HD));
        scene
            .placements
            .iter()
            .map(|placement| placement.rect)
            .collect::<Vec<_>>()
    };
    assert_eq!(with_margin(Template::Grid, 4)[3], rect(648, 368, 624, 344));
    assert_eq!(with_margin(Template::Grid, 1), [rect(0, 0, 1280, 720)]);
    assert_eq!(with_margin(Template::Float, 2)[0], rect(0, 0, 1280, 720));
}

fn free_cell(x: u16, room: Option<RoomKey>) -> Cell {
    Cell {
        video: None,
        room,
        x,
        y: 0,
        width: 200,
        height: 200,
        z: 0,
        render_mode: None,
        input: CellInput::AudioVideo,
        placeholder: None,
    }
}

fn in_room(name: &str, user: &str) -> Member {
    Member {
        id: of_room(name, user),
        ..on_camera(user)
    }
}

fn shown(scene: &Scene) -> Vec<String> {
    let shown = scene.placements.iter().map(|placement| placement.video.member());
    shown
        .map(|member| format!("{} of {}", member.user, member.room.room))
        .collect()
}

#[test]
fn guests_of_other_rooms_come_after_the_own_members_in_the_order_of_the_list_and_nobody_else_does() {
    let layout = Layout {
        guests: vec![of_room("b", "u0"), of_room("a", "u1")],
        ..template(Template::Grid)
    };
    let mut members = cameras(2);
    members.extend([("a", "u0"), ("a", "u1"), ("b", "u0"), ("b", "u1")].map(|(room, user)| in_room(room, user)));
    let scene = lay_out(&layout, &members, Some(HD));
    assert_eq!(shown(&scene), ["u0 of own", "u1 of own", "u0 of b", "u1 of a"]);
    assert_eq!(
        scene.heard,
        [user("u0"), user("u1"), of_room("b", "u0"), of_room("a", "u1")]
    );
    assert_eq!(layout.other_rooms(&room("own")), [room("b"), room("a")]);
}

#[test]
fn guests_are_among_the_sixteen_and_seen_beside_a_list_of_users() {
    let layout = Layout {
        guests: vec![of_room("b", "u0")],
        only_users: vec![user("u1")],
        ..template(Template::Grid)
    };
    let mut members = cameras(20);
    members.push(in_room("b", "u0"));
    let scene = lay_out(&layout, &members, Some(HD));
    assert_eq!(shown(&scene), ["u1 of own", "u0 of b"]);
    assert_eq!(scene.heard.len(), MAX_INPUTS);
}

#[test]
fn the_main_video_may_be_of_another_room() {
    let layout = Layout {
        main: Some(of_room("b", "u0").track(TrackSource::Camera)),
        ..template(Template::Float)
    };
    let mut members = cameras(2);
    members.push(in_room("b", "u0"));
    let scene = lay_out(&layout, &members, Some(HD));
    assert_eq!(shown(&scene), ["u0 of b", "u0 of own", "u1 of own"]);
}

#[test]
fn a_free_cell_of_another_room_is_filled_by_its_members_alone() {
    let named = Cell {
        video: Some(of_room("b", "u1").track(TrackSource::Camera)),
        ..free_cell(600, None)
    };
    let layout = Layout {
        cells: vec![
            free_cell(0, None),
            free_cell(200, Some(room("b"))),
            free_cell(400, None),
            named,
        ],
        guests: vec![of_room("c", "u0")],
        ..template(Template::Custom)
    };
    let mut members = cameras(1);
    members.extend([("b", "u1"), ("b", "u2"), ("b", "u3"), ("c", "u0")].map(|(room, user)| in_room(room, user)));
    let scene = lay_out(&layout, &members, Some(HD));
    assert_eq!(shown(&scene), ["u0 of own", "u2 of b", "u0 of c", "u1 of b"]);
    assert_eq!(scene.heard.len(), 4);
}

fn overlap(a: Rect, b: Rect) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

proptest! {
    #[test]
    fn every_cell_is_even_inside_the_canvas_and_overlaps_none_of_its_depth(
        count in 0_usize..24,
        kind in 0_usize..3,
        (width, height) in (32_usize..960, 32_usize..540),
        main in 0_usize..24,
        main_right: bool,
        margin in 0_u16..200,
    ) {
        let canvas = Canvas { width: width * 2, height: height * 2 };
        let kinds = [Template::Grid, Template::Float, Template::ScreenShare];
        let main = Some(user(&format!("u{main}")).track(TrackSource::Camera));
        let mut layout = Layout { main, main_right, ..template(kinds[kind]) };
        layout.style.margin = margin;
        let scene = lay_out(&layout, &cameras(count), Some(canvas));
        prop_assert!(scene.placements.len() <= MAX_INPUTS);
        for (index, placement) in scene.placements.iter().enumerate() {
            let r = placement.rect;
            prop_assert!([r.x, r.y, r.width, r.height].iter().all(|side| side % 2 == 0));
            prop_assert!(r.x + r.width <= canvas.width && r.y + r.height <= canvas.height);
            for other in &scene.placements[index + 1..] {
                prop_assert!(placement.z != other.z || !overlap(r, other.rect));
            }
        }
    }
}
