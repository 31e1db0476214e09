//! The queues in which packets wait to be sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::downlink::{Downlink, Flush};
use crate::ingress::track::Viewer;
use crate::slab::{SessionIndex, TrackIndex};

/// A packet that a viewer with much loss is sent again, unasked.
#[derive(Debug, Clone, Copy)]
pub struct Repeat {
    pub due: Instant,
    pub viewer: Viewer,
    /// In the viewer's slot, on the wire.
    pub seq: u16,
    /// 1: the first retransmission.
    pub time: usize,
}

/// The life of a packet between its arrival and its send:
///
/// ```text
/// arrives ─▶ Track::pending, Room::pending
///              │ the frame is complete: `complete`      else: `gathering`, for the batch window
///              ▼
///            fan-out: Downlink::send, for each viewer ──────────────▶ `repeats` (viewers with much loss)
///              │ the last track of the room: sent at once               │ after 15 ms: a retransmission
///              ▼                                                        ▼
///            `ready`: sent in this turn                               `waiting`, for the batch window
///              └──────────────▶ Downlink::poll ◀────────────────────────┘
/// ```
///
/// Everything that is `complete` or `ready` leaves in the same turn. The other queues are in the order of their deadlines.
/// An entry may outlive its track or session: it then finds nothing, or another one in its place that has nothing to send.
#[derive(Debug, Default)]
pub struct SendQueues {
    /// Tracks with a complete frame that no viewer has got yet.
    complete: Vec<TrackIndex>,
    /// Tracks whose packets wait for more of the same moment.
    gathering: VecDeque<(Instant, TrackIndex)>,
    repeats: VecDeque<Repeat>,
    /// Sessions that send in this turn, and sessions that wait for more packets of the same moment.
    ready: VecDeque<SessionIndex>,
    waiting: VecDeque<(Instant, SessionIndex)>,
    batch_window: Duration,
    /// Empty; keeps its memory.
    tracks: Vec<TrackIndex>,
}

impl SendQueues {
    /// `batch_window`: packets of one moment are collected for so long, to leave in one send.
    pub fn new(batch_window: Duration) -> Self {
        Self {
            batch_window,
            ..Self::default()
        }
    }

    /// A track's frame is complete: its viewers are given it in this turn.
    pub fn add_complete(&mut self, track: TrackIndex) {
        self.complete.push(track);
    }

    /// A track has the first packet of a moment.
    pub fn add_gathering(&mut self, now: Instant, track: TrackIndex) {
        self.gathering.push_back((now + self.batch_window, track));
    }

    /// The next track whose packets go to its viewers now.
    pub fn next_track(&mut self, now: Instant) -> Option<TrackIndex> {
        if let Some(track) = self.complete.pop() {
            return Some(track);
        }
        let (_, track) = self.gathering.pop_front_if(|(due, _)| *due <= now)?;
        Some(track)
    }

    pub fn add_repeats(&mut self, repeats: impl IntoIterator<Item = Repeat>) {
        self.repeats.extend(repeats);
    }

    pub fn next_repeat(&mut self, now: Instant) -> Option<Repeat> {
        self.repeats.pop_front_if(|repeat| repeat.due <= now)
    }

    /// A session has packets to send in this turn.
    pub fn add_ready(&mut self, session: SessionIndex, downlink: &mut Downlink) {
        if downlink.flush() != Flush::Ready {
            downlink.set_flush(Flush::Ready);
            self.ready.push_back(session);
        }
    }

    /// A session has packets to send, which wait for more of the same moment.
    pub fn add_waiting(&mut self, now: Instant, session: SessionIndex, downlink: &mut Downlink) {
        if downlink.flush() == Flush::Idle {
            downlink.set_flush(Flush::Waiting);
            self.waiting.push_back((now + self.batch_window, session));
        }
    }

    /// The next session that sends now.
    pub fn next_session(&mut self, now: Instant) -> Option<SessionIndex> {
        if let Some(session) = self.ready.pop_front() {
            return Some(session);
        }
        let (_, session) = self.waiting.pop_front_if(|(due, _)| *due <= now)?;
        Some(session)
    }

    /// An empty list of tracks with memory, to be given back.
    pub fn take_tracks(&mut self) -> Vec<TrackIndex> {
        std::mem::take(&mut self.tracks)
    }

    pub fn give_back_tracks(&mut self, mut tracks: Vec<TrackIndex>) {
        tracks.clear();
        self.tracks = tracks;
    }

    /// Something waits for the next call without a deadline.
    pub fn is_urgent(&self) -> bool {
        !self.complete.is_empty() || !self.ready.is_empty()
    }

    /// When something is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gathering = self.gathering.front().map(|(due, _)| *due);
        let waiting = self.waiting.front().map(|(due, _)| *due);
        let repeat = self.repeats.front().map(|repeat| repeat.due);
        [gathering, waiting, repeat].into_iter().flatten().min()
    }

    /// Sessions that wait for their turn.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.ready.len()
    }
}
