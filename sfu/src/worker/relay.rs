//! A room on several workers: each has a replica of what members publish at the others, and serves its own viewers from it.
//!
//! Packets are relayed as they are shared among viewers: nothing is copied and nothing is locked. The histories, from which
//! retransmissions and new viewers are served, are here too. What a replica's viewers need of its publisher (keyframes, layers) goes
//! back to the publisher's worker.

use std::sync::Arc;
use std::time::Instant;

use metrics::counter;
use rotunda_proto::ids::{RoomKey, TrackSource, UserId};
use str0m::format::PayloadParams;
use str0m::media::{Mid, Rid};

use super::Worker;
use super::rooms::{Location, Member};
use crate::ingress::demand::Demand;
use crate::ingress::packet::{Packet, StreamId};
use crate::ingress::stream::{Heights, Stream};
use crate::ingress::track::{Publisher, Replica, Track, Watched};
use crate::session::Session;
use crate::session::custom_messages::Delivery;
use crate::slab::{Index, SessionIndex, TrackIndex, WorkerIndex};

/// Messages that wait for a worker that does not take them. Further packets are dropped, as on a network.
const MOST_WAITING: usize = 16_384;

/// From one worker to another.
#[derive(Debug)]
pub enum RelayMessage {
    /// A member publishes at the sending worker, or may send something else than before.
    Member(PublishingMember),
    /// The member's session has ended.
    Gone {
        room: RoomKey,
        user: UserId,
        serial: u64,
    },
    /// A track has this stream; or the stream has another codec.
    Stream {
        track: TrackIndex,
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
    /// Whether the publisher is asked for a layer: a stream, or a spatial layer inside it.
    Demand {
        layer: Watched,
        demand: Demand,
    },
    /// To the publisher's worker: a keyframe is needed.
    Keyframe(StreamId),
    /// To the publisher's worker: all layers of a track that viewers of the sending worker watch.
    Watched {
        track: TrackIndex,
        layers: Vec<Watched>,
    },
    /// A member's own message.
    Custom {
        room: RoomKey,
        delivery: Delivery,
        bytes: Arc<[u8]>,
    },
}

/// A member as other workers are told of it.
#[derive(Debug, Clone)]
pub struct PublishingMember {
    room: RoomKey,
    user: UserId,
    /// Of the opening of its newest session.
    serial: u64,
    tracks: Vec<Published>,
}

/// A track as other workers are told of it.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    pub source: TrackSource,
    /// At its own worker.
    pub track: TrackIndex,
    pub permitted: bool,
}

/// Messages that wait to be taken to the other workers.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// By worker.
    waiting: Vec<Vec<RelayMessage>>,
}

impl Relay {
    pub fn push(&mut self, to: WorkerIndex, message: RelayMessage) {
        let to = to.position();
        if self.waiting.len() <= to {
            self.waiting.resize_with(to + 1, Vec::new);
        }
        if self.waiting[to].len() >= MOST_WAITING && matches!(message, RelayMessage::Packet { .. }) {
            counter!("rotunda_sfu_packets_dropped_total", "reason" => "handover").increment(1);
            return;
        }
        self.waiting[to].push(message);
    }

    pub fn push_all(&mut self, to: &[WorkerIndex], make: impl Fn() -> RelayMessage) {
        for worker in to {
            self.push(*worker, make());
        }
    }

    fn has(&self, to: WorkerIndex) -> bool {
        self.waiting
            .get(to.position())
            .is_some_and(|waiting| !waiting.is_empty())
    }

