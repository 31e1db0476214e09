//! Whether a publisher is asked for a layer: a layer that nobody watches costs its uplink and its CPU for nothing.
//!
//! The caller always asks for the lowest layer: a viewer falls back to it at once, and a new viewer sees it until the chosen layer
//! has been woken.

use std::time::{Duration, Instant};

/// A layer is paused when nobody has watched it for so long: a viewer who looks away for a moment costs no keyframe.
const PATIENCE: Duration = Duration::from_secs(3);
/// A layer that is asked for again and does not come in this time cannot be sent by the publisher now.
const WAKING: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    Watched,
    Unwatched {
        since: Instant,
    },
    /// The publisher has been told to pause it.
    Off,
    /// The publisher has been told to send it again, and it has not come yet.
    Waking {
        since: Instant,
    },
}

impl Demand {
    /// `last_packet`: of the layer.
    pub fn update(&mut self, now: Instant, watched: bool, last_packet: Instant) {
        let elapsed = |since: Instant| now.saturating_duration_since(since);
        *self = match *self {
            // Watched => Unwatched
            Self::Watched if !watched => Self::Unwatched { since: now },
            // Unwatched => Watched | Off
            Self::Unwatched { .. } if watched => Self::Watched,
            Self::Unwatched { since } if elapsed(since) >= PATIENCE => Self::Off,
            // Off => Waking
            Self::Off if watched => Self::Waking { since: now },
            // Waking => Watched (it has come, or it will not come) | Unwatched
            Self::Waking { since } if last_packet > since || elapsed(since) >= WAKING => Self::Watched,
            Self::Waking { .. } if !watched => Self::Unwatched { since: now },
            same => same,
        };
    }

    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }

    /// It can be had, though no packet of it comes now.
    pub fn sleeps(&self) -> bool {
        matches!(self, Self::Off | Self::Waking { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_layer_is_paused_after_three_seconds_without_a_viewer_and_wanted_again_at_once() {
        let start = rotunda_proto::clock::Clock.now();
        let mut demand = Demand::Unwatched { since: start };
        demand.update(start + ms(2900), false, start);
        assert!(!demand.sleeps());
        demand.update(start + ms(3000), false, start);
        assert!(demand.is_off());
        demand.update(start + ms(9000), true, start);
        assert!(!demand.is_off() && demand.sleeps(), "asked for and not there yet");
        demand.update(start + ms(9200), true, start + ms(9100));
        assert_eq!(demand, Demand::Watched);
    }

    #[test]
    fn a_viewer_who_looks_away_for_a_moment_pauses_nothing() {
        let start = rotunda_proto::clock::Clock.now();
        let mut demand = Demand::Watched;
        for second in 0..20 {
            let now = start + ms(1000 * second);
            // Two of three seconds without a viewer.
            demand.update(now, second % 3 == 0, now);
            assert!(!demand.sleeps(), "after {second} s");
        }
    }

    #[test]
    fn a_layer_that_does_not_come_is_not_waited_for_for_ever() {
        let start = rotunda_proto::clock::Clock.now();
        let mut demand = Demand::Off;
        demand.update(start, true, start);
        demand.update(start + ms(4900), true, start);
        assert!(demand.sleeps());
        demand.update(start + ms(5000), true, start);
        assert_eq!(demand, Demand::Watched);
    }
}
