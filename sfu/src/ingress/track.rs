//! The track that a publisher sends of one source: its streams (one, or one for each simulcast layer), and its viewers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::ids::{RoomKey, TrackSource, UserId};
use str0m::format::PayloadParams;

use super::link_flows::{LinkFlows, Step};
use super::packet::{Packet, StreamId};
use crate::slab::{Index, SessionIndex, SlotIndex, TrackIndex, WorkerIndex};

/// Older packets that are kept beside an audio packet, for redundancy (RFC 2198).
pub const MOST_OLDER: usize = 3;

/// A replica that nobody watches any more gets packets for so long: viewers look away for a moment.
const RELEASE: Duration = Duration::from_secs(2);
/// Missing packets come within so long after they were asked for, or not at all.
const ANSWER: Duration = Duration::from_secs(1);

/// A slot of a session that shows a track, or is to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    pub session: SessionIndex,
    pub slot: SlotIndex,
}

/// A stream that is watched, up to this spatial layer of those inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    pub stream: StreamId,
    pub spatial: u8,
}

/// A packet that its track's viewers have not been given yet.
#[derive(Debug)]
pub struct Pending {
    pub stream: StreamId,
    pub params: PayloadParams,
    pub packet: Arc<Packet>,
    /// Of audio: the packets before it, newest first, for redundancy.
    pub older: [Option<Arc<Packet>>; MOST_OLDER],
}

#[derive(Debug)]
pub struct Track {
    publisher: Publisher,
    room: RoomKey,
    source: TrackSource,
    streams: Vec<StreamId>,
    viewers: Vec<Viewer>,
    /// In the order of arrival.
    pending: Vec<Pending>,
    /// Workers that have a replica.
    neighbours: Vec<WorkerIndex>,
    /// Those of them whose viewers, or viewers behind them, watch it.
    takers: Vec<WorkerIndex>,
    /// Those of them that get its packets.
    receivers: Vec<WorkerIndex>,
    /// Its simulcast streams on their way to workers of other nodes.
    link_flows: LinkFlows,
    /// Layers that replicas' viewers watch, by worker.
    watched_elsewhere: Vec<(WorkerIndex, Vec<Watched>)>,
    /// Of a replica: the layers that the publisher's worker was told last.
    told_watched: Vec<Watched>,
    /// Of a replica of video: whether the publisher's worker was told that it is watched, and since when it is not. None: the worker may
    /// have forgotten it.
    told_taken: Option<bool>,
    unwatched_since: Option<Instant>,
    /// Of a replica: packets since when its publisher's worker was asked for as missing, and when.
    asked_missing: Option<(Instant, Instant)>,
    /// Of a replica that has come to another worker: streams that the worker has not told of.
    unconfirmed: Vec<StreamId>,
}

/// The sender of a track.
#[derive(Debug)]
pub enum Publisher {
    /// A session of this worker.
    Here(SessionIndex),
    /// A session of another worker: the track is a replica.
    Elsewhere(Replica),
}

/// The state of a publisher at another worker.
#[derive(Debug)]
pub struct Replica {
    pub worker: WorkerIndex,
    /// The track's place there.
    pub track: TrackIndex,
    pub user: UserId,
    /// Whether the publisher may send it.
    pub permitted: bool,
}

impl Track {
    pub fn new(publisher: Publisher, room: RoomKey, source: TrackSource) -> Self {
        Self {
            publisher,
            room,
            source,
            streams: Vec::new(),
            viewers: Vec::new(),
            pending: Vec::new(),
            neighbours: Vec::new(),
            takers: Vec::new(),
            receivers: Vec::new(),
            link_flows: LinkFlows::default(),
            watched_elsewhere: Vec::new(),
            told_watched: Vec::new(),
            told_taken: Some(false),
            unwatched_since: None,
            asked_missing: None,
            unconfirmed: Vec::new(),
        }
    }

    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Of a replica: its publisher's worker says whether it may be sent.
    pub fn permit_replica(&mut self, permitted: bool) {
        if let Publisher::Elsewhere(replica) = &mut self.publisher {
            replica.permitted = permitted;
        }
    }

