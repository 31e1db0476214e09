//! A room over several workers: each has a replica of what members publish at the others, and serves its own viewers from it.
//!
//! Packets are handed over as they are shared among viewers: nothing is copied, nothing is locked, and the histories that
//! resends and joiners are served from are here too. What a replica's viewers want of its publisher (key frames, layers) goes back
//! to his worker.

use std::sync::Arc;
use std::time::Instant;

use metrics::counter;
use rotunda_proto::ids::{RoomKey, TrackSource, UserId};
use str0m::format::PayloadParams;
use str0m::media::{Mid, Rid};

use super::Worker;
use crate::custom_messages::Delivery;
use crate::demand::Demand;
use crate::packet::{Packet, StreamId};
use crate::track::{Heights, Publisher, Replica, Stream, Track, Watched};

/// What waits for a worker that does not come to take it; more packets are dropped, as on a network.
const MOST_WAITING: usize = 16_384;

/// From one worker to another.
#[derive(Debug)]
pub enum Handover {
    /// A member publishes at the sender, or may send something else than before.
    Member {
        room: RoomKey,
        user: UserId,
        serial: u64,
        tracks: Vec<Published>,
    },
    /// His session has ended.
    Gone {
        room: RoomKey,
        user: UserId,
        serial: u64,
    },
    /// A track has this stream; or one that it has, has another codec.
    Stream {
        track: usize,
        stream: StreamId,
        mid: Mid,
        rid: Option<Rid>,
        params: Box<PayloadParams>,
        heights: Heights,
    },
    Forgotten(StreamId),
    Packet {
        stream: StreamId,
        packet: Arc<Packet>,
    },
    /// Whether its publisher sends a layer: a stream, or one inside it from this spatial layer on.
    Demand {
        layer: Watched,
        demand: Demand,
    },
    /// To the publisher's worker: a key frame is needed.
    Keyframe(StreamId),
    /// To the publisher's worker: all layers of a track that the sender's viewers watch.
    Watched {
        track: usize,
        layers: Vec<Watched>,
    },
    Message {
        room: RoomKey,
        delivery: Delivery,
        bytes: Arc<[u8]>,
    },
}

/// A track as it is told to other workers.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    pub source: TrackSource,
    /// At its own worker.
    pub track: usize,
    pub permitted: bool,
}

/// The newest session of a member: the one that publishes.
#[derive(Debug)]
pub(super) struct Member {
    /// Of its opening.
    pub serial: u64,
    pub place: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    Here(usize),
    /// At another worker. His tracks' replicas.
    There {
        worker: usize,
        tracks: Vec<(TrackSource, usize)>,
    },
}

/// By worker.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<Vec<Handover>>);

impl Waiting {
    pub fn push(&mut self, worker: usize, handover: Handover) {
        if self.0.len() <= worker {
            self.0.resize_with(worker + 1, Vec::new);
        }
        if self.0[worker].len() >= MOST_WAITING && matches!(handover, Handover::Packet { .. }) {
            counter!("rotunda_sfu_packets_dropped_total", "reason" => "handover").increment(1);
            return;
        }
        self.0[worker].push(handover);
    }

    fn push_all(&mut self, workers: &[usize], make: impl Fn() -> Handover) {
        for worker in workers {
            self.push(*worker, make());
        }
    }
}

impl Worker {
    pub fn has_handovers(&self, worker: usize) -> bool {
        self.handovers.0.get(worker).is_some_and(|waiting| !waiting.is_empty())
    }

    /// In order; all of it has to reach the worker, by [`handle_handover`](Self::handle_handover).
    pub fn take_handovers(&mut self, worker: usize) -> Vec<Handover> {
        self.handovers.0.get_mut(worker).map(std::mem::take).unwrap_or_default()
    }

    /// The other workers that a room is on. Who is new to a room is told before those that it is told of.
    pub fn set_neighbours(&mut self, now: Instant, key: &RoomKey, workers: &[usize]) {
        let room = self.rooms.entry(key.clone()).or_default();
        let before = std::mem::replace(&mut room.neighbours, workers.to_vec());
        let is_empty = room.sessions.is_empty();
        let own: Vec<usize> = room.sessions.clone();
        for index in own {
            self.tell_tracks_their_neighbours(index);
        }
        let new: Vec<usize> = workers
            .iter()
            .copied()
            .filter(|worker| !before.contains(worker))
            .collect();
        self.introduce(now, key, &new);
        let left = |worker: usize| !workers.contains(&worker);
        let members = self.rooms.get(key).into_iter().flat_map(|room| &room.members);
        let gone = members.filter(|(_, member)| matches!(member.place, Place::There { worker, .. } if left(worker)));
        let gone: Vec<UserId> = gone.map(|(user, _)| user.clone()).collect();
        for user in gone {
            self.forget_replicas(now, key, &user);
        }
        if is_empty && workers.is_empty() {
            self.rooms.remove(key);
        }
    }

