//! A worker: the hub between the sessions of one thread. It routes, and each concern has a part or a file of its own.
//!
//! Parts with private state: [`sessions`], [`tracks`], [`rooms`], [`send_queues`], [`relay`] (to the other workers), [`links`] (to
//! workers of other nodes), [`timers`], [`events`]. What the worker does with them: [`demux`] finds the session of a datagram, [`turn`] drives `str0m`, [`forward`] takes
//! packets from publishers, [`fan_out`] gives them to viewers, [`transmit`] sends them, [`feedback`] reads viewers' RTCP and
//! retransmits, [`keyframes`] asks for keyframes, [`subscribe`] attaches slots to tracks, [`allocate`] chooses their layers,
//! [`layer_demand`] pauses layers without viewers, [`link_layers`] those that a link between nodes does not carry or need not, [`audio_slots`] lets the loudest be heard, [`statistics`] measures,
//! [`custom_messages`] carries members' own messages.

mod allocate;
mod audio_slots;
mod counters;
mod custom_messages;
pub(crate) mod demux;
mod events;
mod fan_out;
mod feedback;
mod forward;
mod keyframes;
mod layer_demand;
mod link_layers;
mod links;
pub mod relay;
mod rooms;
mod send_queues;
mod sessions;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(test), expect(dead_code, reason = "fuzz targets use a part of it"))]
pub(crate) mod simulation;
mod statistics;
mod subscribe;
#[cfg(test)]
mod tests;
mod timers;
mod tracks;
mod transmit;
mod turn;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rotunda_proto::ids::{NodeId, RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{ControlError, Event, SlotMap};
use tracing::info;

use crate::downlink::egress::Path;
use crate::ingress::track::{Publisher, Track};
use crate::session::Session;
use crate::slab::{SessionIndex, TrackIndex, WorkerIndex};
use counters::Counters;
use events::Events;
pub use events::RoomEvent;
pub use links::LinkEvent;
use links::Links;
use relay::Relay;
use rooms::{Location, Member, Rooms};
use send_queues::SendQueues;
use sessions::Sessions;
use timers::Timers;
use tracks::Tracks;

/// A worker's state. Sans-IO: its shell calls it in turns, and it does nothing between them.
///
/// There are four kinds of method, and a turn calls them in this order:
///
/// 1. **Input**: [`handle_datagram`](Self::handle_datagram), [`handle_relay_message`](Self::handle_relay_message),
///    [`handle_timeout`](Self::handle_timeout), and the commands ([`adopt`](Self::adopt), [`restart`](Self::restart),
///    [`set_ingress`](Self::set_ingress), [`set_slots`](Self::set_slots), [`set_neighbours`](Self::set_neighbours),
///    [`carry_message`](Self::carry_message), [`open_link`](Self::open_link), [`close`](Self::close)): any number of them, in any order.
/// 2. **Media out**: [`send_media`](Self::send_media) once, which gives packets to their viewers and sends them.
/// 3. **The end of the turn**: [`finish_turn`](Self::finish_turn) once. It does what 1 and 2 have left undone.
/// 4. **Output**: [`poll_control`](Self::poll_control), [`poll_event`](Self::poll_event), [`poll_link_event`](Self::poll_link_event) and
///    [`take_relay_messages`](Self::take_relay_messages) until they are empty, then [`poll_timeout`](Self::poll_timeout): when the next
///    turn is due, if nothing comes before.
///
/// [`statistics`](Self::statistics) only reads and may be called at any time. The shell ([`crate::node`]) calls everything on the
/// worker's thread, and the simulation does in virtual time.
pub struct Worker {
    setup: Setup,
    sessions: Sessions,
    tracks: Tracks,
    rooms: Rooms,
    queues: SendQueues,
    relay: Relay,
    links: Links,
    timers: Timers,
    events: Events,
    custom_messages: custom_messages::Outbox,
    audio_slots: audio_slots::Changes,
    /// Sessions whose `str0m` has something new to say, until the [end of the turn](Self::finish_turn).
    touched: Vec<SessionIndex>,
    turn_ended_at: Instant,
    control: VecDeque<Datagram>,
    /// Memory that is used again.
    scratch: feedback::Scratch,
    buffers: transmit::Buffers,
    counters: Counters,
}

/// A datagram that is not forwarded media: ICE, DTLS, RTCP.
#[derive(Debug)]
pub struct Datagram {
    pub path: Path,
    pub bytes: Vec<u8>,
}

/// The settings of a worker.
#[derive(Debug, Clone)]
pub struct Setup {
    pub node: NodeId,
    pub index: WorkerIndex,
    /// Workers of the node. Higher indexes are of workers of other nodes.
    pub workers: usize,
    /// The number of the first stream that is published here, at random: no other worker may have the same.
    pub first_stream: u64,
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
            sessions: Sessions::new(),
            tracks: Tracks::new(setup.first_stream),
            rooms: Rooms::new(),
            queues: SendQueues::new(setup.batch_window),
            relay: Relay::default(),
            links: Links::default(),
            timers: Timers::default(),
            events: Events::default(),
            custom_messages: custom_messages::Outbox::default(),
            audio_slots: audio_slots::Changes::default(),
            touched: Vec::new(),
            turn_ended_at: setup.started.0,
            control: VecDeque::new(),
            scratch: feedback::Scratch::default(),
            buffers: transmit::Buffers::default(),
            counters: Counters::default(),
            setup,
        }
    }

    /// Takes a session that was opened elsewhere. A session of the same id is replaced.
    pub fn adopt(&mut self, now: Instant, session: Session) -> Result<(), ControlError> {
        if self.sessions.len() >= self.setup.max_sessions {
            return Err(ControlError::NodeFull);
        }
        self.close(now, session.id());
        let (key, serial) = (session.room().clone(), session.serial());
        let (user, sources) = (session.user().cloned(), session.uplink.sources());
        let index = self.sessions.insert(session);
        for source in sources.into_iter().filter(|_| user.is_some()) {
            let track = self.tracks.add(Track::new(Publisher::Here(index), key.clone(), source));
            if let Some(session) = self.sessions.get_mut(index) {
                session.uplink.set_track(source, track);
            }
        }
        self.rooms.get_or_create(&key).add_session(index);
        gauge!("rotunda_sfu_sessions").increment(1.0);
        // Another session of the member goes on until this one is told to publish.
        if let Some(user) = user.filter(|user| !self.has_publisher(&key, user)) {
            self.publish_from(now, &key, &user, serial, index);
        }
        self.touched.push(index);
        Ok(())
    }

    /// Whether a session publishes for the member.
    fn has_publisher(&self, key: &RoomKey, user: &UserId) -> bool {
        self.rooms.get(key).is_some_and(|room| room.member(user).is_some())
    }

    /// Of a member's sessions that were told to publish, the newest one does.
    fn publish_from(&mut self, now: Instant, key: &RoomKey, user: &UserId, serial: u64, index: SessionIndex) {
        let room = self.rooms.get(key);
        let known = room.and_then(|room| room.member(user)).map(|member| member.serial);
        if known.is_some_and(|known| known > serial) {
            return;
        }
        self.forget_replicas(now, key, user);
        if let Some(room) = self.rooms.get_mut(key) {
            let location = Location::Here(index);
            room.set_member(user.clone(), Member { serial, location });
        }
        self.announce_to_neighbours(index);
        self.resubscribe_viewers_of(now, key, user);
    }

    /// Answers a second offer (ICE restart).
    pub fn restart(&mut self, now: Instant, id: SessionId, offer: &str) -> Result<String, ControlError> {
        let index = self.sessions.with_id(id).ok_or(ControlError::NoSuchSession)?;
        let restart = |session: &mut Session| {
            let answer = session.restart(offer)?;
            // The peer's signaling is there again, and its checks are about to come.
            session.transport.handle_sign_of_life(now);
            Ok::<_, ControlError>(answer)
        };
        let restarted = self.sessions.rename(index, restart);
        let answer = restarted.ok_or(ControlError::NoSuchSession)??;
        self.touched.push(index);
        Ok(answer)
    }

    /// From now on packets of any other source are dropped. May be told again and again.
    pub fn set_ingress(
        &mut self,
        now: Instant,
        id: SessionId,
        sources: BTreeSet<TrackSource>,
    ) -> Result<(), ControlError> {
        let index = self.sessions.with_id(id).ok_or(ControlError::NoSuchSession)?;
        let session = self.sessions.get_mut(index).ok_or(ControlError::NoSuchSession)?;
        if !session.uplink.permit(sources) {
            return Ok(());
        }
        // Packets that may not be sent any more do not wait for their turn either.
        let tracks = session.uplink.tracks();
        let ended: Vec<TrackIndex> = tracks
            .filter(|(source, _)| !session.uplink.may_send(*source))
            .map(|(_, track)| track)
            .collect();
        let (user, room, serial) = (session.user().cloned(), session.room().clone(), session.serial());
        for track in ended {
            self.drop_pending(track);
        }
        let Some(user) = user else { return Ok(()) };
        match self.rooms.get(&room).is_some_and(|room| room.publishes(&user, index)) {
            true => {
                self.announce_to_neighbours(index);
                self.resubscribe_viewers_of(now, &room, &user);
            }
            false => self.publish_from(now, &room, &user, serial, index),
        }
        Ok(())
    }

    /// Sets the sources that the session's slots show from now on.
    pub fn set_slots(&mut self, now: Instant, id: SessionId, slots: &SlotMap) -> Result<(), ControlError> {
        let index = self.sessions.with_id(id).ok_or(ControlError::NoSuchSession)?;
        if let Some(session) = self.sessions.get_mut(index) {
            session.downlink.set_slots(slots);
        }
        self.assign_audio_slots(index);
        self.subscribe(now, index);
        Ok(())
    }

    /// Ends a session; also right when there is none.
    pub fn close(&mut self, now: Instant, id: SessionId) {
        if let Some(index) = self.sessions.with_id(id)
            && let Some(mut closed) = self.remove(now, index)
        {
            closed.transport.disconnect();
        }
    }

    /// Takes a session out of everything that knows it.
    fn remove(&mut self, now: Instant, index: SessionIndex) -> Option<Session> {
        let session = self.sessions.remove(index)?;
        gauge!("rotunda_sfu_sessions").decrement(1.0);
        for slot in session.downlink.slots() {
            if let Some(track) = slot.track().and_then(|track| self.tracks.get_mut(track)) {
                track.retain_viewers(|viewer| viewer.session != index);
            }
        }
        for (_, track) in session.uplink.tracks() {
            self.remove_track(track);
        }
        self.announce_end(&session);
        let Some(room) = self.rooms.get_mut(session.room()) else {
            return Some(session);
        };
        room.remove_session(index);
        let published = session.user().filter(|user| room.publishes(user, index));
        if let Some(user) = published {
            room.remove_member(user);
            self.resubscribe_viewers_of(now, session.room(), user);
        }
        self.rooms.remove_if_unused(session.room());
        Some(session)
    }

    /// Its viewers show nothing of it any more.
    fn remove_track(&mut self, track: TrackIndex) {
        if let Some(removed) = self.tracks.remove(track) {
            self.detach_viewers(&removed);
        }
    }

    fn detach_viewers(&mut self, removed: &Track) {
        for viewer in removed.viewers() {
            let session = self.sessions.get_mut(viewer.session);
            if let Some(slot) = session.and_then(|session| session.downlink.slot_mut(viewer.slot)) {
                slot.detach();
            }
        }
    }

    fn lose(&mut self, now: Instant, index: SessionIndex, reason: &str) {
        if let Some(session) = self.remove(now, index) {
            info!(session = %session.id(), room = %session.room(), reason, "session lost");
            let event = Event::Disconnected {
                session: session.id(),
                user: session.user().cloned(),
                reason: reason.to_owned(),
            };
            self.events.tell(session.room(), event);
        }
    }

    /// Wall clock of `now`. Steps of the system's clock do not reach it.
    fn unix(&self, now: Instant) -> Duration {
        let (started, unix) = self.setup.started;
        unix + now.saturating_duration_since(started)
    }
}

