//! The kind of a camera's video frame, read from its bytes. Sources: ITU-T H.264 §7.4.1, H.265 §7.4.2.2, Annex B of both.

use thiserror::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    H264,
    H265,
}

impl VideoCodec {
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
        }
    }

    fn kind(self, header: u8) -> Nal {
        match self {
            Self::H264 => match header & 0x1f {
                1..=4 => Nal::Slice,
                5 => Nal::KeySlice,
                7 => Nal::Set(Sets::SPS),
                8 => Nal::Set(Sets::PPS),
                _ => Nal::Other,
            },
            Self::H265 => match (header >> 1) & 0x3f {
                16..=21 => Nal::KeySlice,
                0..=31 => Nal::Slice,
                32 => Nal::Set(Sets::VPS),
                33 => Nal::Set(Sets::SPS),
                34 => Nal::Set(Sets::PPS),
                _ => Nal::Other,
            },
        }
    }

    fn needed_sets(self) -> Sets {
        match self {
            Self::H264 => Sets(Sets::SPS.0 | Sets::PPS.0),
            Self::H265 => Sets(Sets::SPS.0 | Sets::PPS.0 | Sets::VPS.0),
        }
    }
}

enum Nal {
    Slice,
    KeySlice,
    Set(Sets),
    Other,
}

/// Parameter sets, as bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sets(u8);

impl Sets {
    const VPS: Self = Self(1);
    const SPS: Self = Self(2);
    const PPS: Self = Self(4);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    Key,
    Delta,
}

/// Why a frame cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("the frame has no slice, or is not in Annex B")]
    NoSlice,
    #[error("the frame is flagged as a keyframe and is none")]
    NotKey,
    #[error("the keyframe has not all parameter sets before its slice")]
    ParameterSets,
}

/// The kind of an access unit in Annex B; `flagged`: as the program says.
///
/// A keyframe that is not flagged is one all the same. Looks no further than at the first slice.
pub fn inspect(codec: VideoCodec, data: &[u8], flagged: FrameKind) -> Result<FrameKind, FrameError> {
    let mut sets = Sets(0);
    for header in nal_headers(data) {
        match codec.kind(header) {
            Nal::Set(set) => sets.0 |= set.0,
            Nal::Other => {}
            Nal::Slice if flagged == FrameKind::Key => return Err(FrameError::NotKey),
            Nal::Slice => return Ok(FrameKind::Delta),
            Nal::KeySlice if sets.0 & codec.needed_sets().0 != codec.needed_sets().0 => {
                return Err(FrameError::ParameterSets);
            }
            Nal::KeySlice => return Ok(FrameKind::Key),
        }
    }
    Err(FrameError::NoSlice)
}

/// The first byte of each NAL unit.
fn nal_headers(data: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let at = rest.windows(3).position(|bytes| bytes == [0, 0, 1])?;
        rest = &rest[at + 3..];
        rest.first().copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use FrameKind::{Delta, Key};

    fn unit(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect()
    }

    #[test]
    fn h264_keyframes_carry_sps_and_pps_before_the_slice() {
        let inspect = |nals: &[&[u8]], flagged| inspect(VideoCodec::H264, &unit(nals), flagged);
        assert_eq!(inspect(&[&[0x67, 1], &[0x68, 1], &[0x65, 1]], Key), Ok(Key));
        assert_eq!(
            inspect(&[&[0x09, 1], &[0x67, 1], &[0x68, 1], &[0x06], &[0x65, 1]], Delta),
            Ok(Key)
        );
        assert_eq!(inspect(&[&[0x41, 1]], Delta), Ok(Delta));
        assert_eq!(inspect(&[&[0x41, 1]], Key), Err(FrameError::NotKey));
        assert_eq!(inspect(&[&[0x65, 1]], Key), Err(FrameError::ParameterSets));
        assert_eq!(
            inspect(&[&[0x67, 1], &[0x65, 1], &[0x68, 1]], Key),
            Err(FrameError::ParameterSets)
        );
        assert_eq!(inspect(&[&[0x67, 1], &[0x68, 1]], Key), Err(FrameError::NoSlice));
    }

    #[test]
    fn h265_keyframes_carry_vps_too() {
        let inspect = |nals: &[&[u8]], flagged| inspect(VideoCodec::H265, &unit(nals), flagged);
        assert_eq!(inspect(&[&[0x40, 1], &[0x42, 1], &[0x44, 1], &[0x26, 1]], Key), Ok(Key));
        assert_eq!(
            inspect(&[&[0x42, 1], &[0x44, 1], &[0x26, 1]], Key),
            Err(FrameError::ParameterSets)
        );
        assert_eq!(inspect(&[&[0x02, 1]], Delta), Ok(Delta));
    }

    #[test]
    fn what_is_no_byte_stream_is_an_error() {
        for bytes in [&[][..], &[0], &[0, 0, 1], &[1, 2, 3, 4, 5], &[0, 0, 0, 0, 0, 0]] {
            assert_eq!(inspect(VideoCodec::H264, bytes, Delta), Err(FrameError::NoSlice));
        }
    }
}
