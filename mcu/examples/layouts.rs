//! Renders the images of `docs/layouts.md`: `cargo run -p rotunda-mcu --example layouts -- docs/layouts`.

use std::error::Error;
use std::path::{Path, PathBuf};

use rotunda_mcu::compositor::{Compositor, Shown};
use rotunda_mcu::layout::{Canvas, Member, lay_out};
use rotunda_media::draw::Font;
use rotunda_media::picture::to_png;
use rotunda_media::video_frame::VideoFrame;
use rotunda_proto::ids::{RoomKey, RoomUser, Source, TrackSource};
use rotunda_proto::mix::{Cell, CellInput, Layout, Template};
use rotunda_proto::room::TrackState;

const CANVAS: Canvas = Canvas {
    width: 320,
    height: 180,
};
const COUNTS: [usize; 7] = [1, 2, 3, 4, 5, 9, 16];
/// Beside the cells, so that what they leave free is seen.
const BACKGROUND: u32 = 0x0033_6699;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name the folder for the files")?);
    std::fs::create_dir_all(&folder)?;
    let templates = [
        ("float", Template::Float),
        ("grid", Template::Grid),
        ("screen-share", Template::ScreenShare),
        ("picture-in-picture", Template::PictureInPicture),
        ("custom", Template::Custom),
    ];
    for (name, template) in templates {
        let layout = Layout {
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
        };
        for count in COUNTS {
            let members = (1..=count).map(member).collect::<Result<Vec<_>, _>>()?;
            let mut compositor = Compositor::new(CANVAS, BACKGROUND, Font::system());
            compositor.handle_placements(lay_out(&room()?, &layout, &members, Some(CANVAS)).placements);
            let frame = compositor.compose(|_| Shown::Card, |_| false);
            write(&folder.join(format!("{name}-{count}.png")), frame)?;
        }
    }
    Ok(())
}

fn room() -> Result<RoomKey, Box<dyn Error>> {
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

fn write(path: &Path, frame: &VideoFrame) -> Result<(), Box<dyn Error>> {
    Ok(std::fs::write(path, to_png(frame)?)?)
}
