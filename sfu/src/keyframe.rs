//! Where a key frame starts, from a packet's payload alone.

use str0m::format::Codec;
use str0m::rtp::Vp8Descriptor;

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;

/// Whether a decoder can begin with this packet. Sound: always.
pub fn starts(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => Vp8Descriptor::parse(payload).is_ok_and(|descriptor| descriptor.starts_keyframe(payload)),
        Codec::H264 => starts_h264(payload),
        codec => codec.is_audio(),
    }
}

/// RFC 6184 §5.4, §5.7.1, §5.8: an SPS, an aggregate that begins with one, or the first fragment of an IDR.
fn starts_h264(payload: &[u8]) -> bool {
    let kind = |header: &u8| header & 0x1f;
    match payload.first().map(kind) {
        Some(SPS | IDR) => true,
        Some(STAP_A) => payload.get(3).map(kind) == Some(SPS),
        Some(FU_A) => payload
            .get(1)
            .is_some_and(|header| header & FU_START != 0 && kind(header) == IDR),
        _ => false,
    }
}

/// Height of a VP8 key frame, pixels. Source: RFC 6386 §9.1, behind the descriptor of RFC 7741 §4.2.
pub fn vp8_height(payload: &[u8]) -> Option<u16> {
    let start_code = payload
        .windows(3)
        .take(16)
        .position(|bytes| bytes == [0x9d, 0x01, 0x2a])?;
    let height = payload.get(start_code + 5..start_code + 7)?;
    Some(u16::from_le_bytes([height[0], height[1]]) & 0x3fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h264_key_frames_begin_with_parameter_sets_or_an_idr() {
        assert!(starts(Codec::H264, &[0x67, 0x42]));
        assert!(starts(Codec::H264, &[0x78, 0x00, 0x0e, 0x67]));
        assert!(starts(Codec::H264, &[0x7c, 0x85, 0x88]));
        assert!(!starts(Codec::H264, &[0x7c, 0x05, 0x88]), "a later fragment of the IDR");
        assert!(!starts(Codec::H264, &[0x41, 0x9a]));
        assert!(!starts(Codec::H264, &[]));
    }

    #[test]
    fn vp8_key_frames_have_their_start_bit_and_size() {
        let key = [0x10, 0x50, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
        assert!(starts(Codec::Vp8, &key));
        assert_eq!(vp8_height(&key), Some(360));
        assert!(!starts(Codec::Vp8, &[0x10, 0x51, 0x01]), "an inter frame");
        assert!(!starts(Codec::Vp8, &[0x00, 0x50, 0x01]), "not the first packet");
    }

    #[test]
    fn sound_can_begin_anywhere() {
        assert!(starts(Codec::Opus, &[0x78]));
    }
}
