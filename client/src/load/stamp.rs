//! The stamp of a synthetic packet: its send time, its publisher and its number.

use std::time::Duration;

/// Marks the stamp; a payload without it was not made by this tool.
const MAGIC: [u8; 4] = *b"RtLd";
/// Magic, send time (8), stream (4), sequence (4); big-endian.
pub const STAMP_BYTES: usize = 20;

/// The stamp that every payload carries, after the codec's own header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When the packet was given to the session, since the run's epoch.
    pub sent: Duration,
    /// The publisher's number.
    pub publisher: u32,
    /// Counts the packets of the publisher's stream of this kind, from 0.
    pub sequence: u32,
}

impl Stamp {
    pub fn write(self, out: &mut Vec<u8>) {
        let nanos = u64::try_from(self.sent.as_nanos()).unwrap_or(u64::MAX);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&nanos.to_be_bytes());
        out.extend_from_slice(&self.publisher.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..STAMP_BYTES)?.strip_prefix(&MAGIC)?;
        let (nanos, rest) = bytes.split_first_chunk()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        Some(Self {
            sent: Duration::from_nanos(u64::from_be_bytes(*nanos)),
            publisher: u32::from_be_bytes(*publisher),
            sequence: u32::from_be_bytes(*sequence),
        })
    }

    /// The stamp of an Opus payload that [`opus_payload`] made.
    pub fn of_opus(payload: &[u8]) -> Option<Self> {
        Self::read(payload.get(OPUS_HEADER_BYTES..)?)
    }

    /// The stamp of a VP8 payload that [`Vp8Packet::payload`] made, whatever picture id the server wrote.
    pub fn of_vp8(payload: &[u8]) -> Option<Self> {
        let frame = payload.get(vp8_descriptor_bytes(payload)?..)?;
        let starts_partition = payload.first()? & (START | PARTITION) == START;
        let header = match (starts_partition, frame.first()? & INTER) {
            (false, _) => 0,
            (true, 0) => KEY_FRAME_HEADER_BYTES,
            (true, _) => FRAME_TAG_BYTES,
        };
        Self::read(frame.get(header..)?)
    }
}

/// One packet of a synthetic VP8 frame. Source: RFC 7741 §4.2, RFC 6386 §9.1.
#[derive(Debug, Clone, Copy)]
pub struct Vp8Packet {
    pub keyframe: bool,
    pub first: bool,
    /// PictureID, 15 bits.
    pub picture_id: u16,
    pub tl0: u8,
    pub stamp: Stamp,
}

impl Vp8Packet {
    /// `bytes` long, padded with zeros after the stamp; never shorter than [`MIN_VIDEO_BYTES`].
    pub fn payload(self, bytes: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes);
        let start = if self.first { START } else { 0 };
        // A TL0PICIDX needs a TID, here always 0: one temporal layer (RFC 7741 §4.2).
        out.extend_from_slice(&[EXTENDED | start, PICTURE_ID | TL0 | TID]);
        out.extend_from_slice(&(LONG_PICTURE_ID | self.picture_id & MAX_PICTURE_ID).to_be_bytes());
        out.extend_from_slice(&[self.tl0, 0]);
        if self.first {
            let kind = if self.keyframe { 0 } else { INTER };
            // Frame tag: kind, version 0, shown, 19 bits for the first partition's size (any).
            out.extend_from_slice(&[kind | 0x10, 0x10, 0x00]);
        }
        if self.first && self.keyframe {
            out.extend_from_slice(&[0x9d, 0x01, 0x2a]);
            out.extend_from_slice(&WIDTH.to_le_bytes());
            out.extend_from_slice(&HEIGHT.to_le_bytes());
        }
        self.stamp.write(&mut out);
        out.resize(bytes.max(out.len()), 0);
        out
    }
}

/// A synthetic Opus packet, `bytes` long; never shorter than [`MIN_AUDIO_BYTES`].
pub fn opus_payload(stamp: Stamp, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes);
    out.push(OPUS_TOC);
    stamp.write(&mut out);
    out.resize(bytes.max(out.len()), 0);
    out
}

