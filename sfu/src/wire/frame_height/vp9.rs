//! Uncompressed headers of VP9 (VP9 Bitstream Specification §6.2, §7.2).

use super::bits::Bits;

const SYNC_CODE: u32 = 0x0049_8342;
const SRGB: u32 = 7;

/// From the beginning of a keyframe, after the RTP payload descriptor. Pixels.
pub fn vp9(frame: &[u8]) -> Option<u16> {
    let mut bits = Bits::new(frame.iter().copied());
    let marker = bits.number(2)?;
    let profile = bits.number(1)? | bits.number(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let (shows_existing, is_inter) = (bits.flag()?, bits.flag()?);
    if marker != 2 || shows_existing || is_inter {
        return None;
    }
    // Whether it is shown, error resilience.
    bits.skip(2)?;
    if bits.number(24)? != SYNC_CODE {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let has_subsampling = profile == 1 || profile == 3;
    if bits.number(3)? != SRGB {
        bits.skip(if has_subsampling { 4 } else { 1 })?;
    } else if has_subsampling {
        bits.skip(1)?;
    }
    bits.skip(16)?;
    u16::try_from(bits.number(16)? + 1).ok()
}
