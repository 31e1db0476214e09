//! Draws discs and (see [`Font`]) names into frames.

use crate::video_frame::{VideoFrame, Yuv};

pub use crate::font::Font;

/// Paints a filled disc.
pub fn disc(frame: &mut VideoFrame, centre_x: usize, centre_y: usize, radius: usize, colour: Yuv) {
    let (left, top) = (centre_x.saturating_sub(radius), centre_y.saturating_sub(radius));
    for y in top..=centre_y + radius {
        for x in left..=centre_x + radius {
            let (dx, dy) = (x as f32 - centre_x as f32, y as f32 - centre_y as f32);
            let coverage = (radius as f32 - dx.hypot(dy) + 0.5).clamp(0.0, 1.0);
            blend(frame, x as f32, y as f32, coverage, colour);
        }
    }
}

pub(crate) fn blend(frame: &mut VideoFrame, x: f32, y: f32, coverage: f32, colour: Yuv) {
    let (width, height) = (frame.width(), frame.height());
    if coverage <= 0.0 || x < 0.0 || y < 0.0 || x >= width as f32 || y >= height as f32 {
        return;
    }
    let (x, y) = (x as usize, y as usize);
    let mix = |from: u8, to: u8| (f32::from(from) + (f32::from(to) - f32::from(from)) * coverage.min(1.0)) as u8;
    let [luma, u, v] = frame.planes_mut();
    let at = y * width + x;
    luma[at] = mix(luma[at], colour.y);
    let at = y / 2 * (width / 2) + x / 2;
    u[at] = mix(u[at], colour.u);
    v[at] = mix(v[at], colour.v);
}
