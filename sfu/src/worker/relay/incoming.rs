//! Relay messages from other workers: the replicas that they make, and what viewers elsewhere need of the tracks here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::ids::{NodeId, RoomKey, UserId};

use super::tree::{Way, missed_before};
use super::{Published, RelayMessage};
use crate::ingress::packet::{Packet, StreamId};
use crate::ingress::stream::Stream;
use crate::ingress::track::{Publisher, Replica, Track, Watched};
use crate::slab::{Index, TrackIndex, WorkerIndex};
use crate::worker::Worker;
use crate::worker::rooms::{Location, Member};

/// A member whom another worker tells of.
#[derive(Debug)]
pub(super) struct Introduction<'a> {
    pub from: WorkerIndex,
    pub user: &'a UserId,
    pub serial: u64,
    /// The member's node; None: this one.
    pub origin: Option<NodeId>,
}

impl Introduction<'_> {
    fn way(&self) -> Way<'_> {
        match &self.origin {
            Some(origin) => Way::Node(origin, self.from),
            None => Way::NearWorker,
        }
    }
}

impl Worker {
    pub fn handle_relay_message(&mut self, now: Instant, from: WorkerIndex, message: RelayMessage) {
        // The tracks that were told of may have ended since.
        if !self.may_tell(from, &message) {
            return;
        }
        match message {
            RelayMessage::Packet { stream, packet } => {
                self.note_replica_level(now, stream, &packet);
                self.forward(now, stream, &packet);
            }
            RelayMessage::Join { room, is_answer, pulls } => self.handle_join(now, from, &room, is_answer, pulls),
            RelayMessage::Pull { room, origins } => self.handle_pull(now, from, &room, &origins),
            RelayMessage::Introduced { room, origins } => self.handle_introduced(now, from, &room, &origins),
            RelayMessage::Member {
                room,
                user,
                serial,
                origin,
                tracks,
            } => {
                let origin = match origin {
                    _ if !self.is_far(from) => None,
                    Some(origin) => Some(origin),
                    None => self.links.node(from).cloned(),
                };
                let member = Introduction {
                    from,
                    user: &user,
                    serial,
                    origin,
                };
                self.handle_member(now, &room, &member, &tracks);
            }
            RelayMessage::Gone { room, user, serial } => {
                let member = self.rooms.get(&room).and_then(|room| room.member(&user));
                let is_there = |member: &Member| {
                    let location = &member.location;
                    member.serial == serial && matches!(location, Location::Elsewhere { worker, .. } if *worker == from)
                };
                if member.is_some_and(is_there) {
                    self.forget_replicas(now, &room, &user);
                }
            }
            RelayMessage::Stream {
                track,
                stream,
                mid,
                rid,
                params,
                heights,
            } => {
                if let Some(track) = self.tracks.replica_of(from, track) {
                    if let Some(state) = self.tracks.get_mut(track) {
                        state.confirm(stream);
                    }
                    let mut replica = Stream::new(now, track, mid, rid, *params);
                    replica.set_heights(now, &heights);
                    self.add_replica_of_stream(now, stream, replica);
                }
            }
            RelayMessage::Forgotten(id) => self.forget_stream(id),
            RelayMessage::Demand { layer, demand } => {
                if let Some(stream) = self.tracks.stream_mut(layer.stream) {
                    stream.set_demand(now, layer.spatial, demand);
                    self.relay_demand(layer, demand);
                }
            }
            RelayMessage::Barred { stream, is_barred } => {
                if self.is_replica(from, stream) {
                    self.set_barred(now, stream, |barred| barred.before = is_barred);
                } else if is_barred {
                    self.pause_for(Watched { stream, spatial: 0 }, from);
                }
            }
            RelayMessage::LayersBarred { stream, from: lowest } => {
                if self.is_replica(from, stream) {
                    self.set_layers_barred(now, stream, |barred| barred.before = lowest);
                } else if let Some(lowest) = lowest {
                    self.pause_layers_for(stream, lowest, from);
                }
            }
            RelayMessage::Keyframe(stream) => self.want_keyframe(now, stream),
            RelayMessage::Watched { track, layers } => {
                if let Some(state) = self.tracks.get_mut(track) {
                    state.set_watched_elsewhere(from, layers);
                    self.update_demand(now, track);
                }
            }
            RelayMessage::Take {
                track,
                is_taken,
                missed,
            } => self.handle_take(now, from, track, is_taken, missed),
            RelayMessage::Custom { room, delivery, bytes } => {
                let onward = self.other_side(&room, from);
                self.relay.push_all(&onward, || RelayMessage::Custom {
                    room: room.clone(),
                    delivery,
                    bytes: Arc::clone(&bytes),
                });
                self.deliver_to_room(now, &room, delivery, bytes, None);
            }
        }
    }

