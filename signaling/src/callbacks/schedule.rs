//! When a callback is tried again: every minute, twelve times in all; an event of a room after 10 s, for a minute. Pure.

use std::time::Duration;

const ATTEMPTS: i64 = 12;
const INTERVAL: Duration = Duration::from_secs(60);
const EVENT_ATTEMPTS: i64 = 7;
const EVENT_INTERVAL: Duration = Duration::from_secs(10);

/// The next step after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// `at`: time since 1970.
    Again {
        at: Duration,
    },
    GivenUp,
}

/// The schedule that a callback has by contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Recordings and mixes.
    Minutes,
    /// Events of rooms and media.
    Moments,
}

/// `attempts`: the present one included.
pub fn next_attempt(schedule: Schedule, delivered: bool, attempts: i64, unix_now: Duration) -> Outcome {
    let (most, interval) = match schedule {
        Schedule::Minutes => (ATTEMPTS, INTERVAL),
        Schedule::Moments => (EVENT_ATTEMPTS, EVENT_INTERVAL),
    };
    if delivered {
        Outcome::Delivered
    } else if attempts < most {
        Outcome::Again {
            at: unix_now + interval,
        }
    } else {
        Outcome::GivenUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_never_answers_is_tried_twelve_times_in_eleven_minutes() {
        let (mut now, mut attempts) = (Duration::from_secs(1000), 1);
        while let Outcome::Again { at } = next_attempt(Schedule::Minutes, false, attempts, now) {
            now = at;
            attempts += 1;
        }
        assert_eq!((attempts, now), (12, Duration::from_secs(1660)));
        assert_eq!(next_attempt(Schedule::Minutes, true, 1, now), Outcome::Delivered);
    }

    #[test]
    fn an_event_is_tried_every_ten_seconds_for_a_minute() {
        let (mut now, mut attempts) = (Duration::from_secs(1000), 1);
        while let Outcome::Again { at } = next_attempt(Schedule::Moments, false, attempts, now) {
            now = at;
            attempts += 1;
        }
        assert_eq!((attempts, now), (7, Duration::from_secs(1060)));
    }
}
