//! The load of a worker's thread, and whether it takes more sessions: past a measured share of its time new sessions are refused, so
//! that the members inside keep their quality. Sans-IO but for the [`Reading`], which other threads read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use metrics::Gauge;

/// The share is measured over so long.
const WINDOW: Duration = Duration::from_millis(500);
/// Weight of the newest window in the smoothed share: a burst of joins alone does not make a worker full.
const SMOOTHING: f64 = 0.4;
/// The load must be over the limit for so long before sessions are refused, and under it for so long before they are taken again.
const FOR_A_WHILE: Duration = Duration::from_secs(3);
/// Sessions are taken again when the load is this much below the limit: clients that come again do not make it flap.
const MARGIN: f64 = 0.1;
/// Bit of a [`Reading`]: no more sessions.
const FULL: u32 = 1 << 31;

/// A worker's load, for other threads.
#[derive(Debug, Default)]
pub struct Reading(AtomicU32);

impl Reading {
    /// Share of the thread's time, percent.
    pub fn percent(&self) -> u8 {
        (self.0.load(Ordering::Relaxed) & !FULL) as u8
    }

    /// It takes no more sessions.
    pub fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) & FULL != 0
    }

    #[cfg(test)]
    pub fn set(&self, percent: u8, full: Fullness) {
        let full = if full == Fullness::Full { FULL } else { 0 };
        self.0.store(u32::from(percent) | full, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fullness {
    Open,
    Full,
}

/// Open -> Rising (over the limit) -> Full (for a while) -> Falling (clearly under it) -> Open (for a while).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Rising { since: Instant },
    Full,
    Falling { since: Instant },
}

#[derive(Debug)]
pub struct Load {
    limit: f64,
    state: State,
    ratio: f64,
    window: Instant,
    busy: Duration,
    reading: Arc<Reading>,
    gauge: Gauge,
}

impl Load {
    /// `limit`: share of the time, 0 to 1; 1: no limit. `gauge`: shows the smoothed share.
    pub fn new(now: Instant, limit: f64, reading: Arc<Reading>, gauge: Gauge) -> Self {
        Self {
            limit: if limit < 1.0 { limit } else { f64::INFINITY },
            state: State::Open,
            ratio: 0.0,
            window: now,
            busy: Duration::ZERO,
            reading,
            gauge,
        }
    }

    /// The thread has worked without waiting from one moment to another. A thread that has nothing to do has to be woken now and then:
    /// until then its last reading holds.
    pub fn handle_turn(&mut self, began: Instant, ended: Instant) {
        self.busy += ended.saturating_duration_since(began);
        let elapsed = ended.saturating_duration_since(self.window);
        if elapsed < WINDOW {
            return;
        }
        let share = (self.busy.as_secs_f64() / elapsed.as_secs_f64()).min(1.0);
        // A long window counts as the many windows that it stands for.
        let windows = elapsed.as_secs_f64() / WINDOW.as_secs_f64();
        self.ratio += (share - self.ratio) * (1.0 - (1.0 - SMOOTHING).powf(windows));
        (self.window, self.busy) = (ended, Duration::ZERO);
        self.advance(ended);
        self.gauge.set(self.ratio);
        let full = match self.state {
            State::Full | State::Falling { .. } => FULL,
            State::Open | State::Rising { .. } => 0,
        };
        let percent = (self.ratio * 100.0).round() as u32;
        self.reading.0.store(percent | full, Ordering::Relaxed);
    }

    fn advance(&mut self, now: Instant) {
        let long_enough = |since: Instant| now.saturating_duration_since(since) >= FOR_A_WHILE;
        let (over, under) = (self.ratio >= self.limit, self.ratio < self.limit - MARGIN);
        self.state = match self.state {
            // Open => Rising
            State::Open if over => State::Rising { since: now },
            // Rising => Open | Full
            State::Rising { .. } if !over => State::Open,
            State::Rising { since } if long_enough(since) => State::Full,
            // Full => Falling
            State::Full if under => State::Falling { since: now },
            // Falling => Full | Open
            State::Falling { .. } if !under => State::Full,
            State::Falling { since } if long_enough(since) => State::Open,
            same => same,
        };
    }
}

#[cfg(test)]
mod tests;
