//! The templates' geometry.

use rotunda_media::video_frame::Rect;
use rotunda_proto::ids::{RoomKey, RoomUser, Source, TrackSource};
use rotunda_proto::mix::{Cell, CellInput, Layout, MAX_INPUTS, RenderMode, Template};

use super::{Canvas, Content, EmptyCell, Member, Placement, Scene};

type Videos = Vec<(Source, Content)>;

/// Small videos in a row or column of the float template, and of the screen-share one.
const FLOAT_SIDE: usize = 4;
const SHARE_ROWS: usize = 8;

pub(super) fn place(layout: &Layout, videos: Videos, canvas: Canvas) -> Vec<Placement> {
    match layout.template {
        Template::Float => float(layout, videos, canvas),
        Template::ScreenShare => screen_share(layout, videos, canvas),
        Template::PictureInPicture => picture_in_picture(layout, videos, canvas),
        Template::Presenter => presenter(layout, videos, canvas),
        Template::Grid | Template::Custom => grid(layout, videos, canvas),
    }
}

fn grid(layout: &Layout, mut videos: Videos, canvas: Canvas) -> Vec<Placement> {
    videos.truncate(MAX_INPUTS);
    let columns = (1..=MAX_INPUTS)
        .find(|side| side * side >= videos.len())
        .unwrap_or(MAX_INPUTS);
    let rows = videos.len().div_ceil(columns);
    let edge = |index: usize, count: usize, length: usize| (index * length / count) & !1;
    let mode = layout.render_mode.unwrap_or(RenderMode::Crop);
    let cell = |(index, (video, content))| {
        let (column, row) = (index % columns, index / columns);
        let (x, y) = (edge(column, columns, canvas.width), edge(row, rows, canvas.height));
        let (right, bottom) = (
            edge(column + 1, columns, canvas.width),
            edge(row + 1, rows, canvas.height),
        );
        let rect = Rect {
            x,
            y,
            width: right - x,
            height: bottom - y,
        };
        Placement {
            video,
            content,
            rect,
            z: 0,
            render_mode: mode,
            placeholder: None,
        }
    };
    videos.into_iter().enumerate().map(cell).collect()
}

fn float(layout: &Layout, mut videos: Videos, canvas: Canvas) -> Vec<Placement> {
    let mode = layout.render_mode.unwrap_or(RenderMode::Crop);
    let Some((video, content)) = take_main(layout, &mut videos).or_else(|| take_first(&mut videos)) else {
        return Vec::new();
    };
    let mut placements = vec![Placement {
        video,
        content,
        rect: canvas.rect(),
        z: 0,
        render_mode: mode,
        placeholder: None,
    }];
    let gap = (canvas.width.min(canvas.height) / 64) & !1;
    let side = |length: usize| (length.saturating_sub((FLOAT_SIDE + 1) * gap) / FLOAT_SIDE) & !1;
    let (width, height) = (side(canvas.width), side(canvas.height));
    for (index, (video, content)) in videos.into_iter().take(MAX_INPUTS - 1).enumerate() {
        let (column, row) = (index % FLOAT_SIDE, index / FLOAT_SIDE);
        let rect = Rect {
            x: gap + column * (width + gap),
            y: canvas.height - (row + 1) * (height + gap),
            width,
            height,
        };
        placements.push(Placement {
            video,
            content,
            rect,
            z: 1,
            render_mode: mode,
            placeholder: None,
        });
    }
    placements
}

fn screen_share(layout: &Layout, mut videos: Videos, canvas: Canvas) -> Vec<Placement> {
    let main = take_main(layout, &mut videos);
    videos.truncate(MAX_INPUTS - 1);
    let (width, height) = ((canvas.width / SHARE_ROWS) & !1, (canvas.height / SHARE_ROWS) & !1);
    let columns = videos.len().div_ceil(SHARE_ROWS).max(1);
    let side = columns * width;
    let big_x = if layout.main_right { side } else { 0 };
    let small_x = if layout.main_right { 0 } else { canvas.width - side };
    let small_mode = layout.render_mode.unwrap_or(RenderMode::Crop);
    let mut placements: Vec<Placement> = main
        .map(|(video, content)| {
            let rect = Rect {
                x: big_x,
                y: 0,
                width: canvas.width - side,
                height: canvas.height,
            };
            let render_mode = layout.render_mode.unwrap_or(RenderMode::Scale);
            Placement {
                video,
                content,
                rect,
                z: 0,
                render_mode,
                placeholder: None,
            }
        })
        .into_iter()
        .collect();
    for (index, (video, content)) in videos.into_iter().enumerate() {
        let (column, row) = (index / SHARE_ROWS, index % SHARE_ROWS);
        let rect = Rect {
            x: small_x + column * width,
            y: row * height,
            width,
            height,
        };
        placements.push(Placement {
            video,
            content,
            rect,
            z: 0,
            render_mode: small_mode,
            placeholder: None,
        });
    }
    placements
}

