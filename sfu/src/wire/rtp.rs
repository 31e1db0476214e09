//! RTP headers as forwarding writes them (RFC 3550 §5.1, RFC 8285).

use std::time::Duration;

use str0m::media::Mid;
use str0m::rtp::{Extension, ExtensionMap, Ssrc};

use super::dependency::{self, Dependency, DependencyExtension};

/// Version 2.
const VERSION: u8 = 0x80;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;
/// Highest id of the one-byte form (RFC 8285 §4.2).
const ONE_BYTE_IDS: u8 = 14;
const ONE_BYTE_LENGTH: usize = 16;
const TWO_BYTE_LENGTH: usize = 255;
/// The first bytes of a block of the one-byte form, and of the two-byte form (RFC 8285 §4.3).
const ONE_BYTE_FORM: [u8; 2] = [0xbe, 0xde];
const TWO_BYTE_FORM: [u8; 2] = [0x10, 0x00];

/// Ids of the header extensions that forwarding writes; None: not negotiated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    pub mid: Option<u8>,
    pub transport_sequence: Option<u8>,
    pub absolute_send_time: Option<u8>,
    pub audio_level: Option<u8>,
    pub orientation: Option<u8>,
    pub dependency: Option<u8>,
}

impl ExtensionIds {
    pub fn of(map: &ExtensionMap) -> Self {
        // Higher ids need the two-byte form, which no client offers for these.
        let id = |extension| map.id_of(extension).filter(|id| *id <= ONE_BYTE_IDS);
        Self {
            mid: id(Extension::RtpMid),
            transport_sequence: id(Extension::TransportSequenceNumber),
            absolute_send_time: id(Extension::AbsoluteSendTime),
            audio_level: id(Extension::AudioLevel),
            orientation: id(Extension::VideoOrientation),
            dependency: id(dependency_extension()),
        }
    }
}

/// The dependency descriptor, for `str0m`.
pub fn dependency_extension() -> Extension {
    Extension::with_serializer(dependency::URI, DependencyExtension)
}

/// A packet's dependency descriptor as a viewer gets it.
#[derive(Debug, Clone, Copy)]
pub struct DependencyField<'a> {
    pub dependency: &'a Dependency,
    pub frame: u16,
    /// None: as in the packet.
    pub active: Option<u32>,
}

/// One packet's header.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: Ssrc,
    pub mid: &'a Mid,
    pub transport_sequence: u16,
    /// Time of sending on any clock; 24 bits of it are written (abs-send-time).
    pub sent: Duration,
    /// As on the wire: voice flag and level (RFC 6464 §3).
    pub audio_level: Option<u8>,
    /// As on the wire (3GPP TS 26.114 §7.4.5).
    pub orientation: Option<u8>,
    pub dependency: Option<DependencyField<'a>>,
}

