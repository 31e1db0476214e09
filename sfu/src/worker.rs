//! A worker's state and decisions: rooms, sessions, who gets which packet. Sans-IO: datagrams, commands and time come in by
//! `handle_*`, datagrams and events go out by `poll_*`.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rotunda_proto::ids::{RoomKey, SessionId, UserId};
use rotunda_proto::sfu::{Command, ControlError, Event, Identity, MAX_SLOTS, Reply};
use rotunda_proto::ticket::ClusterSecret;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, IceConnectionState, Input, Output};
use tracing::{debug, info};

use crate::session::{Ingress, Opening, Session};
use crate::slot::{StreamKey, Take};
use crate::speakers::Speakers;

pub struct Worker {
    secret: ClusterSecret,
    candidates: Vec<Candidate>,
    connect_timeout: Duration,
    max_sessions: usize,
    sessions: HashMap<SessionId, Session>,
    rooms: HashMap<RoomKey, Room>,
    by_address: HashMap<SocketAddr, SessionId>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<RoomEvent>,
    arrived: Vec<(SessionId, Ingress)>,
    seed: u64,
}

/// An event and the room it happened in.
#[derive(Debug)]
pub struct RoomEvent {
    pub room: RoomKey,
    pub event: Event,
}

#[derive(Default)]
struct Room {
    sessions: Vec<SessionId>,
    /// The newest session of each member: the one that publishes.
    members: HashMap<UserId, SessionId>,
    speakers: Speakers,
}

/// What a worker is made with.
pub struct Setup {
    pub secret: ClusterSecret,
    pub candidates: Vec<Candidate>,
    pub connect_timeout: Duration,
    pub max_sessions: usize,
    /// Random.
    pub seed: u64,
}

impl Worker {
    pub fn new(setup: Setup) -> Self {
        let Setup {
            secret,
            candidates,
            connect_timeout,
            max_sessions,
            seed,
        } = setup;
        Self {
            secret,
            candidates,
            connect_timeout,
            max_sessions,
            seed,
            sessions: HashMap::new(),
            rooms: HashMap::new(),
            by_address: HashMap::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            arrived: Vec::new(),
        }
    }

    /// `unix`: wall clock, for tickets.
    pub fn handle_command(&mut self, now: Instant, unix: Duration, command: Command) -> Reply {
        let done = match command {
            Command::Open {
                session,
                room,
                identity,
                offer,
                lines,
            } => self
                .open(now, unix, session, room, identity, &offer, lines)
                .map(|answer| Reply::Opened { answer }),
            Command::Restart { session, offer } => match self.sessions.get_mut(&session) {
                Some(session) => session.restart(&offer).map(|answer| Reply::Opened { answer }),
                None => Err(ControlError::NoSuchSession),
            },
            Command::SetIngress { session, sources } => match self.sessions.get_mut(&session) {
                Some(session) => {
                    session.set_ingress(sources);
                    Ok(Reply::Done)
                }
                None => Err(ControlError::NoSuchSession),
            },
            Command::SetSlots { session, slots } => match self.sessions.get_mut(&session) {
                Some(viewer) => {
                    viewer.set_slots(&slots);
                    self.ask_for_wanted_keyframes(now, session);
                    Ok(Reply::Done)
                }
                None => Err(ControlError::NoSuchSession),
            },
            Command::Close { session } => {
                if let Some(mut closed) = self.remove(session) {
                    closed.rtc.disconnect();
                }
                Ok(Reply::Done)
            }
        };
        self.settle(now);
        done.unwrap_or_else(|error| Reply::Refused { error })
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the command, and the time")]
    fn open(
        &mut self,
        now: Instant,
        unix: Duration,
        id: SessionId,
        room: RoomKey,
        identity: Identity,
        offer: &str,
        lines: rotunda_proto::sfu::Lines,
    ) -> Result<String, ControlError> {
        let user = match identity {
            Identity::Member { user } => Some(user),
            Identity::Service { ticket } => {
                self.secret
                    .verify_ticket(&ticket, &room, unix)
                    .map_err(|_| ControlError::BadTicket)?;
                None
            }
        };
        if self.sessions.len() >= self.max_sessions {
            return Err(ControlError::NodeFull);
        }
        if lines.audio.len() > MAX_SLOTS || lines.video.len() > MAX_SLOTS {
            return Err(ControlError::BadSdp {
                reason: format!("more than {MAX_SLOTS} receive lines of a kind"),
            });
        }
        self.remove(id);
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let opening = Opening {
            id,
            room: room.clone(),
            user: user.clone(),
            offer,
            lines,
        };
        let (session, answer) = Session::open(now, opening, &self.candidates, self.seed >> 16)?;
        let place = self.rooms.entry(room).or_default();
        place.sessions.push(id);
        if let Some(user) = user {
            place.members.insert(user, id);
        }
        self.sessions.insert(id, session);
        gauge!("rotunda_sfu_sessions").increment(1.0);
        Ok(answer)
    }

    /// Takes a session out of everything that knows it.
    fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        gauge!("rotunda_sfu_sessions").decrement(1.0);
        self.by_address.retain(|_, known| *known != id);
        if let Some(room) = self.rooms.get_mut(&session.room) {
            room.sessions.retain(|other| *other != id);
            room.members.retain(|_, publisher| *publisher != id);
            for other in &room.sessions {
                if let Some(viewer) = self.sessions.get_mut(other) {
                    viewer
                        .audio
                        .iter_mut()
                        .chain(&mut viewer.video)
                        .for_each(|slot| slot.source_gone(id));
                }
            }
            if room.sessions.is_empty() {
                self.rooms.remove(&session.room);
            }
        }
        Some(session)
    }

