//! A mark that a program reads off a frame after coding and scaling: who it is from and which frame it is.
//!
//! A strip of 40 x 2 cells over the frame's width, from 1/18 to 3/18 of its height. The upper row carries the bits
//! (white is 1), the lower row the same inverted, so that a bit needs no threshold. Bits, first to last: `1010`, id (8),
//! count (16), CRC-8 of both (polynomial 0x07, initial value 0xFF), `0101`.

use crate::video_frame::{Rect, VideoFrame, Yuv};

const CELLS: usize = 40;
const HEAD: u64 = 0b1010;
const TAIL: u64 = 0b0101;
/// Least difference of the two cells of a bit, in luma steps.
const LEAST_CONTRAST: i64 = 8;

/// The values in the strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Which source.
    pub id: u8,
    /// A frame counter, modulo 65536.
    pub count: u16,
}

/// Paints the strip over a rectangle of the frame.
pub fn draw(frame: &mut VideoFrame, rect: Rect, mark: Mark) {
    let bits = encode(mark);
    let row = |n: usize| rect.y + (n * rect.height + 9) / 18;
    let (top, middle, bottom) = (row(1), row(2), row(3));
    let column = |cell: usize| rect.x + (cell * rect.width + CELLS / 2) / CELLS;
    let (width, height) = (frame.width(), frame.height());
    let [luma, u, v] = frame.planes_mut();
    for cell in 0..CELLS {
        let one = bits >> (CELLS - 1 - cell) & 1 == 1;
        let [upper, lower] = if one {
            [Yuv::WHITE, Yuv::BLACK]
        } else {
            [Yuv::BLACK, Yuv::WHITE]
        };
        for y in top..bottom.min(height) {
            let value = if y < middle { upper.y } else { lower.y };
            luma[y * width..][column(cell).min(width)..column(cell + 1).min(width)].fill(value);
        }
    }
    for y in top / 2..bottom.min(height).div_ceil(2) {
        let range = y * (width / 2) + rect.x / 2..y * (width / 2) + (rect.x + rect.width).min(width) / 2;
        u[range.clone()].fill(128);
        v[range].fill(128);
    }
}

/// Reads the strip in a rectangle of a luma plane; None where there is none that is whole.
pub fn read(luma: &[u8], stride: usize, rect: Rect) -> Option<Mark> {
    // The middle half of each cell, at least one pixel.
    let level = |cell: usize, line: usize| -> Option<i64> {
        let left = rect.x + (4 * cell + 1) * rect.width / (4 * CELLS);
        let right = (rect.x + (4 * cell + 3) * rect.width / (4 * CELLS)).max(left + 1);
        let top = rect.y + (4 * (line + 1) + 1) * rect.height / 72;
        let bottom = (rect.y + (4 * (line + 1) + 3) * rect.height / 72).max(top + 1);
        let mut sum = 0;
        for y in top..bottom {
            sum += luma
                .get(y * stride + left..y * stride + right)?
                .iter()
                .map(|value| i64::from(*value))
                .sum::<i64>();
        }
        Some(sum / ((right - left) * (bottom - top)) as i64)
    };
    let mut bits = 0_u64;
    for cell in 0..CELLS {
        let difference = level(cell, 0)? - level(cell, 1)?;
        if difference.abs() < LEAST_CONTRAST {
            return None;
        }
        bits = bits << 1 | u64::from(difference > 0);
    }
    let [.., head, id, high, low, _crc_and_tail] = (bits >> 4).to_be_bytes();
    let mark = Mark {
        id,
        count: u16::from_be_bytes([high, low]),
    };
    (u64::from(head & 0xf) == HEAD && encode(mark) == bits).then_some(mark)
}

fn encode(mark: Mark) -> u64 {
    let [high, low] = mark.count.to_be_bytes();
    let crc = crc8(&[mark.id, high, low]);
    let body = u64::from(u32::from_be_bytes([mark.id, high, low, crc]));
    HEAD << 36 | body << 4 | TAIL
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0xff, |crc, byte| {
        (0..8).fold(
            crc ^ byte,
            |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_mark_is_read_back_in_any_rectangle() {
        let mut frame = VideoFrame::filled(1280, 720, Yuv::BLACK);
        let rect = Rect {
            x: 640,
            y: 360,
            width: 640,
            height: 360,
        };
        for mark in [
            Mark { id: 0, count: 0 },
            Mark { id: 255, count: 65535 },
            Mark { id: 11, count: 300 },
        ] {
            draw(&mut frame, rect, mark);
            assert_eq!(read(frame.y(), 1280, rect), Some(mark));
        }
        assert_eq!(
            read(
                frame.y(),
                1280,
                Rect {
                    x: 0,
                    y: 0,
                    width: 640,
                    height: 360
                }
            ),
            None
        );
    }

    #[test]
    fn the_checksum_is_the_one_of_the_format() {
        // CRC-8 with polynomial 0x07 and initial value 0xFF of nothing and of three zero bytes.
        assert_eq!(crc8(&[]), 0xff);
        assert_eq!(encode(Mark { id: 1, count: 2 }) >> 36, HEAD);
    }
}