fn picture_in_picture(layout: &Layout, mut videos: Videos, canvas: Canvas) -> Vec<Placement> {
    let mode = layout.render_mode.unwrap_or(RenderMode::Crop);
    let small_cell = layout.small.as_ref();
    let small = small_cell.and_then(|cell| Some((cell, take(&mut videos, cell.video.as_ref()?)?)));
    let main = match layout.main {
        Some(_) => take_main(layout, &mut videos),
        None => take_first(&mut videos),
    };
    let big = main.map(|(video, content)| Placement {
        video,
        content,
        rect: canvas.rect(),
        z: 0,
        render_mode: mode,
        placeholder: None,
    });
    let little = small.map(|(cell, (video, content))| Placement {
        video,
        content,
        rect: canvas.cut(cell),
        z: 1,
        render_mode: cell.render_mode.unwrap_or(mode),
        placeholder: None,
    });
    big.into_iter().chain(little).collect()
}

fn presenter(layout: &Layout, videos: Videos, canvas: Canvas) -> Vec<Placement> {
    let Some(main) = &layout.main else { return Vec::new() };
    let of_main = |source: TrackSource| {
        let mut theirs = videos.iter().filter(|(video, _)| video.is_beside(main));
        theirs.find(|(video, content)| video.track == source && *content == Content::Live)
    };
    let shown = of_main(TrackSource::Screen).or_else(|| of_main(TrackSource::Camera));
    let any = || videos.iter().find(|(video, _)| video.is_beside(main));
    let Some((video, content)) = shown.or_else(any).cloned() else {
        return Vec::new();
    };
    vec![Placement {
        video,
        content,
        rect: canvas.rect(),
        z: 0,
        render_mode: layout.render_mode.unwrap_or(RenderMode::Scale),
        placeholder: None,
    }]
}

/// A cell without a named source shows the camera, or the screen of a member without a camera.
pub(super) fn custom(own: &RoomKey, layout: &Layout, publishing: &[&Member], canvas: Option<Canvas>) -> Scene {
    let mode = layout.render_mode.unwrap_or(RenderMode::Crop);
    let named = |member: &RoomUser| {
        let mut videos = layout.cells.iter().filter_map(|cell| cell.video.as_ref());
        videos.any(|video| video.is_of(member))
    };
    let is_local = |member: &RoomUser| layout.local_user.as_ref() == Some(member);
    let mut unnamed: Vec<&Member> = publishing
        .iter()
        .filter(|member| !named(&member.id) && !is_local(&member.id))
        .copied()
        .collect();
    // Guests count as members of the mix's room who entered last.
    unnamed.sort_by_key(|member| layout.guests.iter().position(|guest| *guest == member.id));
    let mut first_of = |room: Option<&RoomKey>| {
        let is_of = |member: &&Member| match room {
            Some(room) => member.id.room == *room,
            None => member.id.room == *own || layout.guests.contains(&member.id),
        };
        let index = unnamed.iter().position(is_of)?;
        Some(unnamed.remove(index))
    };
    let mut scene = Scene::default();
    for cell in layout.cells.iter().take(MAX_INPUTS) {
        let (member, source) = match &cell.video {
            Some(wanted) => (
                publishing.iter().find(|member| wanted.is_of(&member.id)).copied(),
                Some(wanted.track),
            ),
            None => (first_of(cell.room.as_ref()), None),
        };
        let placeholder = cell.placeholder.filter(|_| layout.placeholders);
        let render_mode = cell.render_mode.unwrap_or(mode);
        let canvas = canvas.filter(|_| cell.input != CellInput::AudioOnly);
        let Some(member) = member else {
            let empty = canvas.zip(placeholder).map(|(canvas, picture)| EmptyCell {
                picture,
                rect: canvas.cut(cell),
                render_mode,
            });
            scene.empty_cells.extend(empty);
            continue;
        };
        if cell.input != CellInput::VideoOnly && member.audio.is_some() && !scene.heard.contains(&member.id) {
            scene.heard.push(member.id.clone());
        }
        let has_cell = layout.audio_only_takes_cell.unwrap_or(true) || member.has_video();
        let (Some(canvas), true) = (canvas, has_cell) else {
            continue;
        };
        let default = if member.camera.is_none() && member.screen.is_some() {
            TrackSource::Screen
        } else {
            TrackSource::Camera
        };
        let source = source.unwrap_or(default);
        scene.placements.push(Placement {
            video: member.id.track(source),
            content: member.content(source),
            rect: canvas.cut(cell),
            z: cell.z,
            render_mode,
            placeholder,
        });
    }
    scene
}

fn take_main(layout: &Layout, videos: &mut Videos) -> Option<(Source, Content)> {
    take(videos, layout.main.as_ref()?)
}

fn take(videos: &mut Videos, wanted: &Source) -> Option<(Source, Content)> {
    let index = videos.iter().position(|(video, _)| video == wanted)?;
    Some(videos.remove(index))
}

fn take_first(videos: &mut Videos) -> Option<(Source, Content)> {
    (!videos.is_empty()).then(|| videos.remove(0))
}

impl Canvas {
    fn rect(self) -> Rect {
        Rect {
            x: 0,
            y: 0,
            width: self.width & !1,
            height: self.height & !1,
        }
    }

    /// A cell, cut to the canvas and to even numbers.
    fn cut(self, cell: &Cell) -> Rect {
        let x = usize::from(cell.x).min(self.width) & !1;
        let y = usize::from(cell.y).min(self.height) & !1;
        Rect {
            x,
            y,
            width: usize::from(cell.width).min(self.width - x) & !1,
            height: usize::from(cell.height).min(self.height - y) & !1,
        }
    }
}
