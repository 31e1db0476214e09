//! The fan-out trees of a room, as the room's gateway carries them out: it pulls each origin's members from its parent, introduces them to
//! its children, and moves replicas from one parent to the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::ids::{NodeId, RoomKey};

use super::incoming::Introduction;
use super::pulls::Origins;
use super::{Published, RelayMessage};
use crate::ingress::packet::StreamId;
use crate::ingress::stream::{Barred, Stream};
use crate::ingress::stream_layers::BarredLayers;
use crate::ingress::track::{Publisher, Watched};
use crate::slab::{SessionIndex, TrackIndex, WorkerIndex};
use crate::worker::Worker;
use crate::worker::rooms::{Location, Room};

/// Packets of so long are sent to a node that has another parent than before, at most.
const MOST_MISSED: Duration = Duration::from_secs(2);
/// Added to the time since the last packet, at each node on the way: what was on its way then is missing, too.
const ON_WAY: Duration = Duration::from_millis(200);

/// The other workers that a room is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Those of this node, and at a gateway the gateways of other nodes.
    pub workers: Vec<WorkerIndex>,
    /// At a gateway: the neighbour that each other node's members come from.
    pub parents: Vec<(NodeId, WorkerIndex)>,
    /// This node tells signaling who speaks.
    pub tells_speakers: bool,
}

/// The way of a member's media to this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'a> {
    /// From a session of this worker.
    Here,
    /// From another worker of this node.
    NearWorker,
    /// From this node, by that neighbour.
    Node(&'a NodeId, WorkerIndex),
}

impl Location {
    pub(super) fn way(&self) -> Way<'_> {
        match self {
            Self::Here(_) => Way::Here,
            Self::Elsewhere { origin: None, .. } => Way::NearWorker,
            Self::Elsewhere {
                origin: Some(origin),
                worker,
                ..
            } => Way::Node(origin, *worker),
        }
    }
}

/// The packets that a node asks its parent for, when a child of the node asks for those of the time `missed`.
pub(super) fn missed_before(missed: Duration) -> Duration {
    (missed + ON_WAY).min(MOST_MISSED)
}

