//! Round corners: what was behind a cell comes back outside the arc, with soft edges.

use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};

/// The four corner squares of a cell, before it was drawn.
pub struct Corners {
    radius: usize,
    squares: Vec<(Rect, VideoFrame)>,
}

impl Corners {
    /// `radius`: even, at most half of the cell; 0: square corners.
    pub fn save(canvas: &VideoFrame, rect: Rect, radius: usize) -> Self {
        let mut squares = Vec::new();
        if radius >= 2 {
            let (right, bottom) = (rect.x + rect.width - radius, rect.y + rect.height - radius);
            for (x, y) in [(rect.x, rect.y), (right, rect.y), (rect.x, bottom), (right, bottom)] {
                let square = Rect {
                    x,
                    y,
                    width: radius,
                    height: radius,
                };
                let mut saved = VideoFrame::filled(radius, radius, Yuv::BLACK);
                let whole = saved.rect();
                scale_into(&mut saved, whole, canvas, square);
                squares.push((square, saved));
            }
        }
        Self { radius, squares }
    }

    pub fn put_back(&self, canvas: &mut VideoFrame, rect: Rect) {
        let radius = self.radius as f32;
        for (square, saved) in &self.squares {
            // The arc's centre is the corner of the square inside the cell.
            let is_right = square.x > rect.x;
            let is_low = square.y > rect.y;
            let outside = |x: f32, y: f32| {
                let dx = if is_right { x } else { radius - x };
                let dy = if is_low { y } else { radius - y };
                (dx.hypot(dy) - radius + 0.5).clamp(0.0, 1.0)
            };
            let stride = canvas.width();
            let [luma, u, v] = canvas.planes_mut();
            blend(luma, stride, (square.x, square.y), saved.y(), self.radius, |x, y| {
                outside(x as f32 + 0.5, y as f32 + 0.5)
            });
            for (plane, from) in [(u, saved.u()), (v, saved.v())] {
                blend(
                    plane,
                    stride / 2,
                    (square.x / 2, square.y / 2),
                    from,
                    self.radius / 2,
                    |x, y| outside(x as f32 * 2.0 + 1.0, y as f32 * 2.0 + 1.0),
                );
            }
        }
    }
}

fn blend(
    plane: &mut [u8],
    stride: usize,
    (left, top): (usize, usize),
    saved: &[u8],
    side: usize,
    outside: impl Fn(usize, usize) -> f32,
) {
    for y in 0..side {
        for x in 0..side {
            let (at, from) = ((top + y) * stride + left + x, y * side + x);
            let (Some(drawn), Some(behind)) = (plane.get_mut(at), saved.get(from)) else {
                continue;
            };
            let part = outside(x, y);
            *drawn = (f32::from(*drawn) + (f32::from(*behind) - f32::from(*drawn)) * part).round() as u8;
        }
    }
}
