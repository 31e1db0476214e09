//! A drawn face: it breathes, blinks, and its mouth follows the audio.

use rotunda_media::video_frame::{VideoFrame, Yuv};

use super::mouth::{Lips, Mouth};
use super::{FRAMES_A_SECOND, Face};
use crate::session::Piece;

const BACKGROUND: u32 = 0x26_3a_4e;
const SHOULDERS: u32 = 0x3f_6a_8a;
const SKIN: u32 = 0xf0_c8_a0;
const HAIR: u32 = 0x4a_30_20;
const EYE_WHITE: u32 = 0xff_ff_ff;
const PUPIL: u32 = 0x20_20_30;
const LIP: u32 = 0xc0_50_50;
const INSIDE: u32 = 0x30_08_10;
const TEETH: u32 = 0xf4_f4_f0;

/// Frames from one blink to the next.
const BLINK_EVERY: u64 = 4 * FRAMES_A_SECOND as u64 + 7;
/// Frames of a blink.
const BLINK: u64 = 4;

/// See the [module](self).
#[derive(Default)]
pub struct Drawn {
    mouth: Mouth,
    frames: u64,
    /// The parts of the face that do not move, painted once.
    still: Option<VideoFrame>,
}

impl Face for Drawn {
    fn hear(&mut self, piece: &Piece) {
        self.mouth.hear(&piece.samples, piece.viseme);
    }

    fn paint(&mut self, canvas: &mut VideoFrame) {
        let size = (canvas.width(), canvas.height());
        let still = match &mut self.still {
            Some(still) if (still.width(), still.height()) == size => still,
            other => other.insert(still(size)),
        };
        canvas.clone_from(still);
        let unit = unit(size);
        let (x, y) = centre(size);
        let blink = self.frames % BLINK_EVERY;
        let lid = if blink < BLINK { 0.1 } else { 1.0 };
        for side in [-1.0, 1.0] {
            let eye = x + side * 0.17 * unit;
            let eye_y = y - 0.08 * unit;
            ellipse(canvas, eye, eye_y, 0.075 * unit, 0.05 * unit * lid, EYE_WHITE);
            // The gaze wanders a little.
            let gaze = 0.012 * unit * (self.frames as f32 / 37.0).sin();
            ellipse(canvas, eye + gaze, eye_y, 0.03 * unit, 0.035 * unit * lid, PUPIL);
        }
        draw_mouth(canvas, x, y + 0.24 * unit, unit, self.mouth.lips());
        self.frames += 1;
    }
}

fn draw_mouth(canvas: &mut VideoFrame, x: f32, y: f32, unit: f32, lips: Lips) {
    let half_width = unit * (0.115 + 0.03 * lips.width);
    let half_height = unit * 0.085 * lips.openness * (1.0 - 0.2 * lips.width.max(0.0));
    let lip = 0.016 * unit;
    ellipse(canvas, x, y, half_width + lip, half_height + lip, LIP);
    if half_height > 0.004 * unit {
        ellipse(canvas, x, y, half_width, half_height, INSIDE);
        if half_height > 0.03 * unit {
            let teeth = 0.22 * half_height;
            ellipse(canvas, x, y - half_height + 1.6 * teeth, 0.6 * half_width, teeth, TEETH);
        }
    }
}

fn still(size: (usize, usize)) -> VideoFrame {
    let mut canvas = VideoFrame::filled(size.0, size.1, Yuv::from_rgb(BACKGROUND));
    let unit = unit(size);
    let (x, y) = centre(size);
    ellipse(&mut canvas, x, y + 0.85 * unit, 0.62 * unit, 0.35 * unit, SHOULDERS);
    ellipse(&mut canvas, x, y + 0.45 * unit, 0.13 * unit, 0.2 * unit, SKIN);
    ellipse(&mut canvas, x, y - 0.05 * unit, 0.40 * unit, 0.42 * unit, HAIR);
    ellipse(&mut canvas, x, y + 0.05 * unit, 0.35 * unit, 0.41 * unit, SKIN);
    for side in [-1.0, 1.0] {
        let brow = x + side * 0.17 * unit;
        ellipse(&mut canvas, brow, y - 0.17 * unit, 0.08 * unit, 0.012 * unit, HAIR);
    }
    ellipse(&mut canvas, x, y + 0.09 * unit, 0.025 * unit, 0.05 * unit, 0xdc_a8_80);
    canvas
}

