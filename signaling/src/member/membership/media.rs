//! A member's media: opens, restarts and closes the session at the SFU, and keeps its ingress and slots as desired.

mod commands;
mod moving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use rand::Rng;
use rotunda_bus::BusExt;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{NodeId, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{self, Client, Command, MEMBER_AUDIO_SLOTS, SlotMap, Standing};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Event, Lines, MediaState, SlotView};
use rotunda_proto::statistics::{NetworkQuality, Statistics};
use tracing::warn;

use crate::media_nodes::Search;
use crate::member::desired::Answer;
use crate::member::session::Session;
use crate::member::{explain, failure};
use crate::refused_lines::{RefusedLine, refused_lines};
use crate::room::{Room, SessionMedia};
use crate::view::MessagePath;
use commands::{answer_of, is_gone, unconfirmed};
use moving::{Former, Moving};

/// There is at most one session at a time, but for the time in which it [moves](moving). Its ingress and its slots are a desired value each.
/// A value that the SFU has not confirmed is sent again every second ([`due_at`](Self::due_at)).
pub struct Media {
    room: Arc<Room>,
    user: UserId,
    session: Option<Session>,
    /// The session before it, which goes on until the present one is connected.
    former: Option<Former>,
    moving: Option<Moving>,
    client: Client,
    /// The node of the last session.
    last_node: Option<NodeId>,
    /// The SFU has ended the last session, and no other was opened since.
    is_lost: bool,
    /// Standing of the next session.
    standing: Standing,
    /// The offer has an m-line for data channels.
    offers_channels: bool,
    /// Sources whose m-line of the offer has no codec that the server accepts.
    refused: BTreeMap<TrackSource, RefusedLine>,
}

/// What a session is opened with.
struct Opening<'a> {
    offer: String,
    lines: Lines,
    client: Client,
    /// Sources that have seats already.
    published: &'a BTreeSet<TrackSource>,
}

/// The purpose of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextOffer {
    NewSession,
    IceRestart,
}

impl Media {
    pub fn new(room: Arc<Room>, user: UserId) -> Self {
        Self {
            room,
            user,
            session: None,
            former: None,
            moving: None,
            client: Client::default(),
            last_node: None,
            is_lost: false,
            standing: Standing::Newcomer,
            offers_channels: false,
            refused: BTreeMap::new(),
        }
    }

    /// The purpose of the next offer.
    pub fn next_offer(&self) -> NextOffer {
        match &self.session {
            Some(session) if session.is_connected() && !self.is_to_move(session) => NextOffer::IceRestart,
            _ => NextOffer::NewSession,
        }
    }

    /// Opens a session in place of the previous one. `client`: the kind of client. `published`: sources that have seats already.
    ///
    /// Errors: the offer is refused, or its line for one of these sources. There is no session then, unless the session was to move: it goes
    /// on where it was.
    pub async fn open(
        &mut self,
        offer: String,
        lines: Lines,
        client: Client,
        published: &BTreeSet<TrackSource>,
    ) -> Result<String, ErrorBody> {
        let state = self.room.latest();
        let Some(info) = &state.info else {
            return Err(failure(ErrorCode::Internal));
        };
        let mut search = Search::new(self.last_node.as_ref(), info.sfu_nodes(), &self.room.documents.refusals);
        self.make_way().await;
        self.client = client;
        let opening = Opening {
            offer,
            lines,
            client,
            published,
        };
        if let Some(leaving) = self.moving.as_ref().and_then(Moving::leaving) {
            search.handle_full(leaving);
        }
        let answer = self.open_at_any(&mut search, &opening).await;
        if answer.is_err()
            && let Some(former) = self.former.take()
        {
            self.session = Some(former.session);
        }
        answer
    }

