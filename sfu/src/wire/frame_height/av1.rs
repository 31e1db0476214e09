//! Sequence headers of AV1 (AV1 Bitstream & Decoding Process Specification §5.5).

use super::bits::Bits;

const SEQUENCE_HEADER: u8 = 1;

/// Of an RTP payload that begins a coded video sequence, its aggregation header included (RTP Payload Format For AV1 §4.3 to
/// §4.5): the header is its first unit. Pixels.
pub fn av1(payload: &[u8]) -> Option<u16> {
    let (aggregation, rest) = payload.split_first()?;
    // Not with the rest of a unit (Z); W: how many units there are, of which the last has no length; 0: all have one.
    if aggregation & 0x80 != 0 {
        return None;
    }
    let unit = if aggregation >> 4 & 3 == 1 {
        rest
    } else {
        let (length, after) = leb128(rest)?;
        after.get(..length)?
    };
    let (header, mut body) = unit.split_first()?;
    if header >> 3 & 0xf != SEQUENCE_HEADER {
        return None;
    }
    // §5.3.2: the extension, and a size of its own.
    if header & 0x04 != 0 {
        body = body.get(1..)?;
    }
    if header & 0x02 != 0 {
        body = leb128(body)?.1;
    }
    height(body)
}

fn height(header: &[u8]) -> Option<u16> {
    let mut bits = Bits::new(header.iter().copied());
    // Profile, still picture.
    bits.skip(4)?;
    if bits.flag()? {
        // Reduced: nothing but a level.
        bits.skip(5)?;
    } else {
        skip_operating_points(&mut bits)?;
    }
    let (width_bits, height_bits) = (bits.number(4)? + 1, bits.number(4)? + 1);
    bits.skip(width_bits)?;
    u16::try_from(bits.number(height_bits)? + 1).ok()
}

fn skip_operating_points(bits: &mut Bits<impl Iterator<Item = u8>>) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        // §5.5.3: ticks, time scale; with equal intervals their length.
        bits.skip(64)?;
        if bits.flag()? {
            bits.exp_golomb()?;
        }
        if bits.flag()? {
            // §5.5.4.
            delay_bits = Some(bits.number(5)? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let has_display_delay = bits.flag()?;
    for _ in 0..=bits.number(5)? {
        bits.skip(12)?;
        let level = bits.number(5)?;
        if level > 7 {
            bits.skip(1)?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if has_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

/// §4.10.5, and what comes after it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
