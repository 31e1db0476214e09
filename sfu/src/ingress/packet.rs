//! A packet on its way from one publisher to many viewers, and the history of a stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::units::SeqNo;
use crate::wire::dependency::Dependency;
use crate::wire::descriptor::Descriptor;

/// One RTP stream of a publisher: one simulcast layer, where there are several. Unique among all workers of all nodes, and never used
/// again for another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A received packet. All viewers share it, and nothing changes it.
#[derive(Debug)]
pub struct Packet {
    pub seq: SeqNo,
    /// RTP timestamp.
    pub time: u32,
    pub marker: bool,
    pub payload: Arc<[u8]>,
    pub descriptor: Descriptor,
    /// Of streams that have it in a header extension.
    pub dependency: Option<Box<Dependency>>,
    pub arrived: Instant,
    /// On this server's clock ([`CaptureClock`](super::capture_clock::CaptureClock)).
    pub captured: Instant,
    /// Header extensions that are passed on as they are on the wire.
    pub audio_level: Option<u8>,
    pub orientation: Option<u8>,
}

impl Packet {
    /// The spatial layer inside the stream that it belongs to.
    pub fn spatial(&self) -> u8 {
        self.descriptor.layer.map_or(0, |layer| layer.point.spatial)
    }
}

/// The newest packets of a stream: retransmissions, and the group of pictures for a new viewer, come from here.
///
/// Bounded in number, age and bytes: a packet is overwritten by the one `capacity` later.
#[derive(Debug)]
pub struct History {
    ring: Vec<Option<Arc<Packet>>>,
    first: Option<SeqNo>,
    newest: Option<SeqNo>,
    /// First packet of the newest keyframe.
    keyframe: Option<SeqNo>,
}

/// Bounds of what a new viewer is sent at once: more would be a burst that the link has to carry.
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

    /// Answers whether the packet is new. A packet that is there already, or is too old, changes nothing.
    pub fn insert(&mut self, packet: &Arc<Packet>) -> bool {
        let capacity = self.ring.len() as u64;
        if self.newest.is_some_and(|newest| packet.seq.after(capacity) <= newest) {
            return false;
        }
        let index = self.ring_index(packet.seq);
        if self.ring[index].as_ref().is_some_and(|old| old.seq == packet.seq) {
            return false;
        }
        self.ring[index] = Some(Arc::clone(packet));
        self.newest = self.newest.max(Some(packet.seq));
        self.first = Some(self.first.map_or(packet.seq, |first| first.min(packet.seq)));
        if packet.descriptor.starts_keyframe && self.keyframe.is_none_or(|seq| seq < packet.seq) {
            self.keyframe = Some(packet.seq);
        }
        true
    }

    pub fn get(&self, seq: SeqNo) -> Option<&Arc<Packet>> {
        self.ring[self.ring_index(seq)]
            .as_ref()
            .filter(|packet| packet.seq == seq)
    }

    /// The lowest sequence number that ever came.
    pub fn first(&self) -> Option<SeqNo> {
        self.first
    }

    pub fn newest(&self) -> Option<SeqNo> {
        self.newest
    }

    /// Whether it has a packet that arrived no later than `moment`.
    pub fn reaches(&self, moment: Instant) -> bool {
        self.known().next().is_some_and(|packet| packet.arrived <= moment)
    }

    /// The packets that arrived since `moment`, in the order of their sequence numbers.
    pub fn since(&self, moment: Instant) -> impl Iterator<Item = &Arc<Packet>> {
        self.known().skip_while(move |packet| packet.arrived < moment)
    }

    fn known(&self) -> impl Iterator<Item = &Arc<Packet>> {
        let last = self.newest.unwrap_or_default().get();
        let oldest = (last + 1).saturating_sub(self.ring.len() as u64);
        (oldest..=last).filter_map(|seq| self.get(SeqNo::new(seq)))
    }

    /// The newest group of pictures, when it is complete so far, and small or young enough for a new viewer.
    pub fn group_of_pictures(&self, now: Instant) -> Option<impl Iterator<Item = &Arc<Packet>>> {
        let (first, last) = (self.keyframe?, self.newest?);
        let keyframe = self.get(first)?;
        let is_young = now.saturating_duration_since(keyframe.arrived) <= GOP_AGE;
        if last.distance_from(first)? >= if is_young { GOP_PACKETS } else { SLOW_GOP_PACKETS } {
            return None;
        }
        let seqs = move || (first.get()..=last.get()).map(SeqNo::new);
        let mut bytes = 0;
        for seq in seqs() {
            bytes += self.get(seq)?.payload.len();
        }
        (bytes <= GOP_BYTES).then(|| seqs().filter_map(|seq| self.get(seq)))
    }

    fn ring_index(&self, seq: SeqNo) -> usize {
        // The length is a power of two, so the mask is the remainder.
        (seq.get() & (self.ring.len() as u64 - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u64, starts_keyframe: bool, arrived: Instant) -> Arc<Packet> {
        Arc::new(Packet {
            seq: SeqNo::new(seq),
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
        let has = |seq| history.get(SeqNo::new(seq)).is_some();
        assert!(!has(101) && has(102) && !has(110));
    }

    #[test]
    fn the_group_of_pictures_is_given_only_while_it_is_whole_and_small_or_young() {
        let now = rotunda_proto::clock::Clock.now();
        let mut history = History::new(1024);
        history.insert(&packet(9, false, now));
        assert!(history.group_of_pictures(now).is_none(), "no keyframe yet");
        history.insert(&packet(10, true, now));
        history.insert(&packet(12, false, now));
        assert!(history.group_of_pictures(now).is_none(), "one is missing");
        history.insert(&packet(11, false, now));
        let seqs: Vec<u64> = history
            .group_of_pictures(now)
            .unwrap()
            .map(|packet| packet.seq.get())
            .collect();
        assert_eq!(seqs, [10, 11, 12]);
        let later = now + Duration::from_secs(60);
        assert!(history.group_of_pictures(later).is_some(), "a slide that stays");
        for seq in 13..200 {
            history.insert(&packet(seq, false, now));
        }
        assert!(history.group_of_pictures(now).is_some(), "young");
        assert!(history.group_of_pictures(later).is_none(), "too old");
        for seq in 200..500 {
            history.insert(&packet(seq, false, now));
        }
        assert!(history.group_of_pictures(now).is_none(), "too large");
    }
}