fn unit(size: (usize, usize)) -> f32 {
    size.0.min(size.1) as f32
}

fn centre(size: (usize, usize)) -> (f32, f32) {
    (size.0 as f32 / 2.0, size.1 as f32 * 0.48)
}

/// Paints a filled ellipse row by row, cut to the frame.
fn ellipse(canvas: &mut VideoFrame, x: f32, y: f32, half_width: f32, half_height: f32, colour: u32) {
    let colour = Yuv::from_rgb(colour);
    let (width, height) = (canvas.width(), canvas.height());
    let [luma, u, v] = canvas.planes_mut();
    let planes = [
        (luma, width, height, 1.0, colour.y),
        (u, width / 2, height / 2, 0.5, colour.u),
        (v, width / 2, height / 2, 0.5, colour.v),
    ];
    for (plane, width, height, scale, value) in planes {
        let (x, y, half_width, half_height) = (x * scale, y * scale, half_width * scale, half_height * scale);
        if half_height <= 0.0 || width == 0 {
            continue;
        }
        let first = (y - half_height).max(0.0) as usize;
        let last = ((y + half_height).max(0.0) as usize).min(height.saturating_sub(1));
        for row in first..=last {
            let distance = (row as f32 + 0.5 - y) / half_height;
            let reach = half_width * (1.0 - distance * distance).max(0.0).sqrt();
            let left = (x - reach).max(0.0) as usize;
            let right = ((x + reach).max(0.0) as usize).min(width);
            if left < right {
                plane[row * width + left..row * width + right].fill(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::PIECE;

    /// Share of dark pixels where the mouth is.
    fn darkness(frame: &VideoFrame) -> f32 {
        let size = (frame.width(), frame.height());
        let (unit, (x, y)) = (unit(size), centre(size));
        let (left, right) = ((x - 0.1 * unit) as usize, (x + 0.1 * unit) as usize);
        let (top, bottom) = ((y + 0.16 * unit) as usize, (y + 0.32 * unit) as usize);
        let rows = (top..bottom).flat_map(|row| &frame.y()[row * size.0 + left..row * size.0 + right]);
        let (dark, all) = rows.fold((0, 0), |(dark, all), luma| (dark + u32::from(*luma < 60), all + 1));
        dark as f32 / all as f32
    }

    #[test]
    fn the_mouth_is_open_with_audio_and_closed_in_silence() {
        for (width, height) in [(512, 512), (160, 120), (64, 640)] {
            let mut face = Drawn::default();
            let mut canvas = VideoFrame::filled(width, height, Yuv::BLACK);
            face.paint(&mut canvas);
            let closed = darkness(&canvas);
            let loud = Piece {
                samples: std::array::from_fn(|at| if at / 16 % 2 == 0 { 9000 } else { -9000 }),
                is_speech: true,
                viseme: None,
            };
            face.hear(&loud);
            face.paint(&mut canvas);
            let open = darkness(&canvas);
            for _ in 0..4 {
                face.hear(&Piece::SILENCE);
            }
            face.paint(&mut canvas);
            assert!(closed == 0.0 && open > 0.3, "{width}x{height}: {closed} {open}");
            assert_eq!(darkness(&canvas), closed);
        }
        assert_eq!(Piece::SILENCE.samples.len(), PIECE);
    }

    #[test]
    fn the_face_blinks() {
        let mut face = Drawn::default();
        let mut canvas = VideoFrame::filled(128, 128, Yuv::BLACK);
        let white = |frame: &VideoFrame| frame.y().iter().filter(|luma| **luma > 225).count();
        let counts: Vec<usize> = (0..2 * BLINK_EVERY)
            .map(|_| {
                face.paint(&mut canvas);
                white(&canvas)
            })
            .collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(2 * least < *most, "{least} {most}");
    }
}
