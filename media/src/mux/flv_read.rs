//! Reads FLV tag bodies, which are also the media messages of RTMP publishers: H.264 and AAC. Sources: Adobe Flash Video File Format 10.1,
//! §E.4.2, §E.4.3; Enhanced RTMP v2; ISO/IEC 14496-15 §5.3.3.1.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Why a tag body is not read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlvReadError {
    #[error("the video is {0}; send H.264")]
    VideoCodec(String),
    #[error("the audio is {0}; send AAC")]
    AudioCodec(String),
    #[error("malformed {0}")]
    Malformed(&'static str),
}

/// The body of a video tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoBody<'a> {
    /// An AVCDecoderConfigurationRecord.
    Config(&'a [u8]),
    Frame {
        is_key: bool,
        /// Presentation time minus decoding time.
        composition_ms: i32,
        /// NAL units with their lengths.
        data: &'a [u8],
    },
    /// The end of the sequence, or a command: nothing to decode.
    Nothing,
}

/// The body of an audio tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioBody<'a> {
    /// An AudioSpecificConfig.
    Config(&'a [u8]),
    /// Raw AAC.
    Frame(&'a [u8]),
    Nothing,
}

/// Reads the body of a video tag. Errors: [`FlvReadError`].
pub fn video_body(body: &[u8]) -> Result<VideoBody<'_>, FlvReadError> {
    let Some((first, rest)) = body.split_first() else {
        return Ok(VideoBody::Nothing);
    };
    if first & EXTENDED_HEADER != 0 {
        return extended_video(*first, rest);
    }
    let (frame, codec) = (first >> 4, first & 0x0f);
    if frame == COMMAND_FRAME {
        return Ok(VideoBody::Nothing);
    }
    if codec != AVC {
        return Err(FlvReadError::VideoCodec(video_codec(codec)));
    }
    let [kind, a, b, c, data @ ..] = rest else {
        return Err(FlvReadError::Malformed("video tag"));
    };
    match *kind {
        0 => Ok(VideoBody::Config(data)),
        1 => Ok(VideoBody::Frame {
            is_key: frame == KEY_FRAME,
            composition_ms: signed_24(*a, *b, *c),
            data,
        }),
        2 => Ok(VideoBody::Nothing),
        _ => Err(FlvReadError::Malformed("video tag")),
    }
}

/// The header of Enhanced RTMP, with the codec as four characters. H.264 is read from it, too.
fn extended_video(first: u8, rest: &[u8]) -> Result<VideoBody<'_>, FlvReadError> {
    let (frame, kind) = (first >> 4 & 0x07, first & 0x0f);
    if frame == COMMAND_FRAME {
        return Ok(VideoBody::Nothing);
    }
    let Some((four_cc, data)) = rest.split_first_chunk::<4>() else {
        return Err(FlvReadError::Malformed("video tag"));
    };
    if four_cc != b"avc1" {
        return Err(FlvReadError::VideoCodec(name_of(four_cc)));
    }
    let is_key = frame == KEY_FRAME;
    match (kind, data) {
        (0, data) => Ok(VideoBody::Config(data)),
        (1, [a, b, c, data @ ..]) => Ok(VideoBody::Frame {
            is_key,
            composition_ms: signed_24(*a, *b, *c),
            data,
        }),
        (3, data) => Ok(VideoBody::Frame {
            is_key,
            composition_ms: 0,
            data,
        }),
        (2 | 4, _) => Ok(VideoBody::Nothing),
        _ => Err(FlvReadError::Malformed("video tag")),
    }
}

/// Reads the body of an audio tag. Errors: [`FlvReadError`].
pub fn audio_body(body: &[u8]) -> Result<AudioBody<'_>, FlvReadError> {
    let Some((first, rest)) = body.split_first() else {
        return Ok(AudioBody::Nothing);
    };
    match (first >> 4, rest) {
        (AAC, [0, config @ ..]) => Ok(AudioBody::Config(config)),
        (AAC, [1, frame @ ..]) => Ok(AudioBody::Frame(frame)),
        (AAC, _) => Err(FlvReadError::Malformed("audio tag")),
        (EXTENDED_AUDIO, rest) => extended_audio(*first, rest),
        (format, _) => Err(FlvReadError::AudioCodec(audio_codec(format))),
    }
}

