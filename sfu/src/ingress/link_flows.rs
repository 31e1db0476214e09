//! Which simulcast streams of a track go to the workers of other nodes: those that are watched there.
//!
//! A node that is told that a stream does not come takes it for one that its publisher has paused: it can be had again.

use std::time::{Duration, Instant};

use super::packet::StreamId;
use crate::slab::WorkerIndex;

/// A stream that is not watched at the other node any more goes there for so long: viewers look away for a moment.
const PATIENCE: Duration = Duration::from_millis(500);
/// A stream that goes there again has come after so long: then its true state is told.
const COMES: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct LinkFlows(Vec<Flow>);

/// A stream on its way to a worker, unless it goes there and is watched.
#[derive(Debug)]
struct Flow {
    to: WorkerIndex,
    stream: StreamId,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unwatched { since: Instant },
    Paused,
    Resumed { since: Instant },
}

/// What is to be done for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It does not get the stream any more, and is told so.
    Pause,
    /// It gets it again.
    Resume,
    /// It is told whether the publisher is asked for the stream.
    Tell,
}

impl LinkFlows {
    /// `is_watched`: by viewers of the worker, or behind it.
    pub fn update(&mut self, now: Instant, to: WorkerIndex, stream: StreamId, is_watched: bool) -> Option<Step> {
        let at = self.0.iter().position(|flow| flow.to == to && flow.stream == stream);
        let Some(at) = at else {
            // Watched => Unwatched
            if !is_watched {
                let state = State::Unwatched { since: now };
                self.0.push(Flow { to, stream, state });
            }
            return None;
        };
        let elapsed = |since: Instant| now.saturating_duration_since(since);
        let flow = &mut self.0[at];
        match flow.state {
            // Unwatched => Watched | Paused
            State::Unwatched { .. } if is_watched => {
                self.0.swap_remove(at);
                None
            }
            State::Unwatched { since } if elapsed(since) >= PATIENCE => {
                flow.state = State::Paused;
                Some(Step::Pause)
            }
            // Paused => Resumed
            State::Paused if is_watched => {
                flow.state = State::Resumed { since: now };
                Some(Step::Resume)
            }
            // Resumed => Watched
            State::Resumed { since } if elapsed(since) >= COMES => {
                self.0.swap_remove(at);
                Some(Step::Tell)
            }
            State::Unwatched { .. } | State::Paused | State::Resumed { .. } => None,
        }
    }

    /// A worker does not get a stream any more, from now on. Answers whether it did.
    pub fn pause(&mut self, to: WorkerIndex, stream: StreamId) -> bool {
        let was_paused = self.is_paused(to, stream);
        self.0.retain(|flow| flow.to != to || flow.stream != stream);
        let state = State::Paused;
        self.0.push(Flow { to, stream, state });
        !was_paused
    }

    pub fn is_paused(&self, to: WorkerIndex, stream: StreamId) -> bool {
        let mut flows = self.0.iter();
        flows.any(|flow| flow.to == to && flow.stream == stream && flow.state == State::Paused)
    }

    /// Forgets workers that do not get the track any more.
    pub fn retain(&mut self, gets: impl Fn(WorkerIndex) -> bool) {
        self.0.retain(|flow| gets(flow.to));
    }

    pub fn forget(&mut self, stream: StreamId) {
        self.0.retain(|flow| flow.stream != stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Index;

    #[test]
    fn a_stream_goes_where_it_is_watched_and_a_moment_longer() {
        let start = rotunda_proto::clock::Clock.now();
        let (to, stream) = (WorkerIndex::at(3), StreamId(4));
        let mut flows = LinkFlows::default();
        let mut update = |milliseconds: u64, is_watched: bool| {
            flows.update(start + Duration::from_millis(milliseconds), to, stream, is_watched)
        };
        let steps = [(0, true), (100, false), (400, true), (500, false), (900, false)];
        for (at, is_watched) in steps {
            assert_eq!(update(at, is_watched), None, "after {at} ms");
        }
        assert_eq!(update(1000, false), Some(Step::Pause));
        assert_eq!(update(5000, false), None);
        assert_eq!(update(6000, true), Some(Step::Resume));
        assert_eq!(update(6500, true), None);
        assert_eq!(update(7000, true), Some(Step::Tell));
        assert_eq!(update(7100, true), None);
        update(8000, false);
        update(8600, false);
        assert!(flows.is_paused(to, stream) && !flows.is_paused(WorkerIndex::at(4), stream));
        flows.retain(|worker| worker != to);
        assert!(!flows.is_paused(to, stream));
        assert!(flows.pause(to, stream) && !flows.pause(to, stream));
        assert!(flows.is_paused(to, stream));
    }
}
