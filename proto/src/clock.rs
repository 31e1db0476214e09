//! The only place where a program reads the time; everything else takes it as an input.

use std::sync::OnceLock;
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

    /// The first time from `at` on that many tasks have in common, so that one wake of the runtime serves them all: multiples of `grid`
    /// since the first call in this process.
    pub fn shared_from(self, at: Instant, grid: Duration) -> Instant {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let begin = *BEGIN.get_or_init(|| self.now());
        let at = at.max(begin);
        let after = (at - begin).as_nanos();
        let past = (after % grid.as_nanos().max(1)) as u64;
        match past {
            0 => at,
            past => at + grid.saturating_sub(Duration::from_nanos(past)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_many_tasks_fall_on_one_grid() {
        let grid = Duration::from_millis(10);
        let first = Clock.shared_from(Clock.now(), grid);
        for ms in 0..40 {
            let at = first + Duration::from_millis(ms);
            let shared = Clock.shared_from(at, grid);
            assert!(shared >= at && shared < at + grid);
            assert_eq!((shared - first).as_nanos() % grid.as_nanos(), 0, "{ms} ms");
        }
    }
}