/// Output.
impl Worker {
    pub fn poll_control(&mut self) -> Option<Datagram> {
        self.control.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<RoomEvent> {
        self.events.next()
    }

    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`send_media`](Self::send_media) is next due; None: never. Only right after
    /// [`finish_turn`](Self::finish_turn).
    pub fn poll_timeout(&self) -> Option<Instant> {
        debug_assert!(self.touched.is_empty(), "the turn has not been finished");
        let urgent = self.queues.is_urgent().then_some(self.turn_ended_at);
        let due = [
            urgent,
            self.queues.poll_timeout(),
            self.timers.next(),
            self.custom_messages.due(),
            self.audio_slots.due(),
            self.links.due(),
        ];
        due.into_iter().flatten().min()
    }
}

/// For tests.
#[cfg(any(test, feature = "fuzzing"))]
impl Worker {
    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(self.sessions.with_id(id)?)
    }

    /// Nothing is left that only the next turn would do.
    fn is_finished(&self) -> bool {
        self.touched.is_empty()
    }
}

#[cfg(test)]
impl Worker {
    /// How much of everything the worker remembers.
    fn remembered(&self) -> Vec<(&'static str, usize)> {
        let mut all = self.sessions.remembered().to_vec();
        all.extend(self.tracks.remembered());
        all.extend([
            ("rooms", self.rooms.len()),
            ("deadlines", self.timers.len()),
            ("touched", self.touched.len()),
            ("waiting to send", self.queues.len()),
            ("datagrams", self.control.len()),
            ("events", self.events.len()),
            ("audio slot changes", self.audio_slots.len()),
        ]);
        all
    }

    /// Entries for sessions and tracks, free ones included.
    fn capacities(&self) -> (usize, usize) {
        (self.sessions.capacity(), self.tracks.capacity())
    }

    /// The estimate of a session's link; None: it is not known.
    fn estimate_of(&self, id: SessionId) -> Option<u64> {
        let session = self.sessions.get(self.sessions.with_id(id)?)?;
        Some(session.downlink.estimator().estimate()?.get())
    }
}

/// Counts a datagram that comes to nothing.
fn drop_datagram(reason: &'static str) {
    counter!("rotunda_sfu_datagrams_dropped_total", "reason" => reason).increment(1);
}
