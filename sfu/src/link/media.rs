//! The media of a link: packets are sent at once, kept for a moment, and sent again when the other end misses them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::datagram::MOST_RANGES;

/// Packets that can be sent again: half a second of 8,000 packets a second.
const KEPT: usize = 4096;
const KEPT_FOR: Duration = Duration::from_secs(1);
/// A missing packet is asked for after so long: it may only have been overtaken.
const OVERTAKEN: Duration = Duration::from_millis(3);
/// A packet is not asked for any more after so long: viewers have asked for a keyframe by then.
const PATIENCE: Duration = Duration::from_millis(500);
/// A gap that is larger is not filled.
const LARGEST_GAP: u64 = 2048;

/// This side's packets.
#[derive(Debug, Default)]
pub struct Outgoing {
    kept: VecDeque<Kept>,
    /// The number of the first kept packet.
    first: u64,
}

#[derive(Debug)]
struct Kept {
    sent_at: Instant,
    bytes: Box<[u8]>,
}

impl Outgoing {
    /// Keeps a packet that is sent now. Answers its number.
    pub fn push(&mut self, now: Instant, bytes: &[u8]) -> u64 {
        while let Some(oldest) = self.kept.front()
            && (self.kept.len() >= KEPT || now.saturating_duration_since(oldest.sent_at) > KEPT_FOR)
        {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(Kept {
            sent_at: now,
            bytes: bytes.into(),
        });
        self.next() - 1
    }

    /// The number of the next packet.
    pub fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// A packet to send again, unless it was sent less than a round trip ago: then the request was sent before it came.
    pub fn again(&mut self, now: Instant, number: u64, round_trip: Duration) -> Option<&[u8]> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let kept = self.kept.get_mut(at)?;
        if now.saturating_duration_since(kept.sent_at) < round_trip / 2 {
            return None;
        }
        kept.sent_at = now;
        Some(&kept.bytes)
    }
}

/// The other end's packets.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The number after the highest known one.
    next: u64,
    missing: BTreeMap<u64, Missing>,
    lost: u64,
}

#[derive(Debug)]
struct Missing {
    since: Instant,
    /// When it is asked for.
    ask_at: Instant,
}

impl Incoming {
    /// Answers whether a packet is new.
    pub fn handle(&mut self, now: Instant, number: u64) -> bool {
        if number < self.next {
            return self.missing.remove(&number).is_some();
        }
        self.skip_to(now, number);
        self.next = number.saturating_add(1);
        while self.missing.len() > LARGEST_GAP as usize {
            self.missing.pop_first();
            self.lost += 1;
        }
        true
    }

    /// Packets with lower numbers than this have been sent.
    pub fn skip_to(&mut self, now: Instant, number: u64) {
        let Some(gap) = number.checked_sub(self.next) else {
            return;
        };
        if gap > LARGEST_GAP {
            self.lost = self.lost.saturating_add(gap);
        } else {
            for missing in self.next..number {
                self.missing.insert(
                    missing,
                    Missing {
                        since: now,
                        ask_at: now + OVERTAKEN,
                    },
                );
            }
        }
        self.next = number;
    }

    /// Packets to ask for now, as first number and count; each again after a round trip.
    pub fn due_requests(&mut self, now: Instant, round_trip: Duration) -> Vec<(u64, u8)> {
        let before = self.missing.len();
        self.missing
            .retain(|_, missing| now.saturating_duration_since(missing.since) < PATIENCE);
        self.lost += (before - self.missing.len()) as u64;
        let again_at = now + round_trip + OVERTAKEN.max(round_trip / 4);
        let mut ranges: Vec<(u64, u8)> = Vec::new();
        for (number, missing) in self.missing.iter_mut().filter(|(_, missing)| missing.ask_at <= now) {
            let follows = |(first, count): &(u64, u8)| *first + u64::from(*count) == *number && *count < u8::MAX;
            match ranges.last().copied().filter(follows) {
                Some((first, count)) => {
                    ranges.pop();
                    ranges.push((first, count + 1));
                }
                None if ranges.len() == MOST_RANGES => break,
                None => ranges.push((*number, 1)),
            }
            missing.ask_at = again_at;
        }
        ranges
    }

    /// When the next packet is asked for.
    pub fn due(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.ask_at).min()
    }

    /// Packets that never came, since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(20);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_missing_packet_is_asked_for_once_a_round_trip_until_it_comes() {
        let start = rotunda_proto::clock::Clock.now();
        let mut incoming = Incoming::default();
        for number in [0, 1, 5, 6] {
            assert!(incoming.handle(start, number));
        }
        assert!(incoming.due_requests(start + ms(2), ROUND_TRIP).is_empty(), "overtaken");
        assert_eq!(incoming.due_requests(start + ms(3), ROUND_TRIP), [(2, 3)]);
        assert!(incoming.due_requests(start + ms(20), ROUND_TRIP).is_empty());
        assert!(
            incoming.handle(start + ms(23), 3) && !incoming.handle(start + ms(23), 3),
            "twice"
        );
        assert_eq!(incoming.due_requests(start + ms(30), ROUND_TRIP), [(2, 1), (4, 1)]);
        assert!(incoming.due_requests(start + ms(600), ROUND_TRIP).is_empty());
        assert_eq!((incoming.take_lost(), incoming.take_lost()), (2, 0));
        assert!(!incoming.handle(start + ms(600), 2), "too late");
        assert_eq!(incoming.due(), None);
    }

    #[test]
    fn the_last_packets_are_missed_when_the_other_end_says_what_it_has_sent() {
        let start = rotunda_proto::clock::Clock.now();
        let mut incoming = Incoming::default();
        incoming.handle(start, 0);
        incoming.skip_to(start, 3);
        assert_eq!(incoming.due_requests(start + ms(5), ROUND_TRIP), [(1, 2)]);
        incoming.skip_to(start, 2);
        assert!(incoming.handle(start, 3), "what is known already changes nothing");
        incoming.skip_to(start, u64::MAX);
        assert!(incoming.missing.len() <= LARGEST_GAP as usize);
    }

    #[test]
    fn packets_are_kept_for_a_second_and_not_sent_twice_for_one_request() {
        let start = rotunda_proto::clock::Clock.now();
        let mut outgoing = Outgoing::default();
        assert_eq!((outgoing.push(start, b"a"), outgoing.push(start, b"b")), (0, 1));
        let later = start + ms(50);
        assert_eq!(outgoing.again(later, 1, ROUND_TRIP), Some(b"b".as_slice()));
        assert_eq!(outgoing.again(later + ms(5), 1, ROUND_TRIP), None, "it is on its way");
        assert_eq!(outgoing.again(later, 2, ROUND_TRIP), None);
        assert_eq!(outgoing.push(start + ms(1100), b"c"), 2);
        assert_eq!(outgoing.again(start + ms(2000), 0, ROUND_TRIP), None, "forgotten");
        for _ in 0..2 * KEPT {
            outgoing.push(start + ms(1100), b"d");
        }
        assert_eq!(outgoing.kept.len(), KEPT);
    }
}
