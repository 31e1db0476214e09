//! Whether packets wait on the way, and whether everything that is sent gets through: a layer that is shown is kept by it.
//!
//! The trend of the delay ([`super::delay`]) shows a queue as soon as it begins, and sometimes takes jitter for one. This is slower and
//! reliable: it compares the shortest one-way delay of a quarter of a second with the shortest of the last half minute. Jitter and the
//! bursts of keyframes delay only some packets of each quarter of a second.

use std::time::{Duration, Instant};

/// So much more than the shortest delay is a queue, microseconds.
const QUEUE: i64 = 60_000;
/// The present delay is that of twice this time, on the viewer's clock, microseconds.
const NOW: i64 = 125_000;
/// Parts of the time in which the shortest delay is looked for; a clock that is wrong by 100 in a million errs by 3 ms in it.
const PARTS: usize = 6;
const PART: i64 = 5_000_000;
/// At least one of so many packets in a row is not delayed by jitter.
const LAST: usize = 3;
/// After so long without feedback nothing is known.
const NEWS: Duration = Duration::from_millis(600);

#[derive(Debug, Default)]
pub struct StandingQueue {
    /// Shortest delays and the begin of their time, newest last: of now, and of the last half minute.
    recent: [Option<(i64, i64)>; 2],
    shortest: [Option<(i64, i64)>; PARTS],
    /// Delays of the newest packets.
    last: [Option<i64>; LAST],
    heard_at: Option<Instant>,
}

impl StandingQueue {
    /// Microseconds on the sender's and on the receiver's clock.
    pub fn add(&mut self, now: Instant, sent: i64, arrived: i64) {
        self.heard_at = Some(now);
        let delay = arrived - sent;
        note(&mut self.recent, NOW, arrived, delay);
        note(&mut self.shortest, PART, arrived, delay);
        self.last.rotate_left(1);
        self.last[LAST - 1] = Some(delay);
    }

    /// The newest packets have waited for long: a packet that is lost now was dropped by a full queue.
    pub fn is_long(&self) -> bool {
        let last = self.last.iter().flatten().min();
        last.zip(least(&self.shortest))
            .is_some_and(|(last, shortest)| last - shortest >= QUEUE)
    }

    /// Packets arrive, and none of them waits for long.
    pub fn is_empty(&self, now: Instant) -> bool {
        self.waits(now).is_some_and(|waits| waits < QUEUE)
    }

    /// All packets wait for long.
    pub fn stands(&self, now: Instant) -> bool {
        self.waits(now).is_some_and(|waits| waits >= QUEUE)
    }

    /// The time that all packets wait on the way, microseconds; None: nothing is known.
    pub fn waits(&self, now: Instant) -> Option<i64> {
        self.heard_at.filter(|at| now.saturating_duration_since(*at) < NEWS)?;
        Some(least(&self.recent)? - least(&self.shortest)?)
    }
}

fn note<const N: usize>(parts: &mut [Option<(i64, i64)>; N], length: i64, at: i64, delay: i64) {
    match &mut parts[N - 1] {
        // A clock that has been set starts a new measurement.
        Some((since, least)) if (*since - length..*since + length).contains(&at) => *least = delay.min(*least),
        Some((since, _)) if (0..2 * length).contains(&(at - *since)) => {
            let next = *since + length;
            parts.rotate_left(1);
            parts[N - 1] = Some((next, delay));
        }
        _ => {
            *parts = [None; N];
            parts[N - 1] = Some((at, delay));
        }
    }
}

fn least<const N: usize>(parts: &[Option<(i64, i64)>; N]) -> Option<i64> {
    parts.iter().flatten().map(|(_, delay)| *delay).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets 10 ms apart, each so many ms on its way by its number.
    fn after(packets: i64, way: impl Fn(i64) -> i64) -> bool {
        let start = rotunda_proto::clock::Clock.now();
        let mut queue = StandingQueue::default();
        let at = |packet: i64| start + Duration::from_millis(10 * packet as u64);
        for packet in 0..packets {
            let sent = 10_000 * packet;
            queue.add(at(packet), sent, 7_000_000 + sent + 1000 * way(packet));
        }
        queue.is_empty(at(packets))
    }

    #[test]
    fn jitter_and_bursts_are_no_queue() {
        assert!(after(5000, |packet| 20 + packet * 7919 % 60));
        // A keyframe takes 150 ms now and then.
        assert!(after(5000, |packet| 20 + (15 - packet % 100).max(0) * 10));
    }

    #[test]
    fn a_queue_is_seen_within_half_a_second_of_having_its_length() {
        // 60 ms are reached after 15 packets.
        let way = |packet: i64| 20 + 4 * (packet - 3000).max(0);
        assert!(after(3010, way));
        assert!(!after(3015 + 50, way));
    }

    #[test]
    fn a_longer_way_is_no_queue_after_half_a_minute() {
        let way = |packet: i64| if packet < 1000 { 20 } else { 220 };
        assert!(!after(1100, way));
        assert!(after(1000 + 3600, way));
    }

    #[test]
    fn without_feedback_nothing_is_known() {
        let start = rotunda_proto::clock::Clock.now();
        let mut queue = StandingQueue::default();
        assert!(!queue.is_empty(start));
        queue.add(start, 0, 0);
        assert!(queue.is_empty(start + Duration::from_millis(500)));
        assert!(!queue.is_empty(start + Duration::from_millis(700)));
    }
}
