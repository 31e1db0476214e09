//! A member's stay in one room: rights, seats, wishes, the SFU session, and what of the room it has been told.

mod media;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use metrics::gauge;
use rotunda_proto::bus::BusExt;
use rotunda_proto::clock::Clock;
use rotunda_proto::custom_message;
use rotunda_proto::ids::{RoomId, RoomKey, TrackSource, UserId};
use rotunda_proto::room::{Permissions, RosterMember, info_key};
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::{self, Command, MEMBER_AUDIO_SLOTS, SlotMap, Standing, VideoWant};
use rotunda_proto::signaling::{
    ErrorBody, ErrorCode, Event, KickReason, MediaState, Role, RoomView, SlotView, TrackState,
};
use rotunda_proto::statistics::NetworkQuality;
use tokio::sync::watch;
use tracing::{info, warn};

use super::session::Session;
use super::{explain, failure};
use crate::refused_lines::RefusedLine;
use crate::room::{Bulletin, Entered, Place, Room};
use crate::room_documents::Refused;
use crate::said::Speaking;
use crate::service::Shared;
use crate::slots::{Wishes, assign, permit, show_only};
use crate::view::{Hears, RoomState, diff};

/// A seat that could not be given back is given back again this much later.
const GIVE_BACK_AGAIN: Duration = Duration::from_secs(1);

pub struct Stay {
    room: Arc<Room>,
    member: RosterMember,
    role: Role,
    rights: Rights,
    /// The server API has given him his rights: tickets do not change them any more.
    are_rights_given: bool,
    /// What the client knows of what it may do.
    told_rights: Rights,
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
    /// Sources whose line of the offer has no codec that the server takes.
    refused: BTreeMap<TrackSource, RefusedLine>,
    speaking: Speaking,
    wishes: Wishes,
    /// Set: nothing but this is shown, whatever the wishes are.
    only: Option<VideoWant>,
    /// What this member publishes. The SFU lets in this and nothing else, once it has confirmed it.
    published: BTreeSet<TrackSource>,
    /// Sources for which this member may have a seat. A seat is given back when the SFU has confirmed that it lets nothing more in.
    seats: BTreeSet<TrackSource>,
    /// When seats are given back again: the bus has failed.
    give_back_at: Option<Instant>,
}

/// How a member goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    ForGood,
    /// The connection or the media was lost, or a newer login takes over. Mixes keep the member's cells for this time.
    CutOff {
        may_return_within: Duration,
    },
}

impl Leaving {
    /// A newer login of the same user takes over: they come back at once.
    pub fn when_kicked(reason: KickReason, may_return_within: Duration) -> Self {
        match reason {
            KickReason::Kick => Self::CutOff { may_return_within },
            KickReason::Banned | KickReason::RoomDisband | KickReason::Shutdown => Self::ForGood,
        }
    }
}

/// A message for the client.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The same for many members: JSON already.
    Shared(Utf8Bytes),
    Own(Event),
}

impl Stay {
    pub async fn enter(
        shared: &Shared,
        room: RoomKey,
        user: UserId,
        role: Role,
        rights: Rights,
    ) -> Result<Self, Refused> {
        if !rights.may_create() && shared.bus.get(&info_key(&room)).await?.is_none() {
            return Err(Refused::Code(ErrorCode::NotPermitted));
        }
        let Entered {
            room,
            member,
            state,
            bulletins,
            place,
        } = shared.rooms.enter(shared, &room, &user, role).await?;
        info!(room = %room.documents.room, "entered");
        gauge!("rotunda_signaling_members").increment(1.0);
        Ok(Self {
            room,
            member,
            role,
            rights,
            are_rights_given: false,
            told_rights: permitted(role, Rights::ALL),
            bulletins,
            _place: place,
            told: state,
            session: None,
            media_lost: false,
            standing: Standing::Newcomer,
            offers_channels: false,
            refused: BTreeMap::new(),
            speaking: Speaking::new(Clock.now()),
            wishes: Wishes::default(),
            only: None,
            published: BTreeSet::new(),
            seats: BTreeSet::new(),
            give_back_at: None,
        })
    }

    pub fn view(&self, room_id: &RoomId) -> RoomView {
        self.told.view(room_id)
    }

    pub fn key(&self) -> &RoomKey {
        &self.room.documents.room
    }

    /// `rights`: of another ticket.
    pub async fn switch_role(&mut self, role: Role, rights: Option<Rights>) -> Result<(), ErrorBody> {
        self.role = role;
        if !self.are_rights_given {
            self.rights = rights.unwrap_or(self.rights);
        }
        self.end_what_is_not_permitted().await
    }

    /// As the server API says, for the rest of the stay.
    pub async fn permit(&mut self, rights: Rights) -> Result<(), ErrorBody> {
        (self.rights, self.are_rights_given) = (rights, true);
        if let Some(session) = &mut self.session {
            // A caller that tries again does not wait for the next second.
            session.slots.hurry(Clock.now());
        }
        self.end_what_is_not_permitted().await
    }

