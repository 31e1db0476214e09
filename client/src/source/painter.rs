//! Draws the video: the clip or a pattern, the name, the mark, and a flash with the beep.

use rotunda_media::draw::{Font, disc};
use rotunda_media::mark::{self, Mark};
use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};

use super::clip::{Clip, Player};
use super::{SourceConfig, SourceError};

pub struct Painter {
    name: String,
    mark: u8,
    fps: u64,
    clip: Option<Player>,
    font: Option<Font>,
    canvas: VideoFrame,
}

impl Painter {
    pub fn new(config: &SourceConfig, clip: Option<Clip>) -> Result<Self, SourceError> {
        let (width, height) = config.size;
        let canvas = VideoFrame::filled(width.into(), height.into(), Yuv::BLACK);
        let clip = clip.map(Clip::player).transpose()?;
        Ok(Self {
            name: config.name.clone(),
            mark: config.mark,
            fps: config.fps.clamp(1, 60).into(),
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
        let scaled = |length: usize| length * height / usize::from(SourceConfig::SIZE.1);
        // 100 ms at each full second, with the beep.
        if number % self.fps < (self.fps / 10).max(1) {
            let flash = Rect {
                x: width - scaled(96),
                y: height - scaled(96),
                width: scaled(64),
                height: scaled(64),
            };
            self.canvas.fill(flash, Yuv::WHITE);
        }
        if let Some(font) = &self.font {
            let size = 34.0 * height as f32 / f32::from(SourceConfig::SIZE.1);
            let label = Rect {
                x: 0,
                y: (height - scaled(56)) & !1,
                width: (font.width(&self.name, size) as usize + scaled(40)) & !1,
                height: scaled(48) & !1,
            };
            self.canvas.fill(label, Yuv { y: 30, u: 128, v: 128 });
            let (x, y) = (scaled(20), height - scaled(50));
            font.label(&mut self.canvas, &self.name, x, y, size, Yuv::WHITE);
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
    let (middle, scale) = (
        canvas.width() as f64 / 2.0,
        canvas.height() as f64 / f64::from(SourceConfig::SIZE.1),
    );
    let (x, y) = (middle + 120.0 * scale * turn.cos(), scale * (210.0 + 80.0 * turn.sin()));
    let radius = (36.0 * scale) as usize;
    disc(canvas, x as usize, y as usize, radius, Yuv::from_rgb(0xf4_f0_e6));
}