    fn take(&mut self, to: WorkerIndex) -> Vec<RelayMessage> {
        self.waiting
            .get_mut(to.position())
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

/// Output.
impl Worker {
    pub fn has_relay_messages(&self, to: WorkerIndex) -> bool {
        self.relay.has(to)
    }

    /// In order. All of them have to reach the worker, by [`handle_relay_message`](Self::handle_relay_message).
    pub fn take_relay_messages(&mut self, to: WorkerIndex) -> Vec<RelayMessage> {
        self.relay.take(to)
    }
}

/// Messages to other workers.
impl Worker {
    /// The other workers that a room is on. A worker that is new to a room is told before the workers that are told of it.
    pub fn set_neighbours(&mut self, now: Instant, key: &RoomKey, workers: &[WorkerIndex]) {
        let room = self.rooms.get_or_create(key);
        let before = room.set_neighbours(workers);
        let own: Vec<SessionIndex> = room.sessions().to_vec();
        for index in own {
            self.set_track_neighbours(index);
        }
        let new: Vec<WorkerIndex> = workers
            .iter()
            .copied()
            .filter(|worker| !before.contains(worker))
            .collect();
        self.introduce(now, key, &new);
        let members = self.rooms.get(key).into_iter().flat_map(|room| room.members());
        let has_left = |worker: WorkerIndex| !workers.contains(&worker);
        let gone = members
            .filter(|(_, member)| matches!(member.location, Location::Elsewhere { worker, .. } if has_left(worker)));
        let gone: Vec<UserId> = gone.map(|(user, _)| user.clone()).collect();
        for user in gone {
            self.forget_replicas(now, key, &user);
        }
        self.rooms.remove_if_unused(key);
    }

    /// Tells new neighbours of a room who publishes here, with the newest frames.
    fn introduce(&mut self, now: Instant, key: &RoomKey, new: &[WorkerIndex]) {
        let members = self.rooms.get(key).into_iter().flat_map(|room| room.members());
        let here: Vec<SessionIndex> = members
            .filter_map(|(_, member)| match member.location {
                Location::Here(index) => Some(index),
                Location::Elsewhere { .. } => None,
            })
            .collect();
        for index in here {
            if self.announce(index, new) {
                self.relay_streams(index, new, Some(now));
            }
        }
    }

    /// Tells workers what a session may publish, if that is, or was, anything. Answers whether it did.
    fn announce(&mut self, index: SessionIndex, to: &[WorkerIndex]) -> bool {
        let Some(session) = self.sessions.get_mut(index) else {
            return false;
        };
        let published = session.uplink.tracks().map(|(source, track)| Published {
            source,
            track,
            permitted: session.uplink.may_send(source),
        });
        let tracks: Vec<Published> = published.collect();
        if tracks.iter().any(|track| track.permitted) {
            session.uplink.set_announced();
        }
        let Some(user) = session.user().filter(|_| session.uplink.is_announced()) else {
            return false;
        };
        let member = PublishingMember {
            room: session.room().clone(),
            user: user.clone(),
            serial: session.serial(),
            tracks,
        };
        self.relay.push_all(to, || RelayMessage::Member(member.clone()));
        true
    }

    /// A session may publish other sources than before.
    pub(super) fn announce_to_neighbours(&mut self, index: SessionIndex) {
        self.set_track_neighbours(index);
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let room = self.rooms.get(session.room());
        let neighbours = room.map(|room| room.neighbours().to_vec()).unwrap_or_default();
        let was_announced = session.uplink.is_announced();
        if !neighbours.is_empty() && self.announce(index, &neighbours) && !was_announced {
            self.relay_streams(index, &neighbours, None);
        }
    }

    /// Tells workers of a session's streams; with a time, also the newest frames of each.
    fn relay_streams(&mut self, index: SessionIndex, to: &[WorkerIndex], with_frames: Option<Instant>) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let streams = session.uplink.streams();
        for (id, stream) in streams.filter_map(|id| Some((id, self.tracks.stream(id)?))) {
            self.relay.push_all(to, || described(id, stream));
            let Some(now) = with_frames else {
                continue;
            };
            for (spatial, demand) in stream.demands() {
                let layer = Watched { stream: id, spatial };
                self.relay.push_all(to, || RelayMessage::Demand { layer, demand });
            }
            for packet in stream.history().group_of_pictures(now).into_iter().flatten() {
                self.relay.push_all(to, || RelayMessage::Packet {
                    stream: id,
                    packet: Arc::clone(packet),
                });
            }
        }
    }

    fn set_track_neighbours(&mut self, index: SessionIndex) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let Some(room) = self.rooms.get(session.room()) else {
            return;
        };
        for (_, track) in session.uplink.tracks() {
            if let Some(track) = self.tracks.get_mut(track) {
                track.set_neighbours(room.neighbours());
            }
        }
    }

    /// A session has ended that others may know of.
    pub(super) fn announce_end(&mut self, session: &Session) {
        if let (Some(user), Some(room), true) = (
            session.user(),
            self.rooms.get(session.room()),
            session.uplink.is_announced(),
        ) {
            self.relay.push_all(room.neighbours(), || RelayMessage::Gone {
                room: session.room().clone(),
                user: user.clone(),
                serial: session.serial(),
            });
        }
    }

    /// A stream is new, or has another codec.
    pub(super) fn relay_stream(&mut self, id: StreamId) {
        if let Some(stream) = self.tracks.stream(id)
            && let Some(track) = self.tracks.get(stream.track())
        {
            self.relay.push_all(track.neighbours(), || described(id, stream));
        }
    }

