//! A room on several workers: each has a replica of what members publish at the others, and serves its own viewers from it.
//!
//! Packets are relayed as they are shared among viewers: nothing is copied and nothing is locked. The histories, from which
//! retransmissions and new viewers are served, are here too. What a replica's viewers need of its publisher (keyframes, layers) goes
//! back to the publisher's worker.
//!
//! A room may be on several nodes, too. One worker of each, the room's gateway, relays between its own node and the gateways of the
//! others, by a [link](crate::link). So a track goes once from node to node, and the tracks of a room spread like this:
//!
//! - The workers of a node tell each other of their own members, and so do the gateways of the nodes.
//! - A gateway tells the other nodes what the workers of its node publish, and these what the other nodes do.
//! - Video goes to another node only while somebody there watches it ([`RelayMessage::Take`]). Audio always does: it is small, and its
//!   levels say who speaks.
//! - On many nodes, a gateway tells the other nodes what it has of other nodes, too: each node receives a member's media from its parent
//!   in the [fan-out tree](crate::node::tree) of the member's node ([`pulls`], [`tree`]).

mod incoming;
pub mod pulls;
mod tree;
pub mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::ids::{NodeId, RoomKey, TrackSource, UserId};
use str0m::format::PayloadParams;
use str0m::media::{Mid, Rid};

use super::Worker;
use super::rooms::{Location, Member};
use crate::ingress::demand::Demand;
use crate::ingress::packet::{Packet, StreamId};
use crate::ingress::stream::{Heights, Stream};
use crate::ingress::stream_layers::StreamLayers;
use crate::ingress::track::{Publisher, Watched};
use crate::session::Session;
use crate::session::custom_messages::Delivery;
use crate::slab::{Index, SessionIndex, TrackIndex, WorkerIndex};
use pulls::Origins;
pub use tree::Neighbours;
use tree::Way;

/// Messages that wait for a worker that does not take them. Further packets are dropped, as on a network.
const MOST_WAITING: usize = 16_384;

/// From one worker to another.
#[derive(Debug)]
pub enum RelayMessage {
    /// From another node: the room is at the sending worker, which has no replicas yet. An answer is not answered.
    Join {
        room: RoomKey,
        is_answer: bool,
        /// As in [`Pull`](Self::Pull). None: an earlier version, which is told of the members of the receiver's node.
        pulls: Option<Origins>,
    },
    /// From another node: it is to be told of the members of these nodes, and of no others.
    Pull {
        room: RoomKey,
        origins: Origins,
    },
    /// From another node: it has told of all members of these nodes.
    Introduced {
        room: RoomKey,
        origins: Origins,
    },
    /// A member publishes at the sending worker, or may send something else than before.
    Member {
        room: RoomKey,
        user: UserId,
        serial: u64,
        /// Between nodes: the member's node. None: the sender's.
        origin: Option<NodeId>,
        tracks: Vec<Published>,
    },
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
    /// A link on the way from the publisher does not carry a simulcast stream, or carries it again. To the publisher's worker: do not send it
    /// over this link, until it is watched again.
    Barred {
        stream: StreamId,
        is_barred: bool,
    },
    /// Links on the way from the publisher do not carry the spatial layers inside a stream from this one on; None: they carry all. To the
    /// publisher's worker: do not send them over this link, until they are watched again.
    LayersBarred {
        stream: StreamId,
        from: Option<u8>,
    },
    /// To the publisher's worker: a keyframe is needed.
    Keyframe(StreamId),
    /// To the publisher's worker: all layers of a track that viewers of the sending worker watch.
    Watched {
        track: TrackIndex,
        layers: Vec<Watched>,
    },
    /// To the publisher's worker: whether viewers of the sending worker, or of workers behind it, watch a track. It is of importance
    /// between nodes: a worker of the same node gets all packets.
    Take {
        track: TrackIndex,
        is_taken: bool,
        /// The packets of so long are missing at the sender, or at a node behind it, which had the track from another node before: they are
        /// sent, also when the track was taken already. None: none are missing.
        missed: Option<Duration>,
    },
    /// A member's own message.
    Custom {
        room: RoomKey,
        delivery: Delivery,
        bytes: Arc<[u8]>,
    },
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