    /// The neighbours of a room that a message from a worker goes on to: those of this node, or those of other nodes.
    fn other_side(&self, key: &RoomKey, from: WorkerIndex) -> Vec<WorkerIndex> {
        let room = self.rooms.get(key);
        let neighbours = room.map(|room| room.neighbours()).unwrap_or_default();
        let is_onward = |worker: &&WorkerIndex| self.is_far(**worker) != self.is_far(from);
        neighbours.iter().filter(is_onward).copied().collect()
    }

    pub(super) fn is_neighbour(&self, key: &RoomKey, worker: WorkerIndex) -> bool {
        let room = self.rooms.get(key);
        room.is_some_and(|room| room.neighbours().contains(&worker))
    }

    /// Whether a stream is of a track of this worker.
    fn is_replica(&self, from: WorkerIndex, id: StreamId) -> bool {
        let stream = self.tracks.stream(id);
        let track = stream.and_then(|stream| self.tracks.get(stream.track()));
        let publisher = track.map(Track::publisher);
        matches!(publisher, Some(Publisher::Elsewhere(replica)) if replica.worker == from)
    }

    /// Whether a message from this worker may be about that: its own tracks have replicas here, and tracks that it was told of are
    /// tracks here.
    fn may_tell(&self, from: WorkerIndex, message: &RelayMessage) -> bool {
        let is_replica = |id: &StreamId| self.is_replica(from, *id);
        let is_told = |track: &TrackIndex| {
            let track = self.tracks.get(*track);
            track.is_some_and(|track| track.neighbours().contains(&from))
        };
        match message {
            RelayMessage::Packet { stream, .. } | RelayMessage::Forgotten(stream) => is_replica(stream),
            RelayMessage::Demand { layer, .. } => is_replica(&layer.stream),
            RelayMessage::Stream { stream, .. } => self.tracks.stream(*stream).is_none() || is_replica(stream),
            RelayMessage::Watched { track, .. } | RelayMessage::Take { track, .. } => is_told(track),
            RelayMessage::Keyframe(id)
            | RelayMessage::Barred { stream: id, .. }
            | RelayMessage::LayersBarred { stream: id, .. } => {
                let stream = self.tracks.stream(*id);
                let is_from_here = stream.is_some_and(|stream| is_told(&stream.track()));
                is_from_here || !matches!(message, RelayMessage::Keyframe(_)) && is_replica(id)
            }
            RelayMessage::Custom { room, .. } => self.is_neighbour(room, from),
            RelayMessage::Join { room, .. }
            | RelayMessage::Pull { room, .. }
            | RelayMessage::Introduced { room, .. } => self.is_far(from) && self.is_neighbour(room, from),
            RelayMessage::Member { .. } | RelayMessage::Gone { .. } => true,
        }
    }

    /// Viewers of a worker, or of workers behind it, watch a track from now on, or do not any more.
    fn handle_take(
        &mut self,
        now: Instant,
        from: WorkerIndex,
        track: TrackIndex,
        is_taken: bool,
        missed: Option<Duration>,
    ) {
        let workers = self.setup.workers;
        let Some(state) = self.tracks.get_mut(track) else {
            return;
        };
        let begins = state.set_taken(from, is_taken, workers);
        let streams = state.streams().to_vec();
        // What was not taken here either has come to an end some time ago.
        let comes = match state.publisher() {
            Publisher::Here(_) => true,
            Publisher::Elsewhere(replica) => replica.worker.position() < workers || state.is_taken(),
        };
        let begins = begins && self.is_far(from);
        let missed = missed.filter(|_| is_taken);
        for stream in streams.into_iter().filter(|_| comes) {
            if begins {
                self.tell_demand(stream, from);
            }
            match missed {
                Some(missed) => self.relay_missed(now, stream, missed, from),
                None if begins => self.relay_frames(now, stream, &[from]),
                None => {}
            }
        }
        let missed = missed.map(missed_before);
        if !self.tell_taken(now, track, missed)
            && let Some(missed) = missed
        {
            self.take_missed(now, track, missed);
        }
    }

    /// Of a replica: tells its publisher's worker whether anybody watches it. One that nobody watches any more is taken for a moment
    /// longer, as viewers come back.
    pub(in crate::worker) fn update_taken(&mut self, now: Instant, track: TrackIndex) {
        self.tell_taken(now, track, None);
    }

    /// `missed`: as in [`RelayMessage::Take`]. Answers whether there was anything to tell.
    pub(super) fn tell_taken(&mut self, now: Instant, track: TrackIndex, missed: Option<Duration>) -> bool {
        let Some(state) = self.tracks.get_mut(track) else {
            return false;
        };
        let changed = state.poll_taken(now);
        if let Some(is_taken) = changed {
            self.push_take(now, track, is_taken, missed);
        }
        changed.is_some()
    }

