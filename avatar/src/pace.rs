//! `inferfps` and `finalfps`: how fast the face is painted, and how many frames go out. Every four seconds to the log and the metrics.

use std::time::{Duration, Instant};

use metrics::histogram;
use tracing::info;

/// Frames of one measurement.
const FRAMES: u32 = 100;

/// See the [module](self).
pub struct Pace {
    since: Instant,
    frames: u32,
    painting: Duration,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            frames: 0,
            painting: Duration::ZERO,
        }
    }

    /// A frame was painted and went out.
    pub fn handle_frame(&mut self, session: u32, began: Instant, painted: Instant) {
        self.frames += 1;
        self.painting += painted.saturating_duration_since(began);
        if self.frames < FRAMES {
            return;
        }
        let (infer, last) = self.rates(painted);
        histogram!("rotunda_avatar_infer_fps").record(infer);
        histogram!("rotunda_avatar_final_fps").record(last);
        info!(
            session,
            inferfps = (10.0 * infer).round() / 10.0,
            finalfps = (10.0 * last).round() / 10.0,
            "frames"
        );
        *self = Self::new(painted);
    }

    fn rates(&self, now: Instant) -> (f64, f64) {
        let frames = f64::from(self.frames);
        let painting = self.painting.as_secs_f64().max(1e-6);
        let passed = now.saturating_duration_since(self.since).as_secs_f64().max(1e-6);
        (frames / painting, frames / passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::clock::Clock;

    #[test]
    fn the_rates_are_those_of_painting_and_of_time() {
        let start = Clock.now();
        let mut pace = Pace::new(start);
        for frame in 0..50 {
            let began = start + Duration::from_millis(40) * frame;
            pace.handle_frame(1, began, began + Duration::from_millis(10));
        }
        let (infer, last) = pace.rates(start + Duration::from_secs(2));
        assert_eq!((infer.round(), last.round()), (100.0, 25.0));
    }
}