fn extended_audio(first: u8, rest: &[u8]) -> Result<AudioBody<'_>, FlvReadError> {
    let Some((four_cc, data)) = rest.split_first_chunk::<4>() else {
        return Err(FlvReadError::Malformed("audio tag"));
    };
    if four_cc != b"mp4a" {
        return Err(FlvReadError::AudioCodec(name_of(four_cc)));
    }
    match first & 0x0f {
        0 => Ok(AudioBody::Config(data)),
        1 => Ok(AudioBody::Frame(data)),
        2 | 4 => Ok(AudioBody::Nothing),
        _ => Err(FlvReadError::Malformed("audio tag")),
    }
}

/// How an H.264 track's frames are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvcConfig {
    /// Bytes of the length before a NAL unit: 1, 2 or 4.
    length_bytes: usize,
    /// All parameter sets, each with a start code.
    parameter_sets: Bytes,
}

impl AvcConfig {
    /// Reads an AVCDecoderConfigurationRecord. Errors: [`FlvReadError::Malformed`].
    pub fn read(record: &[u8]) -> Result<Self, FlvReadError> {
        let malformed = FlvReadError::Malformed("AVCDecoderConfigurationRecord");
        Self::read_record(record).ok_or(malformed)
    }

    fn read_record(record: &[u8]) -> Option<Self> {
        let [1, _profile, _compatibility, _level, length, sets, rest @ ..] = record else {
            return None;
        };
        let length_bytes = match length & 0x03 {
            2 => return None,
            length => usize::from(length) + 1,
        };
        let mut parameter_sets = BytesMut::new();
        let rest = copy_sets(usize::from(sets & 0x1f), rest, &mut parameter_sets)?;
        let (sets, rest) = rest.split_first()?;
        copy_sets(usize::from(*sets), rest, &mut parameter_sets)?;
        (!parameter_sets.is_empty()).then(|| Self {
            length_bytes,
            parameter_sets: parameter_sets.freeze(),
        })
    }

    /// A frame with start codes; a keyframe begins with the parameter sets. Delimiters and filler data are left out.
    ///
    /// Errors: [`FlvReadError::Malformed`] when a length does not fit.
    pub fn annex_b(&self, data: &[u8], is_key: bool) -> Result<Bytes, FlvReadError> {
        let malformed = FlvReadError::Malformed("length of a NAL unit");
        let mut out = BytesMut::with_capacity(data.len() + self.parameter_sets.len() + 64);
        if is_key {
            out.put_slice(&self.parameter_sets);
        }
        let mut rest = data;
        while !rest.is_empty() {
            let Some((length, after)) = rest.split_at_checked(self.length_bytes) else {
                return Err(malformed);
            };
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let Some((unit, after)) = after.split_at_checked(length) else {
                return Err(malformed);
            };
            rest = after;
            let kind = unit.first().map(|first| first & 0x1f);
            if kind.is_some_and(|kind| kind != DELIMITER && kind != FILLER) {
                out.put_slice(&START_CODE);
                out.put_slice(unit);
            }
        }
        Ok(out.freeze())
    }
}

/// Copies so many parameter sets; answers the bytes after them.
fn copy_sets<'a>(count: usize, mut rest: &'a [u8], out: &mut BytesMut) -> Option<&'a [u8]> {
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (set, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        if !set.is_empty() {
            out.put_slice(&START_CODE);
            out.put_slice(set);
        }
        rest = after;
    }
    Some(rest)
}

fn signed_24(a: u8, b: u8, c: u8) -> i32 {
    i32::from_be_bytes([a, b, c, 0]) >> 8
}

fn video_codec(codec: u8) -> String {
    let name = match codec {
        2 => "Sorenson H.263",
        3 => "Screen video",
        4 | 5 => "VP6",
        6 => "Screen video 2",
        12 => "H.265",
        _ => return format!("codec {codec}"),
    };
    name.to_owned()
}

fn audio_codec(format: u8) -> String {
    let name = match format {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 | 8 => "G.711",
        11 => "Speex",
        13 => "Opus",
        _ => return format!("format {format}"),
    };
    name.to_owned()
}

fn name_of(four_cc: &[u8; 4]) -> String {
    let name = match four_cc {
        b"hvc1" => "H.265",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"vvc1" => "H.266",
        b"Opus" => "Opus",
        b"fLaC" => "FLAC",
        b".mp3" => "MP3",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        other => return format!("codec {}", other.escape_ascii()),
    };
    name.to_owned()
}

