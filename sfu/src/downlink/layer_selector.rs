//! Selects which layers inside one stream a slot shows: more where the stream allows a switch, fewer from the next picture on.
//!
//! A picture is all layer frames with one RTP timestamp, as in RFC 9628.

use super::sequence_remap::SequenceRemap;
use crate::ingress::packet::Packet;
use crate::units::SeqNo;
use crate::wire::descriptor::{Descriptor, PictureId};
use crate::wire::layers::{LayerFrame, OperatingPoint};

/// Changes of the operating point that are remembered, for packets that come late or are asked for again.
const CHANGES: usize = 8;
/// If more packets than this are missing at once, it is not guessed which layers they were of.
const MOST_MISSING: u64 = 64;

/// From a packet on, layers up to this point are shown.
#[derive(Debug, Clone, Copy)]
struct PointChange {
    since: SeqNo,
    point: OperatingPoint,
}

/// Shows the layers of one stream up to an operating point, from a keyframe on.
#[derive(Debug)]
pub struct LayerSelector {
    target: OperatingPoint,
    /// The newest is last.
    changes: [PointChange; CHANGES],
    seqs: SequenceRemap,
    /// VP8's picture ids, unwrapped.
    pictures: Option<SequenceRemap>,
    /// RTP time of the newest frame.
    picture: Option<u32>,
    newest: Option<Seen>,
}

/// The newest packet: it tells of which layers the packets are that are missing after it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    time: u32,
    /// Of the picture, or of its frame.
    number: Option<u16>,
    /// Packets after it in its picture are not shown.
    is_above: bool,
}

/// How a packet that is shown differs from the publisher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renumbered {
    /// The sequence number and the picture id are lowered by so much.
    pub seqs: u64,
    pub pictures: u16,
    /// It ends the picture: layers above are not shown.
    pub marker: bool,
    /// Up to which layers the stream is shown from this packet on, if that has changed or the packet describes it.
    pub changed_to: Option<OperatingPoint>,
}

impl LayerSelector {
    /// `current`: shown until `target` can be. `next`: sequence number of the first packet that it is asked about.
    /// `picture`: RTP time of the packet before, if there is one.
    pub fn new(current: OperatingPoint, target: OperatingPoint, next: SeqNo, picture: Option<u32>) -> Self {
        let change = PointChange {
            since: SeqNo::default(),
            point: current,
        };
        Self {
            target,
            changes: [change; CHANGES],
            seqs: SequenceRemap::new(next.get()),
            pictures: None,
            picture,
            newest: None,
        }
    }

    pub fn target(&self) -> OperatingPoint {
        self.target
    }

    /// Shows layers up to this point as soon as the stream allows it.
    pub fn set_target(&mut self, target: OperatingPoint) {
        self.target = target;
    }

    /// Up to which layers it shows now.
    pub fn current(&self) -> OperatingPoint {
        self.changes[CHANGES - 1].point
    }

    /// Larger frames are wanted than are shown: they begin with a keyframe.
    pub fn waits(&self) -> bool {
        self.target.spatial > self.current().spatial
    }

    /// None: the packet is not shown.
    pub fn take(&mut self, packet: &Packet) -> Option<Renumbered> {
        let layer = layer_of(packet);
        let picture = counted(&packet.descriptor).map(|id| self.unwrap(id));
        let seq = packet.seq.get();
        if seq >= self.seqs.next() {
            self.change_point(packet, &layer);
            let is_shown = layer.point.is_within(self.current());
            if seq - self.seqs.next() <= MOST_MISSING && self.is_missing_above(packet, &layer, is_shown) {
                (self.seqs.next()..seq).for_each(|missing| self.seqs.drop_number(missing));
            }
            self.newest = Some(Seen {
                time: packet.time,
                number: number_of(packet),
                is_above: !is_shown || packet.marker || layer.ends && layer.point.spatial == self.current().spatial,
            });
            if is_shown {
                self.seqs.keep(seq);
                if let (Some(pictures), Some(id)) = (&mut self.pictures, picture) {
                    pictures.keep(id);
                }
            } else {
                self.seqs.drop_number(seq);
                if let (Some(pictures), Some(id)) = (&mut self.pictures, picture) {
                    pictures.drop_number(id);
                }
            }
        }
        let is_shown = layer.point.is_within(self.change_before(packet.seq).point);
        is_shown.then(|| self.renumber(packet)).flatten()
    }

