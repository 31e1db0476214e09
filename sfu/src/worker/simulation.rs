//! A room in virtual time: workers, WebRTC clients, and links between them that lose, delay and reorder packets. No sockets.

mod by_hand;
mod joining;
mod network;
mod nodes;
mod peer;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use rotunda_proto::custom_message::{ORDERED, UNORDERED};
use rotunda_proto::ids::{RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{Client, ControlError, Event, Lines, Loudest, SlotMap, Standing, VideoWant};
use rotunda_proto::statistics::{NetworkQuality, Statistics};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionValues, RtpWrite};
use str0m::{Candidate, Event as PeerEvent, Input, Output, Rtc};

use crate::node::placement::Placement;
use crate::session::dtls_keys;
use crate::session::{Opening, Session};
use crate::slab::{Index, WorkerIndex};
use crate::wire::dependency::Carried;
use crate::wire::rtp::dependency_extension;
use crate::wire::srtp;
use crate::wire::stun;
use crate::worker::{Setup, Worker};
pub use network::Link;
#[cfg(test)]
pub use network::{lossy, narrow};
#[cfg(test)]
pub use peer::Got;
use peer::Publishing;
pub use peer::{Layer, Peer};

pub const FRAME: Duration = Duration::from_millis(33);
const FRAME_PACKETS: u16 = 3;
const AUDIO: Duration = Duration::from_millis(20);
/// Marks payloads of the simulation.
const MAGIC: [u8; 4] = *b"sim!";

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub struct Simulation {
    pub now: Instant,
    /// Of all nodes.
    pub workers: Vec<Worker>,
    nodes: nodes::Nodes,
    placement: Placement,
    pub peers: Vec<Peer>,
    flying: BinaryHeap<Reverse<(Instant, u64)>>,
    datagrams: BTreeMap<u64, (To, Vec<u8>)>,
    sent: u64,
    seed: u64,
    room: RoomKey,
    pub events: Vec<(Instant, Event)>,
    /// Peers that join from now on open the channels for messages.
    pub with_channels: bool,
    /// Peers that join from now on send NACKs for audio.
    pub with_audio_nack: bool,
    /// Peers that join from now on report no arrival times (transport-wide feedback).
    pub without_feedback: bool,
    /// Audio slots of the peers that join from now on.
    pub audio_slots: usize,
    /// The client of the peers that join from now on.
    pub client: Client,
    /// Allocations on the packet path, for this peer's packets, and packets that were sent to viewers.
    pub counted: Option<Counted>,
    /// The longest that a worker took for one datagram, on the real clock.
    pub longest: Duration,
    /// Turns of all workers, and those that left something undone for the next one.
    pub turns: usize,
    pub unfinished_turns: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub publisher: usize,
    pub allocations: u64,
    pub sent: u64,
}

#[derive(Clone, Copy)]
enum To {
    Server(usize),
    Peer(usize),
    /// From one worker to another, of another node.
    Worker {
        from: usize,
        to: usize,
    },
}

impl Simulation {
    pub fn new(seed: u64) -> Self {
        Self::with_workers(seed, 1)
    }

    /// Peers come to the worker with the fewest sessions.
    pub fn with_workers(seed: u64, workers: usize) -> Self {
        Self::on_nodes(seed, workers, workers)
    }

    /// `workers`: of all nodes. `of_node`: of one of them.
    fn on_nodes(seed: u64, workers: usize, of_node: usize) -> Self {
        let start = rotunda_proto::clock::Clock.now();
        let worker = |index| {
            Worker::new(Setup {
                node: nodes::node_name(index / of_node),
                index: WorkerIndex::at(index % of_node),
                workers: of_node,
                first_stream: (index as u64) << 48,
                connect_timeout: Duration::from_secs(15),
                max_sessions: 2000,
                batch_window: ms(2),
                started: (start, Duration::from_secs(1_700_000_000)),
            })
        };
        Self {
            now: start,
            workers: (0..workers).map(worker).collect(),
            nodes: nodes::Nodes::new(workers, of_node),
            placement: Placement::new(workers, 2000, 1),
            peers: Vec::new(),
            flying: BinaryHeap::new(),
            datagrams: BTreeMap::new(),
            sent: 0,
            seed: seed.wrapping_mul(2).wrapping_add(1),
            room: room_key(),
            events: Vec::new(),
            with_channels: false,
            with_audio_nack: false,
            without_feedback: false,
            audio_slots: 3,
            client: Client::Signaled,
            counted: None,
            longest: Duration::ZERO,
            turns: 0,
            unfinished_turns: 0,
        }
    }