    /// Of a replica: its packets come from another worker from now on.
    pub fn move_replica(&mut self, worker: WorkerIndex, track: TrackIndex) {
        if let Publisher::Elsewhere(replica) = &mut self.publisher {
            (replica.worker, replica.track) = (worker, track);
            self.unconfirmed.clone_from(&self.streams);
            self.forget_told();
        }
    }

    /// The worker of a replica's publisher has told of a stream.
    pub fn confirm(&mut self, stream: StreamId) {
        self.unconfirmed.retain(|other| *other != stream);
    }

    /// The streams that it has not told of, though it has told of all that there are.
    pub fn take_unconfirmed(&mut self) -> Vec<StreamId> {
        std::mem::take(&mut self.unconfirmed)
    }

    pub fn room(&self) -> &RoomKey {
        &self.room
    }

    pub fn source(&self) -> TrackSource {
        self.source
    }

    pub fn streams(&self) -> &[StreamId] {
        &self.streams
    }

    pub fn add_stream(&mut self, stream: StreamId) {
        self.streams.push(stream);
    }

    pub fn remove_stream(&mut self, stream: StreamId) {
        self.streams.retain(|other| *other != stream);
        self.link_flows.forget(stream);
    }

    pub fn viewers(&self) -> &[Viewer] {
        &self.viewers
    }

    pub fn add_viewers(&mut self, viewers: &[Viewer]) {
        self.viewers.extend_from_slice(viewers);
    }

    pub fn retain_viewers(&mut self, stays: impl FnMut(&Viewer) -> bool) {
        self.viewers.retain(stays);
    }

    /// Keeps a packet until the viewers are given it. Answers whether it is the only one.
    pub fn add_pending(&mut self, pending: Pending) -> bool {
        let was_empty = self.pending.is_empty();
        self.pending.push(pending);
        was_empty
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The packets for the viewers. The memory comes back by [`reuse_pending`](Self::reuse_pending).
    pub fn take_pending(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.pending)
    }

    pub fn reuse_pending(&mut self, mut emptied: Vec<Pending>) {
        emptied.clear();
        self.pending = emptied;
    }

    pub fn clear_pending(&mut self) {
        self.pending.clear();
    }

    pub fn neighbours(&self) -> &[WorkerIndex] {
        &self.neighbours
    }

    /// From now on these workers have a replica, and no other. Those from `workers` on are of other nodes.
    pub fn set_neighbours(&mut self, neighbours: &[WorkerIndex], workers: usize) {
        self.neighbours = neighbours.to_vec();
        self.watched_elsewhere.retain(|(worker, _)| neighbours.contains(worker));
        self.takers.retain(|worker| neighbours.contains(worker));
        self.find_receivers(workers);
    }

    /// Workers that get the packets: all of this node, and of other nodes for audio, or where somebody watches.
    pub fn receivers(&self) -> &[WorkerIndex] {
        &self.receivers
    }

    /// Viewers of a worker watch it, or do not any more. Answers whether they begin to. `workers`: as of
    /// [`set_neighbours`](Self::set_neighbours).
    pub fn set_taken(&mut self, worker: WorkerIndex, is_taken: bool, workers: usize) -> bool {
        let was_taken = self.takers.contains(&worker);
        self.takers.retain(|other| *other != worker);
        if is_taken {
            self.takers.push(worker);
        }
        self.find_receivers(workers);
        is_taken && !was_taken
    }

    fn find_receivers(&mut self, workers: usize) {
        let gets = |worker: &&WorkerIndex| {
            worker.position() < workers || !self.source.is_video() || self.takers.contains(worker)
        };
        self.receivers = self.neighbours.iter().filter(gets).copied().collect();
        self.link_flows.retain(|worker| self.receivers.contains(&worker));
    }