    /// Whether the SFU shows this member what it was last told to show, and nothing else.
    pub fn are_slots_confirmed(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.slots.is_confirmed())
    }

    /// Errors: the SFU or the bus has not confirmed it. Both are asked again until they do.
    async fn end_what_is_not_permitted(&mut self) -> Result<(), ErrorBody> {
        let permitted = permitted(self.role, self.rights);
        self.published.retain(|source| permitted.may_send(*source));
        self.settle_publishing().await
    }

    /// Brings the SFU's ingress up to what is published, and then gives back the seats of what is not: nobody is told that a
    /// source has ended while the SFU may still let it in.
    ///
    /// Errors: one of both is not confirmed. It is tried again when [`settle_at`](Self::settle_at) says.
    async fn settle_publishing(&mut self) -> Result<(), ErrorBody> {
        self.send_ingress().await?;
        let ended: Vec<TrackSource> = self.seats.difference(&self.published).copied().collect();
        self.give_back_at = None;
        for source in ended {
            let documents = &self.room.documents;
            match documents.give_seat_back(&self.member.user, source).await {
                Ok(()) => drop(self.seats.remove(&source)),
                Err(refused) => {
                    self.give_back_at = Some(Clock.now() + GIVE_BACK_AGAIN);
                    return Err(explain(refused));
                }
            }
        }
        Ok(())
    }

    /// When the SFU or the bus is to be asked again; None: both have confirmed everything.
    fn settle_at(&self) -> Option<Instant> {
        let session = self.session.as_ref();
        let times = session.into_iter().flat_map(Session::due_at);
        times.chain(self.give_back_at).min()
    }

    /// What he may do, when the client does not know it.
    fn rights_news(&mut self) -> Option<Message> {
        let permitted = permitted(self.role, self.rights);
        let before = std::mem::replace(&mut self.told_rights, permitted);
        (permitted != before).then(|| Message::Own(permissions(permitted)))
    }

    pub async fn publish(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        if !permitted(self.role, self.rights).may_send(source) {
            return Err(failure(ErrorCode::NotPermitted));
        }
        if let Some(line) = self.refused.get(&source) {
            return Err(codec_not_supported(line));
        }
        let is_new = self.seats.insert(source);
        let taken = self.room.documents.take_seat(&self.member.user, source, state).await;
        if let Err(refused) = taken {
            if is_new && matches!(refused, Refused::Code(_)) {
                self.seats.remove(&source);
            }
            return Err(explain(refused));
        }
        let is_new = self.published.insert(source);
        let let_in = self.settle_publishing().await;
        if let_in.is_err() && is_new {
            // The SFU may let it in or not: it is told to let it in no more, and then the seat is given back.
            self.published.remove(&source);
        }
        let_in
    }

    pub async fn unpublish(&mut self, source: TrackSource) -> Result<(), ErrorBody> {
        self.published.remove(&source);
        self.settle_publishing().await
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

    pub fn mute_remote(&mut self, user: UserId, muted: bool) -> Result<(), ErrorBody> {
        if muted {
            let room = self.room.latest();
            self.wishes.muted.mute(&room.seats, &room.roster, user).map_err(failure)
        } else {
            self.wishes.muted.unmute(&user);
            Ok(())
        }
    }

    /// Resolves when the members are told of the room, or the SFU tells of this one's session, or is to be told again. Cancel-safe.
    pub async fn changed(&mut self) {
        let settle_at = self.settle_at();
        tokio::select! {
            told = self.bulletins.changed() => if told.is_err() {
                std::future::pending::<()>().await;
            },
            () = session_changed(&mut self.session) => {}
            () = Clock.until(settle_at) => {}
        }
    }

    /// Takes in what the members are told, brings the SFU's slots up to it and answers what to tell the client.
    pub async fn follow(&mut self) -> Vec<Message> {
        let bulletin = self.bulletins.borrow_and_update().clone();
        let mut messages: Vec<Message> = self.rights_news().into_iter().collect();
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
        let mut messages: Vec<Message> = self.rights_news().into_iter().collect();
        if latest.number > self.told.number {
            messages.extend(self.news_since(&self.told, &latest));
            self.told = latest;
        }
        self.follow_media(&mut messages).await;
        messages
    }

    /// Everything again, for a client that has come back.
    pub fn retell(&mut self) -> Vec<Message> {
        let mut messages = vec![
            Message::Own(Event::Room {
                room: self.view(&self.key().room),
            }),
            Message::Own(Event::Speakers {
                speakers: self.told.speakers.to_vec(),
            }),
            Message::Own(permissions(self.told_rights)),
            Message::Own(self.slots_event()),
        ];
        if self.media_lost {
            // It may have been told to a WebSocket that was dead already.
            let state = MediaState::Disconnected;
            messages.push(Message::Own(Event::MediaState { state }));
        }
        let session = self.session.iter();
        messages.extend(session.flat_map(|session| session.retell()).map(Message::Own));
        messages
    }

    fn hears(&self) -> Hears {
        let connected = self.session.as_ref().and_then(Session::connected_after);
        match connected.filter(|_| self.offers_channels) {
            Some(after) => Hears::ByChannel { after },
            None => Hears::Here,
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
        // First, so that a session that gets connected meanwhile has the message: it counts as one from before.
        let event = sfu::Event::CustomMessage {
            message: message.clone(),
        };
        let told = bus.tell(&event.subject(&room), &event).await;
        told.map_err(|error| {
            warn!(error = &error as &dyn std::error::Error, "tell a custom message");
            failure(ErrorCode::Internal)
        })?;
        if let Some(info) = &self.room.latest().info {
            let subject = sfu::control_subject(&info.sfu);
            let command = Command::CustomMessage { room, message };
            let carried = bus.call::<_, sfu::Reply>(&subject, &command).await;
            carried.map_err(|error| {
                warn!(error = &error as &dyn std::error::Error, "carry a custom message");
                failure(ErrorCode::NoMediaNode)
            })?;
        }
        Ok(())
    }

    pub async fn leave(mut self, leaving: Leaving) {
        self.close_session().await;
        let (room, user) = (&self.room, &self.member.user);
        if !self.seats.is_empty() {
            let given_back = match leaving {
                Leaving::ForGood => room.documents.give_all_seats_back(user).await,
                Leaving::CutOff { may_return_within } => {
                    let until = Clock.unix() + may_return_within;
                    room.documents.keep_cells(&self.member, until.as_millis() as u64).await
                }
            };
            if let Err(error) = given_back {
                warn!(error = &error as &dyn std::error::Error, "give the seats back");
            }
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
        self.follow_session(messages);
        if self.settle_at().is_some_and(|at| at <= Clock.now()) {
            let _logged_and_tried_again = self.settle_publishing().await;
        }
        let voices_changed = self.session.as_mut().is_some_and(Session::poll_voices);
        let slots_changed = self.settle_slots().await;
        if slots_changed || voices_changed {
            messages.push(Message::Own(self.slots_event()));
        }
    }

    /// Takes in what the SFU tells of the session, and its end.
    fn follow_session(&mut self, messages: &mut Vec<Message>) {
        let Some(session) = &mut self.session else { return };
        messages.extend(session.poll_news().into_iter().map(Message::Own));
        let Some(state) = session.poll_state() else { return };
        if state == MediaState::Disconnected {
            let quality = NetworkQuality::disconnected();
            messages.push(Message::Own(Event::NetworkQuality { quality }));
        }
        messages.push(Message::Own(Event::MediaState { state }));
        if state == MediaState::Disconnected {
            self.forget_session();
            self.media_lost = true;
        }
    }

    /// Brings the SFU's slots up to what is wanted, published and permitted now. Answers whether they are others than before.
    async fn settle_slots(&mut self) -> bool {
        let slots = self.wanted_slots();
        let Some(session) = &mut self.session else { return false };
        let changed = slots != *session.slots.value();
        session.slots.set(Clock.now(), slots);
        if session.slots.is_due(Clock.now()) {
            self.send_slots().await;
        }
        changed
    }

    fn wanted_slots(&self) -> SlotMap {
        let Some(session) = &self.session else {
            return SlotMap::default();
        };
        let slots = match &self.only {
            Some(want) => show_only(&self.told.seats, want),
            None => {
                let microphones = self.room.documents.microphones;
                let (seats, me) = (&self.told.seats, &self.member.user);
                assign(microphones, session.slots.value(), seats, &self.wishes, me)
            }
        };
        permit(slots, self.rights)
    }

    fn slots_event(&self) -> Event {
        let Some(session) = &self.session else {
            return Event::Slots {
                audio: Vec::new(),
                video: Vec::new(),
            };
        };
        let slots = session.slots.value();
        let video = slots.video.iter();
        let video = video.map(|slot| {
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
}

/// `line`: of the offer, which the answer refuses.
pub fn codec_not_supported(line: &RefusedLine) -> ErrorBody {
    ErrorBody {
        code: ErrorCode::CodecNotSupported,
        message: line.to_string(),
    }
}

fn permitted(role: Role, rights: Rights) -> Rights {
    match role {
        Role::Anchor => rights,
        Role::Audience => rights.receive_only(),
    }
}

fn permissions(permitted: Rights) -> Event {
    let Permissions { send, receive } = permitted.permissions();
    Event::Permissions { send, receive }
}

/// Resolves when the SFU has told something of this session alone; never without one. Cancel-safe.
async fn session_changed(session: &mut Option<Session>) {
    match session {
        Some(session) => session.changed().await,
        None => std::future::pending().await,
    }
}
