//! The tags of FLV, which every source yields, whatever its own container is.

use bytes::{BufMut, Bytes, BytesMut};

/// A tag's track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Audio,
    Video,
}

/// The media of a source in the order of decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Tag(Tag),
    /// The timestamps begin anew.
    Restart {
        /// An MP4 file: its edit list tells that the first frame is shown at once.
        has_edit: bool,
    },
}

/// The body of an FLV tag, as [`crate::ingest`] reads it from RTMP publishers, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub kind: Kind,
    /// Decoding time. It wraps around.
    pub timestamp_ms: u32,
    pub body: Bytes,
}

impl Tag {
    pub fn avc_config(timestamp_ms: u32, record: &[u8]) -> Self {
        Self {
            kind: Kind::Video,
            timestamp_ms,
            body: [&[0x17, 0, 0, 0, 0], record].concat().into(),
        }
    }

    /// `data`: NAL units with their lengths.
    pub fn avc_frame(timestamp_ms: u32, composition_ms: i32, is_key: bool, data: &[u8]) -> Self {
        let mut body = BytesMut::with_capacity(data.len() + 5);
        body.put_slice(&[if is_key { 0x17 } else { 0x27 }, 1]);
        let composition = composition_ms.clamp(-(1 << 23), (1 << 23) - 1);
        body.put_slice(&composition.to_be_bytes()[1..]);
        body.put_slice(data);
        Self {
            kind: Kind::Video,
            timestamp_ms,
            body: body.freeze(),
        }
    }

    /// `config`: AudioSpecificConfig.
    pub fn aac_config(timestamp_ms: u32, config: &[u8]) -> Self {
        Self {
            kind: Kind::Audio,
            timestamp_ms,
            body: [&[0xaf, 0], config].concat().into(),
        }
    }

    pub fn aac_frame(timestamp_ms: u32, frame: &[u8]) -> Self {
        Self {
            kind: Kind::Audio,
            timestamp_ms,
            body: [&[0xaf, 1], frame].concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rotunda_media::mux::flv_read::{VideoBody, video_body};

    use super::*;

    #[test]
    fn a_composition_time_is_read_as_it_was_written() {
        for composition in [0, 66, -2, 5000] {
            let tag = Tag::avc_frame(40, composition, true, b"xy");
            let expected = VideoBody::Frame {
                is_key: true,
                composition_ms: composition,
                data: b"xy",
            };
            assert_eq!(video_body(&tag.body), Ok(expected));
        }
    }
}
