//! A worker's state: rooms, sessions, tracks. Sans-IO: datagrams, commands and time come in by `handle_*`, datagrams and
//! events go out by `poll_*`.
//!
//! This file makes and ends sessions; [`drain`] takes what they have to say, [`demux`] finds whose datagram it is, [`forward`]
//! takes packets from publishers, [`fan_out`] gives them to viewers, [`transmit`] sends them, [`subscribe`] decides who gets what, [`timers`] does what
//! time brings, [`statistics`] measures, [`layers`] pauses what nobody watches, [`voices`] lets the loudest be heard,
//! [`messages`] carries members' own messages, [`spread`] is between the workers that share a room.

pub(crate) mod demux;
mod drain;
mod events;
mod fan_out;
mod forward;
mod layers;
mod messages;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(test), expect(dead_code, reason = "fuzz targets use a part of it"))]
pub(crate) mod simulation;
pub mod spread;
pub mod statistics;
mod subscribe;
#[cfg(test)]
mod tests;
mod timers;
mod transmit;
mod voices;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use metrics::{counter, gauge};
use rotunda_proto::ids::{RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{ControlError, Event, SlotMap};
use std::collections::BTreeSet;
use tracing::info;

use crate::egress::Path;
use crate::loudest::Loudest;
use crate::packet::StreamId;
use crate::session::Session;
use crate::speakers::Speakers;
use crate::track::{Publisher, Stream, Track};
use events::Events;
pub use events::RoomEvent;
pub use fan_out::Pending;
use fan_out::Repeat;
use spread::{Member, Place, Waiting};
use timers::Timers;

pub struct Worker {
    setup: Setup,
    /// Free places are None and used again.
    sessions: Vec<Option<Session>>,
    by_id: HashMap<SessionId, usize>,
    by_address: HashMap<SocketAddr, usize>,
    /// By the name that a peer shows in its ICE requests.
    by_ice_name: HashMap<String, usize>,
    rooms: HashMap<RoomKey, Room>,
    tracks: Vec<Option<Track>>,
    streams: HashMap<StreamId, Stream>,
    next_stream: u64,
    /// Tracks of other workers: theirs to ours.
    replicas: HashMap<(usize, usize), usize>,
    handovers: Waiting,
    timers: Timers,
    /// Sessions whose `str0m` has something new to say.
    touched: Vec<usize>,
    /// Tracks with a complete picture that no viewer has yet; and tracks whose packets wait for more of the same moment.
    complete: Vec<usize>,
    unsent: VecDeque<(Instant, usize)>,
    /// In the order in which they are due.
    repeats: VecDeque<Repeat>,
    /// Empty; keeps its memory.
    fanning: Vec<usize>,
    /// Sessions whose packets wait for more of the same moment, and those whose turn it is.
    waiting: VecDeque<(Instant, usize)>,
    ready: VecDeque<usize>,
    control: VecDeque<Datagram>,
    events: Events,
    outbox: messages::Outbox,
    seatings: voices::Seatings,
    scratch: forward::Scratch,
    idle: transmit::Buffers,
    counters: forward::Counters,
}

/// A datagram that is not forwarded media: ICE, DTLS, reports.
#[derive(Debug)]
pub struct Datagram {
    pub path: Path,
    pub bytes: Vec<u8>,
}

#[derive(Default)]
struct Room {
    sessions: Vec<usize>,
    members: HashMap<UserId, Member>,
    /// Other workers that the room is on.
    neighbours: Vec<usize>,
    speakers: Speakers,
    /// Who is heard, where more may speak than there are slots.
    loudest: Option<Loudest>,
    /// Tracks with packets that no viewer has yet.
    pending: Vec<usize>,
}

/// What a worker is made with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Among the workers of the node.
    pub index: usize,
    pub connect_timeout: Duration,
    pub max_sessions: usize,
    /// Packets of one moment for one viewer are collected for so long, to leave in one send.
    pub batch_window: Duration,
    /// Wall clock and monotonic clock at one moment, for sender reports.
    pub started: (Instant, Duration),
}

impl Worker {
    pub fn new(setup: Setup) -> Self {
        Self {
            sessions: Vec::new(),
            by_id: HashMap::new(),
            by_address: HashMap::new(),
            by_ice_name: HashMap::new(),
            rooms: HashMap::new(),
            tracks: Vec::new(),
            streams: HashMap::new(),
            // Unique among all workers of a node.
            next_stream: (setup.index as u64) << 48,
            replicas: HashMap::new(),
            handovers: Waiting::default(),
            timers: Timers::default(),
            touched: Vec::new(),
            complete: Vec::new(),
            unsent: VecDeque::new(),
            repeats: VecDeque::new(),
            fanning: Vec::new(),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            control: VecDeque::new(),
            events: Events::default(),
            outbox: messages::Outbox::default(),
            seatings: voices::Seatings::default(),
            scratch: forward::Scratch::default(),
            idle: transmit::Buffers::default(),
            counters: forward::Counters::default(),
            setup,
        }
    }

