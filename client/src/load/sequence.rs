//! The gaps of one stream: which packets are late, lost or duplicate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A gap that is open for this time is a loss.
pub const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);
/// Packets that were given up are remembered for this time, so that a very late one does not count as a duplicate.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
/// A larger jump means another stream, not a gap.
const MAX_GAP: u64 = 5_000;

/// The classification of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next packet, or the first one after a gap.
    New,
    /// It filled a gap in time.
    Filled,
    /// It arrived after it had been given up.
    TooLate,
    Duplicate,
}

/// Follows the extended sequence numbers of one stream.
#[derive(Debug, Default)]
pub struct Sequence {
    span: Option<Span>,
    missing: BTreeMap<u64, Missing>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    first: u64,
    highest: u64,
}

#[derive(Debug, Clone, Copy)]
enum Missing {
    Since(Instant),
    GivenUp(Instant),
}

impl Sequence {
    pub fn handle(&mut self, now: Instant, number: u64) -> Arrival {
        let Some(span) = &mut self.span else {
            self.span = Some(Span {
                first: number,
                highest: number,
            });
            return Arrival::New;
        };
        if number > span.highest {
            if number - span.highest > MAX_GAP {
                self.missing.clear();
                span.first = number;
            } else {
                let gap = span.highest + 1..number;
                self.missing.extend(gap.map(|lacking| (lacking, Missing::Since(now))));
            }
            span.highest = number;
            return Arrival::New;
        }
        if number < span.first {
            // From before the start of the count: no gap was open for it.
            return Arrival::Filled;
        }
        match self.missing.remove(&number) {
            Some(Missing::Since(_)) => Arrival::Filled,
            Some(Missing::GivenUp(_)) => Arrival::TooLate,
            None => Arrival::Duplicate,
        }
    }

    /// Gives up gaps; `lost` gets the time at which each was noticed.
    pub fn give_up(&mut self, now: Instant, mut lost: impl FnMut(Instant)) {
        self.missing.retain(|_, missing| match *missing {
            Missing::Since(since) => {
                if now.saturating_duration_since(since) >= GIVEN_UP_AFTER {
                    lost(since);
                    *missing = Missing::GivenUp(since);
                }
                true
            }
            Missing::GivenUp(since) => now.saturating_duration_since(since) < FORGOTTEN_AFTER,
        });
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn lost(sequence: &mut Sequence, now: Instant) -> usize {
        let mut count = 0;
        sequence.give_up(now, |_| count += 1);
        count
    }

    #[test]
    fn a_gap_is_lost_once_after_a_second() {
        let (start, mut sequence) = (Clock.now(), Sequence::default());
        for number in [10, 11, 15] {
            assert_eq!(sequence.handle(start, number), Arrival::New);
        }
        assert_eq!(lost(&mut sequence, start + ms(999)), 0);
        assert_eq!(lost(&mut sequence, start + ms(1000)), 3);
        assert_eq!(lost(&mut sequence, start + ms(5000)), 0);
    }

    #[test]
    fn a_retransmitted_packet_fills_its_gap() {
        let (start, mut sequence) = (Clock.now(), Sequence::default());
        sequence.handle(start, 1);
        sequence.handle(start, 3);
        assert_eq!(sequence.handle(start + ms(40), 2), Arrival::Filled);
        assert_eq!(lost(&mut sequence, start + ms(2000)), 0);
    }

    #[test]
    fn duplicates_and_packets_that_were_given_up_are_told_apart() {
        let (start, mut sequence) = (Clock.now(), Sequence::default());
        sequence.handle(start, 1);
        sequence.handle(start, 3);
        assert_eq!(sequence.handle(start, 3), Arrival::Duplicate);
        assert_eq!(lost(&mut sequence, start + ms(1500)), 1);
        assert_eq!(sequence.handle(start + ms(1600), 2), Arrival::TooLate);
        assert_eq!(sequence.handle(start + ms(1601), 2), Arrival::Duplicate);
    }

    #[test]
    fn an_earlier_packet_is_no_duplicate_and_a_restart_is_no_gap() {
        let (start, mut sequence) = (Clock.now(), Sequence::default());
        sequence.handle(start, 100);
        assert_eq!(sequence.handle(start, 99), Arrival::Filled);
        assert_eq!(sequence.handle(start, 1_000_000), Arrival::New);
        assert_eq!(lost(&mut sequence, start + ms(2000)), 0);
    }
}
