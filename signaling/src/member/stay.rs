//! A member's stay in one room: seats, wishes, the SFU session, and what of the room it has been told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use rand::Rng;
use rotunda_proto::bus::BusExt;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomId, RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{self, Command, ControlError, SlotMap, VideoWant};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Event, Lines, MediaState, Role, RoomView, SlotView, TrackState};
use rotunda_proto::statistics::{NetworkQuality, Statistics};
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::session::Session;
use super::{explain, failure};
use crate::feed::Feed;
use crate::room_documents::{Refused, RoomDocuments};
use crate::roster;
use crate::service::Shared;
use crate::slots::{Wishes, assign, show_only};
use crate::view::{RoomState, diff};

/// How long an entering member waits for the room's documents to come round.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(1);

pub struct Stay {
    documents: RoomDocuments,
    user: UserId,
    role: Role,
    entered_unix_ms: u64,
    /// Held so that the room's watcher goes on.
    _feed: Arc<Feed>,
    states: watch::Receiver<Arc<RoomState>>,
    sfu_events: broadcast::Receiver<sfu::Event>,
    /// Came in while something was awaited; told with the next round.
    heard: Vec<sfu::Event>,
    /// What the client has been told.
    told: Arc<RoomState>,
    session: Option<Session>,
    wishes: Wishes,
    /// Set: nothing but this is shown, whatever the wishes are.
    only: Option<VideoWant>,
    slots: SlotMap,
    ingress: BTreeSet<TrackSource>,
}

impl Stay {
    pub async fn enter(shared: &Shared, room: RoomKey, user: UserId, role: Role) -> Result<Self, Refused> {
        let feed = shared.feeds.of(&shared.bus, &room).await?;
        let documents = RoomDocuments {
            bus: shared.bus.clone(),
            node: shared.node.clone(),
            room,
        };
        let entered_unix_ms = Clock.unix().as_millis() as u64;
        let members_now = feed.state.borrow().member_count();
        documents.enter(&user, entered_unix_ms, members_now).await?;
        info!(room = %documents.room, "entered");
        gauge!("rotunda_signaling_members").increment(1.0);
        let mut states = feed.state.clone();
        // The own node's count shows that the feed has caught up with the documents just written.
        let caught_up = |state: &Arc<RoomState>| state.info.is_some() && state.member_count() > members_now;
        let told = match timeout(CATCH_UP_WITHIN, states.wait_for(caught_up)).await {
            Ok(Ok(state)) => Some(state.clone()),
            // Others may be leaving at this moment; what has come so far is told, and the rest follows.
            Ok(Err(_)) | Err(_) => None,
        };
        let told = told.unwrap_or_else(|| states.borrow().clone());
        Ok(Self {
            sfu_events: feed.events(),
            _feed: feed,
            documents,
            user,
            role,
            entered_unix_ms,
            states,
            heard: Vec::new(),
            told,
            session: None,
            wishes: Wishes::default(),
            only: None,
            slots: SlotMap::default(),
            ingress: BTreeSet::new(),
        })
    }

    pub fn view(&self, room_id: &RoomId) -> RoomView {
        self.told.view(room_id)
    }

    pub async fn connect(&mut self, offer: String, lines: Lines) -> Result<String, ErrorBody> {
        let state = self.states.borrow().clone();
        let Some(info) = &state.info else {
            return Err(failure(ErrorCode::Internal));
        };
        let sfu = sfu::control_subject(&info.sfu);
        let command = match &self.session {
            Some(session) if session.connected => Command::Restart {
                session: session.id,
                offer,
            },
            _ => {
                self.close_session().await;
                let id = SessionId(rand::rng().random());
                let session = Session::new(&self.documents.bus, id, sfu.clone()).await;
                self.session = Some(session.map_err(|error| explain(error.into()))?);
                let identity = sfu::Identity::Member {
                    user: self.user.clone(),
                };
                Command::Open {
                    session: id,
                    room: self.documents.room.clone(),
                    identity,
                    offer,
                    lines,
                }
            }
        };
        let is_restart = matches!(command, Command::Restart { .. });
        let answer = self.ask_for_answer(&sfu, &command).await;
        // A refused restart leaves the session as it was. A refused opening may have happened all the same (the reply was
        // late), and media that nobody can stop must not be left behind.
        if !is_restart {
            // A new session knows nothing yet.
            self.slots = SlotMap::default();
            if answer.is_err() {
                self.close_session().await;
            }
        }
        if answer.is_ok() {
            self.send_ingress().await;
        }
        answer
    }