    /// How a packet was sent, or would have been sent if it had come in time. None: it is not shown.
    pub fn renumber(&self, packet: &Packet) -> Option<Renumbered> {
        let layer = layer_of(packet);
        let PointChange { since, point } = self.change_before(packet.seq);
        let pictures = match (&self.pictures, counted(&packet.descriptor)) {
            (Some(pictures), Some(id)) => pictures.dropped_below(near(pictures.next(), id))?,
            _ => 0,
        };
        let describes = packet
            .dependency
            .as_ref()
            .is_some_and(|dependency| dependency.carries_structure || dependency.active.is_some());
        Some(Renumbered {
            seqs: self.seqs.dropped_below(packet.seq.get())?,
            pictures: pictures as u16,
            marker: packet.marker || layer.ends && layer.point.spatial == point.spatial,
            changed_to: (since == packet.seq || describes).then_some(point),
        })
    }

    /// The publisher's sequence number of the packet that was lowered to this one.
    pub fn source(&self, lowered: SeqNo) -> Option<SeqNo> {
        self.seqs.source(lowered.get()).map(SeqNo::new)
    }

    fn change_before(&self, seq: SeqNo) -> PointChange {
        let change = self.changes.iter().rev().find(|change| change.since <= seq);
        *change.unwrap_or(&self.changes[0])
    }

    /// Whether the packets between the newest and this one are certainly of layers that are not shown. Their places would stay empty,
    /// and the viewer would take them for lost.
    fn is_missing_above(&self, packet: &Packet, layer: &LayerFrame, is_shown: bool) -> bool {
        let Some(newest) = self.newest.filter(|newest| newest.is_above) else {
            return false;
        };
        // Layers come in their order, the lowest of a picture first.
        let begins_picture = layer.begins && layer.point.spatial == 0;
        let follows = |(before, after): (u16, u16)| (after.wrapping_sub(before) & 0x7fff) == 1;
        let is_next = newest.number.zip(number_of(packet)).is_some_and(follows);
        match newest.time == packet.time {
            true => !is_shown,
            false => is_next && (begins_picture || !layer.point.is_within_rate(self.current())),
        }
    }

    /// Changes which layers are shown, if this packet allows it.
    fn change_point(&mut self, packet: &Packet, layer: &LayerFrame) {
        if self.picture != Some(packet.time) {
            self.picture = Some(packet.time);
            // Fewer layers at once.
            self.show(packet.seq, self.current().and(self.target));
        }
        if packet.descriptor.starts_keyframe {
            return self.show(packet.seq, self.target);
        }
        let current = self.current();
        if !layer.begins || self.target.is_within(current) {
            return;
        }
        let faster = OperatingPoint {
            temporal: self.target.temporal,
            ..current
        };
        if layer.point.is_within(current) {
            let up = [self.target, faster]
                .into_iter()
                .find(|point| layer.switches.contains(*point));
            self.show(packet.seq, up.unwrap_or(current));
        } else if layer.needs_base_alone
            && layer.point.is_within(self.target)
            && layer.point.temporal == current.temporal + 1
        {
            self.show(packet.seq, layer.point);
        }
    }

    fn show(&mut self, since: SeqNo, point: OperatingPoint) {
        if point != self.current() {
            self.changes.rotate_left(1);
            self.changes[CHANGES - 1] = PointChange { since, point };
        }
    }

    fn unwrap(&mut self, id: u16) -> u64 {
        // Far enough from zero for ids before the first.
        const START: u64 = 1 << 16;
        let pictures = self
            .pictures
            .get_or_insert_with(|| SequenceRemap::new(START | u64::from(id)));
        near(pictures.next(), id)
    }
}

/// The number nearest to `to` whose lowest 15 bits are `id`.
fn near(to: u64, id: u16) -> u64 {
    let ahead = u64::from(id.wrapping_sub(to as u16) & 0x7fff);
    if ahead < 0x4000 {
        to + ahead
    } else {
        (to + ahead).saturating_sub(0x8000)
    }
}

/// A packet that names no layer belongs to all of them.
fn layer_of(packet: &Packet) -> LayerFrame {
    packet.descriptor.layer.unwrap_or_default()
}

/// The picture's number, else its frame's.
fn number_of(packet: &Packet) -> Option<u16> {
    let picture = packet.descriptor.picture_id.filter(|id| id.wide).map(|id| id.value);
    picture.or(packet.dependency.as_ref().map(|dependency| dependency.frame))
}

fn counted(descriptor: &Descriptor) -> Option<u16> {
    descriptor
        .picture_id
        .filter(|PictureId { counted, wide, .. }| *counted && *wide)
        .map(|id| id.value)
}

#[cfg(test)]
mod tests;