    pub fn take(&mut self, to: WorkerIndex) -> Vec<RelayMessage> {
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
    /// The other workers that a room is on. A worker of this node that is new to a room is told before the workers that are told of it.
    pub fn set_neighbours(&mut self, now: Instant, key: &RoomKey, neighbours: &Neighbours) {
        let workers = &neighbours.workers;
        let room = self.rooms.get_or_create(key);
        room.set_tells_speakers(neighbours.tells_speakers);
        let before = room.set_neighbours(workers);
        room.pulls.set_parents(now, workers, &neighbours.parents);
        let pulls = &room.pulls;
        let is_gone = |member: &Member| match &member.location {
            Location::Here(_) => false,
            Location::Elsewhere {
                origin: None, worker, ..
            } => !workers.contains(worker),
            // Those of a parent that is gone wait for the next parent.
            Location::Elsewhere {
                origin: Some(origin), ..
            } => pulls.parent(origin).is_none(),
        };
        let gone = room.members().filter(|(_, member)| is_gone(member));
        let gone: Vec<UserId> = gone.map(|(user, _)| user.clone()).collect();
        for user in gone {
            self.forget_replicas(now, key, &user);
        }
        self.find_listeners(key);
        let new = workers.iter().copied().filter(|worker| !before.contains(worker));
        let (far, near): (Vec<WorkerIndex>, Vec<WorkerIndex>) = new.partition(|worker| self.is_far(*worker));
        self.introduce(now, key, &near, None);
        // The other node may not know yet that the room is here: it is told who publishes when it joins.
        for worker in far {
            self.join(key, worker, false);
        }
        self.send_pulls(key);
        self.rooms.remove_if_unused(key);
    }

    /// Whether a worker is one of another node.
    pub(super) fn is_far(&self, worker: WorkerIndex) -> bool {
        worker.position() >= self.setup.workers
    }

    /// The neighbours of a room that are told of a member's tracks.
    fn listeners(&self, key: &RoomKey, way: Way<'_>) -> Vec<WorkerIndex> {
        let Some(room) = self.rooms.get(key) else {
            return Vec::new();
        };
        let own = &self.setup.node;
        let is_told = |worker: &&WorkerIndex| {
            let worker = **worker;
            match way {
                Way::Here => !self.is_far(worker) || room.pulls.has_child(worker, own),
                Way::NearWorker => self.is_far(worker) && room.pulls.has_child(worker, own),
                Way::Node(origin, from) => {
                    !self.is_far(worker) || worker != from && room.pulls.has_child(worker, origin)
                }
            }
        };
        room.neighbours().iter().filter(is_told).copied().collect()
    }

    /// Tells new neighbours of a room who publishes here, with the newest frames. `only`: the members of these nodes; None: of all.
    fn introduce(&mut self, now: Instant, key: &RoomKey, new: &[WorkerIndex], only: Option<&Origins>) {
        if new.is_empty() {
            return;
        }
        let is_meant = |origin: &NodeId| only.is_none_or(|only| only.contains(origin));
        let members = self.rooms.get(key).into_iter().flat_map(|room| room.members());
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for (user, member) in members {
            let way = member.location.way();
            let origin = match way {
                Way::Node(origin, _) => origin,
                Way::Here | Way::NearWorker => &self.setup.node,
            };
            let mut to = self.listeners(key, way);
            to.retain(|to| new.contains(to) && is_meant(origin));
            match &member.location {
                Location::Here(index) => here.push((*index, to)),
                Location::Elsewhere { .. } => elsewhere.push((user.clone(), to)),
            }
        }
        for (index, to) in here {
            if !to.is_empty() && self.announce(index, &to) {
                let streams = self
                    .sessions
                    .get(index)
                    .map(|session| session.uplink.streams().collect());
                self.relay_streams(streams.unwrap_or_default(), &to, Some(now));
            }
        }
        for (user, to) in elsewhere {
            let streams = self.announce_replicas(key, &user, &to);
            self.relay_streams(streams, &to, Some(now));
        }
    }

    /// Tells workers of a member who publishes at another worker. Answers the streams.
    fn announce_replicas(&mut self, key: &RoomKey, user: &UserId, to: &[WorkerIndex]) -> Vec<StreamId> {
        let member = self.rooms.get(key).and_then(|room| room.member(user));
        let Some(Member {
            serial,
            location: Location::Elsewhere { tracks, origin, .. },
        }) = member.filter(|_| !to.is_empty())
        else {
            return Vec::new();
        };
        let (mut published, mut streams) = (Vec::new(), Vec::new());
        for (source, index) in tracks {
            let Some(track) = self.tracks.get(*index) else {
                continue;
            };
            streams.extend_from_slice(track.streams());
            published.push(Published {
                source: *source,
                track: *index,
                permitted: matches!(track.publisher(), Publisher::Elsewhere(replica) if replica.permitted),
            });
        }
        let serial = *serial;
        self.relay.push_all(to, || RelayMessage::Member {
            room: key.clone(),
            user: user.clone(),
            serial,
            origin: origin.clone(),
            tracks: published.clone(),
        });
        streams
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
        self.relay.push_all(to, || RelayMessage::Member {
            room: session.room().clone(),
            user: user.clone(),
            serial: session.serial(),
            origin: None,
            tracks: tracks.clone(),
        });
        true
    }

    /// A session may publish other sources than before.
    pub(super) fn announce_to_neighbours(&mut self, index: SessionIndex) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let neighbours = self.listeners(session.room(), Way::Here);
        self.set_track_neighbours(index, &neighbours);
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let was_announced = session.uplink.is_announced();
        if !neighbours.is_empty() && self.announce(index, &neighbours) && !was_announced {
            let streams = self
                .sessions
                .get(index)
                .map(|session| session.uplink.streams().collect());
            self.relay_streams(streams.unwrap_or_default(), &neighbours, None);
        }
    }

