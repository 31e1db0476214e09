//! Sequence parameter sets of H.264 (ITU-T H.264 §7.3.2.1.1).

use super::bits::Bits;

const SPS: u8 = 7;
const STAP_A: u8 = 24;
/// Profiles whose parameter sets say how colours are coded.
const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Of an RTP payload that is a parameter set or an aggregate with one (RFC 6184 §5.6, §5.7.1). Pixels, after cropping.
pub fn h264(payload: &[u8]) -> Option<u16> {
    match kind(payload)? {
        SPS => height(payload),
        STAP_A => {
            let mut rest = &payload[1..];
            loop {
                let (length, after) = rest.split_first_chunk::<2>()?;
                let (unit, next) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
                if kind(unit) == Some(SPS) {
                    return height(unit);
                }
                rest = next;
            }
        }
        _ => None,
    }
}

fn kind(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}

fn height(set: &[u8]) -> Option<u16> {
    let mut bits = Bits::new(Raw { bytes: set, zeros: 0 });
    bits.skip(8)?;
    let profile = bits.number(8)?;
    bits.skip(16)?;
    bits.exp_golomb()?;
    let mut chroma = 1;
    if WITH_CHROMA.contains(&profile) {
        chroma = bits.exp_golomb()?;
        if chroma == 3 {
            bits.skip(1)?;
        }
        // Bit depths; the transform that can be bypassed.
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.skip(1)?;
        if bits.flag()? {
            skip_scaling_lists(&mut bits, if chroma == 3 { 12 } else { 8 })?;
        }
    }
    bits.exp_golomb()?;
    skip_order_count(&mut bits)?;
    // Reference frames, gaps in their numbers, width.
    bits.exp_golomb()?;
    bits.skip(1)?;
    bits.exp_golomb()?;
    let map_units = bits.exp_golomb()?.checked_add(1)?;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    // Two fields make a frame.
    let fields = if frames_only { 1 } else { 2 };
    let mut cropped = 0;
    if bits.flag()? {
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        let lines = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?;
        // Table 6-1: SubHeightC is 2 where chroma has half the lines.
        let unit = if chroma == 1 { 2 } else { 1 };
        cropped = lines.checked_mul(unit * fields)?;
    }
    let coded = map_units.checked_mul(16 * fields)?;
    coded.checked_sub(cropped)?.try_into().ok()
}

/// §7.3.2.1.1.1.
fn skip_scaling_lists(bits: &mut Bits<Raw<'_>>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.signed_exp_golomb()? % 256 + 256) % 256;
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Some(())
}

fn skip_order_count(bits: &mut Bits<Raw<'_>>) -> Option<()> {
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.skip(1)?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            // At most 255 of them; the bytes end before a false number does.
            for _ in 0..bits.exp_golomb()? {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// The bytes of a unit without those that keep start codes from appearing in it (§7.4.1).
struct Raw<'a> {
    bytes: &'a [u8],
    zeros: u8,
}

impl Iterator for Raw<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (mut first, mut rest) = self.bytes.split_first()?;
        if self.zeros >= 2 && *first == 3 {
            (first, rest) = rest.split_first()?;
            self.zeros = 0;
        }
        self.bytes = rest;
        self.zeros = if *first == 0 { self.zeros.saturating_add(1) } else { 0 };
        Some(*first)
    }
}
