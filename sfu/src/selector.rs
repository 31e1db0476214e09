//! Which layers inside one stream a slot shows: up where the stream lets one in, down from the next picture on.

use crate::omissions::Omissions;
use crate::packet::Packet;
use crate::wire::descriptor::{Descriptor, PictureId};
use crate::wire::layers::{Entry, LayerFrame, Point};

/// Changes of the operating point that are remembered, for packets that come or are asked for late.
const TURNS: usize = 4;

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
    frames: Frames,
    /// RTP time of the newest picture.
    picture: Option<u32>,
    /// The highest spatial layer of it that was shown.
    shown: Option<u8>,
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
            frames: Frames::default(),
            picture,
            shown: None,
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
            if layer.point.is_within(self.current()) {
                self.seqs.keep(packet.seq);
                self.shown = Some(layer.point.spatial);
                if let Some(dependency) = &packet.dependency {
                    self.frames.add(dependency.frame);
                }
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
        self.place(packet)
    }

    /// As it was sent, or would have been if it had come in time.
    pub fn place(&self, packet: &Packet) -> Option<Placed> {
        let layer = layer_of(packet);
        let Turn { since, point } = self.turn_of(packet.seq);
        if !layer.point.is_within(point) {
            return None;
        }
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

    /// Changes what is shown, where this packet lets it.
    fn turn(&mut self, packet: &Packet, layer: &LayerFrame) {
        if self.picture != Some(packet.time) {
            self.picture = Some(packet.time);
            self.shown = None;
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
        } else if layer.point.is_within(self.target) && self.lets_in(packet, layer) {
            let to = if layer.switches.contains(self.target) {
                self.target
            } else {
                Point {
                    spatial: layer.point.spatial.max(current.spatial),
                    temporal: layer.point.temporal.max(current.temporal),
                }
            };
            self.show(packet.seq, to);
        }
    }

    /// Whether this frame, which is above what is shown, can be decoded by the viewer, and those of its layer after it too.
    fn lets_in(&self, packet: &Packet, layer: &LayerFrame) -> bool {
        let current = self.current();
        match (layer.entry, &packet.dependency) {
            (Entry::Closed, _) | (Entry::References(_), None) => false,
            (Entry::Below, _) => {
                let next_size = layer.point.spatial == current.spatial + 1
                    && layer.point.temporal <= current.temporal
                    && self.shown == Some(current.spatial);
                let next_rate = layer.point.spatial <= current.spatial && layer.point.temporal == current.temporal + 1;
                next_size || next_rate
            }
            (Entry::References(backs), Some(dependency)) => {
                let switches = layer.switches.contains(self.target) || layer.switches.contains(layer.point);
                switches && self.frames.contain(dependency.frame, backs)
            }
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

fn counted(descriptor: &Descriptor) -> Option<u16> {
    descriptor
        .picture_id
        .filter(|PictureId { counted, wide, .. }| *counted && *wide)
        .map(|id| id.value)
}

/// The newest frames that were shown, by the numbers of the dependency descriptor.
#[derive(Debug, Default)]
struct Frames {
    newest: Option<u16>,
    /// Bit 0: the newest.
    shown: u64,
}

impl Frames {
    fn add(&mut self, frame: u16) {
        let ahead = frame.wrapping_sub(self.newest.unwrap_or(frame));
        if ahead < 0x8000 {
            self.shown = self.shown.checked_shl(ahead.into()).unwrap_or(0) | 1;
            self.newest = Some(frame);
        } else {
            self.shown |= 1u64.checked_shl(ahead.wrapping_neg().into()).unwrap_or(0);
        }
    }

    /// Whether all frames were shown that are so far before this one; bit 0 of `backs`: the one right before.
    fn contain(&self, frame: u16, backs: u64) -> bool {
        let Some(newest) = self.newest else {
            return false;
        };
        // The bit of the frame before is at `frame - 1 - newest`, the newest being at 0.
        let ahead = frame.wrapping_sub(1).wrapping_sub(newest);
        let needed = if ahead < 0x8000 {
            // Needs frames up to `ahead` newer than any that was shown.
            let low = 1u64.checked_shl(ahead.into()).map_or(u64::MAX, |bit| bit - 1);
            if backs & low != 0 {
                return false;
            }
            backs.checked_shr(ahead.into()).unwrap_or(0)
        } else {
            let behind = u32::from(ahead.wrapping_neg());
            if backs.leading_zeros() < behind {
                return false;
            }
            backs.checked_shl(behind).unwrap_or(0)
        };
        needed & !self.shown == 0
    }
}

#[cfg(test)]
mod tests;
