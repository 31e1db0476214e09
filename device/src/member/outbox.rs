//! Fragments of messages that wait for their turn: the server takes a number a second from each member. Sans-IO.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Fragments a second, and at once: a little less than the server takes.
const PER_SECOND: f64 = 25.0;
const AT_ONCE: f64 = 25.0;
/// Fragments that wait: two whole messages.
const MAX_WAITING: usize = 160;

/// See the [module](self).
pub struct Outbox {
    waiting: VecDeque<Vec<u8>>,
    /// Fragments that may leave at `allowed_at` (a token bucket).
    allowance: f64,
    allowed_at: Instant,
}

impl Outbox {
    pub fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            allowance: AT_ONCE,
            allowed_at: now,
        }
    }

    /// Answers false when too many wait: the fragment is dropped.
    pub fn push(&mut self, fragment: Vec<u8>) -> bool {
        let fits = self.waiting.len() < MAX_WAITING;
        if fits {
            self.waiting.push_back(fragment);
        }
        fits
    }

    /// The next fragment that may leave now.
    pub fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.waiting.is_empty() {
            return None;
        }
        let passed = now.saturating_duration_since(self.allowed_at).as_secs_f64();
        self.allowed_at = now;
        self.allowance = (self.allowance + passed * PER_SECOND).min(AT_ONCE);
        if self.allowance < 1.0 {
            return None;
        }
        self.allowance -= 1.0;
        self.waiting.pop_front()
    }

    /// When the next fragment may leave; None: nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.waiting.front()?;
        let missing = (1.0 - self.allowance).max(0.0);
        Some(self.allowed_at + Duration::from_secs_f64(missing / PER_SECOND + 0.001))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::clock::Clock;

    fn sent(outbox: &mut Outbox, now: Instant) -> usize {
        std::iter::from_fn(|| outbox.pop(now)).count()
    }

    #[test]
    fn a_message_leaves_at_once_and_a_long_one_at_the_servers_rate() {
        let (start, mut outbox) = (Clock.now(), Outbox::new(Clock.now()));
        for _ in 0..60 {
            assert!(outbox.push(vec![0]));
        }
        assert_eq!(sent(&mut outbox, start), AT_ONCE as usize);
        assert!(
            outbox
                .due()
                .is_some_and(|at| at > start && at < start + Duration::from_millis(100))
        );
        assert_eq!(sent(&mut outbox, start + Duration::from_secs(1)), PER_SECOND as usize);
        assert_eq!(sent(&mut outbox, start + Duration::from_secs(2)), 10);
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn fragments_that_do_not_fit_are_refused() {
        let mut outbox = Outbox::new(Clock.now());
        let taken = (0..MAX_WAITING + 5).filter(|_| outbox.push(vec![0])).count();
        assert_eq!(taken, MAX_WAITING);
    }
}
