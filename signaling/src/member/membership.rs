//! A member of one room: a hub that routes between the rights, what is published, the wishes, the media session and the room.

mod media;
mod publishing;
mod rights;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use metrics::gauge;
use rotunda_bus::BusExt;
use rotunda_bus::lease::Own;
use rotunda_proto::clock::Clock;
use rotunda_proto::custom_message;
use rotunda_proto::ids::{RoomId, RoomKey, TrackSource, UserId};
use rotunda_proto::room::{RosterMember, info_key};
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::{self, Client, Command, SlotMap, VideoWant};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Event, KickReason, Lines, Role, RoomView, TrackState};
use rotunda_proto::statistics::Statistics;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{explain, failure};
use crate::events::{Fact, LeftBecause, What};
use crate::refused_lines::RefusedLine;
use crate::room::{Bulletin, Capacity, Entered, Room, SeatsLeft};
use crate::room_documents::Refused;
use crate::room_messages::MessageLimiter;
use crate::shared::Shared;
use crate::slots::{Wishes, assign, permit, show_only};
use crate::view::{RoomState, diff};
pub use media::codec_not_supported;
use media::{Media, NextOffer};
use publishing::{Before, Publishing};
use rights::MemberRights;

/// Made by [`enter`](Self::enter), ended by [`leave`](Self::leave).
///
/// Its task calls [`follow`](Self::follow) whenever [`changed`](Self::changed) resolves, and [`catch_up`](Self::catch_up) after
/// each request: both answer what to tell the client, and bring the SFU up to what the room and the member's wishes are now. The
/// other methods do what one request asks.
pub struct Membership {
    shared: Shared,
    room: Arc<Room>,
    member: RosterMember,
    rights: MemberRights,
    publishing: Publishing,
    media: Media,
    wishes: Wishes,
    /// Set: nothing but this is shown, whatever the wishes are.
    only: Option<VideoWant>,
    message_limiter: MessageLimiter,
    bulletins: watch::Receiver<Arc<Bulletin>>,
    /// What the client has been told of the room.
    told: Arc<RoomState>,
    _capacity: Option<Capacity>,
    /// The incarnation under which this node is known.
    own: watch::Receiver<Own>,
    /// This node was declared dead, and the seats of its members were freed.
    seats_lost: bool,
    entered_at: Instant,
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

impl Membership {
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
            capacity,
        } = shared.rooms.enter(shared, &room, &user, role).await?;
        info!(room = %room.documents.room, "entered");
        gauge!("rotunda_signaling_members").increment(1.0);
        let mut own = room.documents.cluster.own();
        own.mark_unchanged();
        let membership = member.holder.membership;
        let entered = What::Entered {
            user: user.clone(),
            membership,
            role,
        };
        shared
            .events
            .tell(Fact::of_member(&room.documents.room, Clock.unix(), membership, entered));
        Ok(Self {
            shared: shared.clone(),
            entered_at: Clock.now(),
            media: Media::new(room.clone(), user),
            own,
            seats_lost: false,
            room,
            member,
            rights: MemberRights::new(role, rights),
            publishing: Publishing::default(),
            wishes: Wishes::default(),
            only: None,
            message_limiter: MessageLimiter::new(Clock.now()),
            bulletins,
            told: state,
            _capacity: capacity,
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
        self.rights.switch_role(role, rights);
        self.end_what_is_not_permitted().await
    }

    /// As the server API says, for as long as the member is in the room.
    pub async fn permit(&mut self, rights: Rights) -> Result<(), ErrorBody> {
        self.rights.permit(rights);
        self.media.hurry();
        self.end_what_is_not_permitted().await
    }

    /// Whether the SFU shows this member what it was last told to show, and nothing else.
    pub fn are_slots_confirmed(&self) -> bool {
        self.media.are_slots_confirmed()
    }

    /// Errors: the SFU or the bus has not confirmed it. Both are asked again until they do.
    async fn end_what_is_not_permitted(&mut self) -> Result<(), ErrorBody> {
        self.publishing.retain(|source| self.rights.may_send(source));
        self.settle_publishing().await
    }

    /// Brings the SFU to let in what is published, and then releases the seats of what is not: nobody is told that a source has
    /// ended while the SFU may still let it in.
    ///
    /// Errors: one of both is not confirmed. It is tried again when [`settle_at`](Self::settle_at) says.
    async fn settle_publishing(&mut self) -> Result<(), ErrorBody> {
        self.media.let_in(self.publishing.sources()).await?;
        for source in self.publishing.seats_to_release() {
            match self.room.documents.release_seat(&self.member, source).await {
                Ok(()) => {
                    self.publishing.handle_released(source);
                    let (user, membership) = (self.member.user.clone(), self.member.holder.membership);
                    self.tell(What::Unpublished {
                        user,
                        membership,
                        source,
                    });
                }
                Err(refused) => {
                    self.publishing.handle_release_failed(Clock.now());
                    return Err(explain(refused));
                }
            }
        }
        Ok(())
    }

    /// When the SFU or the bus is to be asked again; None: both have confirmed everything.
    fn settle_at(&self) -> Option<Instant> {
        let times = [self.media.due_at(), self.publishing.release_at()];
        times.into_iter().flatten().min()
    }

    pub async fn publish(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        if !self.rights.may_send(source) {
            return Err(failure(ErrorCode::NotPermitted));
        }
        if let Some(line) = self.media.refused(source) {
            return Err(codec_not_supported(line));
        }
        let seat = self.publishing.handle_seat_wanted(source);
        let taken = self.room.documents.take_seat(&self.member, source, state).await;
        if let Err(refused) = taken {
            if matches!(refused, Refused::Code(_)) {
                self.publishing.handle_seat_refused(source, seat);
            }
            return Err(explain(refused));
        }
        let before = self.publishing.begin(source);
        let let_in = self.settle_publishing().await;
        if let_in.is_err() && before == Before::New {
            // The SFU may let it in or not: it is told to let it in no more, and then the seat is released.
            self.publishing.end(source);
        }
        if let_in.is_ok() && before == Before::New {
            let (user, membership) = (self.member.user.clone(), self.member.holder.membership);
            self.tell(What::Published {
                user,
                membership,
                source,
            });
        }
        let_in
    }

    /// Into the stream of events.
    fn tell(&self, what: What) {
        let membership = self.member.holder.membership;
        let fact = Fact::of_member(&self.room.documents.room, Clock.unix(), membership, what);
        self.shared.events.tell(fact);
    }

    /// After this node was declared dead and has begun anew. A source without a seat is not let in any more.
    async fn take_seats_again(&mut self) {
        for source in self.publishing.sources().clone() {
            let mut publishers = self.told.seats.publishers.iter();
            let known = publishers.find(|publisher| publisher.user == self.member.user);
            let state = known
                .and_then(|publisher| publisher.track(source))
                .unwrap_or(TrackState::On);
            if let Err(error) = self.room.documents.take_seat(&self.member, source, state).await {
                warn!(error = &error as &dyn std::error::Error, %source, "a seat was lost while this node was cut off");
                self.publishing.end(source);
            }
        }
        let _tried_again_later = self.settle_publishing().await;
    }

    pub async fn unpublish(&mut self, source: TrackSource) -> Result<(), ErrorBody> {
        self.publishing.end(source);
        self.settle_publishing().await
    }

    pub async fn mute(&mut self, source: TrackSource, state: TrackState) -> Result<(), ErrorBody> {
        let documents = &self.room.documents;
        documents
            .mute(self.member.holder.membership, source, state)
            .await
            .map_err(explain)
    }

    /// Answers an offer: a new session, or an ICE restart of the one that is connected. `client`: what it can be told.
    pub async fn connect(&mut self, offer: String, lines: Lines, client: Client) -> Result<String, ErrorBody> {
        if self.media.next_offer() == NextOffer::IceRestart {
            return self.media.restart(offer).await;
        }
        // The slots follow what others publish, so members with media are told first.
        self.bulletins = self.room.front();
        let answer = self.media.open(offer, lines, client, self.publishing.sources()).await;
        self.publishing.handle_session_end(Clock.now());
        if answer.is_ok() {
            let _logged_and_tried_again = self.settle_publishing().await;
        }
        answer
    }

    /// Answers an ICE restart of the session that there is, connected or not yet.
    pub async fn restart(&mut self, offer: String) -> Result<String, ErrorBody> {
        self.media.restart(offer).await
    }

    /// Why nothing can be sent of a source: its line of the offer has no codec that the server takes.
    pub fn refused(&self, source: TrackSource) -> Option<&RefusedLine> {
        self.media.refused(source)
    }

    /// How this member's media fares.
    pub async fn statistics(&self) -> Result<Statistics, ErrorBody> {
        self.media.statistics().await
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

    /// Resolves when the members are told of the room, when the SFU tells of this member's session, and when the SFU or the bus is to
    /// be asked again. Cancel-safe.
    pub async fn changed(&mut self) {
        let settle_at = self.settle_at();
        tokio::select! {
            told = self.bulletins.changed() => if told.is_err() {
                std::future::pending::<()>().await;
            },
            () = self.media.changed() => {}
            () = Clock.until(settle_at) => {}
            Ok(()) = self.own.changed() => self.seats_lost = self.publishing.has_seats(),
        }
    }

    /// Takes in what the members are told, brings the SFU's slots up to it and answers what to tell the client.
    pub async fn follow(&mut self) -> Vec<Message> {
        if std::mem::take(&mut self.seats_lost) {
            self.take_seats_again().await;
        }
        let bulletin = self.bulletins.borrow_and_update().clone();
        let mut messages: Vec<Message> = self.rights.poll_event().map(Message::Own).into_iter().collect();
        if bulletin.after.number > self.told.number {
            if Arc::ptr_eq(&bulletin.before, &self.told) {
                let shared = bulletin.for_member(&self.member.user, self.media.hears());
                messages.extend(shared.map(Message::Shared));
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
        let mut messages: Vec<Message> = self.rights.poll_event().map(Message::Own).into_iter().collect();
        if latest.number > self.told.number {
            messages.extend(self.news_since(&self.told, &latest));
            self.told = latest;
        }
        self.follow_media(&mut messages).await;
        messages
    }

    /// Everything again, for a client that has come back.
    pub fn retell(&self) -> Vec<Message> {
        let room = self.view(&self.key().room);
        let speakers = self.told.speakers.to_vec();
        let known = [Event::Room { room }, Event::Speakers { speakers }, self.rights.event()];
        known.into_iter().chain(self.media.retell()).map(Message::Own).collect()
    }

    /// To everybody else in the room: those who have a data channel, and those who have not.
    pub async fn send_custom_message(&mut self, command: u8, data: &str) -> Result<(), ErrorBody> {
        let admitted = self
            .message_limiter
            .admit(Clock.now(), &self.member.user, command, data);
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

    pub async fn leave(mut self, leaving: Leaving) {
        self.media.close().await;
        let seats = match leaving {
            _ if !self.publishing.has_seats() => SeatsLeft::None,
            Leaving::ForGood => SeatsLeft::Released,
            Leaving::CutOff { may_return_within } => SeatsLeft::CellsKept {
                until_unix_ms: (Clock.unix() + may_return_within).as_millis() as u64,
            },
        };
        self.tell(What::Left {
            user: self.member.user.clone(),
            membership: self.member.holder.membership,
            role: self.rights.role(),
            reason: match leaving {
                Leaving::ForGood => LeftBecause::Asked,
                Leaving::CutOff { .. } => LeftBecause::CutOff,
            },
            stayed_ms: Clock.now().saturating_duration_since(self.entered_at).as_millis() as u64,
        });
        let room = &self.room;
        room.leave(self.member, seats).await;
        info!(room = %room.documents.room, "left");
        gauge!("rotunda_signaling_members").decrement(1.0);
    }

    fn news_since(&self, before: &RoomState, after: &RoomState) -> Vec<Message> {
        let news = diff(before, after).into_iter();
        let hears = self.media.hears();
        news.filter(|news| news.is_for(&self.member.user, hears))
            .map(|news| Message::Own(news.event))
            .collect()
    }

    async fn follow_media(&mut self, messages: &mut Vec<Message>) {
        self.wishes.drop_ended(&self.told.seats);
        let had_session = self.media.has_session();
        messages.extend(self.media.poll_events().into_iter().map(Message::Own));
        if had_session && !self.media.has_session() {
            self.publishing.handle_session_end(Clock.now());
        }
        if self.settle_at().is_some_and(|at| at <= Clock.now()) {
            let _logged_and_tried_again = self.settle_publishing().await;
        }
        let voices_changed = self.media.poll_voices();
        let slots_changed = match self.wanted_slots() {
            Some(slots) => self.media.show(slots).await,
            None => false,
        };
        if slots_changed || voices_changed {
            messages.push(Message::Own(self.media.slots_event()));
        }
    }

    /// What is wanted, published and permitted now; None: there is no session.
    fn wanted_slots(&self) -> Option<SlotMap> {
        let before = self.media.slots()?;
        let slots = match &self.only {
            Some(want) => show_only(&self.told.seats, want),
            None => {
                let microphones = self.room.documents.microphones;
                let (seats, me) = (&self.told.seats, &self.member.user);
                assign(microphones, before, seats, &self.wishes, me)
            }
        };
        Some(permit(slots, self.rights.to_receive()))
    }
}