    async fn open_at_any(&mut self, search: &mut Search, opening: &Opening<'_>) -> Result<String, ErrorBody> {
        let mut refused = failure(ErrorCode::NoMediaNode);
        while let Some(node) = search.next(&self.room.documents).await {
            match self.open_at(&node, search.nodes(), opening).await {
                Err(error) if error.code == ErrorCode::NodeFull => {
                    refused = error;
                    search.handle_full(node);
                }
                Err(error) if error.code == ErrorCode::NoMediaNode => {
                    refused = error;
                    search.handle_silent(node);
                }
                Err(error) => return Err(error),
                Ok(answer) => {
                    self.last_node = Some(node);
                    search.tidy(&self.room.documents).await;
                    return Ok(answer);
                }
            }
        }
        Err(refused)
    }

    /// `nodes`: where the room is.
    async fn open_at(&mut self, node: &NodeId, nodes: Vec<NodeId>, opening: &Opening<'_>) -> Result<String, ErrorBody> {
        let Opening {
            offer,
            lines,
            client,
            published,
        } = opening;
        let sfu = sfu::control_subject(node);
        let id = SessionId(rand::rng().random());
        // The subscription comes before the command, so that no event is missed.
        let session = Session::new(&self.room, id, sfu.clone()).await;
        let mut session = session.map_err(|error| {
            self.room.forget_session(id);
            explain(error.into())
        })?;
        if let Some(former) = &self.former {
            session.take_slots_of(&former.session);
        }
        self.session = Some(session);
        self.is_lost = false;
        self.offers_channels = offer.contains("\nm=application ");
        let command = Command::Open {
            session: id,
            room: self.room.documents.room.clone(),
            identity: sfu::Identity::Member {
                user: self.user.clone(),
                signaling: self.room.session_events.node().clone(),
                client: *client,
                standing: self.standing,
            },
            offer: offer.clone(),
            lines: lines.clone(),
            nodes,
        };
        let mut answer = self.ask_for_answer(&sfu, &command).await;
        if let Ok(sdp) = &answer {
            self.refused = refused_sources(lines, refused_lines(offer, sdp));
            if let Some(line) = published.iter().find_map(|source| self.refused.get(source)) {
                answer = Err(codec_not_supported(line));
            }
        }
        match &answer {
            Ok(_) => self.standing = Standing::Inside,
            // The SFU may have opened it (only the reply was late), and no session without an owner may remain.
            Err(_) => self.close_present().await,
        }
        answer
    }

    /// Answers an ICE restart of the session, connected or not. A refused restart leaves it as it was, unless the session is not there any
    /// more, or its node is not: a client restarts when its connection is cut. The session is lost then, and the next offer opens another.
    pub async fn restart(&self, offer: String) -> Result<String, ErrorBody> {
        let Some(Session { id, sfu, .. }) = &self.session else {
            return Err(failure(ErrorCode::NoMediaNode));
        };
        let command = Command::Restart { session: *id, offer };
        let reply = self.room.documents.bus.call(sfu, &command).await;
        if is_gone(&reply) {
            self.mark_lost(*id);
        }
        answer_of(reply)
    }

    /// Why a source cannot be sent: its m-line of the offer has no codec that the server accepts.
    pub fn refused(&self, source: TrackSource) -> Option<&RefusedLine> {
        self.refused.get(&source)
    }

