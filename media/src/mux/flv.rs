//! FLV tags, which are also the bodies of RTMP messages. Source: Adobe Flash Video File Format 10.1, Annex E.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::program::{Frame, ProgramHeader, Track, VideoHeader};

/// The content of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TagKind {
    Audio = 8,
    Video = 9,
    Script = 18,
}

/// Where a keyframe's tag begins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Keyframe {
    pub seconds: f64,
    pub position: u64,
}

/// A tag's bytes besides its body.
pub const TAG_BYTES: usize = 15;
/// AAC, 44 kHz, 16 bit, stereo: fixed for AAC, whatever the audio is (E.4.2.1).
const AAC: u8 = 0xaf;
const AVC: u8 = 7;
const KEY_FRAME: u8 = 1 << 4;
const INTER_FRAME: u8 = 2 << 4;

/// The file's first bytes.
pub fn file_header(program: &ProgramHeader) -> Bytes {
    header(program.video.is_some(), true)
}

/// The file's first bytes, by the tracks it has.
pub fn header(has_video: bool, has_audio: bool) -> Bytes {
    let flags = u8::from(has_video) | u8::from(has_audio) << 2;
    Bytes::from(vec![b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0])
}

/// The tags that every player needs first: metadata and the codecs' headers.
pub fn start_tags(header: &ProgramHeader, timestamp_ms: u32) -> Bytes {
    let mut out = BytesMut::new();
    put_tag(&mut out, TagKind::Script, timestamp_ms, &metadata(header));
    if let Some(video) = &header.video {
        put_tag(&mut out, TagKind::Video, timestamp_ms, &video_config_body(video));
    }
    put_tag(&mut out, TagKind::Audio, timestamp_ms, &audio_config_body(header));
    out.freeze()
}

/// Appends a frame's tag up to the frame's data.
pub fn put_frame_head(out: &mut BytesMut, frame: &Frame, timestamp_ms: u32) {
    let kind = match frame.track {
        Track::Video => TagKind::Video,
        Track::Audio => TagKind::Audio,
    };
    let head = body_head(frame.track, frame.is_key);
    put_tag_header(out, kind, timestamp_ms, head.len() + frame.data.len());
    out.put_slice(head);
}

/// Appends the end of a frame's tag, after the frame's data.
pub fn put_frame_tail(out: &mut BytesMut, frame: &Frame) {
    let body = body_head(frame.track, frame.is_key).len() + frame.data.len();
    put_tag_size(out, body);
}

/// `onMetaData` and its values, as script data (E.4.4).
pub fn metadata(header: &ProgramHeader) -> Bytes {
    let mut values: Vec<(&str, f64)> = vec![
        ("audiocodecid", 10.0),
        ("audiosamplerate", f64::from(header.audio.sample_rate)),
        ("audiosamplesize", 16.0),
        ("audiodatarate", f64::from(header.audio.bitrate_kbps)),
    ];
    if let Some(video) = &header.video {
        values.extend([
            ("width", f64::from(video.width)),
            ("height", f64::from(video.height)),
            ("videocodecid", f64::from(AVC)),
            ("framerate", f64::from(video.framerate)),
            ("videodatarate", f64::from(video.bitrate_kbps)),
        ]);
    }
    let mut out = BytesMut::new();
    out.put_u8(2);
    put_name(&mut out, "onMetaData");
    out.put_u8(8);
    out.put_u32(values.len() as u32 + 1);
    for (name, value) in values {
        put_name(&mut out, name);
        out.put_u8(0);
        out.put_f64(value);
    }
    put_name(&mut out, "stereo");
    out.put_slice(&[1, u8::from(header.audio.channels == 2)]);
    out.put_slice(&[0, 0, 9]);
    out.freeze()
}

