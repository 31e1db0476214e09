//! A member's stay in one room: seats, wishes, the SFU session, and what of the room it has been told.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use metrics::gauge;
use rand::Rng;
use rotunda_proto::bus::BusExt;
use rotunda_proto::clock::Clock;
use rotunda_proto::custom_message;
use rotunda_proto::ids::{RoomId, RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::room::RosterMember;
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::{self, Client, Command, ControlError, MEMBER_AUDIO_SLOTS, SlotMap, Standing, VideoWant};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Event, Lines, MediaState, Role, RoomView, SlotView, TrackState};
use rotunda_proto::statistics::{NetworkQuality, Statistics};
use tokio::sync::watch;
use tracing::{info, warn};

use super::session::Session;
use super::{explain, failure};
use crate::room::{Bulletin, Entered, Place, Room};
use crate::room_documents::Refused;
use crate::said::Speaking;
use crate::service::Shared;
use crate::slots::{Wishes, assign, permit, show_only};
use crate::view::{Hears, RoomState, diff};

pub struct Stay {
    room: Arc<Room>,
    member: RosterMember,
    role: Role,
    rights: Rights,
    bulletins: watch::Receiver<Arc<Bulletin>>,
    _place: Option<Place>,
    /// What the client has been told.
    told: Arc<RoomState>,
    session: Option<Session>,
    /// The last session has ended by itself, and no other was opened since.
    media_lost: bool,
    /// Of his next session.
    standing: Standing,
    /// His offer has a line for data channels.
    offers_channels: bool,
    speaking: Speaking,
    wishes: Wishes,
    /// Set: nothing but this is shown, whatever the wishes are.
    only: Option<VideoWant>,
    slots: SlotMap,
    ingress: BTreeSet<TrackSource>,
    seats: Seated,
}

/// A message for the client.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The same for many members: JSON already.
    Shared(Utf8Bytes),
    Own(Event),
}

/// Whether there may be seats to give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seated {
    Never,
    Perhaps,
}

impl Stay {
    pub async fn enter(
        shared: &Shared,
        room: RoomKey,
        user: UserId,
        role: Role,
        rights: Rights,
    ) -> Result<Self, Refused> {
        let Entered {
            room,
            member,
            state,
            bulletins,
            place,
        } = shared.rooms.enter(shared, &room, &user, role).await?;
        info!(room = %room.documents.room, "entered");
        gauge!("rotunda_signaling_members").increment(1.0);
        let created = state.member_count <= 1;
        let stay = Self {
            room,
            member,
            role,
            rights,
            bulletins,
            _place: place,
            told: state,
            session: None,
            media_lost: false,
            standing: Standing::Newcomer,
            offers_channels: false,
            speaking: Speaking::new(Clock.now()),
            wishes: Wishes::default(),
            only: None,
            slots: SlotMap::default(),
            ingress: BTreeSet::new(),
            seats: Seated::Never,
        };
        if created && !rights.may_create() {
            stay.leave().await;
            return Err(Refused::Code(ErrorCode::NotPermitted));
        }
        Ok(stay)
    }

    pub fn view(&self, room_id: &RoomId) -> RoomView {
        self.told.view(room_id)
    }

