//! The colours of an H.264 stream, by its sequence parameter set. Source: ITU-T H.264 §7.3.2.1.1, §E.1.1, tables E-4 and E-5.

use crate::colour::{Colour, Matrix, Range};

/// Profiles whose parameter sets have a chroma format.
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
const BT709: u32 = 1;
/// An aspect ratio that is written out.
const EXTENDED_SAR: u32 = 255;

/// Of a set with its NAL header; what says nothing is the default.
pub fn colour(sps: &[u8]) -> Colour {
    read(sps).unwrap_or_default()
}

/// None: it says nothing, or ends early.
fn read(sps: &[u8]) -> Option<Colour> {
    let payload = without_emulation_prevention(sps.get(1..)?);
    let mut bits = Bits { bytes: &payload, at: 0 };
    let profile = bits.number(8)?;
    bits.number(16)?;
    bits.golomb()?;
    if HIGH_PROFILES.contains(&profile) {
        let chroma_format = bits.golomb()?;
        if chroma_format == 3 {
            bits.number(1)?;
        }
        bits.golomb()?;
        bits.golomb()?;
        bits.number(1)?;
        if bits.flag()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    bits.scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => drop(bits.golomb()?),
        1 => {
            bits.number(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.number(1)?;
    bits.golomb()?;
    bits.golomb()?;
    if !bits.flag()? {
        bits.number(1)?;
    }
    bits.number(1)?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.golomb()?;
        }
    }
    if !bits.flag()? {
        return None;
    }
    if bits.flag()? && bits.number(8)? == EXTENDED_SAR {
        bits.number(32)?;
    }
    if bits.flag()? {
        bits.number(1)?;
    }
    if !bits.flag()? {
        return None;
    }
    bits.number(3)?;
    let range = if bits.flag()? { Range::Full } else { Range::Limited };
    let mut matrix = Matrix::default();
    if bits.flag()? {
        bits.number(16)?;
        if bits.number(8)? == BT709 {
            matrix = Matrix::Bt709;
        }
    }
    Some(Colour { matrix, range })
}

/// §7.4.1: the third byte of 00 00 03 is no part of the payload.
fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for byte in nal {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        payload.push(*byte);
    }
    payload
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0_u32, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// §9.1. A signed code has as many bits.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros).wrapping_sub(1).wrapping_add(self.number(zeros)?))
    }

    /// §7.3.2.1.1.1
    fn scaling_list(&mut self, size: usize) -> Option<()> {
        let (mut last, mut next) = (8_i32, 8_i32);
        for _ in 0..size {
            if next != 0 {
                let code = self.golomb()?;
                let size = (code / 2 + code % 2) as i32;
                let delta = if code % 2 == 1 { size } else { -size };
                next = last.wrapping_add(delta) & 0xff;
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of x264, High profile, 64x64.
    const FULL_709: &[u8] = &[
        0x67, 0x64, 0x00, 0x0a, 0xac, 0xd9, 0x44, 0x26, 0xc0, 0x5b, 0x81, 0x01, 0x00, 0xa0, 0x00, 0x00, 0x03, 0x00,
        0x20, 0x00, 0x00, 0x06, 0x41, 0xe2, 0x44, 0xb2, 0xc0,
    ];
    const LIMITED_601: &[u8] = &[
        0x67, 0x64, 0x00, 0x0a, 0xac, 0xd9, 0x44, 0x26, 0xc0, 0x5a, 0x81, 0x01, 0x03, 0x20, 0x00, 0x00, 0x03, 0x00,
        0x20, 0x00, 0x00, 0x06, 0x41, 0xe2, 0x44, 0xb2, 0xc0,
    ];

    #[test]
    fn matrix_and_range_are_read_and_a_set_that_ends_early_says_nothing() {
        let full_709 = Colour {
            matrix: Matrix::Bt709,
            range: Range::Full,
        };
        assert_eq!(colour(FULL_709), full_709);
        assert_eq!(colour(LIMITED_601), Colour::default());
        for length in 0..13 {
            assert_eq!(colour(&FULL_709[..length]), Colour::default());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _colour = colour(&bytes);
        }
    }
}