/// `onMetaData` of a finished file. Its size depends on the number of keyframes alone.
pub fn file_metadata(duration: Duration, size: u64, keyframes: &[Keyframe]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(2);
    put_name(&mut out, "onMetaData");
    out.put_u8(8);
    let has_keyframes = !keyframes.is_empty();
    out.put_u32(if has_keyframes { 4 } else { 3 });
    for (name, value) in [("duration", duration.as_secs_f64()), ("filesize", size as f64)] {
        put_name(&mut out, name);
        out.put_u8(0);
        out.put_f64(value);
    }
    put_name(&mut out, "canSeekToEnd");
    out.put_slice(&[1, 1]);
    if has_keyframes {
        // An object of two arrays, as every player that seeks knows it.
        put_name(&mut out, "keyframes");
        out.put_u8(3);
        let columns: [(&str, Column); 2] = [
            ("times", |keyframe| keyframe.seconds),
            ("filepositions", |keyframe| keyframe.position as f64),
        ];
        for (name, value) in columns {
            put_name(&mut out, name);
            out.put_u8(10);
            out.put_u32(keyframes.len() as u32);
            for keyframe in keyframes {
                out.put_u8(0);
                out.put_f64(value(keyframe));
            }
        }
        out.put_slice(&[0, 0, 9]);
    }
    out.put_slice(&[0, 0, 9]);
    out.freeze()
}

/// AVC sequence header of a program.
pub fn video_config_body(video: &VideoHeader) -> Bytes {
    avc_config_body(&video.sps, &video.pps)
}

/// AVC sequence header: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1).
pub fn avc_config_body(sps: &[u8], pps: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(&[KEY_FRAME | AVC, 0, 0, 0, 0]);
    out.put_u8(1);
    // Profile, compatibility and level are the SPS's bytes 1 to 3.
    out.extend((1..4).map(|at| sps.get(at).copied().unwrap_or_default()));
    out.put_slice(&[0xff, 0xe1]);
    out.put_u16(sps.len() as u16);
    out.put_slice(sps);
    out.put_u8(1);
    out.put_u16(pps.len() as u16);
    out.put_slice(pps);
    out.freeze()
}

/// AAC sequence header: AudioSpecificConfig.
pub fn audio_config_body(header: &ProgramHeader) -> Bytes {
    aac_config_body(&header.audio.config)
}

/// AAC sequence header of an AudioSpecificConfig.
pub fn aac_config_body(config: &[u8]) -> Bytes {
    [&[AAC, 0], config].concat().into()
}

/// A frame as tag body and RTMP message.
pub fn frame_body(frame: &Frame) -> Bytes {
    [body_head(frame.track, frame.is_key), frame.data.as_ref()]
        .concat()
        .into()
}

/// A frame's tag body up to its data.
pub fn body_head(track: Track, is_key: bool) -> &'static [u8] {
    match (track, is_key) {
        (Track::Video, true) => &[KEY_FRAME | AVC, 1, 0, 0, 0],
        (Track::Video, false) => &[INTER_FRAME | AVC, 1, 0, 0, 0],
        (Track::Audio, _) => &[AAC, 1],
    }
}

/// A whole tag.
pub fn tag(kind: TagKind, timestamp_ms: u32, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + TAG_BYTES);
    put_tag(&mut out, kind, timestamp_ms, body);
    out.freeze()
}

fn put_tag(out: &mut BytesMut, kind: TagKind, timestamp_ms: u32, body: &[u8]) {
    put_tag_header(out, kind, timestamp_ms, body.len());
    out.put_slice(body);
    put_tag_size(out, body.len());
}

fn put_tag_header(out: &mut BytesMut, kind: TagKind, timestamp_ms: u32, body_bytes: usize) {
    out.put_u8(kind as u8);
    out.put_uint(body_bytes as u64, 3);
    // The upper 8 bits come after the lower 24 (E.4.1).
    out.put_uint(u64::from(timestamp_ms & 0x00ff_ffff), 3);
    out.put_u8((timestamp_ms >> 24) as u8);
    out.put_uint(0, 3);
}

fn put_tag_size(out: &mut BytesMut, body_bytes: usize) {
    out.put_u32(body_bytes as u32 + 11);
}

fn put_name(out: &mut BytesMut, name: &str) {
    out.put_u16(name.len() as u16);
    out.put_slice(name.as_bytes());
}

/// The value of a keyframe in one column of the keyframe index.
type Column = fn(&Keyframe) -> f64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_its_extended_time_and_its_size_behind_it() {
        let mut out = BytesMut::new();
        put_tag(&mut out, TagKind::Audio, 0x0102_0304, &[0xaf, 1, 9]);
        assert_eq!(out.as_ref(), [8, 0, 0, 3, 2, 3, 4, 1, 0, 0, 0, 0xaf, 1, 9, 0, 0, 0, 14]);
    }
}