    /// Statistics of this member's media.
    pub async fn statistics(&self) -> Result<Statistics, ErrorBody> {
        let Some(session) = self.active() else {
            return Err(failure(ErrorCode::NotConnected));
        };
        let command = Command::Statistics {
            room: self.room.documents.room.clone(),
            user: self.user.clone(),
        };
        match self.room.documents.bus.call(&session.sfu, &command).await {
            Ok(sfu::Reply::Statistics { statistics }) => Ok(*statistics),
            Ok(sfu::Reply::Refused { .. }) => Err(failure(ErrorCode::NotConnected)),
            Ok(_) => Err(failure(ErrorCode::Internal)),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "ask for statistics");
                Err(failure(ErrorCode::NoMediaNode))
            }
        }
    }

    /// Makes the SFU forward these sources and no others.
    ///
    /// Errors: the SFU has not confirmed it. The command is sent again in a second.
    pub async fn set_ingress(&mut self, sources: &BTreeSet<TrackSource>) -> Result<(), ErrorBody> {
        let Some(session) = self.active_mut() else {
            return Ok(());
        };
        session.ingress.set(Clock.now(), sources.clone());
        let Some(sources) = session.ingress.to_send() else {
            return Ok(());
        };
        let (id, sfu) = (session.id, session.sfu.clone());
        let command = Command::SetIngress {
            session: id,
            sources: sources.clone(),
        };
        let answer = self.command(id, &sfu, &command).await;
        if let Some(session) = self.active_mut().filter(|session| session.id == id) {
            session.ingress.handle_answer(Clock.now(), answer);
        }
        match answer {
            Answer::Confirmed => Ok(()),
            Answer::Lost => Err(unconfirmed()),
        }
    }

    /// The desired assignment of the receive slots. None: there is no session.
    pub fn slots(&self) -> Option<&SlotMap> {
        self.session.as_ref().map(|session| session.slots.value())
    }

    /// Makes the SFU show these. Answers whether they have changed. Without a confirmation the command is sent again in a second.
    pub async fn show(&mut self, slots: SlotMap) -> bool {
        let Some(session) = &mut self.session else { return false };
        let changed = slots != *session.slots.value();
        session.slots.set(Clock.now(), slots);
        if !session.slots.is_due(Clock.now()) {
            return changed;
        }
        let (id, sfu) = (session.id, session.sfu.clone());
        let command = Command::SetSlots {
            session: id,
            slots: session.slots.value().clone(),
        };
        let answer = self.command(id, &sfu, &command).await;
        if let Some(session) = &mut self.session {
            session.slots.handle_answer(Clock.now(), answer);
        }
        changed
    }

    /// Sends unconfirmed slots with the next call: a caller who tries again does not wait for the next second.
    pub fn hurry(&mut self) {
        if let Some(session) = &mut self.session {
            session.slots.hurry(Clock.now());
        }
    }

    /// Whether the SFU has confirmed the slots.
    pub fn are_slots_confirmed(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.slots.is_confirmed())
    }

    /// When an unconfirmed command is sent again; None: everything is confirmed.
    pub fn due_at(&self) -> Option<Instant> {
        let session = self.session.as_ref()?.due_at();
        let former = self.former.as_ref();
        let ingress = former.and_then(|former| former.session.ingress.due_at().filter(|_| former.moved().is_none()));
        let close = former.and_then(Former::close_at);
        [session, ingress, close].into_iter().flatten().min()
    }

    /// Resolves on an event of this session, or of the one before it; never without a session. Cancel-safe.
    pub async fn changed(&mut self) {
        match (&mut self.session, &mut self.former) {
            (Some(session), Some(former)) if former.moved().is_none() => tokio::select! {
                () = session.changed() => {}
                () = former.session.changed() => {}
            },
            (Some(session), _) => session.changed().await,
            (None, _) => std::future::pending().await,
        }
    }

    /// New events of the session, its end included.
    pub fn poll_events(&mut self) -> Vec<Event> {
        self.note_end_of_former();
        let Some(session) = &mut self.session else {
            return Vec::new();
        };
        let mut events = session.poll_events();
        if let Some((quality, sent)) = session.poll_measured() {
            let (log, room) = (self.room.session_events.quality(), &self.room.documents.room);
            log.note(room, &self.user, Clock.unix().as_secs(), quality, sent);
        }
        if session.poll_move() {
            events.push(self.handle_move_wanted());
        }
        let Some(session) = &mut self.session else {
            return events;
        };
        if session.has_silently_connected() {
            let messages = self.room.latest().messages.count();
            let state = MediaState::Connected;
            self.room.set_session(session.id, SessionMedia { state, messages });
        }
        let Some(state) = session.poll_state() else {
            return events;
        };
        match state {
            MediaState::Connected => self.handle_arrival(),
            MediaState::Disconnected => {
                if let Some(moving) = self.moving.as_mut().filter(|moving| moving.is_of(session)) {
                    moving.handle_end();
                }
                self.forget();
                if let Some(former) = self.former.take() {
                    // The move has failed, and its node asks for another one.
                    self.session = Some(former.session);
                    events.extend(self.poll_events());
                    return events;
                }
                let quality = NetworkQuality::disconnected();
                events.push(Event::NetworkQuality { quality });
                self.is_lost = true;
            }
        }
        events.push(Event::MediaState { state });
        events
    }

    /// Whether the SFU has changed its choice for the audio slots since the last call.
    pub fn poll_voices(&mut self) -> bool {
        self.session.as_mut().is_some_and(Session::poll_voices)
    }

    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// The way on which this member gets custom messages.
    pub fn message_path(&self) -> MessagePath {
        let connected = self.active().and_then(Session::connected_after);
        match connected.filter(|_| self.offers_channels) {
            Some(after) => MessagePath::DataChannel { after },
            None => MessagePath::Signaling,
        }
    }

    /// The current state as events, for a client that has come back.
    pub fn current_events(&self) -> Vec<Event> {
        let mut events = vec![self.slots_event()];
        if self.is_lost {
            // The first notification may have gone to a dead WebSocket.
            let state = MediaState::Disconnected;
            events.push(Event::MediaState { state });
        }
        events.extend(self.session.iter().flat_map(Session::current_events));
        events
    }

    pub fn slots_event(&self) -> Event {
        let Some(session) = &self.session else {
            return Event::Slots {
                audio: Vec::new(),
                video: Vec::new(),
            };
        };
        let slots = session.slots.value();
        let video = slots.video.iter().map(|slot| {
            slot.as_ref().map(|want| SlotView {
                user_id: want.user.clone(),
                source: want.source,
            })
        });
        let mut audio = slots.audio.clone();
        if slots.loudest.is_some() {
            audio = session.voices().to_vec();
            audio.resize(MEMBER_AUDIO_SLOTS, None);
        }
        Event::Slots {
            audio,
            video: video.collect(),
        }
    }

    /// Ends the session, if there is one. Without an answer of the SFU, a background task repeats the command.
    pub async fn close(&mut self) {
        self.close_former().await;
        self.close_present().await;
    }

    async fn close_present(&mut self) {
        if let Some(Session { id, sfu, .. }) = &self.session {
            self.close_at(*id, sfu, None).await;
        }
        self.forget();
    }

    fn forget(&mut self) {
        if let Some(Session { id, .. }) = self.session.take() {
            self.room.forget_session(id);
        }
    }
}

/// The sources whose m-lines the answer refuses.
fn refused_sources(lines: &Lines, refused: Vec<RefusedLine>) -> BTreeMap<TrackSource, RefusedLine> {
    let source_of = |line: &RefusedLine| {
        let sends = [
            (TrackSource::Audio, &lines.microphone),
            (TrackSource::Camera, &lines.camera),
            (TrackSource::Screen, &lines.screen),
        ];
        let found = sends.into_iter().find(|(_, mid)| mid.as_ref() == Some(&line.mid));
        found.map(|(source, _)| source)
    };
    let with_source = refused.into_iter().filter_map(|line| Some((source_of(&line)?, line)));
    with_source.collect()
}

/// `line`: an m-line of the offer that the answer refuses.
pub fn codec_not_supported(line: &RefusedLine) -> ErrorBody {
    ErrorBody {
        code: ErrorCode::CodecNotSupported,
        message: line.to_string(),
        retry_after_ms: None,
    }
}
