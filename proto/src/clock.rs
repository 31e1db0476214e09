//! The only place where a program reads the time; everything else takes it as an input.

use std::time::{Duration, Instant, SystemTime};

/// Monotonic and wall-clock time for a service's shell.
///
/// It can be copied freely. Under `tokio::time::pause` the monotonic time follows tokio's virtual clock, so tests
/// of a shell do not wait.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The current monotonic time, virtual under a paused tokio clock.
    #[expect(clippy::disallowed_methods, reason = "the shell's clock is the one reader of time")]
    pub fn now(self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// The current wall-clock time: for tickets, file names and callbacks, never for intervals.
    #[expect(clippy::disallowed_methods, reason = "the shell's clock is the one reader of time")]
    pub fn wall(self) -> SystemTime {
        SystemTime::now()
    }

    /// Time since 1970-01-01T00:00:00Z; zero if the clock is set before it.
    pub fn unix(self) -> Duration {
        self.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// Blocks this thread until `deadline`: only for a thread of its own work, never in a task.
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

    /// Resolves at `deadline`; without a deadline it never resolves.
    pub async fn until(self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => self.sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}
