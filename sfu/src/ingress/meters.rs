//! What is measured of a stream: its jitter and its bitrate.

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// The bitrate is measured over this time.
const METER: Duration = Duration::from_millis(500);

/// Interarrival jitter (RFC 3550 A.8) of the first packets of frames: the others come later the larger the frame is.
/// Retransmissions are left out, which is why `str0m`'s figure is of no use: browsers probe with them.
#[derive(Debug, Default)]
pub struct Jitter {
    seconds: f64,
    prior: Option<(Instant, u32)>,
}

impl Jitter {
    /// After a pause.
    pub fn restart(&mut self) {
        self.prior = None;
    }

    pub fn milliseconds(&self) -> u32 {
        (self.seconds * 1000.0).round() as u32
    }

    /// Answers whether the packet is the first of its frame.
    pub fn add(&mut self, arrived: Instant, time: u32, clock_rate: u32) -> bool {
        if let Some((at, before)) = self.prior {
            if before == time {
                return false;
            }
            let ticks = f64::from(time.wrapping_sub(before) as i32);
            let elapsed = arrived.saturating_duration_since(at).as_secs_f64();
            self.seconds += ((elapsed - ticks / f64::from(clock_rate)).abs() - self.seconds) / 16.0;
        }
        self.prior = Some((arrived, time));
        true
    }
}

#[derive(Debug)]
pub struct Meter {
    since: Instant,
    bytes: usize,
    /// Zero: not known yet.
    bitrate: Bitrate,
}

impl Meter {
    /// As it was measured last.
    pub fn bitrate(&self) -> Bitrate {
        self.bitrate
    }

    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            bitrate: Bitrate::ZERO,
        }
    }

    /// After a pause: the last measured bitrate holds until a newer one is known.
    pub fn restart(&mut self, now: Instant) {
        self.since = now;
        self.bytes = 0;
    }

    pub fn add(&mut self, now: Instant, bytes: usize) {
        self.bytes += bytes;
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= METER {
            let measured = Bitrate::of_bytes(self.bytes as u64, elapsed);
            self.bitrate = if self.bitrate == Bitrate::ZERO {
                measured
            } else {
                self.bitrate.mean_with(measured)
            };
            self.since = now;
            self.bytes = 0;
        }
    }
}
