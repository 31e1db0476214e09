//! How packets of one source are numbered in a slot, from a switch on.

use crate::packet::{Packet, StreamId};
use crate::selector::Placed;
use crate::wire::layers::Point;

/// The payload types under which a viewer takes a source's codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadTypes {
    pub media: u8,
    pub resend: Option<u8>,
    /// Redundant audio around it (RFC 2198).
    pub red: Option<u8>,
    /// Whether the viewer is given the dependency descriptor.
    pub dependency: bool,
}

/// How packets of a source are numbered from a switch on.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    pub stream: StreamId,
    pub types: PayloadTypes,
    /// Payload type at the publisher: another one is another codec.
    pub source_type: u8,
    /// Source and slot values of the first packet.
    pub first_seq: [u64; 2],
    pub first_time: [u32; 2],
    pub first_picture: [u16; 2],
    pub first_tl0: [u8; 2],
    pub first_frame: [u16; 2],
    /// Time goes faster by a power of two.
    pub hurry: u32,
}

/// A packet as one viewer gets it, before it is put on the wire.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// Extended sequence number in the slot.
    pub seq: u64,
    pub time: u32,
    pub picture: u16,
    pub tl0: u8,
    pub types: PayloadTypes,
    pub marker: bool,
    /// Frame number of the dependency descriptor.
    pub frame: u16,
    /// Up to which layers the stream is shown from this packet on, where the viewer has to be told.
    pub point: Option<Point>,
}

/// A packet that was sent before.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub stream: StreamId,
    pub seq: u64,
    pub segment: Segment,
}

impl Rewritten {
    /// Lowers the numbers by what of the stream is left out.
    pub fn place(&mut self, placed: Placed) {
        self.seq = self.seq.saturating_sub(placed.seqs);
        self.picture = self.picture.wrapping_sub(placed.pictures) & 0x7fff;
        self.marker = placed.marker;
        self.point = placed.turned_to;
    }
}

impl Segment {
    /// From the slot's sequence numbers to the source's.
    pub fn offset(&self) -> u64 {
        self.first_seq[0].wrapping_sub(self.first_seq[1])
    }

    pub fn time(&self, source: u32) -> u32 {
        // Earlier than the first: a late frame of the past.
        let since = source.wrapping_sub(self.first_time[0]) as i32 >> self.hurry;
        self.first_time[1].wrapping_add(since as u32)
    }

    pub fn rewrite(&self, packet: &Packet) -> Option<Rewritten> {
        let seq = packet.seq.checked_sub(self.first_seq[0])? + self.first_seq[1];
        let shift = |value: u16| {
            value
                .wrapping_sub(self.first_picture[0])
                .wrapping_add(self.first_picture[1])
        };
        let descriptor = &packet.descriptor;
        Some(Rewritten {
            seq,
            time: self.time(packet.time),
            picture: descriptor.picture_id.map_or(0, |id| shift(id.value) & 0x7fff),
            tl0: descriptor.tl0.map_or(0, |tl0| {
                tl0.value
                    .wrapping_sub(self.first_tl0[0])
                    .wrapping_add(self.first_tl0[1])
            }),
            types: self.types,
            marker: packet.marker,
            frame: packet.dependency.as_ref().map_or(0, |dependency| {
                let since = dependency.frame.wrapping_sub(self.first_frame[0]);
                since.wrapping_add(self.first_frame[1])
            }),
            point: None,
        })
    }
}
