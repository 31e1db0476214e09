//! When a callback is tried again: every minute, twelve times in all. Pure.

use std::time::Duration;

const ATTEMPTS: i64 = 12;
const INTERVAL: Duration = Duration::from_secs(60);

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

/// `attempts`: the present one included.
pub fn next_attempt(delivered: bool, attempts: i64, unix_now: Duration) -> Outcome {
    if delivered {
        Outcome::Delivered
    } else if attempts < ATTEMPTS {
        Outcome::Again {
            at: unix_now + INTERVAL,
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
        while let Outcome::Again { at } = next_attempt(false, attempts, now) {
            now = at;
            attempts += 1;
        }
        assert_eq!((attempts, now), (12, Duration::from_secs(1660)));
        assert_eq!(next_attempt(true, 1, now), Outcome::Delivered);
    }
}
