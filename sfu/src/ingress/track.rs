//! The track that a publisher sends of one source: its streams (one, or one for each simulcast layer), and its viewers.

use std::sync::Arc;

use rotunda_proto::ids::{RoomKey, TrackSource, UserId};
use str0m::format::PayloadParams;

use super::packet::{Packet, StreamId};
use crate::slab::{SessionIndex, SlotIndex, TrackIndex, WorkerIndex};

/// Older packets that are kept beside an audio packet, for redundancy (RFC 2198).
pub const MOST_OLDER: usize = 3;

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
    /// Layers that replicas' viewers watch, by worker.
    watched_elsewhere: Vec<(WorkerIndex, Vec<Watched>)>,
    /// Of a replica: the layers that the publisher's worker was told last.
    told_watched: Vec<Watched>,
}

/// The sender of a track.
#[derive(Debug)]
pub enum Publisher {
    /// A session of this worker.
    Here(SessionIndex),
    /// A session of another worker: the track is a replica.
    Elsewhere(Replica),
}

/// The state of a publisher at another worker of the node.
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
            watched_elsewhere: Vec::new(),
            told_watched: Vec::new(),
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

    /// From now on these workers have a replica, and no other.
    pub fn set_neighbours(&mut self, neighbours: &[WorkerIndex]) {
        self.neighbours = neighbours.to_vec();
        self.watched_elsewhere.retain(|(worker, _)| neighbours.contains(worker));
    }

    /// All layers that the viewers of a replica watch.
    pub fn set_watched_elsewhere(&mut self, worker: WorkerIndex, layers: Vec<Watched>) {
        self.watched_elsewhere.retain(|(other, _)| *other != worker);
        self.watched_elsewhere.push((worker, layers));
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
