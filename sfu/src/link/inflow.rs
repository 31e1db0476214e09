//! What comes over a link: how much of it, and whether the network between the nodes carries it.
//!
//! The receiver finds it out by itself, out of the times of sending that all datagrams have and of their counters. A queue on the way shows in
//! the delay of all datagrams, a full one in losses.

use std::time::{Duration, Instant};

use crate::downlink::estimate::{Acknowledged, StandingQueue};
use crate::units::Bitrate;

/// Losses are counted in such windows, by at least so many datagrams.
const WINDOW: Duration = Duration::from_millis(500);
const LEAST_DATAGRAMS: u64 = 60;
/// A window that has lost more than one in so many is lossy. Links that lose one in twenty all the time are not narrow.
const LOSSY: u64 = 10;
/// So many lossy windows in a row are not an accident.
const LOSSY_WINDOWS: u32 = 2;
/// Of IP and UDP, bytes.
const HEADERS: usize = 28;

/// A datagram of a link that has just come.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    pub counter: u64,
    /// Microseconds on the sender's clock, and on this one's.
    pub sent: i64,
    pub arrived: i64,
    pub bytes: usize,
}

#[derive(Debug, Default)]
pub struct Inflow {
    queue: StandingQueue,
    /// The wait in the queue, microseconds: the newest sample with its time, and the one before.
    wait: Option<(Instant, i64)>,
    wait_before: Option<i64>,
    acknowledged: Acknowledged,
    highest: u64,
    window: Option<Window>,
    lossy_windows: u32,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    /// The highest counter before it.
    after: u64,
    received: u64,
}

impl Inflow {
    pub fn handle(&mut self, now: Instant, datagram: Arrived) {
        let Arrived {
            counter,
            sent,
            arrived,
            bytes,
        } = datagram;
        self.queue.add(now, sent, arrived);
        self.sample_wait(now);
        let bytes = u16::try_from(bytes + HEADERS).unwrap_or(u16::MAX);
        self.acknowledged.add(arrived, bytes);
        let window = self.window.get_or_insert(Window {
            since: now,
            after: counter.saturating_sub(1),
            received: 0,
        });
        window.received += 1;
        self.highest = self.highest.max(counter);
        let expected = self.highest.saturating_sub(window.after);
        if now.saturating_duration_since(window.since) >= WINDOW && expected >= LEAST_DATAGRAMS {
            let lost = expected.saturating_sub(window.received);
            let is_lossy = lost * LOSSY > expected;
            self.lossy_windows = if is_lossy { self.lossy_windows + 1 } else { 0 };
            self.window = Some(Window {
                since: now,
                after: self.highest,
                received: 0,
            });
        }
    }

    fn sample_wait(&mut self, now: Instant) {
        let is_due = self
            .wait
            .is_none_or(|(at, _)| now.saturating_duration_since(at) >= WINDOW);
        if is_due && let Some(wait) = self.queue.waits(now) {
            self.wait_before = self.wait.map(|(_, wait)| wait);
            self.wait = Some((now, wait));
        }
    }

    /// The queue becomes shorter: less is sent than the link carries by now.
    fn is_draining(&self, now: Instant) -> bool {
        let waits = self.queue.waits(now).zip(self.wait_before);
        waits.is_some_and(|(now, before)| now * 10 < before * 9)
    }

    /// The bitrate that gets through, if more is sent than that. None: everything gets through, as far as it is known.
    pub fn limit(&self, now: Instant) -> Option<Bitrate> {
        let is_narrow = self.queue.stands(now) && !self.is_draining(now) || self.lossy_windows >= LOSSY_WINDOWS;
        let carried = self.acknowledged.rate().filter(|_| is_narrow)?;
        Some(Bitrate::bits(carried as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Datagrams of 1000 bytes, one each millisecond, for so many ms; each so many ms on its way by its number, or lost.
    fn limit(milliseconds: u64, way: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let start = rotunda_proto::clock::Clock.now();
        let mut inflow = Inflow::default();
        let mut arrivals: Vec<(u64, u64)> = (0..milliseconds)
            .filter_map(|number| Some((number + way(number)?, number)))
            .collect();
        arrivals.sort_unstable();
        let last = arrivals.last()?.0;
        for (at, counter) in arrivals {
            let now = start + Duration::from_millis(at);
            // The clocks are an hour apart.
            let datagram = Arrived {
                counter,
                sent: counter as i64 * 1000 + 3_600_000_000,
                arrived: at as i64 * 1000,
                bytes: 1000 - HEADERS,
            };
            inflow.handle(now, datagram);
        }
        let limit = inflow.limit(start + Duration::from_millis(last));
        limit.map(Bitrate::get)
    }

    #[test]
    fn a_link_that_carries_everything_has_no_limit_whatever_its_jitter_and_losses() {
        assert_eq!(limit(5000, |_| Some(10)), None);
        assert_eq!(limit(5000, |number| Some(10 + number * 7 % 40)), None);
        assert_eq!(limit(5000, |number| (!number.is_multiple_of(20)).then_some(10)), None);
        let bad_moment = |number: u64| (!(3000..3400).contains(&number) || !number.is_multiple_of(3)).then_some(10);
        assert_eq!(limit(4000, bad_moment), None);
        assert_eq!(limit(1, |_| Some(10)), None);
    }

    #[test]
    fn a_queue_that_drains_is_no_sign_that_less_is_to_be_sent() {
        // 400 ms of queue at first, and 100 ms less each second.
        let drains = |number: u64| match number {
            0..1000 => Some(10),
            1000..1400 => Some(10 + number - 1000),
            _ => Some(410 - (number - 1400).min(4000) / 10),
        };
        assert!(limit(1400, drains).is_some());
        assert_eq!(limit(3400, drains), None, "200 ms of queue");
    }

    #[test]
    fn a_queue_or_losses_show_what_a_narrow_link_carries() {
        // From the second second on, it carries half of what is sent: the rest waits.
        let waits = |number: u64| Some(10 + number.saturating_sub(2000));
        let limit_by_queue = limit(2400, waits).unwrap();
        assert!((3_800_000..4_400_000).contains(&limit_by_queue), "{limit_by_queue}");
        // The same with a queue that is too short to be seen.
        let dropped = |number: u64| (number < 2000 || number.is_multiple_of(2)).then_some(10);
        let limit_by_loss = limit(4000, dropped).unwrap();
        assert!((3_800_000..4_400_000).contains(&limit_by_loss), "{limit_by_loss}");
    }
}
