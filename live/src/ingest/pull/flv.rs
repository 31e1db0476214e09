//! Takes an FLV file or stream apart. Sans-IO. Source: Adobe Flash Video File Format 10.1, §E.2 to §E.4.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::tag::{Kind, Tag};

/// Longest body, bytes: a keyframe of 4K has less.
const MOST_BYTES: usize = 8 << 20;
/// Header of a tag.
const TAG_HEADER: usize = 11;
/// Length of the tag before.
const TRAILER: usize = 4;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FlvError {
    #[error("the source is not FLV: it does not begin with \"FLV\"")]
    Signature,
    #[error("a tag of {0} bytes")]
    Long(usize),
    #[error("an encrypted tag")]
    Encrypted,
    #[error("the source ends before its FLV header does")]
    Short,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct FlvSplitter {
    waiting: BytesMut,
    /// Bytes that are to be left out.
    skip: usize,
    has_header: bool,
}

impl FlvSplitter {
    /// Takes the next bytes, split at any point.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next audio or video tag; None: it needs more bytes.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        loop {
            let skipped = self.skip.min(self.waiting.len());
            self.waiting.advance(skipped);
            self.skip -= skipped;
            if self.skip > 0 {
                return Ok(None);
            }
            if !self.has_header {
                let Some(header) = self.waiting.first_chunk::<9>() else {
                    return Ok(None);
                };
                let [b'F', b'L', b'V', _version, _flags, size @ ..] = header else {
                    return Err(FlvError::Signature);
                };
                let size = u32::from_be_bytes(*size) as usize;
                if !(9..=1024).contains(&size) {
                    return Err(FlvError::Signature);
                }
                self.skip = size + TRAILER;
                self.has_header = true;
                continue;
            }
            let Some([kind, a, b, c, t2, t1, t0, t3, ..]) = self.waiting.first_chunk::<TAG_HEADER>() else {
                return Ok(None);
            };
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if length > MOST_BYTES {
                return Err(FlvError::Long(length));
            }
            // The upper 8 bits come after the lower 24 (E.4.1).
            let timestamp_ms = u32::from_be_bytes([*t3, *t2, *t1, *t0]);
            let is_encrypted = kind & 0x20 != 0;
            let kind = match kind & 0x1f {
                AUDIO => Kind::Audio,
                VIDEO => Kind::Video,
                _ => {
                    self.skip = TAG_HEADER + length + TRAILER;
                    continue;
                }
            };
            if is_encrypted {
                return Err(FlvError::Encrypted);
            }
            if self.waiting.len() < TAG_HEADER + length {
                return Ok(None);
            }
            self.waiting.advance(TAG_HEADER);
            let body: Bytes = self.waiting.split_to(length).freeze();
            self.skip = TRAILER;
            return Ok(Some(Tag {
                kind,
                timestamp_ms,
                body,
            }));
        }
    }

    /// To be called when no more bytes come. A last tag that was cut off is left out.
    pub fn end(&self) -> Result<(), FlvError> {
        if self.has_header { Ok(()) } else { Err(FlvError::Short) }
    }
}

#[cfg(test)]
mod tests {
    use rotunda_media::mux::flv::{self, TagKind};

    use super::*;

    fn all(splitter: &mut FlvSplitter) -> Vec<Tag> {
        std::iter::from_fn(|| splitter.next_tag().unwrap()).collect()
    }

    #[test]
    fn tags_come_out_however_the_bytes_are_split() {
        let mut stream = flv::header(true, true).to_vec();
        stream.extend(flv::tag(TagKind::Script, 0, b"metadata"));
        stream.extend(flv::tag(TagKind::Video, 0x0102_0304, &[7; 3000]));
        stream.extend(flv::tag(TagKind::Audio, 40, b"xy"));
        let mut whole = FlvSplitter::default();
        whole.push(&stream);
        let tags = all(&mut whole);
        let kinds: Vec<_> = tags
            .iter()
            .map(|tag| (tag.kind, tag.timestamp_ms, tag.body.len()))
            .collect();
        assert_eq!(kinds, [(Kind::Video, 0x0102_0304, 3000), (Kind::Audio, 40, 2)]);
        let mut split = FlvSplitter::default();
        let mut found = Vec::new();
        for chunk in stream.chunks(7) {
            split.push(chunk);
            found.extend(all(&mut split));
        }
        assert_eq!(found, tags);
    }

    #[test]
    fn what_is_no_flv_is_refused() {
        let refused = |bytes: &[u8]| {
            let mut splitter = FlvSplitter::default();
            splitter.push(bytes);
            splitter.next_tag().unwrap_err()
        };
        assert_eq!(refused(b"<html><body>"), FlvError::Signature);
        let mut short = FlvSplitter::default();
        short.push(b"<html>");
        assert_eq!((short.next_tag(), short.end()), (Ok(None), Err(FlvError::Short)));
        assert_eq!(FlvSplitter::default().end(), Err(FlvError::Short));
        let long = [
            &flv::header(true, true)[..],
            &[9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(refused(&long), FlvError::Long(0xff_ffff));
    }
}
