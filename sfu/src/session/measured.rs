//! The newest figures of a session.

use std::time::{Duration, Instant};

use rotunda_proto::statistics::Statistics;

/// Rates are averages over this time. `str0m` tells its part at the same interval.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// A member is told an unchanged score again after so long.
const RETOLD: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Measured {
    statistics: Statistics,
    at: Option<Instant>,
    told_at: Option<Instant>,
    told: [u8; 2],
}

impl Measured {
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The time since the last figures, when it is time for new ones.
    pub fn poll(&mut self, now: Instant) -> Option<Duration> {
        let at = *self.at.get_or_insert(now);
        let elapsed = now.saturating_duration_since(at);
        if elapsed < INTERVAL {
            return None;
        }
        self.at = Some(now);
        Some(elapsed)
    }

    pub fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    /// Whether to tell the member: a score has changed, or the member has not been told for long.
    pub fn poll_quality(&mut self, now: Instant) -> bool {
        let quality = &self.statistics.quality;
        let scores = [quality.uplink_network_quality, quality.downlink_network_quality];
        let due = self
            .told_at
            .is_none_or(|at| now.saturating_duration_since(at) >= RETOLD);
        if scores == self.told && !due {
            return false;
        }
        (self.told, self.told_at) = (scores, Some(now));
        true
    }
}
