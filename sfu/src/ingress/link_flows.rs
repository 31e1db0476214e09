//! Which layers of a track go to the workers of other nodes: simulcast streams that are watched there, and of a stream with spatial layers inside
//! (SVC) those up to the highest one that is watched there.
//!
//! A node that is told that a layer does not come takes it for one that its publisher has paused: it can be had again.

use std::time::{Duration, Instant};

use super::packet::StreamId;
use super::track::Watched;
use crate::slab::WorkerIndex;

/// A stream that is not watched at the other node any more goes there for so long: viewers look away for a moment.
const PATIENCE: Duration = Duration::from_millis(500);
/// A stream that goes there again has come after so long: then its true state is told.
const COMES: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct LinkFlows(Vec<Flow>);

/// A layer on its way to a worker, unless it goes there and is watched.
#[derive(Debug)]
struct Flow {
    to: WorkerIndex,
    layer: Watched,
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
    pub fn update(&mut self, now: Instant, to: WorkerIndex, layer: Watched, is_watched: bool) -> Option<Step> {
        let at = self.0.iter().position(|flow| flow.to == to && flow.layer == layer);
        let Some(at) = at else {
            // Watched => Unwatched
            if !is_watched {
                let state = State::Unwatched { since: now };
                self.0.push(Flow { to, layer, state });
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

    /// A worker does not get a layer any more, from now on. Answers whether it did.
    pub fn pause(&mut self, to: WorkerIndex, layer: Watched) -> bool {
        let was_paused = self.is_paused(to, layer);
        self.0.retain(|flow| flow.to != to || flow.layer != layer);
        let state = State::Paused;
        self.0.push(Flow { to, layer, state });
        !was_paused
    }

    /// Whether a layer, or one below it in the same stream, does not go to a worker.
    pub fn is_paused(&self, to: WorkerIndex, layer: Watched) -> bool {
        let is_needed = |flow: &Flow| flow.layer.stream == layer.stream && flow.layer.spatial <= layer.spatial;
        let mut flows = self.0.iter();
        flows.any(|flow| flow.to == to && is_needed(flow) && flow.state == State::Paused)
    }

    /// Forgets workers that do not get the track any more.
    pub fn retain(&mut self, gets: impl Fn(WorkerIndex) -> bool) {
        self.0.retain(|flow| gets(flow.to));
    }

    pub fn forget(&mut self, stream: StreamId) {
        self.0.retain(|flow| flow.layer.stream != stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Index;

    #[test]
    fn a_stream_goes_where_it_is_watched_and_a_moment_longer() {
        let start = rotunda_proto::clock::Clock.now();
        let whole = |id: u64| Watched {
            stream: StreamId(id),
            spatial: 0,
        };
        let (to, stream) = (WorkerIndex::at(3), whole(4));
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

    #[test]
    fn above_a_spatial_layer_that_does_not_go_none_goes() {
        let start = rotunda_proto::clock::Clock.now();
        let layer = |spatial| Watched {
            stream: StreamId(4),
            spatial,
        };
        let (to, mut flows) = (WorkerIndex::at(3), LinkFlows::default());
        flows.pause(to, layer(1));
        let paused = [0, 1, 2].map(|spatial| flows.is_paused(to, layer(spatial)));
        assert_eq!(paused, [false, true, true]);
        assert_eq!(flows.update(start, to, layer(1), true), Some(Step::Resume));
        assert!(!flows.is_paused(to, layer(2)));
        flows.forget(StreamId(4));
        assert_eq!(flows.update(start, to, layer(1), true), None);
    }
}
