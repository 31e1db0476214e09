//! How a frame's numbers mean colours, and the way from other meanings to the one of all frames here: BT.601, limited range.

use crate::video_frame::VideoFrame;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Matrix {
    /// Also what says nothing: browsers send it so.
    #[default]
    Bt601,
    Bt709,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Range {
    /// Luma 16 to 235, chroma 16 to 240.
    #[default]
    Limited,
    /// 0 to 255.
    Full,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Colour {
    pub matrix: Matrix,
    pub range: Range,
}

/// Parts of 1.
const ONE: f64 = 65_536.0;
const HALF: i32 = 32_768;

/// Factors in parts of [`ONE`].
struct Factors {
    /// Of luma, U and V in luma.
    luma: [i32; 3],
    /// Of U and V in U.
    u: [i32; 2],
    /// Of U and V in V.
    v: [i32; 2],
    black: i32,
}

impl Matrix {
    /// The shares of red and blue in luma. Source: ITU-R BT.601-7 §2.5.1, BT.709-6 §3.2.
    fn shares(self) -> [f64; 2] {
        match self {
            Self::Bt601 => [0.299, 0.114],
            Self::Bt709 => [0.2126, 0.0722],
        }
    }
}

impl Factors {
    fn of(colour: Colour) -> Self {
        let (luma_in, chroma_in, black) = match colour.range {
            Range::Limited => (219.0, 224.0, 16),
            Range::Full => (255.0, 255.0, 0),
        };
        let (luma_out, chroma_out) = (219.0, 224.0);
        let [kr, kb] = colour.matrix.shares();
        let kg = 1.0 - kr - kb;
        // Red, green and blue of luma, U and V, all of them 0 to 1 (chroma: -0.5 to 0.5).
        let red = [1.0, 0.0, 2.0 * (1.0 - kr)];
        let green = [1.0, -2.0 * kb * (1.0 - kb) / kg, -2.0 * kr * (1.0 - kr) / kg];
        let blue = [1.0, 2.0 * (1.0 - kb), 0.0];
        let [r, b] = Matrix::Bt601.shares();
        let g = 1.0 - r - b;
        let luma = [0, 1, 2].map(|part| r * red[part] + g * green[part] + b * blue[part]);
        let u = [1, 2].map(|part: usize| (blue[part] - luma[part]) / (2.0 * (1.0 - b)));
        let v = [1, 2].map(|part: usize| (red[part] - luma[part]) / (2.0 * (1.0 - r)));
        let fixed = |factor: f64, from: f64, to: f64| (factor * to / from * ONE).round() as i32;
        Self {
            luma: [
                fixed(luma[0], luma_in, luma_out),
                fixed(luma[1], chroma_in, luma_out),
                fixed(luma[2], chroma_in, luma_out),
            ],
            u: u.map(|factor| fixed(factor, chroma_in, chroma_out)),
            v: v.map(|factor| fixed(factor, chroma_in, chroma_out)),
            black,
        }
    }
}

/// Gives a frame the meaning of all frames here.
pub fn to_common(mut frame: VideoFrame, from: Colour) -> VideoFrame {
    if from == Colour::default() {
        return frame;
    }
    let Factors { luma, u, v, black } = Factors::of(from);
    let width = frame.width();
    let [luma_plane, u_plane, v_plane] = frame.planes_mut();
    let rows = luma_plane.chunks_exact_mut(2 * width);
    let chroma = u_plane
        .chunks_exact_mut(width / 2)
        .zip(v_plane.chunks_exact_mut(width / 2));
    let byte = |value: i32| value.clamp(0, 255) as u8;
    for (rows, (u_row, v_row)) in rows.zip(chroma) {
        let (upper, lower) = rows.split_at_mut(width);
        let pairs = upper.chunks_exact_mut(2).zip(lower.chunks_exact_mut(2));
        for ((upper, lower), (u_at, v_at)) in pairs.zip(u_row.iter_mut().zip(v_row)) {
            let (own_u, own_v) = (i32::from(*u_at) - 128, i32::from(*v_at) - 128);
            let shift = luma[1] * own_u + luma[2] * own_v + HALF;
            for pixel in upper.iter_mut().chain(lower) {
                *pixel = byte(16 + (((i32::from(*pixel) - black) * luma[0] + shift) >> 16));
            }
            *u_at = byte(128 + ((u[0] * own_u + u[1] * own_v + HALF) >> 16));
            *v_at = byte(128 + ((v[0] * own_u + v[1] * own_v + HALF) >> 16));
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video_frame::Yuv;

    /// White, yellow, cyan, green, magenta, red, blue, black, and grey.
    const COLOURS: [[f64; 3]; 9] = [
        [1.0, 1.0, 1.0],
        [1.0, 1.0, 0.0],
        [0.0, 1.0, 1.0],
        [0.0, 1.0, 0.0],
        [1.0, 0.0, 1.0],
        [1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
    ];

    fn coded([r, g, b]: [f64; 3], colour: Colour) -> Yuv {
        let [kr, kb] = colour.matrix.shares();
        let luma = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (u, v) = ((b - luma) / (2.0 * (1.0 - kb)), (r - luma) / (2.0 * (1.0 - kr)));
        let (black, luma_range, chroma_range) = match colour.range {
            Range::Limited => (16.0, 219.0, 224.0),
            Range::Full => (0.0, 255.0, 255.0),
        };
        let byte = |value: f64| value.round().clamp(0.0, 255.0) as u8;
        Yuv {
            y: byte(black + luma_range * luma),
            u: byte(128.0 + chroma_range * u),
            v: byte(128.0 + chroma_range * v),
        }
    }

    #[test]
    fn every_meaning_of_every_colour_becomes_the_common_one() {
        for matrix in [Matrix::Bt601, Matrix::Bt709] {
            for range in [Range::Limited, Range::Full] {
                for rgb in COLOURS {
                    let colour = Colour { matrix, range };
                    let frame = to_common(VideoFrame::filled(16, 8, coded(rgb, colour)), colour);
                    let expected = coded(rgb, Colour::default());
                    let planes = [
                        (frame.y(), expected.y),
                        (frame.u(), expected.u),
                        (frame.v(), expected.v),
                    ];
                    for (plane, expected) in planes {
                        assert!(
                            plane.iter().all(|byte| byte.abs_diff(expected) <= 1),
                            "{matrix:?} {range:?} {rgb:?}: {} instead of {expected}",
                            plane[0]
                        );
                    }
                }
            }
        }
    }
}