    /// Takes a session that was opened elsewhere; one of the same id is replaced.
    pub fn adopt(&mut self, now: Instant, mut session: Session) -> Result<(), ControlError> {
        if self.by_id.len() >= self.setup.max_sessions {
            return Err(ControlError::NodeFull);
        }
        self.close(now, session.id);
        let index = self.sessions.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sessions.push(None);
            self.sessions.len() - 1
        });
        self.by_id.insert(session.id, index);
        self.by_ice_name.insert(session.ice_name(), index);
        let user = session.user.clone();
        let sources: Vec<TrackSource> = session.sources.values().copied().collect();
        for source in sources {
            if user.is_some() {
                let track = self.add_track(Track::new(Publisher::Here(index), session.room.clone(), source));
                session.tracks.insert(source, track);
            }
        }
        let room = self.rooms.entry(session.room.clone()).or_default();
        room.sessions.push(index);
        let (key, serial) = (session.room.clone(), session.serial);
        self.sessions[index] = Some(session);
        gauge!("rotunda_sfu_sessions").increment(1.0);
        if let Some(user) = user {
            self.take_place_of(now, &key, &user, serial, index);
        }
        self.touched.push(index);
        self.settle(now);
        Ok(())
    }

    /// A member's newest session is the one that publishes.
    fn take_place_of(&mut self, now: Instant, key: &RoomKey, user: &UserId, serial: u64, index: usize) {
        let room = self.rooms.get(key);
        let known = room.and_then(|room| room.members.get(user)).map(|member| member.serial);
        if known.is_some_and(|known| known > serial) {
            return;
        }
        self.forget_replicas(now, key, user);
        if let Some(room) = self.rooms.get_mut(key) {
            let place = Place::Here(index);
            room.members.insert(user.clone(), Member { serial, place });
        }
        self.tell_neighbours(index);
        self.resubscribe_viewers_of(now, key, user);
    }

    fn add_track(&mut self, track: Track) -> usize {
        match self.tracks.iter().position(Option::is_none) {
            Some(free) => {
                self.tracks[free] = Some(track);
                free
            }
            None => {
                self.tracks.push(Some(track));
                self.tracks.len() - 1
            }
        }
    }

    /// Its place is used again, so nobody may keep it.
    fn remove_track(&mut self, track: usize) {
        let Some(removed) = self.tracks.get_mut(track).and_then(Option::take) else {
            return;
        };
        for stream in &removed.streams {
            self.streams.remove(stream);
        }
        for viewer in removed.viewers {
            if let Some(Some(session)) = self.sessions.get_mut(viewer.session) {
                let slot = &mut session.slots[viewer.slot];
                (slot.track, slot.target, slot.chosen) = (None, None, None);
                slot.stop();
            }
        }
    }

    /// Answers a second offer (ICE restart).
    pub fn restart(&mut self, now: Instant, id: SessionId, offer: &str) -> Result<String, ControlError> {
        let index = *self.by_id.get(&id).ok_or(ControlError::NoSuchSession)?;
        let session = self.sessions[index].as_mut().ok_or(ControlError::NoSuchSession)?;
        let before = session.ice_name();
        let answer = session.restart(offer)?;
        // The peer's signaling is there again, and its checks are about to come.
        session.heard_at = now;
        self.by_ice_name.remove(&before);
        self.by_ice_name.insert(session.ice_name(), index);
        self.touched.push(index);
        self.settle(now);
        Ok(answer)
    }

    /// From now on packets of any other source are dropped.
    pub fn set_ingress(
        &mut self,
        now: Instant,
        id: SessionId,
        sources: BTreeSet<TrackSource>,
    ) -> Result<(), ControlError> {
        let index = *self.by_id.get(&id).ok_or(ControlError::NoSuchSession)?;
        let Some(session) = self.sessions[index].as_mut() else {
            return Err(ControlError::NoSuchSession);
        };
        session.set_ingress(sources);
        // What may not be sent any more does not wait for its turn either.
        let ended: Vec<usize> = session
            .tracks
            .iter()
            .filter(|(source, _)| !session.may_send(**source))
            .map(|(_, track)| *track)
            .collect();
        let (user, room) = (session.user.clone(), session.room.clone());
        for track in ended {
            self.drop_pending(track);
        }
        if let Some(user) = user {
            self.tell_neighbours(index);
            self.resubscribe_viewers_of(now, &room, &user);
        }
        self.settle(now);
        Ok(())
    }

    /// What the session's slots show from now on.
    pub fn set_slots(&mut self, now: Instant, id: SessionId, slots: &SlotMap) -> Result<(), ControlError> {
        let index = *self.by_id.get(&id).ok_or(ControlError::NoSuchSession)?;
        if let Some(session) = self.sessions[index].as_mut() {
            session.set_slots(slots);
        }
        self.seat_voices(index);
        self.subscribe(now, index);
        self.settle(now);
        Ok(())
    }

    /// Ends a session; also right when there is none.
    pub fn close(&mut self, now: Instant, id: SessionId) {
        if let Some(index) = self.by_id.get(&id).copied()
            && let Some(mut closed) = self.remove(now, index)
        {
            closed.rtc.disconnect();
        }
        self.settle(now);
    }

    /// Takes a session out of everything that knows it.
    fn remove(&mut self, now: Instant, index: usize) -> Option<Session> {
        let mut session = self.sessions.get_mut(index)?.take()?;
        gauge!("rotunda_sfu_sessions").decrement(1.0);
        self.by_id.remove(&session.id);
        for address in &session.addresses {
            // Somebody else may have come to it since.
            if self.by_address.get(address) == Some(&index) {
                self.by_address.remove(address);
            }
        }
        self.by_ice_name.remove(&session.ice_name());
        for slot in &session.slots {
            if let Some(Some(track)) = slot.track.and_then(|track| self.tracks.get_mut(track)) {
                track.viewers.retain(|viewer| viewer.session != index);
            }
        }
        for track in session.tracks.values() {
            self.remove_track(*track);
        }
        self.tell_gone(&session);
        if let Some(room) = self.rooms.get_mut(&session.room) {
            room.sessions.retain(|other| *other != index);
            let is_here = |member: &Member| matches!(member.place, Place::Here(here) if here == index);
            let published = session
                .user
                .as_ref()
                .is_some_and(|user| room.members.get(user).is_some_and(is_here));
            if room.sessions.is_empty() && room.neighbours.is_empty() {
                self.rooms.remove(&session.room);
            } else if let (true, Some(user)) = (published, &session.user) {
                room.members.remove(user);
                self.resubscribe_viewers_of(now, &session.room, user);
            }
        }
        Some(session)
    }

    fn lose(&mut self, now: Instant, index: usize, reason: &str) {
        if let Some(session) = self.remove(now, index) {
            info!(session = %session.id, room = %session.room, reason, "session lost");
            let event = Event::Disconnected {
                session: session.id,
                user: session.user,
                reason: reason.to_owned(),
            };
            self.events.tell(&session.room, event);
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(*self.by_id.get(&id)?)?.as_mut()
    }

    /// How much of everything the worker remembers.
    #[cfg(test)]
    fn remembered(&self) -> Vec<(&'static str, usize)> {
        let sessions = self.sessions.iter().flatten();
        vec![
            ("sessions", sessions.count()),
            ("ids", self.by_id.len()),
            ("addresses", self.by_address.len()),
            ("names", self.by_ice_name.len()),
            ("rooms", self.rooms.len()),
            ("tracks", self.tracks.iter().flatten().count()),
            ("streams", self.streams.len()),
            ("replicas", self.replicas.len()),
            ("deadlines", self.timers.len()),
            ("touched", self.touched.len()),
            ("waiting to send", self.waiting.len() + self.ready.len()),
            ("datagrams", self.control.len()),
            ("events", self.events.len()),
            ("voices", self.seatings.len()),
        ]
    }

    /// Places for sessions and tracks, free ones included.
    #[cfg(test)]
    fn places(&self) -> (usize, usize) {
        (self.sessions.len(), self.tracks.len())
    }

    /// What a session's link carries, bits a second; None: it is not known.
    #[cfg(test)]
    fn estimate_of(&self, id: SessionId) -> Option<u64> {
        let session = self.sessions.get(*self.by_id.get(&id)?)?.as_ref()?;
        session.egress.estimator.estimate()
    }

    pub fn poll_control(&mut self) -> Option<Datagram> {
        self.control.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<RoomEvent> {
        self.events.next()
    }

    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`send_media`](Self::send_media) is next due; None: never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let flush = self.waiting.front().map(|(due, _)| *due);
        let unsent = self.unsent.front().map(|(due, _)| *due);
        let repeat = self.repeats.front().map(|repeat| repeat.due);
        let timer = self.timers.next();
        let message = self.outbox.next();
        let voice = self.seatings.next();
        let all = [flush, unsent, repeat, timer, message, voice];
        all.into_iter().flatten().min()
    }
}

/// Counts a datagram that nobody gets.
fn drop_datagram(reason: &'static str) {
    counter!("rotunda_sfu_datagrams_dropped_total", "reason" => reason).increment(1);
}
