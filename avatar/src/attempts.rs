//! Pauses between attempts to stay connected: 1 s, then twice as long after each failure, up to 30 s. After an attempt that
//! lasted longer than that, the pauses begin anew.

use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use tokio_util::sync::CancellationToken;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// See the [module](self). The first attempt begins at once.
pub struct Attempts {
    began: Instant,
    pause: Duration,
}

impl Attempts {
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            pause: FIRST,
        }
    }

    /// An attempt has ended at `now`: the pause until the next one.
    fn handle_end(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.began) > LONGEST {
            self.pause = FIRST;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        self.began = now + pause;
        pause
    }

    /// Waits until the next attempt. Answers false if `stop` comes first.
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let now = Clock.now();
        let until = now + self.handle_end(now);
        tokio::select! {
            () = stop.cancelled() => false,
            () = Clock.sleep_until(until) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_30_s_and_begin_anew_after_an_attempt_that_lasted() {
        let mut now = Clock.now();
        let mut attempts = Attempts::new(now);
        let mut fail_after = |seconds| {
            now += Duration::from_secs(seconds);
            let pause = attempts.handle_end(now);
            now += pause;
            pause.as_secs()
        };
        let pauses: Vec<u64> = (0..7).map(|_| fail_after(0)).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(fail_after(30), 30);
        assert_eq!(fail_after(31), 1);
    }
}
