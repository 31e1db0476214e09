//! Which tick of a mix is when.

use rotunda_proto::mix::VideoEncode;

use crate::timeline::Micros;

/// Ticks a second of a mix with audio alone.
const SOUND_TICKS: u8 = 50;

/// Which tick is when: number `n` is at `start` + n / `rate`.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    pub start: Micros,
    pub rate: u8,
    pub next: i64,
}

impl Ticks {
    /// The first tick is at `start` or after it, in the same pace as in a program that has run since 0: players measure the frame rate.
    pub fn starting_at(start: Micros, rate: u8) -> Self {
        Self {
            start: 0,
            rate,
            next: (start * i64::from(rate) + 999_999).div_euclid(1_000_000),
        }
    }

    pub fn at(self, tick: i64) -> Micros {
        self.start + tick * 1_000_000 / i64::from(self.rate.max(1))
    }
}

pub fn tick_rate(video: Option<VideoEncode>) -> u8 {
    video.map_or(SOUND_TICKS, |video| video.framerate.max(1))
}