impl Worker {
    /// Tells a worker of another node that the room is here, too, and what is pulled from it.
    pub(super) fn join(&mut self, key: &RoomKey, to: WorkerIndex, is_answer: bool) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let join = RelayMessage::Join {
            room: key.clone(),
            is_answer,
            pulls: Some(room.pulls.ask(to)),
        };
        self.relay.push(to, join);
    }

    pub(super) fn handle_join(
        &mut self,
        now: Instant,
        from: WorkerIndex,
        key: &RoomKey,
        is_answer: bool,
        pulls: Option<Origins>,
    ) {
        let own = self.setup.node.clone();
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let is_told = pulls.is_some();
        let origins = pulls.unwrap_or_else(|| [own].into());
        room.pulls.handle_pull(from, &origins);
        self.find_listeners(key);
        self.introduce(now, key, &[from], None);
        if is_told {
            self.tell_introduced(key, from, &origins);
        }
        if !is_answer {
            self.join(key, from, true);
        }
    }

    /// A neighbour has other parents than before.
    pub(super) fn handle_pull(&mut self, now: Instant, from: WorkerIndex, key: &RoomKey, origins: &Origins) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let new = room.pulls.handle_pull(from, origins);
        self.find_listeners(key);
        self.introduce(now, key, &[from], Some(&new));
        self.tell_introduced(key, from, &new);
    }

    /// Tells a child that it knows all members of the origins that it pulls, as far as they are known here.
    fn tell_introduced(&mut self, key: &RoomKey, to: WorkerIndex, origins: &Origins) {
        let room = self.rooms.get(key);
        let complete = room.map(|room| room.pulls.complete(origins, &self.setup.node));
        if let Some(origins) = complete.filter(|complete| !complete.is_empty()) {
            let room = key.clone();
            self.relay.push(to, RelayMessage::Introduced { room, origins });
        }
    }

    /// A parent has told of all members of these origins: others are not there any more, and the parents of before are left.
    pub(super) fn handle_introduced(&mut self, now: Instant, from: WorkerIndex, key: &RoomKey, origins: &Origins) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let origins = room.pulls.handle_introduced(from, origins);
        let (mut gone, mut tracks) = (Vec::new(), Vec::new());
        for (user, member) in room.members() {
            if let Location::Elsewhere {
                worker,
                origin: Some(origin),
                tracks: of_member,
            } = &member.location
                && origins.contains(origin)
            {
                match *worker == from {
                    true => tracks.extend(of_member.iter().map(|(_, track)| *track)),
                    false => gone.push(user.clone()),
                }
            }
        }
        for user in gone {
            self.forget_replicas(now, key, &user);
        }
        for track in tracks {
            let ended = self.tracks.get_mut(track).map(|track| track.take_unconfirmed());
            for stream in ended.unwrap_or_default() {
                self.forget_stream(stream);
            }
        }
        for origin in &origins {
            let children = self.rooms.get(key).map(|room| room.pulls.children_of(origin).collect());
            let children: Vec<WorkerIndex> = children.unwrap_or_default();
            self.relay.push_all(&children, || RelayMessage::Introduced {
                room: key.clone(),
                origins: [origin.clone()].into(),
            });
        }
        self.send_pulls(key);
    }

    /// Tells neighbours what is pulled from them, if it is not what was.
    pub(super) fn send_pulls(&mut self, key: &RoomKey) {
        let changed = self.rooms.get_mut(key).map(|room| room.pulls.changed());
        for (to, origins) in changed.unwrap_or_default() {
            let room = key.clone();
            self.relay.push(to, RelayMessage::Pull { room, origins });
        }
    }

    /// Whether an origin's members are to come from a worker of another node.
    pub(super) fn is_parent(&self, room: &Room, origin: &NodeId, from: WorkerIndex) -> bool {
        match room.pulls.parent(origin) {
            Some(parent) => parent == from,
            None => self.links.node(from) == Some(origin),
        }
    }

    /// The neighbours of all tracks of a room, after the room's neighbours or their pulls have changed.
    pub(super) fn find_listeners(&mut self, key: &RoomKey) {
        let sessions = self.rooms.get(key).map(|room| room.sessions().to_vec());
        let sessions: Vec<SessionIndex> = sessions.unwrap_or_default();
        let listeners = self.listeners(key, Way::Here);
        for index in sessions {
            self.set_track_neighbours(index, &listeners);
        }
        self.set_replica_neighbours(key);
    }

    /// A member's replicas come from another worker from now on. Their histories and their viewers stay. Answers the
    /// time whose packets are missing; None: the member publishes something else there.
    pub(super) fn move_replicas(
        &mut self,
        now: Instant,
        key: &RoomKey,
        introduced: &Introduction<'_>,
        published: &[Published],
    ) -> Option<Duration> {
        let Introduction { from, user, .. } = *introduced;
        let room = self.rooms.get_mut(key)?;
        let Location::Elsewhere { tracks, origin, .. } = &room.member(user)?.location else {
            return None;
        };
        let is_same = *origin == introduced.origin && tracks.len() == published.len();
        let there = |source| published.iter().find(|published| published.source == source);
        let moves = tracks.iter().map(|(source, here)| Some((*here, there(*source)?.track)));
        let moves: Vec<(TrackIndex, TrackIndex)> = moves.collect::<Option<_>>().filter(|_| is_same)?;
        room.set_worker(user, from);
        let (mut last, mut still_missing) = (None, None);
        for (here, there) in moves {
            self.tracks.move_replica(here, from, there);
            // What the links of before did not carry.
            for id in self
                .tracks
                .get(here)
                .map(|track| track.streams().to_vec())
                .unwrap_or_default()
            {
                self.set_barred(now, id, |barred| *barred = Barred::default());
                self.set_layers_barred(now, id, |barred| *barred = BarredLayers::default());
            }
            let track = self.tracks.get(here);
            still_missing = still_missing.max(track.and_then(|track| track.still_missing(now)));
            let streams = track.into_iter().flat_map(|track| self.tracks.streams_of(track));
            last = last.max(streams.map(|(_, stream)| stream.last_packet()).max());
        }
        self.set_replica_neighbours(key);
        counter!("rotunda_sfu_tree_moves_total").increment(1);
        let silent = last.map(|last| now.saturating_duration_since(last));
        Some(missed_before(silent.max(still_missing).unwrap_or_default()))
    }

    /// Gives a worker the packets of a stream that it has missed.
    pub(super) fn relay_missed(&mut self, now: Instant, id: StreamId, missed: Duration, to: WorkerIndex) {
        let since = now.checked_sub(missed.min(MOST_MISSED));
        let (Some(stream), Some(since)) = (self.tracks.stream(id), since) else {
            return;
        };
        let track = self.tracks.get(stream.track());
        for packet in stream.history().since(since) {
            let layer = Watched {
                stream: id,
                spatial: packet.spatial(),
            };
            if track.is_some_and(|track| track.is_paused(to, layer)) {
                continue;
            }
            let packet = Arc::clone(packet);
            self.relay.push(to, RelayMessage::Packet { stream: id, packet });
        }
    }

    /// Of a replica whose packets come: asks its publisher's worker for those of so long, if the histories here begin later. A node may have been
    /// moved to this one when the track had just begun to come here.
    pub(super) fn take_missed(&mut self, now: Instant, track: TrackIndex, missed: Duration) {
        let Some(state) = self.tracks.get(track) else { return };
        // Another child has asked for them: they go to all.
        if state
            .still_missing(now)
            .is_some_and(|asked| asked + ON_WAY / 2 >= missed)
        {
            return;
        }
        let since = now.checked_sub(missed);
        let is_known = |(_, stream): (_, &Stream)| since.is_some_and(|since| stream.history().reaches(since));
        if !self.tracks.streams_of(state).all(is_known) {
            self.push_take(now, track, true, Some(missed));
        }
    }

    /// Of a replica: `missed` as in [`RelayMessage::Take`].
    pub(super) fn push_take(&mut self, now: Instant, track: TrackIndex, is_taken: bool, missed: Option<Duration>) {
        let Some(state) = self.tracks.get_mut(track) else {
            return;
        };
        let Publisher::Elsewhere(replica) = state.publisher() else {
            return;
        };
        let take = RelayMessage::Take {
            track: replica.track,
            is_taken,
            missed,
        };
        self.relay.push(replica.worker, take);
        if let Some(missed) = missed {
            state.ask_missing(now, missed);
        }
    }

    /// Now and then: parents that have not introduced anybody in time.
    pub(in crate::worker) fn update_pulls(&mut self, now: Instant) {
        for (key, room) in self.rooms.iter_mut() {
            while let Some((origin, parent)) = room.pulls.poll_overdue(now) {
                self.links.tell_overdue(key, origin, parent);
            }
        }
    }
}
