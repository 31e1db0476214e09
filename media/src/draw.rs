//! Draws names and discs into frames.

use ab_glyph::{Font as _, FontVec, PxScale, ScaleFont as _, point};

use crate::video_frame::{VideoFrame, Yuv};

/// Where Debian and its relatives keep a font that has most alphabets.
const PLACES: [&str; 3] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
];

/// A font ready to draw with.
pub struct Font(FontVec);

impl Font {
    /// The system's DejaVu Sans; None where it is not installed (package `fonts-dejavu-core`).
    pub fn system() -> Option<Self> {
        PLACES
            .iter()
            .find_map(|place| FontVec::try_from_vec(std::fs::read(place).ok()?).ok())
            .map(Self)
    }

    /// Width of a text in pixels; `pixels` is the height of a line.
    pub fn width(&self, text: &str, pixels: f32) -> f32 {
        let font = self.0.as_scaled(PxScale::from(pixels));
        text.chars().map(|letter| font.h_advance(font.glyph_id(letter))).sum()
    }

    /// Draws a text with its top left corner at (x, y); what is outside the frame is cut off.
    pub fn label(&self, frame: &mut VideoFrame, text: &str, x: usize, y: usize, pixels: f32, colour: Yuv) {
        let font = self.0.as_scaled(PxScale::from(pixels));
        let mut pen = x as f32;
        let baseline = y as f32 + font.ascent();
        for letter in text.chars() {
            let id = font.glyph_id(letter);
            let glyph = id.with_scale_and_position(PxScale::from(pixels), point(pen, baseline));
            pen += font.h_advance(id);
            if let Some(outline) = self.0.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                outline.draw(|dx, dy, coverage| {
                    blend(frame, corner.x + dx as f32, corner.y + dy as f32, coverage, colour);
                });
            }
        }
    }
}

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

fn blend(frame: &mut VideoFrame, x: f32, y: f32, coverage: f32, colour: Yuv) {
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
