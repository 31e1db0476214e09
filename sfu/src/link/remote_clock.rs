//! The other end's clock, by the datagrams that come from it.
//!
//! The least difference between arrival and sending of the last seconds is the offset of the two clocks and the shortest way. Half of
//! the shortest round trip is the shortest way.

use std::time::{Duration, Instant};

/// The least of so long counts; older ones are forgotten, as clocks drift.
const WINDOW: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct RemoteClock {
    /// Zero of this side's microseconds.
    epoch: Instant,
    /// This side's microseconds less the other side's.
    difference: Least<i64>,
    round_trip: Least<i64>,
    newest_round_trip: Option<Duration>,
}

/// The least value of the last one to two windows.
#[derive(Debug, Default)]
struct Least<T> {
    since: Option<Instant>,
    current: Option<T>,
    before: Option<T>,
}

impl<T: Copy + Ord> Least<T> {
    fn add(&mut self, now: Instant, value: T) {
        if self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= WINDOW)
        {
            self.since = Some(now);
            self.before = self.current.take();
        }
        self.current = Some(self.current.map_or(value, |least| least.min(value)));
    }

    fn get(&self) -> Option<T> {
        self.current.into_iter().chain(self.before).min()
    }
}

impl RemoteClock {
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            difference: Least::default(),
            round_trip: Least::default(),
            newest_round_trip: None,
        }
    }

    /// Microseconds of this side's clock, as the other side is told them.
    pub fn micros(&self, at: Instant) -> i64 {
        match at.checked_duration_since(self.epoch) {
            Some(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            None => -i64::try_from((self.epoch - at).as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// A datagram that the other side has sent at `sent_at` has arrived.
    pub fn handle_arrival(&mut self, now: Instant, sent_at: i64) {
        let difference = self.micros(now).saturating_sub(sent_at);
        self.difference.add(now, difference);
    }

    /// A datagram of this side's time `sent_at` was answered after so long.
    pub fn handle_echo(&mut self, now: Instant, sent_at: i64, held: Duration) {
        let took = self.micros(now).saturating_sub(sent_at);
        let took = took.saturating_sub(i64::try_from(held.as_micros()).unwrap_or(i64::MAX));
        if (0..10_000_000).contains(&took) {
            self.round_trip.add(now, took);
            self.newest_round_trip = Some(Duration::from_micros(took as u64));
        }
    }

    pub fn round_trip(&self) -> Option<Duration> {
        self.newest_round_trip
    }

    /// The moment of a time of the other side, on this side's clock, never after `now`. A time that cannot be is `now`.
    pub fn instant(&self, now: Instant, remote: i64) -> Instant {
        let shortest_way = self.round_trip.get().unwrap_or(0) / 2;
        let offset = self.difference.get().map(|least| least.saturating_sub(shortest_way));
        let here = offset.map(|offset| remote.saturating_add(offset));
        let Some(here) = here else { return now };
        let age = self.micros(now).saturating_sub(here);
        // Nothing that is relayed is older than the histories.
        match u64::try_from(age) {
            Ok(age) if age < 60_000_000 => now.checked_sub(Duration::from_micros(age)).unwrap_or(now),
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_time_of_the_other_side_is_found_whatever_its_clock_says_and_however_late_datagrams_are() {
        let here = rotunda_proto::clock::Clock.now();
        let start = here + ms(5000);
        for zero in [-70_000_000_i64, 0, 900_000_000] {
            let mut clock = RemoteClock::new(here);
            for index in 0..100_u64 {
                let sent = start + ms(10 * index);
                let remote = zero + 10_000 * index as i64;
                // 20 ms on the way, and up to 40 ms more.
                let arrived = sent + ms(20 + index * 7 % 40);
                clock.handle_arrival(arrived, remote);
                clock.handle_echo(arrived, clock.micros(sent) - 20_000, Duration::ZERO);
            }
            let now = start + ms(1200);
            let captured = clock.instant(now, zero + 800_000);
            let expected = start + ms(800);
            let off = captured
                .saturating_duration_since(expected)
                .max(expected.saturating_duration_since(captured));
            assert!(off <= ms(1), "{off:?}");
            assert_eq!(clock.instant(now, i64::MAX), now);
            assert_eq!(clock.instant(now, i64::MIN), now);
        }
    }
}
