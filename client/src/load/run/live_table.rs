//! The table that is shown once per second during a run.

use std::time::{Duration, Instant};

use super::progress::Progress;
use crate::load::delay::Quantiles;
use crate::load::report::loss;
use crate::load::tally::Tally;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Joining,
    WarmUp,
    Measuring,
    Settling,
}

/// The figures of one second of the run.
#[derive(Debug, Clone, Copy)]
pub struct Second {
    /// Since the run began.
    pub at: Duration,
    pub stage: Stage,
    pub publishers: u64,
    pub viewers: u64,
    pub audience: u64,
    pub packets_per_second: f64,
    pub megabits_per_second: f64,
    pub loss: f64,
    /// Video, or audio when there is no video.
    pub delay_ms: Quantiles,
    pub server_cpu_share: Option<f64>,
}

/// The next line of the live table.
pub struct Line {
    pub stage: Stage,
    /// When the run began.
    epoch: Instant,
    began: Instant,
    parts: usize,
    tally: Tally,
    server_cpu: Option<Duration>,
}

impl Line {
    /// The first line. `server_cpu`: the server's CPU time so far.
    pub fn new(epoch: Instant, server_cpu: Option<Duration>) -> Self {
        Self {
            stage: Stage::Joining,
            epoch,
            began: epoch,
            parts: 0,
            tally: Tally::default(),
            server_cpu,
        }
    }

    /// Adds one thread's second; returns true once all threads have reported.
    pub fn handle_second(&mut self, tally: &Tally, threads: usize) -> bool {
        self.tally.add(tally);
        self.parts += 1;
        self.parts >= threads
    }

    /// Returns the line's figures; the next line begins.
    pub fn finish(&mut self, now: Instant, progress: &Progress, server_cpu: Option<Duration>) -> Second {
        let seconds = now.saturating_duration_since(self.began).as_secs_f64().max(0.001);
        let server_time = server_cpu.zip(self.server_cpu);
        let counts = self.tally.counts();
        let heard = if self.tally.video.delays.is_empty() {
            &self.tally.audio
        } else {
            &self.tally.video
        };
        let second = Second {
            at: now.saturating_duration_since(self.epoch),
            stage: self.stage,
            publishers: progress.publishers,
            viewers: progress.viewers,
            audience: progress.audience.members,
            packets_per_second: counts.delivered as f64 / seconds,
            megabits_per_second: counts.payload_bytes as f64 * 8.0 / 1e6 / seconds,
            loss: loss(counts),
            delay_ms: heard.delays.summary(),
            server_cpu_share: server_time.map(|(now, before)| now.saturating_sub(before).as_secs_f64() / seconds),
        };
        *self = Self {
            stage: self.stage,
            began: now,
            ..Self::new(self.epoch, server_cpu)
        };
        second
    }
}
