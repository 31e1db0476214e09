//! Renders the images of `docs/layouts.md`: `cargo run -p rotunda-mcu --example layouts -- docs/layouts`.

use std::error::Error;
use std::path::{Path, PathBuf};

use rotunda_mcu::compositor::{Compositor, Shown};
use rotunda_mcu::layout::{Canvas, Member, lay_out};
use rotunda_media::draw::Font;
use rotunda_media::video_frame::VideoFrame;
use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::mix::{Cell, CellInput, Layout, Template, VideoRef};
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
            compositor.handle_placements(lay_out(&layout, &members, Some(CANVAS)).placements);
            let frame = compositor.compose(|_| Shown::Card, |_| false);
            write(&folder.join(format!("{name}-{count}.png")), frame)?;
        }
    }
    Ok(())
}

fn user(number: usize) -> Result<UserId, Box<dyn Error>> {
    Ok(number.to_string().parse()?)
}

fn member(number: usize) -> Result<Member, Box<dyn Error>> {
    Ok(Member {
        user: user(number)?,
        audio: Some(TrackState::On),
        camera: Some(TrackState::On),
        screen: None,
    })
}

fn camera(number: usize) -> Result<VideoRef, Box<dyn Error>> {
    Ok(VideoRef {
        user: user(number)?,
        source: TrackSource::Camera,
    })
}

/// `rect`: x, y, width, height.
fn cell(video: Option<VideoRef>, rect: [u16; 4]) -> Cell {
    let [x, y, width, height] = rect;
    Cell {
        video,
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
    let (width, height) = (frame.width(), frame.height());
    let mut pixels = Vec::with_capacity(width * height * 3);
    for at in 0..width * height {
        let chroma = at / width / 2 * (width / 2) + at % width / 2;
        pixels.extend(rgb(frame.y()[at], frame.u()[chroma], frame.v()[chroma]));
    }
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}

/// ITU-R BT.601, limited range.
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let (y, u, v) = (
        1.164 * (f32::from(y) - 16.0),
        f32::from(u) - 128.0,
        f32::from(v) - 128.0,
    );
    [y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u].map(|value| value.clamp(0.0, 255.0) as u8)
}
