//! The rooms of a worker: the sessions that are in them here, and where each member publishes.

use foldhash::{HashMap, HashMapExt};
use rotunda_proto::ids::{NodeId, RoomKey, TrackSource, UserId};

use crate::room::loudest::Loudest;
use crate::room::speakers::Speakers;
use crate::slab::{SessionIndex, TrackIndex, WorkerIndex};
use crate::worker::relay::pulls::Pulls;

pub struct Rooms(HashMap<RoomKey, Room>);

#[derive(Default)]
pub struct Room {
    sessions: Vec<SessionIndex>,
    /// Members with the session that publishes for them.
    members: HashMap<UserId, Member>,
    /// Other workers that the room is on.
    neighbours: Vec<WorkerIndex>,
    /// Of a gateway: its place in the fan-out trees.
    pub pulls: Pulls,
    /// Another node tells signaling who speaks.
    other_node_tells: bool,
    pub speakers: Speakers,
    /// The speakers who are heard, where more may speak than there are audio slots.
    pub loudest: Option<Loudest>,
    /// Tracks with packets that no viewer has got yet.
    pending: Vec<TrackIndex>,
}

/// The newest session of a member: the one that publishes.
#[derive(Debug)]
pub struct Member {
    /// Of the session's opening.
    pub serial: u64,
    pub location: Location,
}

#[derive(Debug)]
pub enum Location {
    Here(SessionIndex),
    /// At another worker, with the replicas of its tracks.
    Elsewhere {
        /// From which the media comes; it may be gone, and another one about to take its place.
        worker: WorkerIndex,
        /// The node that the member publishes at; None: this one.
        origin: Option<NodeId>,
        tracks: Vec<(TrackSource, TrackIndex)>,
    },
}

impl Rooms {
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    #[inline]
    pub fn get(&self, room: &RoomKey) -> Option<&Room> {
        self.0.get(room)
    }

    #[inline]
    pub fn get_mut(&mut self, room: &RoomKey) -> Option<&mut Room> {
        self.0.get_mut(room)
    }

    pub fn get_or_create(&mut self, room: &RoomKey) -> &mut Room {
        self.0.entry(room.clone()).or_default()
    }

    /// Forgets a room that is empty here and at no other worker.
    pub fn remove_if_unused(&mut self, room: &RoomKey) {
        let is_unused = |room: &Room| room.sessions.is_empty() && room.neighbours.is_empty();
        if self.0.get(room).is_some_and(is_unused) {
            self.0.remove(room);
        }
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&RoomKey, &mut Room)> {
        self.0.iter_mut()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Room {
    pub fn sessions(&self) -> &[SessionIndex] {
        &self.sessions
    }

    pub fn add_session(&mut self, session: SessionIndex) {
        self.sessions.push(session);
    }

    pub fn remove_session(&mut self, session: SessionIndex) {
        self.sessions.retain(|other| *other != session);
    }

    pub fn neighbours(&self) -> &[WorkerIndex] {
        &self.neighbours
    }

    /// Answers the workers that the room was on before.
    pub fn set_neighbours(&mut self, neighbours: &[WorkerIndex]) -> Vec<WorkerIndex> {
        std::mem::replace(&mut self.neighbours, neighbours.to_vec())
    }

    pub fn set_tells_speakers(&mut self, tells: bool) {
        self.other_node_tells = !tells;
    }

    /// Whether this node tells signaling who speaks.
    pub fn tells_speakers(&self) -> bool {
        !self.other_node_tells
    }

    pub fn member(&self, user: &UserId) -> Option<&Member> {
        self.members.get(user)
    }

    pub fn members(&self) -> impl Iterator<Item = (&UserId, &Member)> {
        self.members.iter()
    }

    pub fn set_member(&mut self, user: UserId, member: Member) {
        self.members.insert(user, member);
    }

    pub fn remove_member(&mut self, user: &UserId) -> Option<Member> {
        self.members.remove(user)
    }

    /// The media of a member comes from this worker from now on.
    pub fn set_worker(&mut self, user: &UserId, from: WorkerIndex) {
        let location = self.members.get_mut(user).map(|member| &mut member.location);
        if let Some(Location::Elsewhere { worker, .. }) = location {
            *worker = from;
        }
    }

    /// Whether this session publishes for the member.
    pub fn publishes(&self, user: &UserId, session: SessionIndex) -> bool {
        let location = self.members.get(user).map(|member| &member.location);
        matches!(location, Some(Location::Here(here)) if *here == session)
    }

    /// Whether this replica is a track of the member's publishing session.
    pub fn publishes_replica(&self, user: &UserId, track: TrackIndex) -> bool {
        match self.members.get(user).map(|member| &member.location) {
            Some(Location::Elsewhere { tracks, .. }) => tracks.iter().any(|(_, own)| *own == track),
            Some(Location::Here(_)) | None => false,
        }
    }

    /// A track has packets that no viewer has got yet.
    pub fn add_pending(&mut self, track: TrackIndex) {
        self.pending.push(track);
    }

    pub fn remove_pending(&mut self, track: TrackIndex) {
        self.pending.retain(|other| *other != track);
    }

    /// Moves all tracks with pending packets to the end of `out`.
    pub fn take_pending(&mut self, out: &mut Vec<TrackIndex>) {
        out.append(&mut self.pending);
    }
}
