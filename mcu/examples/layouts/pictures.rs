//! The pictures of `docs/layouts.md`: each template with so many members, as name cards.

use std::error::Error;

use rotunda_mcu::compositor::{Compositor, Shown};
use rotunda_mcu::layout::{Canvas, Member, lay_out};
use rotunda_media::draw::Font;
use rotunda_media::video_frame::VideoFrame;
use rotunda_proto::ids::{RoomKey, RoomUser, Source, TrackSource};
use rotunda_proto::mix::{Cell, CellInput, Layout, Template};
use rotunda_proto::room::TrackState;

pub const CANVAS: Canvas = Canvas {
    width: 320,
    height: 180,
};
pub const COUNTS: [usize; 7] = [1, 2, 3, 4, 5, 9, 16];
pub const TEMPLATES: [Template; 5] = [
    Template::Float,
    Template::Grid,
    Template::ScreenShare,
    Template::PictureInPicture,
    Template::Custom,
];
/// Beside the cells, so that what they leave free is seen.
const BACKGROUND: u32 = 0x0033_6699;

/// The name of a picture's file.
pub fn name(template: Template, count: usize) -> String {
    let template = match template {
        Template::Float => "float",
        Template::Grid => "grid",
        Template::ScreenShare => "screen-share",
        Template::PictureInPicture => "picture-in-picture",
        Template::Custom => "custom",
        Template::Presenter => "presenter",
    };
    format!("{template}-{count}.png")
}

/// The layout of a template on a canvas `scale` times as large as [`CANVAS`].
pub fn layout(template: Template, scale: u16) -> Result<Layout, Box<dyn Error>> {
    let cell = |video, rect: [u16; 4]| cell(video, rect.map(|side| side * scale));
    Ok(Layout {
        template,
        main: (template == Template::ScreenShare).then(|| camera(1)).transpose()?,
        small: Some(cell(Some(camera(2)?), [220, 120, 90, 50])),
        cells: vec![
            cell(None, [0, 0, 212, 180]),
            cell(None, [214, 0, 106, 58]),
            cell(Some(camera(5)?), [214, 60, 106, 58]),
            cell(None, [214, 120, 106, 60]),
        ],
        ..Layout::default()
    })
}

pub fn members(count: usize) -> Result<Vec<Member>, Box<dyn Error>> {
    (1..=count).map(member).collect()
}

/// Errors: of names.
pub fn render(template: Template, count: usize) -> Result<VideoFrame, Box<dyn Error>> {
    let mut compositor = Compositor::new(CANVAS, BACKGROUND, Font::system());
    compositor.handle_scene(&lay_out(
        &room()?,
        &layout(template, 1)?,
        &members(count)?,
        Some(CANVAS),
    ));
    Ok(compositor.compose(|_| Shown::Card, |_| false).clone())
}

pub fn room() -> Result<RoomKey, Box<dyn Error>> {
    Ok(RoomKey {
        app: 1.try_into()?,
        room: "1".parse()?,
    })
}

fn user(number: usize) -> Result<RoomUser, Box<dyn Error>> {
    Ok(RoomUser {
        room: room()?,
        user: number.to_string().parse()?,
    })
}

fn member(number: usize) -> Result<Member, Box<dyn Error>> {
    Ok(Member {
        id: user(number)?,
        audio: Some(TrackState::On),
        camera: Some(TrackState::On),
        screen: None,
    })
}

fn camera(number: usize) -> Result<Source, Box<dyn Error>> {
    Ok(user(number)?.track(TrackSource::Camera))
}

/// `rect`: x, y, width, height.
fn cell(video: Option<Source>, rect: [u16; 4]) -> Cell {
    let [x, y, width, height] = rect;
    Cell {
        video,
        room: None,
        x,
        y,
        width,
        height,
        z: 1,
        render_mode: None,
        input: CellInput::AudioVideo,
        placeholder: None,
    }
}
