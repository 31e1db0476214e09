//! The one place where a program reads the time; everything else takes it as an input.

use std::time::{Duration, Instant, SystemTime};

/// Monotonic and wall-clock time for a service's shell.
///
/// Copy it freely. Under `tokio::time::pause` the monotonic side follows tokio's virtual clock, so a shell is tested
/// without waiting.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Monotonic now, virtual under a paused tokio clock.
    #[expect(clippy::disallowed_methods, reason = "the shell's clock is the one reader of time")]
    pub fn now(self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Wall-clock now: for tickets, file names and callbacks, never for intervals.
    #[expect(clippy::disallowed_methods, reason = "the shell's clock is the one reader of time")]
    pub fn wall(self) -> SystemTime {
        SystemTime::now()
    }

    /// Time since 1970-01-01T00:00:00Z; zero on a clock set before it.
    pub fn unix(self) -> Duration {
        self.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// Blocks this thread until `deadline`: for a thread that has a core and a job of its own, never in a task.
    #[expect(clippy::disallowed_methods, reason = "the shell's clock is the one that waits")]
    pub fn block_until(self, deadline: Instant) {
        let rest = deadline.saturating_duration_since(self.now());
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }

    /// Resolves at `deadline`.
    pub async fn sleep_until(self, deadline: Instant) {
        tokio::time::sleep_until(deadline.into()).await;
    }

    /// Resolves at `deadline`; without one never.
    pub async fn until(self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => self.sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}