    /// Tells new neighbours of a room who publishes here, with the newest pictures.
    fn introduce(&mut self, now: Instant, key: &RoomKey, new: &[usize]) {
        let members = self.rooms.get(key).into_iter().flat_map(|room| room.members.values());
        let here: Vec<usize> = members
            .filter_map(|member| match member.place {
                Place::Here(index) => Some(index),
                Place::There { .. } => None,
            })
            .collect();
        for index in here {
            if !self.announce(index, new) {
                continue;
            }
            let Some(Some(session)) = self.sessions.get(index) else {
                continue;
            };
            let streams = session
                .streams
                .values()
                .filter_map(|id| Some((*id, self.streams.get(id)?)));
            for (id, stream) in streams {
                self.handovers.push_all(new, || stream.handover(id));
                let newest = stream.history.gop(now);
                for (spatial, demand) in stream.demands() {
                    let layer = Watched { stream: id, spatial };
                    self.handovers.push_all(new, || Handover::Demand { layer, demand });
                }
                for packet in newest.into_iter().flatten() {
                    self.handovers.push_all(new, || Handover::Packet {
                        stream: id,
                        packet: Arc::clone(packet),
                    });
                }
            }
        }
    }

    /// Tells workers what a session may publish, when that is, or was, anything. Answers whether it did.
    fn announce(&mut self, index: usize, to: &[usize]) -> bool {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return false;
        };
        let published = session.tracks.iter().map(|(source, track)| Published {
            source: *source,
            track: *track,
            permitted: session.may_send(*source),
        });
        let tracks: Vec<Published> = published.collect();
        session.announced |= tracks.iter().any(|track| track.permitted);
        let Some(user) = session.user.as_ref().filter(|_| session.announced) else {
            return false;
        };
        self.handovers.push_all(to, || Handover::Member {
            room: session.room.clone(),
            user: user.clone(),
            serial: session.serial,
            tracks: tracks.clone(),
        });
        true
    }

    /// What a session may publish has changed.
    pub(super) fn tell_neighbours(&mut self, index: usize) {
        self.tell_tracks_their_neighbours(index);
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        if let Some(room) = self.rooms.get(&session.room)
            && !room.neighbours.is_empty()
        {
            let neighbours = room.neighbours.clone();
            let known = session.announced;
            if self.announce(index, &neighbours) && !known {
                self.tell_streams(index, &neighbours);
            }
        }
    }

    /// Those that came before their publisher was announced.
    fn tell_streams(&mut self, index: usize, to: &[usize]) {
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        for id in session.streams.values() {
            if let Some(stream) = self.streams.get(id) {
                self.handovers.push_all(to, || stream.handover(*id));
            }
        }
    }

    fn tell_tracks_their_neighbours(&mut self, index: usize) {
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        let Some(room) = self.rooms.get(&session.room) else {
            return;
        };
        for track in session.tracks.values() {
            if let Some(Some(track)) = self.tracks.get_mut(*track) {
                track.neighbours.clone_from(&room.neighbours);
                track
                    .watched_there
                    .retain(|(worker, _)| room.neighbours.contains(worker));
            }
        }
    }

    /// A session has ended that others may know of.
    pub(super) fn tell_gone(&mut self, session: &crate::session::Session) {
        if let (Some(user), Some(room), true) = (&session.user, self.rooms.get(&session.room), session.announced) {
            self.handovers.push_all(&room.neighbours, || Handover::Gone {
                room: session.room.clone(),
                user: user.clone(),
                serial: session.serial,
            });
        }
    }

    /// A stream is new, or has another codec.
    pub(super) fn tell_stream(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get(&id)
            && let Some(Some(track)) = self.tracks.get(stream.track)
        {
            self.handovers.push_all(&track.neighbours, || stream.handover(id));
        }
    }

    /// What another worker hands over.
    pub fn handle_handover(&mut self, now: Instant, from: usize, handover: Handover) {
        match handover {
            Handover::Packet { stream, packet } => {
                self.hear_replica(now, stream, &packet);
                self.forward(now, stream, &packet);
            }
            Handover::Member {
                room,
                user,
                serial,
                tracks,
            } => self.handle_member(now, from, &room, &user, serial, &tracks),
            Handover::Gone { room, user, serial } => {
                let member = self.rooms.get(&room).and_then(|room| room.members.get(&user));
                if member.is_some_and(|member| member.serial == serial && matches!(member.place, Place::There { .. })) {
                    self.forget_replicas(now, &room, &user);
                }
            }
            Handover::Stream {
                track,
                stream,
                mid,
                rid,
                params,
                heights,
            } => {
                if let Some(track) = self.replicas.get(&(from, track)).copied() {
                    let mut replica = Stream::new(now, track, mid, rid, *params);
                    replica.set_heights(now, &heights);
                    self.add_replica_of_stream(now, stream, replica);
                }
            }
            Handover::Forgotten(id) => self.forget_stream(id),
            Handover::Demand { layer, demand } => {
                if let Some(stream) = self.streams.get_mut(&layer.stream) {
                    stream.set_demand(now, layer.spatial, demand);
                }
            }
            Handover::Keyframe(stream) => self.want_keyframe(now, stream),
            Handover::Watched { track, layers } => {
                if let Some(Some(state)) = self.tracks.get_mut(track) {
                    state.watched_there.retain(|(worker, _)| *worker != from);
                    state.watched_there.push((from, layers));
                    self.update_demand(now, track);
                }
            }
            Handover::Message { room, delivery, bytes } => {
                self.deliver_to_room(now, &room, delivery, bytes, None);
            }
        }
    }

    fn handle_member(
        &mut self,
        now: Instant,
        from: usize,
        key: &RoomKey,
        user: &UserId,
        serial: u64,
        published: &[Published],
    ) {
        let Some(room) = self.rooms.get(key).filter(|room| room.neighbours.contains(&from)) else {
            return;
        };
        let known = room.members.get(user).map_or(0, |member| member.serial);
        if known > serial {
            return;
        }
        if known < serial {
            self.forget_replicas(now, key, user);
            self.add_replicas(from, key, user, serial, published);
        }
        for Published { track, permitted, .. } in published {
            let Some(track) = self.replicas.get(&(from, *track)).copied() else {
                continue;
            };
            if let Some(Some(state)) = self.tracks.get_mut(track)
                && let Publisher::There(replica) = &mut state.publisher
            {
                replica.permitted = *permitted;
            }
            if !permitted {
                self.drop_pending(track);
            }
        }
        self.resubscribe_viewers_of(now, key, user);
    }

    fn add_replicas(&mut self, from: usize, key: &RoomKey, user: &UserId, serial: u64, published: &[Published]) {
        let mut tracks = Vec::with_capacity(published.len());
        for Published { source, track, .. } in published {
            let publisher = Publisher::There(Replica {
                worker: from,
                track: *track,
                user: user.clone(),
                permitted: false,
            });
            let here = self.add_track(Track::new(publisher, key.clone(), *source));
            self.replicas.insert((from, *track), here);
            tracks.push((*source, here));
        }
        let place = Place::There { worker: from, tracks };
        if let Some(room) = self.rooms.get_mut(key) {
            room.members.insert(user.clone(), Member { serial, place });
        }
    }

    /// A member does not publish at another worker any more.
    pub(super) fn forget_replicas(&mut self, now: Instant, key: &RoomKey, user: &UserId) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let there = |member: &Member| matches!(member.place, Place::There { .. });
        if !room.members.get(user).is_some_and(there) {
            return;
        }
        if let Some(Member {
            place: Place::There { tracks, .. },
            ..
        }) = room.members.remove(user)
        {
            for (_, track) in tracks {
                self.replicas.retain(|_, here| *here != track);
                self.remove_track(track);
            }
        }
        self.resubscribe_viewers_of(now, key, user);
    }

    fn add_replica_of_stream(&mut self, now: Instant, id: StreamId, replica: Stream) {
        let track = replica.track;
        match self.streams.get_mut(&id) {
            Some(known) => known.params = replica.params,
            None => {
                self.streams.insert(id, replica);
                if let Some(Some(track)) = self.tracks.get_mut(track) {
                    track.streams.push(id);
                }
            }
        }
        self.reallocate_viewers(now, track);
    }

    pub(super) fn forget_stream(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.remove(&id)
            && let Some(Some(track)) = self.tracks.get_mut(stream.track)
        {
            track.streams.retain(|stream| *stream != id);
            self.handovers.push_all(&track.neighbours, || Handover::Forgotten(id));
        }
    }

    fn hear_replica(&mut self, now: Instant, id: StreamId, packet: &Packet) {
        let track = self.streams.get(&id).map(|stream| stream.track);
        if let Some(level) = packet.audio_level
            && let Some(Some(track)) = track.and_then(|track| self.tracks.get(track))
            && let Publisher::There(replica) = &track.publisher
            && let Some(room) = self.rooms.get_mut(&track.room)
        {
            // RFC 6464 §3: below full scale, after the voice flag.
            let dbov = -((level & 0x7f) as i8);
            room.speakers.handle_level(now, &replica.user, dbov);
        }
    }

    /// What comes late in the life of a replica: key frames that were asked for too early, and what its viewers watch.
    pub(super) fn tend_replicas(&mut self, now: Instant) {
        let replicas: Vec<usize> = self.replicas.values().copied().collect();
        for track in replicas {
            let Some(Some(state)) = self.tracks.get(track) else {
                continue;
            };
            for id in state.streams.clone() {
                if self
                    .streams
                    .get_mut(&id)
                    .is_some_and(|stream| stream.due_keyframe_request(now))
                {
                    self.ask_for_keyframe(id);
                }
            }
            self.update_demand(now, track);
        }
    }
}

impl Stream {
    fn handover(&self, id: StreamId) -> Handover {
        Handover::Stream {
            track: self.track,
            stream: id,
            mid: self.mid,
            rid: self.rid,
            params: Box::new(self.params),
            heights: self.heights(),
        }
    }
}
