//! Calls a second, by key and action.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;

use crate::api::ApiError;

/// Keys and actions that are counted at one time. With more, those of seconds that are over are forgotten.
const MOST_WINDOWS: usize = 4096;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Limits(Mutex<HashMap<(String, &'static str), Window>>);

/// The calls of a second.
#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    calls: u32,
}

impl Limits {
    /// Errors: `RequestLimitExceeded`.
    pub fn count(&self, key: &str, action: &'static str, most: u32) -> Result<(), ApiError> {
        self.count_at(Clock.now(), key, action, most)
    }

    fn count_at(&self, now: Instant, key: &str, action: &'static str, most: u32) -> Result<(), ApiError> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |window: &Window| now.saturating_duration_since(window.began) >= SECOND;
        if windows.len() >= MOST_WINDOWS {
            windows.retain(|_, window| !is_over(window));
        }
        let fresh = Window { began: now, calls: 0 };
        let window = windows.entry((key.to_owned(), action)).or_insert(fresh);
        if is_over(window) {
            *window = fresh;
        }
        window.calls += 1;
        match window.calls > most {
            false => Ok(()),
            true => {
                let message = format!("at most {most} calls of {action} a second; wait a second");
                Err(ApiError::new("RequestLimitExceeded", message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_calls_of_each_action_and_second() {
        let (limits, now) = (Limits::default(), Clock.now());
        let call = |millis: u64, key: &str, action: &'static str| {
            let counted = limits.count_at(now + Duration::from_millis(millis), key, action, 2);
            counted.map_err(|error| error.code)
        };
        assert_eq!(call(0, "a", "X"), Ok(()));
        assert_eq!(call(1, "a", "X"), Ok(()));
        assert_eq!(call(2, "a", "X"), Err("RequestLimitExceeded"));
        assert_eq!(call(2, "a", "Y"), Ok(()));
        assert_eq!(call(2, "b", "X"), Ok(()));
        assert_eq!(call(999, "a", "X"), Err("RequestLimitExceeded"));
        assert_eq!(call(1000, "a", "X"), Ok(()));
    }
}