    fn handle_member(&mut self, now: Instant, key: &RoomKey, introduced: &Introduction<'_>, published: &[Published]) {
        let Introduction { from, user, serial, .. } = *introduced;
        let Some(room) = self.rooms.get(key).filter(|_| self.is_neighbour(key, from)) else {
            return;
        };
        let member = room.member(user);
        let comes_from = member.and_then(|member| match member.location {
            Location::Elsewhere { worker, .. } => Some(worker),
            Location::Here(_) => None,
        });
        // What another node than the parent tells is not for this node, but for the parent of before.
        if let Some(origin) = &introduced.origin
            && !self.is_parent(room, origin, from)
            && comes_from != Some(from)
        {
            return;
        }
        let known = member.map_or(0, |member| member.serial);
        if known > serial {
            return;
        }
        // The room may have another gateway than before, or its nodes another tree.
        let moves = known == serial && comes_from.is_some_and(|worker| worker != from);
        let missed = if moves {
            self.move_replicas(now, key, introduced, published)
        } else {
            None
        };
        if known < serial || moves && missed.is_none() {
            self.forget_replicas(now, key, user);
            self.add_replicas(key, introduced, published);
        }
        for Published { track, permitted, .. } in published {
            let Some(track) = self.tracks.replica_of(from, *track) else {
                continue;
            };
            if let Some(state) = self.tracks.get_mut(track) {
                state.permit_replica(*permitted);
                // The other worker may have forgotten what it was told.
                state.forget_told();
            }
            if !permitted {
                self.drop_pending(track);
            }
        }
        let listeners = self.listeners(key, introduced.way());
        self.announce_replicas(key, user, &listeners);
        let replicas = published
            .iter()
            .filter_map(|published| self.tracks.replica_of(from, published.track));
        let replicas: Vec<TrackIndex> = replicas.collect();
        if missed.is_some() {
            for track in &replicas {
                self.tell_taken(now, *track, missed);
                self.update_demand(now, *track);
            }
        }
        self.resubscribe_viewers_of(now, key, user);
        for track in replicas {
            self.update_taken(now, track);
        }
    }

    fn add_replicas(&mut self, key: &RoomKey, introduced: &Introduction<'_>, published: &[Published]) {
        let Introduction { from, user, serial, .. } = *introduced;
        let neighbours = self.listeners(key, introduced.way());
        let mut tracks = Vec::with_capacity(published.len());
        for Published { source, track, .. } in published {
            let publisher = Publisher::Elsewhere(Replica {
                worker: from,
                track: *track,
                user: user.clone(),
                permitted: false,
            });
            let mut replica = Track::new(publisher, key.clone(), *source);
            replica.set_neighbours(&neighbours, self.setup.workers);
            tracks.push((*source, self.tracks.add_replica(from, *track, replica)));
        }
        let location = Location::Elsewhere {
            worker: from,
            origin: introduced.origin.clone(),
            tracks,
        };
        if let Some(room) = self.rooms.get_mut(key) {
            room.set_member(user.clone(), Member { serial, location });
        }
    }

    /// A member does not publish at another worker any more.
    pub(in crate::worker) fn forget_replicas(&mut self, now: Instant, key: &RoomKey, user: &UserId) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let location = room.member(user).map(|member| &member.location);
        if !matches!(location, Some(Location::Elsewhere { .. })) {
            return;
        }
        if let Some(Member { serial, location }) = room.remove_member(user)
            && let Location::Elsewhere { tracks, .. } = &location
        {
            let listeners = self.listeners(key, location.way());
            self.relay.push_all(&listeners, || RelayMessage::Gone {
                room: key.clone(),
                user: user.clone(),
                serial,
            });
            for (_, track) in tracks {
                if let Some(removed) = self.tracks.remove_replica(*track) {
                    self.detach_viewers(&removed);
                }
            }
        }
        self.resubscribe_viewers_of(now, key, user);
    }

    fn add_replica_of_stream(&mut self, now: Instant, id: StreamId, replica: Stream) {
        let track = replica.track();
        match self.tracks.stream_mut(id) {
            Some(known) => known.set_params(replica.params()),
            None => self.tracks.add_stream(id, replica),
        }
        self.relay_stream(id);
        self.reallocate_viewers(now, track);
    }

    /// Takes the audio level of a replica's packet into the room's active speakers.
    fn note_replica_level(&mut self, now: Instant, id: StreamId, packet: &Packet) {
        let track = self
            .tracks
            .stream(id)
            .and_then(|stream| self.tracks.get(stream.track()));
        if let Some(level) = packet.audio_level
            && let Some(track) = track
            && let Publisher::Elsewhere(replica) = track.publisher()
            && let Some(room) = self.rooms.get_mut(track.room())
        {
            // RFC 6464 §3: below full scale, after the voice flag.
            let dbov = -((level & 0x7f) as i8);
            room.speakers.handle_level(now, &replica.user, dbov);
        }
    }

    /// For replicas, now and then: keyframe requests that came too early, and what their viewers watch.
    pub(in crate::worker) fn update_replicas(&mut self, now: Instant) {
        for track in self.tracks.replicas() {
            self.update_taken(now, track);
            let streams = self.tracks.get(track).map(|track| track.streams().to_vec());
            for id in streams.unwrap_or_default() {
                self.request_due_keyframe(now, id);
            }
            self.update_demand(now, track);
        }
    }
}
