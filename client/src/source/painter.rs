//! Draws the video: the clip or a pattern, the name, the mark, and a flash with the beep.

use rotunda_media::draw::{Font, disc};
use rotunda_media::mark::{self, Mark};
use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};

use super::clip::{Clip, Player};
use super::{HEIGHT, SourceError, WIDTH};

pub struct Painter {
    name: String,
    mark: u8,
    fps: u64,
    clip: Option<Player>,
    font: Option<Font>,
    canvas: VideoFrame,
}

impl Painter {
    pub fn new(name: String, mark: u8, fps: u8, clip: Option<Clip>) -> Result<Self, SourceError> {
        let canvas = VideoFrame::filled(WIDTH.into(), HEIGHT.into(), Yuv::BLACK);
        let clip = clip.map(Clip::player).transpose()?;
        Ok(Self {
            name,
            mark,
            fps: fps.into(),
            clip,
            font: Font::system(),
            canvas,
        })
    }

    /// The frame with this number.
    pub fn paint(&mut self, number: u64) -> &VideoFrame {
        let seconds = number as f64 / self.fps as f64;
        match self.clip.as_mut().and_then(|clip| clip.at(seconds)) {
            Some(frame) => {
                let dest = self.canvas.rect();
                scale_into(&mut self.canvas, dest, frame, frame.rect());
            }
            None => pattern(&mut self.canvas, self.mark, seconds),
        }
        let (width, height) = (self.canvas.width(), self.canvas.height());
        // 100 ms at each full second, with the beep.
        if number % self.fps < (self.fps / 10).max(1) {
            let flash = Rect {
                x: width - 96,
                y: height - 96,
                width: 64,
                height: 64,
            };
            self.canvas.fill(flash, Yuv::WHITE);
        }
        if let Some(font) = &self.font {
            let size = 34.0;
            let label = Rect {
                x: 0,
                y: height - 56,
                width: (font.width(&self.name, size) as usize + 40) & !1,
                height: 48,
            };
            self.canvas.fill(label, Yuv { y: 30, u: 128, v: 128 });
            font.label(&mut self.canvas, &self.name, 20, height - 50, size, Yuv::WHITE);
        }
        let whole = self.canvas.rect();
        mark::draw(
            &mut self.canvas,
            whole,
            Mark {
                id: self.mark,
                count: number as u16,
            },
        );
        &self.canvas
    }
}

/// A plain background in the participant's own colour, and a ball that circles once in four seconds.
fn pattern(canvas: &mut VideoFrame, mark: u8, seconds: f64) {
    let hue = f64::from(mark) * 47.0;
    let channel = |shift: f64| (90.0 + 60.0 * ((hue + shift).to_radians()).cos()) as u32;
    let background = Yuv::from_rgb(channel(0.0) << 16 | channel(120.0) << 8 | channel(240.0));
    let whole = canvas.rect();
    canvas.fill(whole, background);
    let turn = seconds / 4.0 * std::f64::consts::TAU;
    let (x, y) = (320.0 + 120.0 * turn.cos(), 210.0 + 80.0 * turn.sin());
    disc(canvas, x as usize, y as usize, 36, Yuv::from_rgb(0xf4_f0_e6));
}
