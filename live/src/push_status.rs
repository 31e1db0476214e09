//! The states of one push as the application is told of them, by the contract of event 401. Pure.
//!
//! Each change is told once: connecting, running, recovering, disconnecting, idle; after a minute without a connection failed and
//! idle. An attempt that fails while the push connects or recovers tells the state once more, with its error, at most every 5 s.
//! So an outage is at most some fifteen facts in its first minute, and none after it: attempts go on in silence until one succeeds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rotunda_events::{PushError, PushState};

/// By contract a state is repeated at this interval.
const REPEAT_AFTER: Duration = Duration::from_secs(5);
/// By contract a push that has no connection for so long has failed.
const FAILED_AFTER: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Debug)]
pub struct PushStatus {
    state: State,
    told: VecDeque<Told>,
}

/// A state to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub state: PushState,
    pub error: Option<PushError>,
}

#[derive(Debug)]
enum State {
    Trying {
        /// Connecting or recovering.
        name: PushState,
        since: Instant,
        /// When the last failure was told.
        told_at: Option<Instant>,
        error: Option<PushError>,
    },
    Running,
    /// It was told as failed, and is still tried.
    Failed,
    Over,
}

impl PushStatus {
    /// The first attempt begins.
    pub fn new(now: Instant) -> Self {
        let mut status = Self {
            state: State::Over,
            told: VecDeque::new(),
        };
        status.tell(PushState::Connecting, None);
        status.state = State::Trying {
            name: PushState::Connecting,
            since: now,
            told_at: None,
            error: None,
        };
        status
    }

    /// The other server has accepted the stream.
    pub fn handle_connected(&mut self) {
        match self.state {
            // Trying => Running
            State::Trying { .. } => {}
            // Failed => Running: the contract knows no way there but a new start.
            State::Failed => self.tell(PushState::Connecting, None),
            State::Running | State::Over => return,
        }
        self.tell(PushState::Running, None);
        self.state = State::Running;
    }

    /// An attempt has failed, or the connection is lost.
    pub fn handle_failed(&mut self, now: Instant, why: PushError) {
        match &mut self.state {
            State::Trying {
                name, told_at, error, ..
            } => {
                *error = Some(why.clone());
                let is_due = told_at.is_none_or(|at| now.saturating_duration_since(at) >= REPEAT_AFTER);
                if is_due {
                    *told_at = Some(now);
                    let name = *name;
                    self.tell(name, Some(why));
                }
            }
            // Running => Trying
            State::Running => {
                self.tell(PushState::Recovering, Some(why.clone()));
                self.state = State::Trying {
                    name: PushState::Recovering,
                    since: now,
                    told_at: Some(now),
                    error: Some(why),
                };
            }
            State::Failed | State::Over => {}
        }
        self.handle_timeout(now);
    }

    /// Call it at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        let State::Trying { since, error, .. } = &mut self.state else {
            return;
        };
        if now.saturating_duration_since(*since) < FAILED_AFTER {
            return;
        }
        // Trying => Failed
        let error = error.take();
        self.tell(PushState::Failed, error);
        self.tell(PushState::Idle, None);
        self.state = State::Failed;
    }

    /// The push is not wanted any more, or its program has ended.
    pub fn handle_stopped(&mut self) {
        if matches!(self.state, State::Trying { .. } | State::Running) {
            self.tell(PushState::Disconnecting, None);
            self.tell(PushState::Idle, None);
        }
        self.state = State::Over;
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Trying { since, .. } => Some(since + FAILED_AFTER),
            State::Running | State::Failed | State::Over => None,
        }
    }

    pub fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn tell(&mut self, state: PushState, error: Option<PushError>) {
        self.told.push_back(Told { state, error });
    }
}

#[cfg(test)]
mod tests {
    use PushState::{Connecting, Disconnecting, Failed, Idle, Recovering, Running};
    use rotunda_events::PushErrorKind;
    use rotunda_proto::clock::Clock;

    use super::*;

    struct Push {
        status: PushStatus,
        began: Instant,
    }

    impl Push {
        fn new() -> Self {
            let began = Clock.now();
            Self {
                status: PushStatus::new(began),
                began,
            }
        }

        fn connected(mut self) -> Self {
            self.status.handle_connected();
            self
        }

        /// `at`: seconds since the begin.
        fn failed(mut self, at: u64) -> Self {
            let error = PushError {
                kind: PushErrorKind::Connection,
                message: "refused".to_owned(),
            };
            self.status.handle_failed(self.began + Duration::from_secs(at), error);
            self
        }

        fn waited(mut self, until: u64) -> Self {
            self.status.handle_timeout(self.began + Duration::from_secs(until));
            self
        }

        fn stopped(mut self) -> Self {
            self.status.handle_stopped();
            self
        }

        fn told(mut self) -> Vec<PushState> {
            std::iter::from_fn(|| self.status.poll_told())
                .map(|told| told.state)
                .collect()
        }
    }

    #[test]
    fn the_sequences_are_those_of_the_contract() {
        let begun = Push::new().connected();
        assert_eq!(begun.stopped().told(), [Connecting, Running, Disconnecting, Idle]);
        let recovered = Push::new().connected().failed(9).connected();
        assert_eq!(recovered.told(), [Connecting, Running, Recovering, Running]);
        let lost = Push::new().connected().failed(9).waited(69);
        assert_eq!(lost.told(), [Connecting, Running, Recovering, Failed, Idle]);
    }

    #[test]
    fn a_failure_is_told_at_once_and_again_every_five_seconds_for_a_minute() {
        let mut push = Push::new();
        for at in [0, 1, 3, 7, 8, 12, 59] {
            push = push.failed(at);
        }
        assert_eq!(push.status.poll_timeout(), Some(push.began + FAILED_AFTER));
        // The begin, and the failures after 0, 7, 12 and 59 s.
        let told = push.waited(60).failed(70).failed(90).stopped().told();
        let mut expected = vec![Connecting; 5];
        expected.extend([Failed, Idle]);
        assert_eq!(told, expected, "and nothing more: it was told as idle");
    }

    #[test]
    fn a_push_that_has_failed_begins_anew_when_it_succeeds_after_all() {
        let late = Push::new().failed(1).waited(60).failed(75).connected();
        let expected = [Connecting, Connecting, Failed, Idle, Connecting, Running];
        assert_eq!(late.told(), expected);
    }

    #[test]
    fn the_last_error_comes_with_the_failure_and_an_end_has_none() {
        let mut push = Push::new().failed(1).waited(60);
        let told: Vec<_> = std::iter::from_fn(|| push.status.poll_told()).collect();
        let has_error: Vec<bool> = told.iter().map(|told| told.error.is_some()).collect();
        assert_eq!(has_error, [false, true, true, false]);
        assert_eq!(push.status.poll_timeout(), None);
    }
}