    pub(super) fn forget_stream(&mut self, id: StreamId) {
        if let Some(track) = self.tracks.remove_stream(id) {
            self.relay.push_all(track.neighbours(), || RelayMessage::Forgotten(id));
        }
    }
}

/// Messages from other workers.
impl Worker {
    pub fn handle_relay_message(&mut self, now: Instant, from: WorkerIndex, message: RelayMessage) {
        match message {
            RelayMessage::Packet { stream, packet } => {
                self.note_replica_level(now, stream, &packet);
                self.forward(now, stream, &packet);
            }
            RelayMessage::Member(member) => self.handle_member(now, from, &member),
            RelayMessage::Gone { room, user, serial } => {
                let member = self.rooms.get(&room).and_then(|room| room.member(&user));
                let is_there =
                    |member: &Member| member.serial == serial && matches!(member.location, Location::Elsewhere { .. });
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
                    let mut replica = Stream::new(now, track, mid, rid, *params);
                    replica.set_heights(now, &heights);
                    self.add_replica_of_stream(now, stream, replica);
                }
            }
            RelayMessage::Forgotten(id) => self.forget_stream(id),
            RelayMessage::Demand { layer, demand } => {
                if let Some(stream) = self.tracks.stream_mut(layer.stream) {
                    stream.set_demand(now, layer.spatial, demand);
                }
            }
            RelayMessage::Keyframe(stream) => self.want_keyframe(now, stream),
            RelayMessage::Watched { track, layers } => {
                if let Some(state) = self.tracks.get_mut(track) {
                    state.set_watched_elsewhere(from, layers);
                    self.update_demand(now, track);
                }
            }
            RelayMessage::Custom { room, delivery, bytes } => {
                self.deliver_to_room(now, &room, delivery, bytes, None);
            }
        }
    }

    fn handle_member(&mut self, now: Instant, from: WorkerIndex, member: &PublishingMember) {
        let PublishingMember {
            room: key,
            user,
            serial,
            tracks,
        } = member;
        let Some(room) = self.rooms.get(key).filter(|room| room.neighbours().contains(&from)) else {
            return;
        };
        let known = room.member(user).map_or(0, |member| member.serial);
        if known > *serial {
            return;
        }
        if known < *serial {
            self.forget_replicas(now, key, user);
            self.add_replicas(from, member);
        }
        for Published { track, permitted, .. } in tracks {
            let Some(track) = self.tracks.replica_of(from, *track) else {
                continue;
            };
            if let Some(state) = self.tracks.get_mut(track) {
                state.permit_replica(*permitted);
            }
            if !permitted {
                self.drop_pending(track);
            }
        }
        self.resubscribe_viewers_of(now, key, user);
    }

    fn add_replicas(&mut self, from: WorkerIndex, member: &PublishingMember) {
        let mut tracks = Vec::with_capacity(member.tracks.len());
        for Published { source, track, .. } in &member.tracks {
            let publisher = Publisher::Elsewhere(Replica {
                worker: from,
                track: *track,
                user: member.user.clone(),
                permitted: false,
            });
            let replica = Track::new(publisher, member.room.clone(), *source);
            tracks.push((*source, self.tracks.add_replica(from, *track, replica)));
        }
        let location = Location::Elsewhere { worker: from, tracks };
        if let Some(room) = self.rooms.get_mut(&member.room) {
            let serial = member.serial;
            room.set_member(member.user.clone(), Member { serial, location });
        }
    }

    /// A member does not publish at another worker any more.
    pub(super) fn forget_replicas(&mut self, now: Instant, key: &RoomKey, user: &UserId) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let location = room.member(user).map(|member| &member.location);
        if !matches!(location, Some(Location::Elsewhere { .. })) {
            return;
        }
        if let Some(Member {
            location: Location::Elsewhere { tracks, .. },
            ..
        }) = room.remove_member(user)
        {
            for (_, track) in tracks {
                if let Some(removed) = self.tracks.remove_replica(track) {
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
    pub(super) fn update_replicas(&mut self, now: Instant) {
        for track in self.tracks.replicas() {
            let streams = self.tracks.get(track).map(|track| track.streams().to_vec());
            for id in streams.unwrap_or_default() {
                self.request_due_keyframe(now, id);
            }
            self.update_demand(now, track);
        }
    }
}

fn described(id: StreamId, stream: &Stream) -> RelayMessage {
    RelayMessage::Stream {
        track: stream.track(),
        stream: id,
        mid: stream.mid(),
        rid: stream.rid(),
        params: Box::new(stream.params()),
        heights: stream.heights(),
    }
}