    /// One datagram, or one frame of ICE-TCP.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, proto: Protocol, bytes: &[u8]) {
        let Ok(receive) = Receive::new(proto, from, to, bytes) else {
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "unparsable").increment(1);
            return;
        };
        let input = Input::Receive(now, receive);
        let known = self.by_address.get(&from).copied();
        let known = known.filter(|id| self.sessions.get(id).is_some_and(|session| session.rtc.accepts(&input)));
        let found = known.or_else(|| {
            let found = self
                .sessions
                .iter()
                .find(|(_, session)| session.rtc.accepts(&input))
                .map(|(id, _)| *id)?;
            self.by_address.insert(from, found);
            Some(found)
        });
        let Some(session) = found.and_then(|id| self.sessions.get_mut(&id)) else {
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "unknown_peer").increment(1);
            return;
        };
        if let Err(error) = session.rtc.handle_input(input) {
            debug!(%error, session = %session.id, "a datagram was refused");
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "refused").increment(1);
        }
        // str0m holds one packet: drain before the next comes.
        let id = session.id;
        self.drain(now, id);
    }

    /// Call when [`poll_timeout`](Self::poll_timeout) is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut due = Vec::new();
        let mut late = Vec::new();
        for session in self.sessions.values() {
            if !session.connected && now.saturating_duration_since(session.started) >= self.connect_timeout {
                late.push(session.id);
            } else if session.next_timeout <= now {
                due.push(session.id);
            }
        }
        for id in late {
            self.lose(id, "ICE and DTLS were not done in time");
        }
        for id in due {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.dirty = true;
            }
        }
        self.settle(now);
        for (key, room) in &mut self.rooms {
            if let Some(speakers) = room.speakers.poll_change(now) {
                self.events.push_back(RoomEvent {
                    room: key.clone(),
                    event: Event::Speakers { speakers },
                });
            }
        }
    }

    /// Routes what has arrived and lets every touched session send. Call after a batch of datagrams.
    pub fn settle(&mut self, now: Instant) {
        loop {
            self.route(now);
            let dirty: Vec<SessionId> = self
                .sessions
                .values()
                .filter(|session| session.dirty)
                .map(|session| session.id)
                .collect();
            if dirty.is_empty() && self.arrived.is_empty() {
                return;
            }
            for id in dirty {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.dirty = false;
                    if session.rtc.handle_input(Input::Timeout(now)).is_ok() {
                        self.drain(now, id);
                    }
                }
            }
        }
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<RoomEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub fn poll_timeout(&self, now: Instant) -> Instant {
        let sessions = self.sessions.values().map(|session| session.next_timeout).min();
        let tick = now + Duration::from_millis(200);
        sessions.map_or(tick, |due| due.min(tick))
    }

    /// Takes everything that a session has to say.
    fn drain(&mut self, now: Instant, id: SessionId) {
        let mut lost = None;
        while let Some(session) = self.sessions.get_mut(&id) {
            match session.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    session.next_timeout = at;
                    if !session.rtc.is_alive() {
                        lost = Some("the session has ended");
                    }
                    break;
                }
                Ok(Output::Transmit(transmit)) => self.transmits.push_back(transmit),
                Ok(Output::Event(event)) => {
                    if let Some(reason) = self.handle_event(now, id, event) {
                        lost = Some(reason);
                        break;
                    }
                }
                Err(error) => {
                    info!(%error, session = %id, "the session failed");
                    lost = Some("a protocol error");
                    break;
                }
            }
        }
        if let Some(reason) = lost {
            self.lose(id, reason);
        }
    }

    /// Answers why the session is lost, when it is.
    fn handle_event(&mut self, now: Instant, id: SessionId, event: str0m::Event) -> Option<&'static str> {
        let session = self.sessions.get_mut(&id)?;
        match event {
            str0m::Event::Connected => {
                session.connected = true;
                let event = Event::Connected {
                    session: id,
                    user: session.user.clone(),
                };
                self.events.push_back(RoomEvent {
                    room: session.room.clone(),
                    event,
                });
                self.ask_for_wanted_keyframes(now, id);
            }
            str0m::Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                return Some("the peer does not answer any more");
            }
            str0m::Event::SenderFeedback(report) => session.handle_report(now, &report.sender_info),
            str0m::Event::RtpPacket(packet) => {
                match session.ingress(now, packet) {
                    Some(ingress) => self.arrived.push((id, ingress)),
                    None => counter!("rotunda_sfu_packets_dropped_total", "reason" => "not_permitted").increment(1),
                };
            }
            str0m::Event::KeyframeRequest(request) => {
                counter!("rotunda_sfu_keyframe_requests_total", "from" => "viewer").increment(1);
                let from = session.slot(request.mid).and_then(|slot| slot.flowing());
                if let Some(StreamKey { session, ssrc }) = from
                    && let Some(publisher) = self.sessions.get_mut(&session)
                    && publisher.request_keyframe(now, ssrc)
                {
                    counter!("rotunda_sfu_keyframe_requests_total", "from" => "forwarded").increment(1);
                }
            }
            str0m::Event::Closed => return Some("the peer has closed the session"),
            _ => {}
        }
        None
    }

    fn lose(&mut self, id: SessionId, reason: &str) {
        if let Some(session) = self.remove(id) {
            info!(session = %id, room = %session.room, reason, "session lost");
            let event = Event::Disconnected {
                session: id,
                user: session.user,
                reason: reason.to_owned(),
            };
            self.events.push_back(RoomEvent {
                room: session.room,
                event,
            });
        }
    }

    /// A viewer has new wishes: their key frames are asked for at once, not at the next packet.
    fn ask_for_wanted_keyframes(&mut self, now: Instant, viewer: SessionId) {
        let Some(session) = self.sessions.get(&viewer) else {
            return;
        };
        let Some(room) = self.rooms.get(&session.room) else {
            return;
        };
        let wants: Vec<_> = session
            .video
            .iter()
            .filter(|slot| slot.flowing().is_none())
            .filter_map(|slot| slot.want().cloned())
            .filter_map(|want| Some((*room.members.get(&want.user)?, want)))
            .collect();
        for (publisher, want) in wants {
            if let Some(publisher) = self.sessions.get_mut(&publisher)
                && let Some(ssrc) = publisher.best_stream(now, want.source, want.max_height)
            {
                publisher.request_keyframe(now, ssrc);
            }
        }
    }

    /// Gives every arrived packet to the slots that show its source.
    fn route(&mut self, now: Instant) {
        let mut arrived = std::mem::take(&mut self.arrived);
        for (id, ingress) in arrived.drain(..) {
            self.forward(now, id, &ingress);
        }
        // Keeps the vector's memory.
        self.arrived = arrived;
    }

    fn forward(&mut self, now: Instant, from: SessionId, ingress: &Ingress) {
        let Some(publisher) = self.sessions.get(&from) else {
            return;
        };
        let (Some(user), Some(room)) = (publisher.user.clone(), self.rooms.get_mut(&publisher.room)) else {
            return;
        };
        if room.members.get(&user) != Some(&from) {
            return;
        }
        let Ingress {
            packet,
            source,
            params,
            captured,
        } = ingress;
        if let Some(level) = packet.header.ext_vals.audio_level {
            room.speakers.handle_level(now, &user, level);
        }
        let codec = params.spec().codec;
        let key = StreamKey {
            session: from,
            ssrc: packet.header.ssrc,
        };
        let mut keyframe_wanted = None;
        let mut forwarded = 0;
        for index in 0..room.sessions.len() {
            let viewer = room.sessions[index];
            if viewer == from {
                continue;
            }
            let wanted = |slot: &crate::slot::Slot| {
                slot.want()
                    .is_some_and(|want| want.source == *source && want.user == user)
            };
            let Some(max_height) = self.sessions.get(&viewer).and_then(|viewer| {
                let mut slots = viewer.audio.iter().chain(&viewer.video);
                slots.find(|slot| wanted(slot))?.want().map(|want| want.max_height)
            }) else {
                continue;
            };
            let best = self
                .sessions
                .get(&from)
                .and_then(|publisher| publisher.best_stream(now, *source, max_height));
            let Some(best) = best.map(|ssrc| StreamKey { session: from, ssrc }) else {
                continue;
            };
            let Some(viewer) = self.sessions.get_mut(&viewer).filter(|viewer| viewer.connected) else {
                continue;
            };
            let lines = if source.is_video() {
                &viewer.video
            } else {
                &viewer.audio
            };
            let Some(at) = lines.iter().position(wanted) else {
                continue;
            };
            let take = lines[at].takes(key, best, codec, &packet.payload);
            let mid = lines[at].mid;
            let pt = if take == Take::Switch {
                viewer.viewer_pt(mid, *params)
            } else {
                None
            };
            let slot = if source.is_video() {
                &mut viewer.video[at]
            } else {
                &mut viewer.audio[at]
            };
            match (take, pt) {
                (Take::Switch, Some(pt)) => slot.switch(key, packet, params, pt),
                (Take::Switch, None) => {
                    counter!("rotunda_sfu_packets_dropped_total", "reason" => "codec").increment(1);
                    continue;
                }
                (Take::Forward, _) => {}
                (Take::Leave, _) => {
                    if source.is_video() && slot.ask_for_keyframe(now, best) {
                        keyframe_wanted = Some(best.ssrc);
                    }
                    continue;
                }
            }
            if let Some(write) = slot.rewrite(packet, *captured) {
                Session::write(&mut viewer.rtc, slot, write);
                viewer.dirty = true;
                forwarded += 1;
            }
        }
        let kind = if source.is_video() { "video" } else { "audio" };
        counter!("rotunda_sfu_packets_forwarded_total", "kind" => kind).increment(forwarded);
        counter!("rotunda_sfu_bytes_forwarded_total", "kind" => kind)
            .increment(forwarded * packet.payload.len() as u64);
        if let Some(ssrc) = keyframe_wanted
            && let Some(publisher) = self.sessions.get_mut(&from)
        {
            publisher.request_keyframe(now, ssrc);
        }
    }
}
