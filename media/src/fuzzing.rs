//! Entry points for fuzzing: each reader of network bytes of this crate, by name. Compiled for tests, which replay the saved
//! inputs, and with the feature `fuzzing`.

use crate::codec::h264::{nal_type, nal_units, parameter_sets, to_annex_b, to_length_prefixed};
use crate::codec::opus::OpusDecoder;
use crate::codec::{VideoCodec, VideoDecoder};

/// Takes any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[("media_h264", h264), ("media_decoders", decoders)];

/// Access units of members and clips.
fn h264(data: &[u8]) {
    for unit in nal_units(data) {
        assert!(unit.is_empty() || nal_type(unit) < 32);
    }
    let _none = parameter_sets(data);
    let prefixed = to_length_prefixed(data);
    let again = to_length_prefixed(&to_annex_b(&prefixed));
    let units = |bytes: &[u8]| nal_units(&to_annex_b(bytes)).map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(units(&prefixed), units(&again));
    let _any = to_annex_b(data);
}

/// Members' media as the mixer decodes it: the first byte chooses the codec, and frames follow with their lengths.
fn decoders(data: &[u8]) {
    let Some((kind, mut rest)) = data.split_first() else {
        return;
    };
    // Saved inputs are older than AV1.
    let mut video = match if *kind == 4 { 4 } else { kind % 4 } {
        4 => VideoDecoder::new(VideoCodec::Av1).ok(),
        0 => VideoDecoder::new(VideoCodec::Vp8).ok(),
        1 => VideoDecoder::new(VideoCodec::H264).ok(),
        3 => VideoDecoder::new(VideoCodec::Vp9).ok(),
        _ => None,
    };
    let mut audio = OpusDecoder::new(2).ok();
    let mut pcm = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (frame, after) = after.split_at(length);
        rest = after;
        match (&mut video, &mut audio) {
            (Some(video), _) => drop(video.decode(frame)),
            (None, Some(audio)) => {
                pcm.clear();
                let _damaged = audio.decode(Some(frame), &mut pcm);
            }
            (None, None) => {}
        }
    }
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod tests;
