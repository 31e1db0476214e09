//! RTP headers as forwarding writes them (RFC 3550 §5.1, RFC 8285).

use std::time::Duration;

use str0m::media::Mid;
use str0m::rtp::{Extension, ExtensionMap};

/// Version 2.
const VERSION: u8 = 0x80;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;
/// Highest id of the one-byte form (RFC 8285 §4.2).
const ONE_BYTE_IDS: u8 = 14;

/// Ids of the header extensions that forwarding writes; None: not negotiated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    pub mid: Option<u8>,
    pub transport_sequence: Option<u8>,
    pub absolute_send_time: Option<u8>,
    pub audio_level: Option<u8>,
    pub orientation: Option<u8>,
}

impl ExtensionIds {
    pub fn of(map: &ExtensionMap) -> Self {
        // Ids above need the two-byte form, which nobody offers for these.
        let id = |extension| map.id_of(extension).filter(|id| *id <= ONE_BYTE_IDS);
        Self {
            mid: id(Extension::RtpMid),
            transport_sequence: id(Extension::TransportSequenceNumber),
            absolute_send_time: id(Extension::AbsoluteSendTime),
            audio_level: id(Extension::AudioLevel),
            orientation: id(Extension::VideoOrientation),
        }
    }
}

/// One packet's header.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub mid: &'a Mid,
    pub transport_sequence: u16,
    /// Time of sending on any clock; 24 bits of it are written (abs-send-time).
    pub sent: Duration,
    /// As on the wire: voice flag and level (RFC 6464 §3).
    pub audio_level: Option<u8>,
    /// As on the wire (3GPP TS 26.114 §7.4.5).
    pub orientation: Option<u8>,
}

impl Header<'_> {
    /// Bytes that [`write`](Self::write) appends.
    pub fn length(&self, ids: &ExtensionIds) -> usize {
        let fixed = |id: Option<u8>, size: usize| if id.is_some() { size } else { 0 };
        let mut bytes = fixed(ids.mid, 1 + self.mid.len()) + fixed(ids.transport_sequence, 3);
        if ids.transport_sequence.is_none() {
            bytes += fixed(ids.absolute_send_time, 4);
        }
        if self.audio_level.is_some() {
            bytes += fixed(ids.audio_level, 2);
        }
        if self.orientation.is_some() {
            bytes += fixed(ids.orientation, 2);
        }
        if bytes == 0 { 12 } else { 16 + bytes.next_multiple_of(4) }
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
        out.extend_from_slice(&[0xbe, 0xde, 0, 0]);
        // Id and length less one (RFC 8285 §4.2).
        if let Some(id) = ids.transport_sequence {
            out.push(id << 4 | 1);
            out.extend_from_slice(&self.transport_sequence.to_be_bytes());
        } else if let Some(id) = ids.absolute_send_time {
            // Seconds in 6.18 fixed point.
            let time = (self.sent.as_micros() << 18) / 1_000_000;
            out.push(id << 4 | 2);
            out.extend_from_slice(&(time as u32).to_be_bytes()[1..]);
        }
        if let (Some(id), Some(level)) = (ids.audio_level, self.audio_level) {
            out.extend_from_slice(&[id << 4, level]);
        }
        if let (Some(id), Some(orientation)) = (ids.orientation, self.orientation) {
            out.extend_from_slice(&[id << 4, orientation]);
        }
        if let Some(id) = ids.mid {
            let mid = self.mid.as_bytes();
            out.push(id << 4 | (mid.len() as u8).wrapping_sub(1) & 0xf);
            out.extend_from_slice(mid);
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
    use super::*;

    fn header(mid: &Mid) -> Header<'_> {
        Header {
            payload_type: 96,
            marker: true,
            sequence: 0x1234,
            timestamp: 0x0102_0304,
            ssrc: 0x0a0b_0c0d,
            mid,
            transport_sequence: 0x5678,
            sent: Duration::from_millis(1500),
            audio_level: Some(0x8c),
            orientation: None,
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
    fn without_extensions_there_is_no_block() {
        let mid = Mid::from("0");
        let mut out = Vec::new();
        header(&mid).write(&ExtensionIds::default(), false, &mut out);
        assert_eq!((out.len(), out[0]), (12, 0x80));
    }
}
