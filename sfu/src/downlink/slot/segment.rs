//! How packets of one source are renumbered in a slot, from a switch on.

use crate::downlink::layer_selector::Renumbered;
use crate::ingress::packet::{Packet, StreamId};
use crate::units::SeqNo;
use crate::wire::layers::OperatingPoint;

/// The payload types under which a viewer takes a source's codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadTypes {
    pub media: u8,
    /// Of the RTX stream (RFC 4588).
    pub rtx: Option<u8>,
    /// Redundant audio around it (RFC 2198).
    pub red: Option<u8>,
    /// Whether the viewer is given the dependency descriptor.
    pub dependency: bool,
}

/// The numbers of a source's packets in the slot.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    pub stream: StreamId,
    pub types: PayloadTypes,
    /// Payload type at the publisher: another one is another codec.
    pub source_type: u8,
    /// Source and slot values of the first packet.
    pub first_seq: [SeqNo; 2],
    pub first_time: [u32; 2],
    pub first_picture_id: [u16; 2],
    pub first_tl0: [u8; 2],
    pub first_frame: [u16; 2],
    /// Time goes by faster by this power of two.
    pub speed: u32,
}

/// A packet as one viewer gets it, before it is put on the wire.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// In the slot.
    pub seq: SeqNo,
    pub time: u32,
    pub picture_id: u16,
    pub tl0: u8,
    pub types: PayloadTypes,
    pub marker: bool,
    /// Frame number of the dependency descriptor.
    pub frame: u16,
    /// Up to which layers the stream is shown from this packet on, when the viewer has to be told.
    pub point: Option<OperatingPoint>,
}

/// A packet that was sent before.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub stream: StreamId,
    pub seq: SeqNo,
    pub segment: Segment,
}

impl Rewritten {
    /// Lowers the numbers by those of the layers that are not shown.
    pub fn lower(&mut self, renumbered: Renumbered) {
        self.seq = self.seq.before(renumbered.seqs).unwrap_or_default();
        self.picture_id = self.picture_id.wrapping_sub(renumbered.pictures) & 0x7fff;
        self.marker = renumbered.marker;
        self.point = renumbered.changed_to;
    }
}

impl Segment {
    /// From the slot's sequence numbers to the source's, wrapping.
    pub fn offset(&self) -> u64 {
        self.first_seq[0].get().wrapping_sub(self.first_seq[1].get())
    }

    /// None: the packet is from before the switch.
    pub fn slot_seq(&self, source: SeqNo) -> Option<SeqNo> {
        let since = source.distance_from(self.first_seq[0])?;
        Some(self.first_seq[1].after(since))
    }

    pub fn source_seq(&self, slot: SeqNo) -> SeqNo {
        SeqNo::new(slot.get().wrapping_add(self.offset()))
    }

    pub fn time(&self, source: u32) -> u32 {
        // It may be earlier than the first: a late frame.
        let since = source.wrapping_sub(self.first_time[0]) as i32 >> self.speed;
        self.first_time[1].wrapping_add(since as u32)
    }

    pub fn rewrite(&self, packet: &Packet) -> Option<Rewritten> {
        let seq = self.slot_seq(packet.seq)?;
        let shift = |value: u16| {
            value
                .wrapping_sub(self.first_picture_id[0])
                .wrapping_add(self.first_picture_id[1])
        };
        let descriptor = &packet.descriptor;
        Some(Rewritten {
            seq,
            time: self.time(packet.time),
            picture_id: descriptor.picture_id.map_or(0, |id| shift(id.value) & 0x7fff),
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
