//! Delays of packets in a histogram.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Delays from 1 µs to a minute, with 3 digits; longer ones count as a minute.
#[derive(Debug, Clone)]
pub struct Delays(Histogram<u64>);

impl Default for Delays {
    fn default() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the bounds are constants, in order and within the supported range"
        )]
        let histogram = Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS).expect("the bounds are right");
        Self(histogram)
    }
}

impl Delays {
    pub fn record(&mut self, delay: Duration) {
        self.0
            .saturating_record(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so adding cannot fail.
        let _fits = self.0.add(&other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The quantiles; all zero when nothing was recorded.
    pub fn summary(&self) -> Quantiles {
        let at = |quantile| millis(self.0.value_at_quantile(quantile));
        Quantiles {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: millis(self.0.max()),
        }
    }
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

const LONGEST_MICROS: u64 = 60_000_000;
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_recorded_delays() {
        let mut delays = Delays::default();
        (1..=100).for_each(|ms| delays.record(Duration::from_millis(ms)));
        let summary = delays.summary();
        for (found, right) in [
            (summary.p50, 50.0),
            (summary.p95, 95.0),
            (summary.p99, 99.0),
            (summary.max, 100.0),
        ] {
            assert!((found - right).abs() / right < 0.01, "{summary:?}");
        }
    }

    #[test]
    fn sums_hold_both_and_too_long_is_the_longest() {
        let (mut one, mut other) = (Delays::default(), Delays::default());
        one.record(Duration::from_millis(1));
        other.record(Duration::from_secs(600));
        one.add(&other);
        assert!(one.summary().max > 59_000.0 && one.summary().p50 < 1.1);
        assert_eq!(Delays::default().summary(), Quantiles::default());
    }
}