    /// `client`: what it can be told.
    pub async fn connect(&mut self, offer: String, lines: Lines, client: Client) -> Result<String, ErrorBody> {
        let state = self.room.latest();
        let Some(info) = &state.info else {
            return Err(failure(ErrorCode::Internal));
        };
        let sfu = sfu::control_subject(&info.sfu);
        let command = match &self.session {
            Some(session) if session.is_connected() => Command::Restart {
                session: session.id,
                offer,
            },
            _ => {
                self.close_session().await;
                let id = SessionId(rand::rng().random());
                // Before it is opened, so that nothing is missed.
                let state = self.room.follow_session(id);
                match Session::new(&self.room.documents.bus, id, sfu.clone(), state).await {
                    Ok(session) => {
                        self.session = Some(session);
                        self.media_lost = false;
                    }
                    Err(error) => {
                        self.room.forget_session(id);
                        return Err(explain(error.into()));
                    }
                }
                self.offers_channels = offer.contains("\nm=application ");
                // Its slots follow what others publish.
                self.bulletins = self.room.front();
                let identity = sfu::Identity::Member {
                    user: self.member.user.clone(),
                    client,
                    standing: self.standing,
                };
                Command::Open {
                    session: id,
                    room: self.room.documents.room.clone(),
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
            self.standing = Standing::Inside;
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
        match self.room.documents.bus.call(sfu, command).await {
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
            room: self.room.documents.room.clone(),
            user: self.member.user.clone(),
        };
        match self.room.documents.bus.call(&session.sfu, &command).await {
            Ok(sfu::Reply::Statistics { statistics }) => Ok(*statistics),
            Ok(sfu::Reply::Refused { .. }) => Err(failure(ErrorCode::NotConnected)),
            Ok(sfu::Reply::Opened { .. } | sfu::Reply::Done) => Err(failure(ErrorCode::Internal)),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "ask for statistics");
                Err(failure(ErrorCode::NoMediaNode))
            }
        }
    }

    pub fn key(&self) -> &RoomKey {
        &self.room.documents.room
    }

    fn may_send(&self, source: TrackSource) -> bool {
        self.role == Role::Anchor && self.rights.may_send(source)
    }

    /// What is not permitted any more ends: at the SFU before anybody is told.
    pub async fn switch_role(&mut self, role: Role, rights: Rights) -> Result<(), ErrorBody> {
        (self.role, self.rights) = (role, rights);
        let sending = std::mem::take(&mut self.ingress);
        let (kept, ended) = sending.into_iter().partition(|source| self.may_send(*source));
        self.ingress = kept;
        let ended: BTreeSet<TrackSource> = ended;
        if !ended.is_empty() {
            self.send_ingress().await;
        }
        for source in ended {
            let documents = &self.room.documents;
            documents
                .give_seat_back(&self.member.user, source)
                .await
                .map_err(explain)?;
        }
        Ok(())
    }

    pub async fn publish(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        if !self.may_send(source) {
            return Err(failure(ErrorCode::NotPermitted));
        }
        self.seats = Seated::Perhaps;
        self.room
            .documents
            .take_seat(&self.member.user, source, state)
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
        let documents = &self.room.documents;
        documents
            .give_seat_back(&self.member.user, source)
            .await
            .map_err(explain)
    }

    pub async fn mute(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        let documents = &self.room.documents;
        documents.mute(&self.member.user, source, state).await.map_err(explain)
    }

    pub fn request_video(
        &mut self,
        user: UserId,
        source: TrackSource,
        max_height: Option<u16>,
    ) -> Result<(), ErrorBody> {
        if !self.rights.may_receive(source) {
            return Err(failure(ErrorCode::NotPermitted));
        }
        let state = self.room.latest();
        let want = VideoWant {
            user,
            source,
            max_height,
        };
        self.wishes
            .request(&state.seats, &self.member.user, want)
            .map_err(failure)
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

    /// Resolves when the members are told of the room, or the SFU of this one's session. Cancel-safe.
    pub async fn changed(&mut self) {
        tokio::select! {
            told = self.bulletins.changed() => if told.is_err() {
                std::future::pending::<()>().await;
            },
            () = session_changed(&mut self.session) => {}
        }
    }

    /// Takes in what the members are told, brings the SFU's slots up to it and answers what to tell the client.
    pub async fn follow(&mut self) -> Vec<Message> {
        let bulletin = self.bulletins.borrow_and_update().clone();
        let mut messages = Vec::new();
        if bulletin.after.number > self.told.number {
            if Arc::ptr_eq(&bulletin.before, &self.told) {
                messages.extend(
                    bulletin
                        .for_member(&self.member.user, self.hears())
                        .map(Message::Shared),
                );
            } else {
                messages.extend(self.news_since(&self.told, &bulletin.after));
            }
            self.told = bulletin.after.clone();
        }
        self.follow_media(&mut messages).await;
        messages
    }

    /// As [`follow`](Self::follow), of the room as it is now: for a member that has just changed something.
    pub async fn catch_up(&mut self) -> Vec<Message> {
        let latest = self.room.latest();
        let mut messages = Vec::new();
        if latest.number > self.told.number {
            messages = self.news_since(&self.told, &latest);
            self.told = latest;
        }
        self.follow_media(&mut messages).await;
        messages
    }

    /// Everything again, for a client that has come back.
    pub fn retell(&mut self) -> Vec<Message> {
        // What was said is not said again.
        let nothing = RoomState {
            said: self.told.said.clone(),
            ..RoomState::default()
        };
        let mut messages = self.news_since(&nothing, &self.told);
        messages.push(Message::Own(self.slots_event()));
        if self.media_lost {
            // It may have been told to a WebSocket that was dead already.
            let state = MediaState::Disconnected;
            messages.push(Message::Own(Event::MediaState { state }));
        }
        let session = self.session.iter();
        messages.extend(
            session
                .flat_map(|session| session.retell(&self.slots))
                .map(Message::Own),
        );
        messages
    }

    fn hears(&self) -> Hears {
        let has_media = self.session.as_ref().is_some_and(Session::is_connected);
        match has_media && self.offers_channels {
            true => Hears::ByChannel,
            false => Hears::Here,
        }
    }

    /// To everybody else in the room: those who have a data channel, and those who have not.
    pub async fn send_custom_message(&mut self, command: u8, data: &str) -> Result<(), ErrorBody> {
        let admitted = self.speaking.admit(Clock.now(), &self.member.user, command, data);
        let message = admitted.map_err(|refused| {
            failure(match refused {
                custom_message::Refused::Malformed => ErrorCode::BadCustomMessage,
                custom_message::Refused::TooLarge => ErrorCode::CustomMessageTooLarge,
                custom_message::Refused::TooMany | custom_message::Refused::Busy => ErrorCode::CustomMessageRate,
            })
        })?;
        let (bus, room) = (&self.room.documents.bus, self.room.documents.room.clone());
        if let Some(info) = &self.room.latest().info {
            let (subject, message) = (sfu::control_subject(&info.sfu), message.clone());
            let command = Command::CustomMessage {
                room: room.clone(),
                message,
            };
            let carried = bus.call::<_, sfu::Reply>(&subject, &command).await;
            carried.map_err(|error| {
                warn!(error = &error as &dyn std::error::Error, "carry a custom message");
                failure(ErrorCode::NoMediaNode)
            })?;
        }
        let event = sfu::Event::CustomMessage { message };
        let told = bus.tell(&event.subject(&room), &event).await;
        told.map_err(|error| {
            warn!(error = &error as &dyn std::error::Error, "tell a custom message");
            failure(ErrorCode::Internal)
        })
    }

    pub async fn leave(mut self) {
        self.close_session().await;
        let room = &self.room;
        if self.seats == Seated::Perhaps
            && let Err(error) = room.documents.give_all_seats_back(&self.member.user).await
        {
            warn!(error = &error as &dyn std::error::Error, "give the seats back");
        }
        room.leave(self.member).await;
        info!(room = %room.documents.room, "left");
        gauge!("rotunda_signaling_members").decrement(1.0);
    }

    fn news_since(&self, before: &RoomState, after: &RoomState) -> Vec<Message> {
        let news = diff(before, after).into_iter();
        let hears = self.hears();
        news.filter(|news| news.is_for(&self.member.user, hears))
            .map(|news| Message::Own(news.event))
            .collect()
    }

    async fn follow_media(&mut self, messages: &mut Vec<Message>) {
        self.wishes.drop_ended(&self.told.seats);
        let Some(session) = &mut self.session else { return };
        messages.extend(session.poll_news().into_iter().map(Message::Own));
        if let Some(state) = session.poll_state() {
            if state == MediaState::Disconnected {
                let quality = NetworkQuality::disconnected();
                messages.push(Message::Own(Event::NetworkQuality { quality }));
            }
            messages.push(Message::Own(Event::MediaState { state }));
            if state == MediaState::Disconnected {
                self.forget_session();
                self.media_lost = true;
                return;
            }
        }
        let slots = match &self.only {
            Some(want) => show_only(&self.told.seats, want),
            None => {
                let microphones = self.room.documents.microphones;
                let (seats, me) = (&self.told.seats, &self.member.user);
                assign(microphones, &self.slots, seats, &self.wishes, me)
            }
        };
        let slots = permit(slots, self.rights);
        let voices_changed = session.poll_voices();
        if slots != self.slots {
            self.slots = slots;
            self.send_slots().await;
            messages.push(Message::Own(self.slots_event()));
        } else if voices_changed {
            messages.push(Message::Own(self.slots_event()));
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
        let mut audio = self.slots.audio.clone();
        if self.slots.loudest.is_some() {
            let voices = self.session.as_ref().map(Session::voices);
            audio = voices.unwrap_or_default().to_vec();
            audio.resize(MEMBER_AUDIO_SLOTS, None);
        }
        Event::Slots {
            audio,
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
        self.forget_session();
    }

    fn forget_session(&mut self) {
        if let Some(Session { id, .. }) = self.session.take() {
            self.room.forget_session(id);
        }
        self.slots = SlotMap::default();
    }

    async fn command(&self, command: Command) {
        let Some(session) = &self.session else { return };
        let bus = &self.room.documents.bus;
        match bus.call::<_, sfu::Reply>(&session.sfu, &command).await {
            // Its end was not heard of.
            Ok(sfu::Reply::Refused {
                error: ControlError::NoSuchSession,
            }) => self.room.set_session(session.id, MediaState::Disconnected),
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
        ControlError::NodeFull => ErrorCode::NodeFull,
        ControlError::NoSuchSession => ErrorCode::NoMediaNode,
        ControlError::BadTicket => ErrorCode::Internal,
    };
    ErrorBody {
        code,
        message: error.to_string(),
    }
}