    /// Tells workers of streams; with a time, also the newest frames of each to those that get its packets.
    fn relay_streams(&mut self, streams: Vec<StreamId>, to: &[WorkerIndex], with_frames: Option<Instant>) {
        for id in streams {
            let Some(stream) = self.tracks.stream(id) else {
                continue;
            };
            self.relay.push_all(to, || described(id, stream));
            let Some(now) = with_frames else {
                continue;
            };
            for (spatial, demand) in stream.demands() {
                let layer = Watched { stream: id, spatial };
                self.relay.push_all(to, || RelayMessage::Demand { layer, demand });
            }
            if stream.is_barred() {
                self.relay.push_all(to, || RelayMessage::Barred {
                    stream: id,
                    is_barred: true,
                });
            }
            let from = stream.layers().and_then(StreamLayers::barred_from);
            if from.is_some() {
                self.relay
                    .push_all(to, || RelayMessage::LayersBarred { stream: id, from });
            }
            let receivers = self.tracks.get(stream.track()).map(|track| track.receivers());
            let receivers = receivers
                .unwrap_or_default()
                .iter()
                .filter(|worker| to.contains(worker));
            let receivers: Vec<WorkerIndex> = receivers.copied().collect();
            self.relay_frames(now, id, &receivers);
        }
    }

    /// Gives workers the newest frames of a stream.
    pub(super) fn relay_frames(&mut self, now: Instant, id: StreamId, to: &[WorkerIndex]) {
        let Some(stream) = self.tracks.stream(id) else {
            return;
        };
        let track = self.tracks.get(stream.track());
        for packet in stream.history().group_of_pictures(now).into_iter().flatten() {
            let layer = Watched {
                stream: id,
                spatial: packet.spatial(),
            };
            for worker in to
                .iter()
                .filter(|to| track.is_none_or(|track| !track.is_paused(**to, layer)))
            {
                let packet = Arc::clone(packet);
                self.relay.push(*worker, RelayMessage::Packet { stream: id, packet });
            }
        }
    }

    fn set_track_neighbours(&mut self, index: SessionIndex, neighbours: &[WorkerIndex]) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        for (_, track) in session.uplink.tracks() {
            if let Some(track) = self.tracks.get_mut(track) {
                track.set_neighbours(neighbours, self.setup.workers);
            }
        }
    }

    /// The neighbours that are told of a room's replicas, which depends on where each is from.
    fn set_replica_neighbours(&mut self, key: &RoomKey) {
        let members = self.rooms.get(key).into_iter().flat_map(|room| room.members());
        let replicas = members.filter_map(|(_, member)| match &member.location {
            Location::Elsewhere { tracks, .. } => Some((self.listeners(key, member.location.way()), tracks.clone())),
            Location::Here(_) => None,
        });
        let replicas: Vec<_> = replicas.collect();
        for (neighbours, tracks) in replicas {
            for (_, track) in tracks {
                if let Some(track) = self.tracks.get_mut(track) {
                    track.set_neighbours(&neighbours, self.setup.workers);
                }
            }
        }
    }

    /// A session has ended that others may know of.
    pub(super) fn announce_end(&mut self, session: &Session) {
        if let (Some(user), true) = (session.user(), session.uplink.is_announced()) {
            let listeners = self.listeners(session.room(), Way::Here);
            self.relay.push_all(&listeners, || RelayMessage::Gone {
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