const AVC: u8 = 7;
const KEY_FRAME: u8 = 1;
/// Video info or command frame (§E.4.3.1).
const COMMAND_FRAME: u8 = 5;
/// Enhanced RTMP: the codec follows as four characters.
const EXTENDED_HEADER: u8 = 0x80;
const AAC: u8 = 10;
const EXTENDED_AUDIO: u8 = 9;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::flv;

    const SPS: [u8; 5] = [0x67, 0x42, 0xc0, 0x1f, 0x01];
    const PPS: [u8; 2] = [0x68, 0xce];

    fn config() -> AvcConfig {
        let tag = flv::avc_config_body(&SPS, &PPS);
        match video_body(&tag) {
            Ok(VideoBody::Config(record)) => AvcConfig::read(record).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_keyframe_begins_with_the_parameter_sets_of_the_sequence_header() {
        // A delimiter, an IDR slice.
        let data = [0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 3, 0x65, 7, 8];
        let frame = [&[0x17, 1, 0, 0, 66][..], &data].concat();
        let read = video_body(&frame).unwrap();
        let expected = VideoBody::Frame {
            is_key: true,
            composition_ms: 66,
            data: &data,
        };
        assert_eq!(read, expected);
        let annex_b = config().annex_b(&data, true).unwrap();
        let expected = [&START_CODE[..], &SPS, &START_CODE, &PPS, &START_CODE, &[0x65, 7, 8]].concat();
        assert_eq!(annex_b, expected);
        let other = config().annex_b(&data, false).unwrap();
        assert_eq!(other, [&START_CODE[..], &[0x65, 7, 8]].concat());
    }

    #[test]
    fn a_composition_time_may_be_negative() {
        let read = video_body(&[0x27, 1, 0xff, 0xff, 0xfe]);
        let is_negative = matches!(
            read,
            Ok(VideoBody::Frame {
                composition_ms: -2,
                is_key: false,
                ..
            })
        );
        assert!(is_negative, "{read:?}");
    }

    #[test]
    fn other_codecs_are_named() {
        let video = |body: &[u8]| video_body(body).unwrap_err().to_string();
        assert_eq!(video(&[0x1c, 0, 0, 0, 0]), "the video is H.265; send H.264");
        assert_eq!(video(b"\x90hvc1"), "the video is H.265; send H.264");
        assert_eq!(video(b"\x90av01"), "the video is AV1; send H.264");
        assert_eq!(video(&[0x12]), "the video is Sorenson H.263; send H.264");
        let audio = |body: &[u8]| audio_body(body).unwrap_err().to_string();
        assert_eq!(audio(&[0x2f, 1]), "the audio is MP3; send AAC");
        assert_eq!(audio(b"\x90Opus"), "the audio is Opus; send AAC");
    }

    #[test]
    fn h264_and_aac_of_enhanced_rtmp_are_read() {
        let key = video_body(b"\x91avc1\0\0\x05xy").unwrap();
        let expected = VideoBody::Frame {
            is_key: true,
            composition_ms: 5,
            data: b"xy",
        };
        assert_eq!(key, expected);
        assert_eq!(
            video_body(b"\xa3avc1xy").unwrap(),
            VideoBody::Frame {
                is_key: false,
                composition_ms: 0,
                data: b"xy"
            }
        );
        assert_eq!(audio_body(b"\x91mp4axy").unwrap(), AudioBody::Frame(b"xy"));
        assert_eq!(
            audio_body(&[0xaf, 0, 0x11, 0x90]).unwrap(),
            AudioBody::Config(&[0x11, 0x90])
        );
    }

    #[test]
    fn lengths_that_do_not_fit_are_malformed() {
        assert!(config().annex_b(&[0, 0, 0, 9, 1], false).is_err());
        assert!(config().annex_b(&[0, 0, 9], false).is_err());
        let record = &flv::avc_config_body(&SPS, &PPS)[5..];
        for length in 0..record.len() {
            assert!(AvcConfig::read(&record[..length]).is_err(), "{length} bytes");
        }
        assert!(video_body(&[0x17, 1]).is_err());
        assert!(audio_body(&[0xaf, 7]).is_err());
        assert_eq!(video_body(&[]), Ok(VideoBody::Nothing));
    }
}
