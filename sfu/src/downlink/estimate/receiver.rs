//! The own estimate of a viewer without transport-wide feedback (REMB, draft-alvestrand-rmcat-remb-03).
//!
//! It grows to at most one and a half times what the viewer is sent, and nothing probes: if it always were a limit, a viewer who once
//! got a small layer would keep it for ever. So it is a limit only after it has fallen, which shows a queue, and for a time that
//! doubles whenever it falls again soon after.

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// A figure below this share of the one before has fallen.
const FALLEN: f64 = 0.95;
const LEAST_HOLD: Duration = Duration::from_secs(10);
const MOST_HOLD: Duration = Duration::from_secs(160);
/// A viewer who has had no bound for so long begins again with the shortest hold.
const FORGIVEN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct ReceiverLimit {
    newest: Option<Bitrate>,
    state: State,
    hold: Duration,
}

/// New | Free -> Bound (the figure falls) -> Free (it has not fallen for the hold).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// It has never fallen.
    #[default]
    New,
    Free {
        since: Instant,
    },
    Bound {
        fallen_at: Instant,
    },
}

impl ReceiverLimit {
    /// Receivers send a figure about once a second.
    pub fn handle_figure(&mut self, now: Instant, figure: Bitrate) {
        let before = self.newest.replace(figure);
        let has_fallen = before.is_some_and(|before| figure < before.scaled(FALLEN));
        let elapsed = |since: Instant| now.saturating_duration_since(since);
        self.state = match self.state {
            // New | Free => Bound
            State::New | State::Free { .. } if has_fallen => {
                let again = matches!(self.state, State::Free { since } if elapsed(since) < FORGIVEN);
                self.hold = if again {
                    (self.hold * 2).min(MOST_HOLD)
                } else {
                    LEAST_HOLD
                };
                State::Bound { fallen_at: now }
            }
            State::Bound { .. } if has_fallen => State::Bound { fallen_at: now },
            // Bound => Free
            State::Bound { fallen_at } if elapsed(fallen_at) >= self.hold => State::Free { since: now },
            same => same,
        };
    }

    /// None: no bound.
    pub fn bound(&self) -> Option<Bitrate> {
        self.newest.filter(|_| matches!(self.state, State::Bound { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a figure each second.
    struct Viewer {
        now: Instant,
        limit: ReceiverLimit,
    }

    impl Viewer {
        fn new() -> Self {
            let now = rotunda_proto::clock::Clock.now();
            let limit = ReceiverLimit::default();
            Self { now, limit }
        }

        fn says(&mut self, bits: u64, seconds: u64) -> &mut Self {
            for _ in 0..seconds {
                self.now += Duration::from_secs(1);
                self.limit.handle_figure(self.now, Bitrate::bits(bits));
            }
            self
        }

        /// Seconds until there is no bound any more, while the viewer says this.
        fn held(&mut self, bits: u64) -> u64 {
            (0..1000).find(|_| self.says(bits, 1).limit.bound().is_none()).unwrap() + 1
        }
    }

    #[test]
    fn a_figure_that_grows_with_what_is_sent_is_no_bound() {
        let mut viewer = Viewer::new();
        for bits in (300_000..3_000_000).step_by(100_000) {
            assert_eq!(viewer.says(bits, 1).limit.bound(), None);
        }
    }

    #[test]
    fn a_figure_that_falls_is_the_bound_until_it_has_not_fallen_for_ten_seconds() {
        let mut viewer = Viewer::new();
        viewer.says(1_500_000, 5).says(600_000, 1);
        assert_eq!(viewer.limit.bound(), Some(Bitrate::kilobits(600)));
        viewer.says(400_000, 5);
        assert_eq!(viewer.limit.bound(), Some(Bitrate::kilobits(400)));
        assert_eq!(viewer.held(450_000), 6);
    }

    #[test]
    fn a_figure_that_falls_again_soon_is_a_bound_twice_as_long_and_forgiven_in_the_end() {
        let mut viewer = Viewer::new();
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(viewer.says(1_500_000, 5).says(500_000, 1).held(500_000));
        }
        assert_eq!(held, [10, 20, 40, 80, 160, 160]);
        viewer.says(1_500_000, 61).says(500_000, 1);
        assert_eq!(viewer.held(500_000), 10);
    }
}
