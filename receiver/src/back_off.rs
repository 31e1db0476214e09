//! How long to wait before a lost session is opened again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(5);
/// A node that takes no more sessions is asked less often: each attempt costs it work, and many ask at once.
const LAST_WHEN_FULL: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Debug, Clone, Copy)]
pub struct BackOff {
    next: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl BackOff {
    /// The wait after a session that was lost, or not opened. `lived`: how long it took until then; `is_full`: the node has said that it
    /// takes no more; `chance`: 0 to 1, so that not all come back at the same moment.
    pub fn after(&mut self, lived: Duration, is_full: bool, chance: f64) -> Duration {
        if lived > LAST && !is_full {
            self.next = FIRST;
        }
        let last = if is_full { LAST_WHEN_FULL } else { LAST };
        let wait = self.next.min(last);
        self.next = (wait * 2).min(last);
        wait.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::from_millis(20);

    fn waits(is_full: bool) -> Vec<u128> {
        let mut back_off = BackOff::default();
        (0..10)
            .map(|_| back_off.after(AT_ONCE, is_full, 0.0).as_millis())
            .collect()
    }

    #[test]
    fn a_lost_session_is_opened_again_within_5_s_and_one_of_a_full_node_within_a_minute() {
        assert_eq!(waits(false)[..6], [250, 500, 1000, 2000, 4000, 5000]);
        assert_eq!(
            waits(true),
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
        );
    }

    #[test]
    fn a_session_that_has_lived_begins_anew_and_a_node_that_has_place_again_is_asked_often_again() {
        let mut back_off = BackOff::default();
        for _ in 0..20 {
            back_off.after(AT_ONCE, true, 0.0);
        }
        assert_eq!(back_off.after(AT_ONCE, false, 0.0), LAST);
        assert_eq!(back_off.after(LAST * 2, false, 0.0), FIRST);
    }

    #[test]
    fn waits_differ_by_chance() {
        assert_eq!(BackOff::default().after(AT_ONCE, false, 1.0), FIRST * 3 / 4);
    }
}
