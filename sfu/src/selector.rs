//! Which layers inside one stream a slot shows: up where the stream lets one in, down from the next picture on.

use crate::omissions::Omissions;
use crate::packet::Packet;
use crate::wire::descriptor::{Descriptor, PictureId};
use crate::wire::layers::{LayerFrame, Point};

/// Changes of the operating point that are remembered, for packets that come or are asked for late.
const TURNS: usize = 8;
/// Of more packets that are missing at once it is not asked what they were.
const MOST_MISSING: u64 = 64;

/// From a packet on, this was shown.
#[derive(Debug, Clone, Copy)]
struct Turn {
    since: u64,
    point: Point,
}

/// Shows a stream's layers up to an operating point. All are of one stream, from a key frame on.
#[derive(Debug)]
pub struct Selector {
    pub target: Point,
    /// The newest is the last.
    turns: [Turn; TURNS],
    seqs: Omissions,
    /// VP8's picture ids, unwrapped.
    pictures: Option<Omissions>,
    /// RTP time of the newest picture.
    picture: Option<u32>,
    newest: Option<Seen>,
}

/// The newest packet, by which it is known what packets are that are missing after it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    time: u32,
    /// Of the picture or its frame.
    number: Option<u16>,
    /// What comes after it in its picture is not shown.
    is_above: bool,
}

/// How a packet that is shown differs from what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Lower its sequence number and its picture id by so much.
    pub seqs: u64,
    pub pictures: u16,
    /// It ends the picture, as the layers above are not shown.
    pub marker: bool,
    /// What is shown from this packet on, where that has changed or the packet speaks of it.
    pub turned_to: Option<Point>,
}

impl Selector {
    /// `current`: what is shown until `target` is. `next`: sequence number of the first packet that it is asked about.
    /// `picture`: RTP time of the packet before, where there is one.
    pub fn new(current: Point, target: Point, next: u64, picture: Option<u32>) -> Self {
        let turn = Turn {
            since: 0,
            point: current,
        };
        Self {
            target,
            turns: [turn; TURNS],
            seqs: Omissions::new(next),
            pictures: None,
            picture,
            newest: None,
        }
    }

    /// What is shown now.
    pub fn current(&self) -> Point {
        self.turns[TURNS - 1].point
    }

    /// Larger pictures are wanted than are shown: they begin with a key frame.
    pub fn waits(&self) -> bool {
        self.target.spatial > self.current().spatial
    }

    /// None: the packet is not shown.
    pub fn take(&mut self, packet: &Packet) -> Option<Placed> {
        let layer = layer_of(packet);
        let picture = counted(&packet.descriptor).map(|id| self.unwrap(id));
        if packet.seq >= self.seqs.next() {
            self.turn(packet, &layer);
            let is_shown = layer.point.is_within(self.current());
            if packet.seq - self.seqs.next() <= MOST_MISSING && self.is_missing_above(packet, &layer, is_shown) {
                (self.seqs.next()..packet.seq).for_each(|missing| self.seqs.leave_out(missing));
            }
            self.newest = Some(Seen {
                time: packet.time,
                number: number_of(packet),
                is_above: !is_shown || packet.marker || layer.ends && layer.point.spatial == self.current().spatial,
            });
            if is_shown {
                self.seqs.keep(packet.seq);
                if let (Some(pictures), Some(id)) = (&mut self.pictures, picture) {
                    pictures.keep(id);
                }
            } else {
                self.seqs.leave_out(packet.seq);
                if let (Some(pictures), Some(id)) = (&mut self.pictures, picture) {
                    pictures.leave_out(id);
                }
            }
        }
        let is_shown = layer.point.is_within(self.turn_of(packet.seq).point);
        is_shown.then(|| self.place(packet)).flatten()
    }

    /// As a packet that is shown was sent, or would have been if it had come in time.
    pub fn place(&self, packet: &Packet) -> Option<Placed> {
        let layer = layer_of(packet);
        let Turn { since, point } = self.turn_of(packet.seq);
        let pictures = match (&self.pictures, counted(&packet.descriptor)) {
            (Some(pictures), Some(id)) => pictures.below(near(pictures.next(), id))?,
            _ => 0,
        };
        let speaks = packet
            .dependency
            .as_ref()
            .is_some_and(|dependency| dependency.carries_structure || dependency.active.is_some());
        Some(Placed {
            seqs: self.seqs.below(packet.seq)?,
            pictures: pictures as u16,
            marker: packet.marker || layer.ends && layer.point.spatial == point.spatial,
            turned_to: (since == packet.seq || speaks).then_some(point),
        })
    }

    /// The source's sequence number of what was lowered to this.
    pub fn source(&self, lowered: u64) -> Option<u64> {
        self.seqs.source(lowered)
    }

    fn turn_of(&self, seq: u64) -> Turn {
        let turn = self.turns.iter().rev().find(|turn| turn.since <= seq);
        *turn.unwrap_or(&self.turns[0])
    }

    /// Whether the packets between the newest and this one are of layers that are not shown, as far as that is sure. Their places
    /// would stay empty for ever, and the viewer would take them for lost.
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

    /// Changes what is shown, where this packet lets it.
    fn turn(&mut self, packet: &Packet, layer: &LayerFrame) {
        if self.picture != Some(packet.time) {
            self.picture = Some(packet.time);
            // Down at once.
            self.show(packet.seq, self.current().and(self.target));
        }
        if packet.descriptor.starts_keyframe {
            return self.show(packet.seq, self.target);
        }
        let current = self.current();
        if !layer.begins || self.target.is_within(current) {
            return;
        }
        let faster = Point {
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

    fn show(&mut self, since: u64, point: Point) {
        if point != self.current() {
            self.turns.rotate_left(1);
            self.turns[TURNS - 1] = Turn { since, point };
        }
    }

    fn unwrap(&mut self, id: u16) -> u64 {
        // Far enough from zero for those before the first.
        const START: u64 = 1 << 16;
        let pictures = self
            .pictures
            .get_or_insert_with(|| Omissions::new(START | u64::from(id)));
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

/// What says nothing of layers belongs to all of them.
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