    /// Of a replica: whether it is watched, if its publisher's worker has to be told so now.
    pub fn poll_taken(&mut self, now: Instant) -> Option<bool> {
        if !self.source.is_video() {
            return None;
        }
        let is_watched = !self.viewers.is_empty() || !self.takers.is_empty();
        if is_watched {
            self.unwatched_since = None;
        } else if self.told_taken == Some(true) {
            let since = *self.unwatched_since.get_or_insert(now);
            if now.saturating_duration_since(since) < RELEASE {
                return None;
            }
        }
        let changes = Some(is_watched) != self.told_taken;
        self.told_taken = Some(is_watched);
        changes.then_some(is_watched)
    }

    /// Of a replica of video: its packets have been asked for.
    pub fn is_taken(&self) -> bool {
        !self.source.is_video() || self.told_taken == Some(true)
    }

    /// Of a replica: its publisher's worker has to be told everything again.
    pub fn forget_told(&mut self) {
        self.told_taken = None;
        self.told_watched.clear();
    }

    /// Of a replica: its publisher's worker is asked for the packets of so long.
    pub fn ask_missing(&mut self, now: Instant, missed: Duration) {
        self.asked_missing = now.checked_sub(missed).map(|since| (since, now));
    }

    /// Of a replica: the packets of so long may still be on their way from a worker that was asked for them.
    pub fn still_missing(&self, now: Instant) -> Option<Duration> {
        let (since, asked_at) = self.asked_missing?;
        (now.saturating_duration_since(asked_at) < ANSWER).then(|| now.saturating_duration_since(since))
    }

    /// All layers that the viewers of a replica watch.
    pub fn set_watched_elsewhere(&mut self, worker: WorkerIndex, layers: Vec<Watched>) {
        self.watched_elsewhere.retain(|(other, _)| *other != worker);
        self.watched_elsewhere.push((worker, layers));
    }

    /// A layer, and a worker of another node that gets the track: what is to be done for it. `may_go`: it can be had here.
    pub fn update_flow(&mut self, now: Instant, to: WorkerIndex, layer: Watched, may_go: bool) -> Option<Step> {
        let watched = self.watched_elsewhere.iter().filter(|(worker, _)| *worker == to);
        let is_watched = watched
            .flat_map(|(_, layers)| layers)
            .any(|watched| watched.stream == layer.stream && watched.spatial >= layer.spatial);
        self.link_flows.update(now, to, layer, is_watched && may_go)
    }

    /// A worker of another node cannot take a layer. Answers whether it got it.
    pub fn pause_flow(&mut self, to: WorkerIndex, layer: Watched) -> bool {
        self.receivers.contains(&to) && self.link_flows.pause(to, layer)
    }

    /// Whether a layer does not go to a worker now, though the track does.
    pub fn is_paused(&self, to: WorkerIndex, layer: Watched) -> bool {
        self.link_flows.is_paused(to, layer)
    }

    pub fn watched_elsewhere(&self) -> impl Iterator<Item = &Watched> {
        self.watched_elsewhere.iter().flat_map(|(_, layers)| layers)
    }

    /// Of a replica: answers whether its publisher's worker has to be told that its viewers watch these layers.
    pub fn note_watched(&mut self, layers: &[Watched]) -> bool {
        let is_new = self.told_watched != layers;
        if is_new {
            self.told_watched = layers.to_vec();
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worker that was asked may be left before it answers.
    #[test]
    fn packets_that_were_asked_for_count_as_missing_until_the_answer_is_overdue() {
        let ms = Duration::from_millis;
        let now = rotunda_proto::clock::Clock.now() + ms(10_000);
        let room = RoomKey {
            app: 1_400_000_000.try_into().unwrap(),
            room: "room".parse().unwrap(),
        };
        let mut track = Track::new(Publisher::Here(SessionIndex::at(0)), room, TrackSource::Camera);
        assert_eq!(track.still_missing(now), None);
        track.ask_missing(now, ms(700));
        assert_eq!(track.still_missing(now + ms(40)), Some(ms(740)));
        assert_eq!(track.still_missing(now + ANSWER), None);
    }
}
