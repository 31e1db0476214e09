//! A member's stay in one room: rights, seats, wishes, the SFU session, and what of the room it has been told.

mod media;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use metrics::gauge;
use rotunda_bus::BusExt;
use rotunda_bus::lease::Own;
use rotunda_proto::clock::Clock;
use rotunda_proto::custom_message;
use rotunda_proto::ids::{RoomId, RoomKey, TrackSource, UserId};
use rotunda_proto::room::{Permissions, RosterMember, info_key};
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::{self, Command, MEMBER_AUDIO_SLOTS, SlotMap, Standing, VideoWant};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Event, MediaState, Role, RoomView, SlotView, TrackState};
use rotunda_proto::statistics::NetworkQuality;
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

/// An SFU that has not answered is told so much later.
const TELL_SLOTS_AGAIN: Duration = Duration::from_secs(1);

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
    speaking: Speaking,
    wishes: Wishes,
    /// Set: nothing but this is shown, whatever the wishes are.
    only: Option<VideoWant>,
    slots: SlotMap,
    /// When the SFU is told of them again: it did not answer, and may show something else.
    slots_again_at: Option<Instant>,
    ingress: BTreeSet<TrackSource>,
    seats: Seated,
    /// As which this node is known.
    own: watch::Receiver<Own>,
    /// This node was declared dead, and the seats of its members were freed.
    seats_lost: bool,
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
        let mut own = room.documents.cluster.own();
        own.mark_unchanged();
        Ok(Self {
            own,
            seats_lost: false,
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
            speaking: Speaking::new(Clock.now()),
            wishes: Wishes::default(),
            only: None,
            slots: SlotMap::default(),
            slots_again_at: None,
            ingress: BTreeSet::new(),
            seats: Seated::Never,
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
        // Who tries again does not wait.
        self.slots_again_at = self.slots_again_at.map(|_| Clock.now());
        self.end_what_is_not_permitted().await
    }

    /// Whether the SFU shows this member what it was last told to, and nothing else.
    pub fn are_slots_confirmed(&self) -> bool {
        self.slots_again_at.is_none()
    }

    /// At the SFU before anybody is told.
    async fn end_what_is_not_permitted(&mut self) -> Result<(), ErrorBody> {
        let permitted = permitted(self.role, self.rights);
        if self.seats == Seated::Never {
            return Ok(());
        }
        self.ingress.retain(|source| permitted.may_send(*source));
        // All of it again, as any of it may have failed before.
        let mut done = self.send_ingress().await;
        for source in TrackSource::ALL
            .into_iter()
            .filter(|source| !permitted.may_send(*source))
        {
            let documents = &self.room.documents;
            let given_back = documents.give_seat_back(self.member.holder.membership, source).await;
            done = done.and(given_back.map_err(explain));
        }
        done
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
        self.seats = Seated::Perhaps;
        self.room
            .documents
            .take_seat(&self.member.user, self.member.holder.membership, source, state)
            .await
            .map_err(explain)?;
        self.ingress.insert(source);
        let _logged = self.send_ingress().await;
        Ok(())
    }

    /// After this node was declared dead and has begun anew. What has no seat any more is not let in.
    async fn take_seats_again(&mut self) {
        for source in self.ingress.clone() {
            let mut publishers = self.told.seats.publishers.iter();
            let known = publishers.find(|publisher| publisher.user == self.member.user);
            let state = known
                .and_then(|publisher| publisher.track(source))
                .unwrap_or(TrackState::On);
            let RosterMember { user, holder, .. } = &self.member;
            let documents = &self.room.documents;
            if let Err(error) = documents.take_seat(user, holder.membership, source, state).await {
                warn!(error = &error as &dyn std::error::Error, %source, "a seat was lost while this node was cut off");
                self.ingress.remove(&source);
            }
        }
        let _logged = self.send_ingress().await;
    }

    pub async fn unpublish(&mut self, source: TrackSource) -> Result<(), ErrorBody> {
        // Nothing more is let in before anybody is told.
        self.ingress.remove(&source);
        let _logged = self.send_ingress().await;
        let documents = &self.room.documents;
        documents
            .give_seat_back(self.member.holder.membership, source)
            .await
            .map_err(explain)
    }

    pub async fn mute(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        let documents = &self.room.documents;
        documents
            .mute(self.member.holder.membership, source, state)
            .await
            .map_err(explain)
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

    /// Resolves when the members are told of the room, or the SFU tells of this one's session, or is to be told again. Cancel-safe.
    pub async fn changed(&mut self) {
        tokio::select! {
            told = self.bulletins.changed() => if told.is_err() {
                std::future::pending::<()>().await;
            },
            () = session_changed(&mut self.session) => {}
            () = Clock.until(self.slots_again_at) => {}
            Ok(()) = self.own.changed(), if self.seats == Seated::Perhaps => self.seats_lost = true,
        }
    }

    /// Takes in what the members are told, brings the SFU's slots up to it and answers what to tell the client.
    pub async fn follow(&mut self) -> Vec<Message> {
        if std::mem::take(&mut self.seats_lost) {
            self.take_seats_again().await;
        }
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
            && let Err(error) = room.documents.give_all_seats_back(self.member.holder.membership).await
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
        let slots_changed = slots != self.slots;
        self.slots = slots;
        if slots_changed || self.slots_again_at.is_some_and(|at| at <= Clock.now()) {
            let unheard = self.send_slots().await.is_err();
            self.slots_again_at = unheard.then(|| Clock.now() + TELL_SLOTS_AGAIN);
        }
        if slots_changed || voices_changed {
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