impl Header<'_> {
    /// Bytes that [`write`](Self::write) appends.
    pub fn length(&self, ids: &ExtensionIds) -> usize {
        let mut bytes = 0;
        let mut add = |is: bool, length: usize| {
            if is {
                bytes += 1 + length;
            }
        };
        add(ids.transport_sequence.is_some(), 2);
        add(ids.transport_sequence.is_none() && ids.absolute_send_time.is_some(), 3);
        add(ids.audio_level.is_some() && self.audio_level.is_some(), 1);
        add(ids.orientation.is_some() && self.orientation.is_some(), 1);
        add(ids.mid.is_some(), self.mid.len());
        if let Some((_, _, length)) = self.dependency(ids) {
            bytes += 1 + length;
            if length > ONE_BYTE_LENGTH {
                bytes += self.elements(ids);
            }
        }
        if bytes == 0 { 12 } else { 16 + bytes.next_multiple_of(4) }
    }

    /// The dependency descriptor's id, itself, and its length.
    fn dependency(&self, ids: &ExtensionIds) -> Option<(u8, &DependencyField<'_>, usize)> {
        let (id, field) = ids.dependency.zip(self.dependency.as_ref())?;
        let length = field.dependency.length(field.active);
        (length <= TWO_BYTE_LENGTH).then_some((id, field, length))
    }

    /// How many extensions the header has; one of them is a long dependency descriptor, so that each takes a byte more.
    fn elements(&self, ids: &ExtensionIds) -> usize {
        let has = [
            ids.transport_sequence.or(ids.absolute_send_time).is_some(),
            ids.audio_level.is_some() && self.audio_level.is_some(),
            ids.orientation.is_some() && self.orientation.is_some(),
            ids.mid.is_some(),
            true,
        ];
        has.iter().filter(|has| **has).count()
    }

    /// Appends the header. `padding`: the packet ends with padding (RFC 3550 §5.1, P).
    pub fn write(&self, ids: &ExtensionIds, padding: bool, out: &mut Vec<u8>) {
        let start = out.len();
        let flags = VERSION | if padding { PADDING } else { 0 };
        let marker = if self.marker { MARKER } else { 0 };
        out.extend_from_slice(&[flags, self.payload_type | marker]);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        let block = out.len();
        let dependency = self.dependency(ids);
        let is_long = dependency.is_some_and(|(_, _, length)| length > ONE_BYTE_LENGTH);
        out.extend_from_slice(if is_long { &TWO_BYTE_FORM } else { &ONE_BYTE_FORM });
        out.extend_from_slice(&[0, 0]);
        let begin = |out: &mut Vec<u8>, id: u8, length: usize| {
            if is_long {
                out.extend_from_slice(&[id, length as u8]);
            } else {
                // Length less one (RFC 8285 §4.2).
                out.push(id << 4 | (length as u8).wrapping_sub(1) & 0xf);
            }
        };
        if let Some(id) = ids.transport_sequence {
            begin(out, id, 2);
            out.extend_from_slice(&self.transport_sequence.to_be_bytes());
        } else if let Some(id) = ids.absolute_send_time {
            // Seconds in 6.18 fixed point.
            let time = (self.sent.as_micros() << 18) / 1_000_000;
            begin(out, id, 3);
            out.extend_from_slice(&(time as u32).to_be_bytes()[1..]);
        }
        if let (Some(id), Some(level)) = (ids.audio_level, self.audio_level) {
            begin(out, id, 1);
            out.push(level);
        }
        if let (Some(id), Some(orientation)) = (ids.orientation, self.orientation) {
            begin(out, id, 1);
            out.push(orientation);
        }
        if let Some(id) = ids.mid {
            let mid = self.mid.as_bytes();
            begin(out, id, mid.len());
            out.extend_from_slice(mid);
        }
        if let Some((id, field, length)) = dependency {
            begin(out, id, length);
            field.dependency.write(field.frame, field.active, out);
        }
        let bytes = out.len() - block - 4;
        if bytes == 0 {
            out.truncate(block);
            return;
        }
        let words = bytes.div_ceil(4);
        out.resize(block + 4 + 4 * words, 0);
        out[block + 2..block + 4].copy_from_slice(&(words as u16).to_be_bytes());
        out[start] |= EXTENSION;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wire::dependency::tests::{dependency as dependency_of, l2t2_key};

    fn header(mid: &Mid) -> Header<'_> {
        Header {
            payload_type: 96,
            marker: true,
            sequence: 0x1234,
            timestamp: 0x0102_0304,
            ssrc: 0x0a0b_0c0d.into(),
            mid,
            transport_sequence: 0x5678,
            sent: Duration::from_millis(1500),
            audio_level: Some(0x8c),
            orientation: None,
            dependency: None,
        }
    }

    #[test]
    fn a_header_is_as_long_as_it_says_and_has_its_extensions_in_the_one_byte_form() {
        let mid = Mid::from("12");
        let ids = ExtensionIds {
            mid: Some(9),
            transport_sequence: Some(3),
            absolute_send_time: Some(2),
            audio_level: Some(1),
            orientation: Some(13),
            dependency: Some(12),
        };
        let mut out = Vec::new();
        header(&mid).write(&ids, false, &mut out);
        assert_eq!(out.len(), header(&mid).length(&ids));
        let expected = [
            0x90, 0xe0, 0x12, 0x34, 1, 2, 3, 4, 0xa, 0xb, 0xc, 0xd, 0xbe, 0xde, 0, 2, 0x31, 0x56, 0x78, 0x10, 0x8c,
            0x91, b'1', b'2',
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn the_send_time_is_for_those_without_transport_sequence_numbers() {
        let mid = Mid::from("0");
        let ids = ExtensionIds {
            absolute_send_time: Some(2),
            ..ExtensionIds::default()
        };
        let mut out = Vec::new();
        header(&mid).write(&ids, true, &mut out);
        assert_eq!(out.len(), header(&mid).length(&ids));
        // 1.5 s in 6.18 fixed point.
        assert_eq!(out[12..], [0xbe, 0xde, 0, 1, 0x22, 0x06, 0, 0]);
        assert_eq!(out[0], 0xb0);
    }

    #[test]
    fn a_dependency_descriptor_that_is_long_has_all_extensions_in_the_two_byte_form() {
        let structure = Arc::new(l2t2_key());
        let mid = Mid::from("12");
        let ids = ExtensionIds {
            mid: Some(9),
            transport_sequence: Some(3),
            dependency: Some(12),
            ..ExtensionIds::default()
        };
        let with = |dependency: &Dependency, form: [u8; 2], prefix: &[u8]| {
            let header = Header {
                audio_level: None,
                dependency: Some(DependencyField {
                    dependency,
                    frame: 500,
                    active: None,
                }),
                ..header(&mid)
            };
            let mut out = Vec::new();
            header.write(&ids, false, &mut out);
            assert_eq!(out.len(), header.length(&ids));
            assert_eq!(out[12..14], form);
            let expected = Dependency {
                frame: 500,
                ..dependency.clone()
            };
            let mut bytes = prefix.to_vec();
            expected.write(500, None, &mut bytes);
            assert!(out[16..].windows(bytes.len()).any(|window| window == bytes));
        };
        with(&dependency_of(&structure, 4, 9, false), ONE_BYTE_FORM, &[0xc2]);
        let key = dependency_of(&structure, 0, 9, true);
        with(&key, TWO_BYTE_FORM, &[12, key.length(None) as u8]);
    }

    #[test]
    fn without_extensions_there_is_no_block() {
        let mid = Mid::from("0");
        let mut out = Vec::new();
        header(&mid).write(&ExtensionIds::default(), false, &mut out);
        assert_eq!((out.len(), out[0]), (12, 0x80));
    }
}
