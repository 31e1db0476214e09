//! Media time: a whole number of ticks of a stated rate, so that nothing is lost by rounding.

use std::time::Duration;

/// A point in (or a length of) a track's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaTime {
    ticks: u64,
    /// Ticks a second, never 0.
    rate: u32,
}

/// Ticks a second of frame tracks (RFC 6184 §8.1 and every container here).
pub const VIDEO_RATE: u32 = 90_000;

impl MediaTime {
    /// `rate`: ticks a second; 0 is taken as 1.
    pub const fn new(ticks: u64, rate: u32) -> Self {
        Self {
            ticks,
            rate: if rate == 0 { 1 } else { rate },
        }
    }

    pub const fn ticks(self) -> u64 {
        self.ticks
    }

    pub const fn rate(self) -> u32 {
        self.rate
    }

    /// The same time in ticks of another rate, rounded down.
    pub const fn rescale(self, rate: u32) -> Self {
        let ticks = self.ticks as u128 * rate as u128 / self.rate as u128;
        Self::new(ticks as u64, rate)
    }

    /// Milliseconds, rounded down.
    pub const fn millis(self) -> u64 {
        self.rescale(1000).ticks
    }

    pub const fn duration(self) -> Duration {
        let whole = self.ticks / self.rate as u64;
        let rest = self.ticks % self.rate as u64;
        Duration::new(whole, (rest * 1_000_000_000 / self.rate as u64) as u32)
    }

    /// Exact, also between different rates.
    pub const fn is_before(self, other: Self) -> bool {
        (self.ticks as u128) * (other.rate as u128) < (other.ticks as u128) * (self.rate as u128)
    }

    /// From an earlier time to this one; zero from a later one.
    pub const fn since(self, earlier: Self) -> Duration {
        self.duration().saturating_sub(earlier.duration())
    }

    /// The later of two times.
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.is_before(other) { other } else { self }
    }

    /// `self` and `ticks` more of the same rate.
    #[must_use]
    pub const fn plus(self, ticks: u64) -> Self {
        Self::new(self.ticks + ticks, self.rate)
    }
}