    /// Answers an ICE restart of the session that there is, connected or not yet.
    pub async fn restart(&mut self, offer: String) -> Result<String, ErrorBody> {
        let Some(Session { id, sfu, .. }) = &self.session else {
            return Err(failure(ErrorCode::NoMediaNode));
        };
        self.ask_for_answer(sfu, &Command::Restart { session: *id, offer })
            .await
    }

    async fn ask_for_answer(&self, sfu: &str, command: &Command) -> Result<String, ErrorBody> {
        match self.documents.bus.call(sfu, command).await {
            Ok(sfu::Reply::Opened { answer }) => Ok(answer),
            Ok(sfu::Reply::Refused { error }) => Err(refused(&error)),
            Ok(sfu::Reply::Done | sfu::Reply::Statistics { .. }) => Err(failure(ErrorCode::Internal)),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "open a media session");
                Err(failure(ErrorCode::NoMediaNode))
            }
        }
    }

    /// How this member's media fares.
    pub async fn statistics(&self) -> Result<Statistics, ErrorBody> {
        let Some(session) = &self.session else {
            return Err(failure(ErrorCode::NotConnected));
        };
        let command = Command::Statistics {
            room: self.documents.room.clone(),
            user: self.user.clone(),
        };
        match self.documents.bus.call(&session.sfu, &command).await {
            Ok(sfu::Reply::Statistics { statistics }) => Ok(*statistics),
            Ok(sfu::Reply::Refused { .. }) => Err(failure(ErrorCode::NotConnected)),
            Ok(sfu::Reply::Opened { .. } | sfu::Reply::Done) => Err(failure(ErrorCode::Internal)),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "ask for statistics");
                Err(failure(ErrorCode::NoMediaNode))
            }
        }
    }

    pub async fn publish(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        if self.role == Role::Audience {
            return Err(failure(ErrorCode::NotPermitted));
        }
        self.documents
            .take_seat(&self.user, source, state)
            .await
            .map_err(explain)?;
        self.ingress.insert(source);
        self.send_ingress().await;
        Ok(())
    }

    pub async fn unpublish(&mut self, source: TrackSource) -> Result<(), ErrorBody> {
        // Nothing more is let in before anybody is told.
        self.ingress.remove(&source);
        self.send_ingress().await;
        self.documents.give_seat_back(&self.user, source).await.map_err(explain)
    }

    pub async fn mute(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        self.documents.mute(&self.user, source, state).await.map_err(explain)
    }

    pub fn request_video(
        &mut self,
        user: UserId,
        source: TrackSource,
        max_height: Option<u16>,
    ) -> Result<(), ErrorBody> {
        let state = self.states.borrow().clone();
        let want = VideoWant {
            user,
            source,
            max_height,
        };
        self.wishes.request(&state.seats, &self.user, want).map_err(failure)
    }

    pub fn cancel_video(&mut self, user: &UserId, source: TrackSource) {
        self.wishes.cancel(user, source);
    }

    /// From now on the first slot of each kind shows this one publisher, whenever it publishes, and the rest nothing.
    pub fn watch_only(&mut self, want: VideoWant) {
        self.only = Some(want);
    }

    pub fn mute_remote(&mut self, user: UserId, muted: bool) {
        if muted {
            self.wishes.muted.insert(user);
        } else {
            self.wishes.muted.remove(&user);
        }
    }

    /// Resolves when the room has changed or the SFU has said something. Cancel-safe.
    pub async fn changed(&mut self) {
        tokio::select! {
            changed = self.states.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            event = self.sfu_events.recv() => match event {
                Ok(event) => self.heard.push(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending::<()>().await,
            },
            () = session_changed(&mut self.session) => {}
        }
    }

    /// Takes in what has changed in the room, brings the SFU's slots up to it and answers what to tell the client.
    pub async fn follow(&mut self) -> Vec<Event> {
        let state = self.states.borrow_and_update().clone();
        let mut events = diff(&self.told, &state, &self.user);
        if state.member_count() != self.told.member_count() {
            events.push(Event::MemberCount {
                count: state.member_count(),
            });
        }
        self.told = state.clone();
        self.wishes.drop_ended(&state.seats);
        if !roster::contains(&state.roster, &self.user)
            && state.roster.members.len() < rotunda_proto::room::ROSTER_WINDOW
            && let Err(error) = self.documents.show(&self.user, self.entered_unix_ms).await
        {
            warn!(
                error = &error as &dyn std::error::Error,
                "move into the roster's window"
            );
        }
        while let Ok(event) = self.sfu_events.try_recv() {
            self.heard.push(event);
        }
        if let Some(session) = &mut self.session {
            events.extend(session.poll_news());
        }
        for event in std::mem::take(&mut self.heard) {
            self.hear(event, &mut events);
        }
        let slots = match &self.only {
            Some(want) => show_only(&state.seats, want),
            None => assign(&self.slots, &state.seats, &self.wishes, &self.user),
        };
        if slots != self.slots && self.session.is_some() {
            self.slots = slots;
            self.send_slots().await;
            events.push(self.slots_event());
        }
        events
    }

    /// Everything again, for a client that has come back.
    pub fn retell(&mut self) -> Vec<Event> {
        let mut events = diff(&RoomState::default(), &self.told, &self.user);
        events.push(Event::MemberCount {
            count: self.told.member_count(),
        });
        events.push(self.slots_event());
        let session = self.session.iter();
        events.extend(session.flat_map(|session| session.retell(&self.slots)));
        events
    }

    pub async fn leave(mut self) {
        self.close_session().await;
        if let Err(error) = self.documents.leave(&self.user).await {
            warn!(error = &error as &dyn std::error::Error, "leave the room");
        }
        info!(room = %self.documents.room, "left");
        gauge!("rotunda_signaling_members").decrement(1.0);
    }

    /// What the client is told of an event of the SFU.
    fn hear(&mut self, event: sfu::Event, told: &mut Vec<Event>) {
        let own = |id: SessionId, session: &Option<Session>| session.as_ref().is_some_and(|own| own.id == id);
        match event {
            sfu::Event::Connected { session, .. } if own(session, &self.session) => {
                if let Some(session) = &mut self.session {
                    session.connected = true;
                }
                told.push(Event::MediaState {
                    state: MediaState::Connected,
                });
            }
            sfu::Event::Disconnected { session, .. } if own(session, &self.session) => {
                self.session = None;
                self.slots = SlotMap::default();
                let quality = NetworkQuality::disconnected();
                told.push(Event::NetworkQuality { quality });
                told.push(Event::MediaState {
                    state: MediaState::Disconnected,
                });
            }
            sfu::Event::Speakers { speakers } => told.push(Event::Speakers { speakers }),
            // Of others, or of a session that this member has closed; or not told to a room.
            sfu::Event::Connected { .. }
            | sfu::Event::Disconnected { .. }
            | sfu::Event::Quality { .. }
            | sfu::Event::Layers { .. }
            | sfu::Event::CodecNotSupported { .. } => {}
        }
    }

    fn slots_event(&self) -> Event {
        let video = self.slots.video.iter();
        let video = video.map(|slot| {
            slot.as_ref().map(|want| SlotView {
                user_id: want.user.clone(),
                source: want.source,
            })
        });
        Event::Slots {
            audio: self.slots.audio.clone(),
            video: video.collect(),
        }
    }

    async fn send_ingress(&mut self) {
        if let Some(Session { id, .. }) = &self.session {
            let command = Command::SetIngress {
                session: *id,
                sources: self.ingress.clone(),
            };
            self.command(command).await;
        }
    }

    async fn send_slots(&mut self) {
        if let Some(Session { id, .. }) = &self.session {
            let command = Command::SetSlots {
                session: *id,
                slots: self.slots.clone(),
            };
            self.command(command).await;
        }
    }

    async fn close_session(&mut self) {
        if let Some(Session { id, .. }) = &self.session {
            self.command(Command::Close { session: *id }).await;
        }
        self.session = None;
    }

    async fn command(&self, command: Command) {
        let Some(session) = &self.session else { return };
        match self.documents.bus.call::<_, sfu::Reply>(&session.sfu, &command).await {
            Ok(sfu::Reply::Refused { error }) => warn!(%error, "the SFU refused a command"),
            Ok(_) => {}
            Err(error) => warn!(error = &error as &dyn std::error::Error, "command the SFU"),
        }
    }
}

/// Resolves when the SFU has told something of this session alone; never without one. Cancel-safe.
async fn session_changed(session: &mut Option<Session>) {
    match session {
        Some(session) => session.changed().await,
        None => std::future::pending().await,
    }
}

fn refused(error: &ControlError) -> ErrorBody {
    let code = match error {
        ControlError::BadSdp { .. } | ControlError::NoSuchLine { .. } => ErrorCode::BadSdp,
        ControlError::NodeFull | ControlError::NoSuchSession => ErrorCode::NoMediaNode,
        ControlError::BadTicket => ErrorCode::Internal,
    };
    ErrorBody {
        code,
        message: error.to_string(),
    }
}
