//! A packet on its way from one publisher to many viewers, and the recent ones of a stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::wire::dependency::Dependency;
use crate::wire::descriptor::Descriptor;

/// One RTP stream of a publisher (one simulcast layer, where there are several), on all workers of a node; never used again for
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A received packet: shared by all viewers, never changed.
#[derive(Debug)]
pub struct Packet {
    /// Extended sequence number (RFC 3550 A.1).
    pub seq: u64,
    pub time: u32,
    pub marker: bool,
    pub payload: Arc<[u8]>,
    pub descriptor: Descriptor,
    /// Of streams that have it in a header extension.
    pub dependency: Option<Box<Dependency>>,
    pub arrived: Instant,
    /// On our clock, from the publisher's sender reports.
    pub captured: Instant,
    /// Extensions that are passed on, as on the wire.
    pub audio_level: Option<u8>,
    pub orientation: Option<u8>,
}

/// The packets of a stream that can be sent again, and its newest group of pictures.
///
/// Bounded in number, age and bytes: a packet is overwritten by the one `capacity` later.
#[derive(Debug)]
pub struct History {
    ring: Vec<Option<Arc<Packet>>>,
    first: Option<u64>,
    newest: Option<u64>,
    /// First packet of the newest key frame.
    keyframe: Option<u64>,
}

/// Bounds of what a joining viewer is given at once: more would be a burst that his link has to swallow.
const GOP_AGE: Duration = Duration::from_millis(1200);
/// So few packets are given at any age: a source that sends a frame every few seconds, as slides do, is then seen at once.
const SLOW_GOP_PACKETS: u64 = 100;
const GOP_BYTES: usize = 400_000;
const GOP_PACKETS: u64 = 400;

impl History {
    /// `capacity`: packets, a power of two.
    pub fn new(capacity: usize) -> Self {
        Self {
            ring: vec![None; capacity.next_power_of_two()],
            first: None,
            newest: None,
            keyframe: None,
        }
    }

    /// Answers whether the packet is new; one that was there before changes nothing.
    pub fn insert(&mut self, packet: &Arc<Packet>) -> bool {
        let capacity = self.ring.len() as u64;
        if self.newest.is_some_and(|newest| packet.seq + capacity <= newest) {
            return false;
        }
        let place = self.place(packet.seq);
        if self.ring[place].as_ref().is_some_and(|old| old.seq == packet.seq) {
            return false;
        }
        self.ring[place] = Some(Arc::clone(packet));
        self.newest = self.newest.max(Some(packet.seq));
        self.first = Some(self.first.map_or(packet.seq, |first| first.min(packet.seq)));
        if packet.descriptor.starts_keyframe && self.keyframe.is_none_or(|seq| seq < packet.seq) {
            self.keyframe = Some(packet.seq);
        }
        true
    }

    pub fn get(&self, seq: u64) -> Option<&Arc<Packet>> {
        self.ring[self.place(seq)].as_ref().filter(|packet| packet.seq == seq)
    }

    /// The lowest sequence number that ever came.
    pub fn first(&self) -> Option<u64> {
        self.first
    }

    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Those that have come since, in their order.
    pub fn since(&self, moment: Instant) -> impl Iterator<Item = &Arc<Packet>> {
        let last = self.newest.unwrap_or_default();
        let oldest = (last + 1).saturating_sub(self.ring.len() as u64);
        let known = (oldest..=last).filter_map(|seq| self.get(seq));
        known.skip_while(move |packet| packet.arrived < moment)
    }

    /// The newest group of pictures, when it is complete so far, and small or young enough to be given to a joiner.
    pub fn gop(&self, now: Instant) -> Option<impl Iterator<Item = &Arc<Packet>>> {
        let (first, last) = (self.keyframe?, self.newest?);
        let begin = self.get(first)?;
        let is_young = now.saturating_duration_since(begin.arrived) <= GOP_AGE;
        if last - first >= if is_young { GOP_PACKETS } else { SLOW_GOP_PACKETS } {
            return None;
        }
        let mut bytes = 0;
        for seq in first..=last {
            bytes += self.get(seq)?.payload.len();
        }
        (bytes <= GOP_BYTES).then(|| (first..=last).filter_map(|seq| self.get(seq)))
    }

    fn place(&self, seq: u64) -> usize {
        // A power of two, so the mask is the remainder.
        (seq & (self.ring.len() as u64 - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u64, starts_keyframe: bool, arrived: Instant) -> Arc<Packet> {
        Arc::new(Packet {
            seq,
            time: 0,
            marker: false,
            payload: vec![0; 1000].into(),
            descriptor: Descriptor {
                starts_keyframe,
                ..Descriptor::default()
            },
            dependency: None,
            arrived,
            captured: arrived,
            audio_level: None,
            orientation: None,
        })
    }

    #[test]
    fn a_packet_is_kept_until_the_ring_has_gone_round() {
        let now = rotunda_proto::clock::Clock.now();
        let mut history = History::new(8);
        for seq in 100..110 {
            assert!(history.insert(&packet(seq, false, now)));
        }
        assert!(!history.insert(&packet(105, false, now)), "a duplicate");
        assert!(!history.insert(&packet(101, false, now)), "too late");
        assert!(history.get(101).is_none() && history.get(102).is_some() && history.get(110).is_none());
    }

    #[test]
    fn the_group_of_pictures_is_given_only_while_it_is_whole_and_small_or_young() {
        let now = rotunda_proto::clock::Clock.now();
        let mut history = History::new(1024);
        history.insert(&packet(9, false, now));
        assert!(history.gop(now).is_none(), "no key frame yet");
        history.insert(&packet(10, true, now));
        history.insert(&packet(12, false, now));
        assert!(history.gop(now).is_none(), "one is missing");
        history.insert(&packet(11, false, now));
        let seqs: Vec<u64> = history.gop(now).unwrap().map(|packet| packet.seq).collect();
        assert_eq!(seqs, [10, 11, 12]);
        let later = now + Duration::from_secs(60);
        assert!(history.gop(later).is_some(), "a slide that stands");
        for seq in 13..200 {
            history.insert(&packet(seq, false, now));
        }
        assert!(history.gop(now).is_some() && history.gop(later).is_none(), "too old");
        for seq in 200..500 {
            history.insert(&packet(seq, false, now));
        }
        assert!(history.gop(now).is_none(), "too large");
    }
}
