//! The round-trip time to a viewer, kept in this one place.

use std::time::Duration;

/// Before anything was measured: a usual one, so that requests are told from repeated requests from the beginning.
const USUAL: Duration = Duration::from_millis(100);

/// Reception reports measure it exactly (RFC 3550 §6.4.1, LSR and DLSR). Until the first of them, transport-wide feedback gives an
/// upper bound, which contains the viewer's reporting interval.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundTrip {
    reported: Option<Duration>,
    bound: Option<Duration>,
}

impl RoundTrip {
    pub fn handle_report(&mut self, sample: Duration) {
        self.reported = Some(self.reported.map_or(sample, |before| (before * 3 + sample) / 4));
    }

    /// `sample`: from sending a packet to its feedback.
    pub fn handle_feedback(&mut self, sample: Duration) {
        self.bound = Some(self.bound.map_or(sample, |before| (before * 7 + sample) / 8));
    }

    pub fn value(&self) -> Duration {
        self.reported.or(self.bound).unwrap_or(USUAL)
    }

    /// None: no report has measured it.
    pub fn measured(&self) -> Option<Duration> {
        self.reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_count_more_than_feedback_and_feedback_more_than_a_guess() {
        let ms = Duration::from_millis;
        let mut round_trip = RoundTrip::default();
        assert_eq!((round_trip.value(), round_trip.measured()), (USUAL, None));
        round_trip.handle_feedback(ms(180));
        assert_eq!((round_trip.value(), round_trip.measured()), (ms(180), None));
        round_trip.handle_report(ms(40));
        round_trip.handle_feedback(ms(180));
        assert_eq!((round_trip.value(), round_trip.measured()), (ms(40), Some(ms(40))));
        round_trip.handle_report(ms(80));
        assert_eq!(round_trip.value(), ms(50));
    }
}
