//! G.711: A-law and mu-law, one byte a sample. Source: ITU-T G.711, with the usual 16-bit scaling of Sun's `g711.c`.

/// Which of the two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    A,
    Mu,
}

impl Law {
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::A => decode_a(byte),
            Self::Mu => decode_mu(byte),
        }
    }

    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::A => encode_a(sample),
            Self::Mu => encode_mu(sample),
        }
    }
}

fn decode_a(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let segment = (byte & 0x70) >> 4;
    let mut magnitude = i16::from(byte & 0x0f) << 4;
    match segment {
        0 => magnitude += 8,
        1 => magnitude += 0x108,
        _ => magnitude = (magnitude + 0x108) << (segment - 1),
    }
    if byte & 0x80 != 0 { magnitude } else { -magnitude }
}

fn encode_a(sample: i16) -> u8 {
    // 13 bits; a negative number's magnitude is taken after the shift, so that -1 is the smallest step below zero.
    let value = sample >> 3;
    let (mask, magnitude) = if value >= 0 { (0xd5, value) } else { (0x55, -value - 1) };
    let segment = (0..8).find(|segment| magnitude < 0x20 << segment).unwrap_or(8);
    if segment >= 8 {
        return 0x7f ^ mask;
    }
    let shift = if segment < 2 { 1 } else { segment };
    (((segment as u8) << 4) | ((magnitude >> shift) & 0x0f) as u8) ^ mask
}

/// 33 of 14 bits, in 16 bits.
const MU_BIAS: i32 = 0x84;

fn decode_mu(byte: u8) -> i16 {
    let byte = !byte;
    let segment = (byte & 0x70) >> 4;
    let magnitude = (((i32::from(byte & 0x0f) << 3) + MU_BIAS) << segment) - MU_BIAS;
    // At most 32124.
    let magnitude = magnitude as i16;
    if byte & 0x80 != 0 { -magnitude } else { magnitude }
}

fn encode_mu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs()).min(32_635) + MU_BIAS;
    let segment = (0..8).find(|segment| magnitude < 0x100 << segment).unwrap_or(7);
    let mantissa = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | ((segment as u8) << 4) | mantissa as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_the_standard() {
        assert_eq!(
            [0xd5, 0x55, 0x80, 0xaa, 0x2a].map(|byte| Law::A.decode(byte)),
            [8, -8, 5504, 32256, -32256]
        );
        assert_eq!(
            [0xff, 0x7f, 0x80, 0x00].map(|byte| Law::Mu.decode(byte)),
            [0, 0, 32124, -32124]
        );
    }

    #[test]
    fn every_code_is_encoded_to_itself() {
        for byte in 0..=255 {
            assert_eq!(Law::A.encode(Law::A.decode(byte)), byte, "A-law {byte:#x}");
            // Mu-law has two zeros.
            if byte != 0x7f {
                assert_eq!(Law::Mu.encode(Law::Mu.decode(byte)), byte, "mu-law {byte:#x}");
            }
        }
    }

    #[test]
    fn the_error_is_small_against_the_sample() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            for law in [Law::A, Law::Mu] {
                let error = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                assert!(error <= 16 + i32::from(sample).abs() / 16, "{law:?} {sample}: {error}");
            }
        }
    }
}