/// Bytes of a VP8 payload descriptor. Source: RFC 7741 §4.2.
fn vp8_descriptor_bytes(payload: &[u8]) -> Option<usize> {
    if payload.first()? & EXTENDED == 0 {
        return Some(1);
    }
    let flags = *payload.get(1)?;
    let picture_id = match (flags & PICTURE_ID, payload.get(2)) {
        (0, _) => 0,
        (_, Some(first)) if first & 0x80 != 0 => 2,
        _ => 1,
    };
    let tl0 = usize::from(flags & TL0 != 0);
    let tid = usize::from(flags & (TID | KEY_INDEX) != 0);
    Some(2 + picture_id + tl0 + tid)
}

const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;
const PICTURE_ID: u8 = 0x80;
const TL0: u8 = 0x40;
const TID: u8 = 0x20;
const KEY_INDEX: u8 = 0x10;
const LONG_PICTURE_ID: u16 = 0x8000;
const MAX_PICTURE_ID: u16 = 0x7fff;
const INTER: u8 = 1;
const FRAME_TAG_BYTES: usize = 3;
const KEY_FRAME_HEADER_BYTES: usize = 10;
const WIDTH: u16 = 640;
const HEIGHT: u16 = 360;
/// CELT, full band, 20 ms, mono, one frame (RFC 6716 §3.1).
const OPUS_TOC: u8 = 0xf8;
const OPUS_HEADER_BYTES: usize = 1;
/// Descriptor, keyframe header, stamp.
pub const MIN_VIDEO_BYTES: usize = 6 + KEY_FRAME_HEADER_BYTES + STAMP_BYTES;
pub const MIN_AUDIO_BYTES: usize = OPUS_HEADER_BYTES + STAMP_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        sent: Duration::from_nanos(12_345_678_901),
        publisher: 3,
        sequence: 70_000,
    };

    fn packet(keyframe: bool, first: bool) -> Vp8Packet {
        Vp8Packet {
            keyframe,
            first,
            picture_id: 0x7ffe,
            tl0: 200,
            stamp: STAMP,
        }
    }

    #[test]
    fn every_kind_of_payload_gives_its_stamp_back() {
        for (keyframe, first) in [(true, true), (true, false), (false, true), (false, false)] {
            let payload = packet(keyframe, first).payload(1100);
            assert_eq!(payload.len(), 1100);
            assert_eq!(Stamp::of_vp8(&payload), Some(STAMP), "{keyframe} {first}");
        }
        assert_eq!(Stamp::of_opus(&opus_payload(STAMP, 80)), Some(STAMP));
    }

    #[test]
    fn the_shortest_payloads_still_hold_the_stamp() {
        assert_eq!(packet(true, true).payload(0).len(), MIN_VIDEO_BYTES);
        assert_eq!(opus_payload(STAMP, 0).len(), MIN_AUDIO_BYTES);
    }

    #[test]
    fn decoders_see_keyframes_where_they_start_and_nowhere_else() {
        let starts = |payload: &[u8]| {
            let descriptor = str0m::rtp::Vp8Descriptor::parse(payload).unwrap();
            descriptor.starts_keyframe(payload)
        };
        assert!(starts(&packet(true, true).payload(1100)));
        assert!(!starts(&packet(true, false).payload(1100)));
        assert!(!starts(&packet(false, true).payload(1100)));
    }

    #[test]
    fn payloads_of_others_have_no_stamp() {
        assert_eq!(Stamp::of_opus(&[0xf8; 60]), None);
        assert_eq!(Stamp::of_vp8(&[]), None);
        assert_eq!(Stamp::of_vp8(&[0x80]), None);
        let payload = packet(true, true).payload(1100);
        assert_eq!(Stamp::of_vp8(&payload[..MIN_VIDEO_BYTES - 1]), None);
    }
}