    fn chance(&mut self) -> f64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / f64::from(1u32 << 31)
    }

    fn worker_of(&mut self, peer: usize) -> &mut Worker {
        &mut self.workers[self.peers[peer].worker]
    }

    /// Permits a peer's camera and audio, and lets the peer send them.
    pub fn publish(&mut self, peer: usize) {
        let now = self.now;
        self.permit(peer);
        let publishing = &mut self.peers[peer].publishing;
        publishing.camera = Some(now);
        publishing.audio = Some(now);
        self.peers[peer].want_keyframes();
    }

    /// The peer sends nothing more; its permission stays.
    pub fn pause(&mut self, peer: usize) {
        self.peers[peer].publishing.camera = None;
        self.peers[peer].publishing.audio = None;
    }

    /// The peer goes on with its camera, from a frame that needs the ones before.
    pub fn publish_without_keyframe(&mut self, peer: usize) {
        self.peers[peer].publishing.camera = Some(self.now);
    }

    /// Permits a peer's camera and audio.
    pub fn permit(&mut self, peer: usize) {
        let (now, session) = (self.now, self.peers[peer].session);
        let all = [TrackSource::Audio, TrackSource::Camera].into();
        self.worker_of(peer).set_ingress(now, session, all).unwrap();
    }

    /// Takes the permission away; the peer goes on sending all the same.
    pub fn forbid(&mut self, peer: usize) {
        let (now, session) = (self.now, self.peers[peer].session);
        self.worker_of(peer).set_ingress(now, session, [].into()).unwrap();
    }

    /// Shows the cameras of these peers in the video slots, and their audio in the audio slots, in the same order.
    pub fn watch(&mut self, viewer: usize, watched: &[usize]) {
        let watched: Vec<_> = watched.iter().map(|peer| (*peer, None)).collect();
        self.watch_at(viewer, &watched);
    }

    /// As [`watch`](Self::watch), each video at most so high.
    pub fn watch_at(&mut self, viewer: usize, watched: &[(usize, Option<u16>)]) {
        let user = |peer: usize| self.peers[peer].user.clone();
        let slots = SlotMap {
            audio: watched.iter().map(|(peer, _)| Some(user(*peer))).collect(),
            video: watched
                .iter()
                .map(|(peer, max_height)| {
                    Some(VideoWant {
                        user: user(*peer),
                        source: TrackSource::Camera,
                        max_height: *max_height,
                    })
                })
                .collect(),
            loudest: None,
        };
        let (now, session) = (self.now, self.peers[viewer].session);
        self.worker_of(viewer).set_slots(now, session, &slots).unwrap();
    }

    /// Permits a peer's audio alone, and lets the peer send it.
    pub fn speak(&mut self, peer: usize, level: i8) {
        let (now, session) = (self.now, self.peers[peer].session);
        self.worker_of(peer)
            .set_ingress(now, session, [TrackSource::Audio].into())
            .unwrap();
        self.peers[peer].publishing.audio = Some(now);
        self.peers[peer].level = Some(level);
    }

    /// Lets a viewer hear the loudest, except for these peers.
    pub fn hear_loudest(&mut self, viewer: usize, except: &[usize]) {
        let slots = SlotMap {
            loudest: Some(Loudest {
                except: except.iter().map(|peer| self.peers[*peer].user.clone()).collect(),
            }),
            ..SlotMap::default()
        };
        let (now, session) = (self.now, self.peers[viewer].session);
        self.worker_of(viewer).set_slots(now, session, &slots).unwrap();
    }

    pub fn statistics(&self, peer: usize) -> Statistics {
        self.find_statistics(peer).unwrap()
    }

    pub fn find_statistics(&self, peer: usize) -> Result<Statistics, ControlError> {
        let peer = &self.peers[peer];
        self.workers[peer.worker].statistics(&self.room, &peer.user)
    }

    /// The qualities that a peer got for its connection, with their times.
    pub fn qualities(&self, peer: usize) -> Vec<(Instant, NetworkQuality)> {
        let own = self.peers[peer].session;
        let told = self.events.iter().filter_map(|(at, event)| match event {
            Event::Quality { session, quality, .. } if *session == own => Some((*at, *quality)),
            _ => None,
        });
        told.collect()
    }

    pub fn send_message(&mut self, peer: usize, label: &str, bytes: &[u8]) {
        let own = &mut self.peers[peer];
        let (channel, _) = own.channels.iter().find(|(_, of)| of == label).unwrap();
        let mut channel = own.rtc.channel(*channel).expect("the channel is open");
        assert!(channel.write(true, bytes).unwrap());
        self.drive_peer(peer);
    }

    pub fn leave(&mut self, peer: usize) {
        let (now, session) = (self.now, self.peers[peer].session);
        self.worker_of(peer).close(now, session);
        let closed = self.placement.close(session);
        self.tell(closed.and_then(|(_, room_workers)| room_workers));
        self.vanish(peer);
    }

    /// The peer's machine is gone from one moment to the next: nothing comes from it and nothing reaches it.
    pub fn vanish(&mut self, peer: usize) {
        self.peers[peer].publishing = Publishing::default();
        self.peers[peer].gone = true;
        self.peers[peer].due = self.now + Duration::from_secs(1_000_000);
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.flush_server();
            let mut next = end;
            for worker in &self.workers {
                next = next.min(worker.poll_timeout().unwrap_or(end));
            }
            for peer in &self.peers {
                next = next.min(peer.due);
                for due in [peer.publishing.camera, peer.publishing.audio].into_iter().flatten() {
                    next = next.min(due);
                }
            }
            if let Some(Reverse((at, _))) = self.flying.peek() {
                next = next.min(*at);
            }
            // Time never goes back: deadlines in the past are due now.
            self.now = self.now.max(next);
            if self.now >= end {
                self.now = end;
                return;
            }
            self.deliver();
            for worker in &mut self.workers {
                worker.handle_timeout(self.now);
            }
            for index in 0..self.peers.len() {
                self.publish_due(index);
                if self.peers[index].due <= self.now {
                    self.drive_peer(index);
                }
            }
        }
    }

    fn drive_peer(&mut self, index: usize) {
        self.peers[index].rtc.handle_input(Input::Timeout(self.now)).unwrap();
        self.drain_peer(index);
    }

    fn drain_peer(&mut self, index: usize) {
        loop {
            let peer = &mut self.peers[index];
            match peer.rtc.poll_output().unwrap() {
                Output::Timeout(at) => {
                    peer.due = at.max(self.now + Duration::from_micros(100));
                    if let Some(material) = dtls_keys::take_exported() {
                        peer.sender = srtp::Sender::new(dtls_keys::srtp_provider(), &material).ok();
                    }
                    return;
                }
                Output::Transmit(transmit) => {
                    let link = peer.up;
                    let mut bytes = transmit.contents.to_vec();
                    if stun::kind(&bytes) == stun::Kind::Request && !peer.checks {
                        // RFC 8445 §11: without credentials.
                        bytes.truncate(20);
                        (bytes[1], bytes[3]) = (0x11, 0);
                    }
                    self.send(link, To::Server(index), bytes);
                }
                Output::Event(event) => peer.handle_event(self.now, event),
            }
        }
    }

    fn publish_due(&mut self, index: usize) {
        let now = self.now;
        let peer = &mut self.peers[index];
        if !peer.connected {
            // Nothing piles up before the session is there.
            let publishing = &mut peer.publishing;
            for due in [&mut publishing.camera, &mut publishing.audio].into_iter().flatten() {
                *due = (*due).max(now + ms(5));
            }
            return;
        }
        let mut wrote = false;
        if peer.publishing.camera.is_some_and(|due| due <= now) {
            peer.publishing.camera = peer.publishing.camera.map(|due| due + FRAME);
            peer.send_frame(now, index as u8);
            wrote = true;
        }
        if peer.publishing.audio.is_some_and(|due| due <= now) {
            peer.publishing.audio = peer.publishing.audio.map(|due| due + AUDIO);
            peer.send_audio(now, index as u8);
            wrote = true;
        }
        if wrote {
            self.drive_peer(index);
        }
    }
}

/// How often `work` allocates.
#[cfg(test)]
fn allocations_of(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[cfg(not(test))]
fn allocations_of(work: impl FnOnce()) -> u64 {
    work();
    0
}

/// Where a worker is reached.
fn server(worker: usize) -> SocketAddr {
    ([10, 0, 0, 1], 4000 + worker as u16).into()
}

pub(crate) fn room_key() -> RoomKey {
    RoomKey {
        app: 1_400_000_001.try_into().unwrap(),
        room: rotunda_proto::ids::RoomId::Name("simulation".parse().unwrap()),
    }
}
