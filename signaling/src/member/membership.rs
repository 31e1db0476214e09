//! A member of one room: a hub that routes between rights, published sources, wishes, the media session and the room.

mod entry;
mod media;
mod moderation;
mod publishing;
mod pushes;
mod rights;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use metrics::gauge;
use rotunda_bus::BusExt;
use rotunda_bus::lease::Own;
use rotunda_events::{LeftBecause, What};
use rotunda_proto::clock::Clock;
use rotunda_proto::custom_message;
use rotunda_proto::ids::{MembershipId, RoomId, RoomKey, TrackSource, UserId};
use rotunda_proto::room::{OwnNames, RosterMember};
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::{self, Client, Command, SlotMap, VideoWant};
use rotunda_proto::signaling::{
    ErrorBody, ErrorCode, Event, KickReason, Lines, Role, RoomView, TrackState, WaitingRoomView,
};
use rotunda_proto::statistics::Statistics;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{explain, failure};
use crate::refused_lines::RefusedLine;
use crate::restrictions::Left;
use crate::room::{Bulletin, Capacity, Entered, Passes, Room, SeatsLeft};
use crate::room_documents::Refused;
use crate::room_messages::MessageLimiter;
use crate::shared::Shared;
use crate::slots::{Wishes, assign, permit, show_only};
use crate::view::{RoomState, diff};
pub use entry::knock;
pub use media::codec_not_supported;
use media::{Media, NextOffer};
use moderation::Moderation;
use publishing::{Before, Publishing};
use pushes::Pushes;
use rights::MemberRights;

/// Made by [`enter`](Self::enter), ended by [`leave`](Self::leave).
///
/// Its task calls [`follow`](Self::follow) whenever [`changed`](Self::changed) resolves, and [`catch_up`](Self::catch_up) after
/// each request. Both answer messages for the client, and update the SFU to the present room and the member's wishes. Each of the
/// other methods serves one request.
pub struct Membership {
    room: Arc<Room>,
    member: RosterMember,
    rights: MemberRights,
    names: OwnNames,
    publishing: Publishing,
    pushes: Pushes,
    media: Media,
    wishes: Wishes,
    /// If set, the slots show only this, whatever the wishes are.
    only: Option<VideoWant>,
    message_limiter: MessageLimiter,
    bulletins: watch::Receiver<Arc<Bulletin>>,
    /// The state of the room that the client knows.
    known: Arc<RoomState>,
    moderation: Moderation,
    _capacity: Option<Capacity>,
    /// The incarnation under which this node is known.
    own: watch::Receiver<Own>,
    /// This node was declared dead, and the seats of its members were freed.
    seats_lost: bool,
    entered_at: Instant,
}

/// How a member leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    ForGood,
    /// The server API has removed the member.
    Removed,
    /// The connection or the media was lost, or a newer login takes over. Mixes keep the member's cells for this time.
    CutOff {
        may_return_within: Duration,
    },
}

impl Leaving {
    /// A newer login of the same user takes over, or their node ends: they come back at once.
    pub fn when_kicked(reason: KickReason, may_return_within: Duration) -> Self {
        match reason {
            KickReason::Kick | KickReason::Shutdown => Self::CutOff { may_return_within },
            KickReason::Banned | KickReason::RoomDisband => Self::ForGood,
        }
    }
}

/// A message for the client.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A message for many members, already as JSON.
    Shared(Utf8Bytes),
    Own(Event),
}

impl Membership {
    pub fn is_publishing(&self) -> bool {
        !self.publishing.sources().is_empty()
    }

    pub async fn enter(
        shared: &Shared,
        room: RoomKey,
        user: UserId,
        role: Role,
        rights: Rights,
        passes: Passes,
    ) -> Result<Self, Refused> {
        let left = entry::may_come(shared, &room, &user, rights).await?;
        let way = entry::way(shared, &room, &user, rights, passes);
        let Entered {
            room,
            member,
            state,
            bulletins,
            capacity,
        } = shared.rooms.enter(shared, &room, &user, role, way).await?;
        info!(room = %room.documents.room, "entered");
        gauge!("rotunda_signaling_members").increment(1.0);
        let mut own = room.documents.cluster.own();
        own.mark_unchanged();
        let facts = &room.documents.facts;
        facts.count_in(&room.documents.room, role);
        let entered = What::Entered {
            user: user.clone(),
            membership: member.holder.membership,
            role,
        };
        facts.tell(&room.documents.room, entered);
        let moderators = entry::moderators(shared, &room.documents.room);
        let mut rights = MemberRights::new(role, rights, moderators);
        if let Left::Rights(limited) = left {
            rights.permit(Some(limited));
        }
        Ok(Self {
            entered_at: Clock.now(),
            media: Media::new(room.clone(), user),
            moderation: Moderation::new(room.waiting_room()),
            own,
            seats_lost: false,
            room,
            member,
            rights,
            names: OwnNames::default(),
            publishing: Publishing::default(),
            pushes: Pushes::default(),
            wishes: Wishes::default(),
            only: None,
            message_limiter: MessageLimiter::new(Clock.now()),
            bulletins,
            known: state,
            _capacity: capacity,
        })
    }

    /// When the room was made.
    pub fn created_unix_ms(&self) -> Option<u64> {
        self.known.info.as_ref().map(|info| info.created_unix_ms)
    }

    pub fn may_moderate(&self) -> bool {
        self.rights.may_moderate()
    }

    /// The waiting room, for a client that is told now. None: they do not moderate.
    pub fn waiting_room(&mut self) -> Option<WaitingRoomView> {
        self.may_moderate().then(|| self.moderation.view())
    }

    fn poll_waiting_room(&mut self) -> Option<Event> {
        match self.may_moderate() {
            true => self.moderation.poll_event(),
            false => {
                self.moderation.end();
                None
            }
        }
    }

    /// The names for the member's own recording and stream, from the next publish on.
    pub fn set_names(&mut self, names: OwnNames) {
        self.names = names;
    }

    pub fn view(&self, room_id: &RoomId) -> RoomView {
        self.known.view(room_id)
    }

    pub fn key(&self) -> &RoomKey {
        &self.room.documents.room
    }

    /// `rights`: of another ticket.
    pub async fn switch_role(&mut self, role: Role, rights: Option<Rights>) -> Result<(), ErrorBody> {
        let facts = &self.room.documents.facts;
        let before = self.rights.role();
        facts.count_out(self.key(), before);
        self.rights.switch_role(role, rights);
        facts.count_in(self.key(), role);
        if role != before {
            self.tell(|user, membership| What::RoleChanged { user, membership, role });
        }
        self.end_what_is_not_permitted().await
    }

    /// Sets the rights of the server API, which last until the member leaves the room. None: those of the room ticket again.
    pub async fn permit(&mut self, rights: Option<Rights>) -> Result<(), ErrorBody> {
        self.rights.permit(rights);
        self.media.hurry();
        self.end_what_is_not_permitted().await
    }

    /// Whether the SFU has confirmed the slots.
    pub fn are_slots_confirmed(&self) -> bool {
        self.media.are_slots_confirmed()
    }

    /// Errors: the SFU or the bus has not confirmed it. It is repeated until both do.
    async fn end_what_is_not_permitted(&mut self) -> Result<(), ErrorBody> {
        self.publishing.retain(|source| self.rights.may_send(source));
        self.end_pushes_not_permitted().await;
        self.settle_publishing().await
    }

    /// Updates the SFU's ingress to the published sources, and then releases the seats of the others. In this order no member is
    /// notified of the end of a source that the SFU may still forward.
    ///
    /// Errors: one of both is not confirmed. It is tried again at [`settle_at`](Self::settle_at).
    async fn settle_publishing(&mut self) -> Result<(), ErrorBody> {
        self.media.set_ingress(self.publishing.sources()).await?;
        for source in self.publishing.seats_to_release() {
            match self.room.documents.release_seat(&self.member, source).await {
                Ok(()) => {
                    self.publishing.handle_released(source);
                    self.tell(|user, membership| What::Unpublished {
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

    /// When an unconfirmed change is tried again; None: everything is confirmed.
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
        let taken = self
            .room
            .documents
            .take_seat(&self.member, &self.names, source, state)
            .await;
        if let Err(refused) = taken {
            match refused {
                Refused::Code(_) => self.publishing.handle_seat_refused(source, seat),
                Refused::Bus(_) => self.publishing.handle_seat_unanswered(Clock.now()),
            }
            return Err(explain(refused));
        }
        let before = self.publishing.begin(source);
        let settled = self.settle_publishing().await;
        if settled.is_err() && before == Before::New {
            // The SFU may forward it or not: the next command ends it, and then the seat is released.
            self.publishing.end(source);
        }
        if settled.is_ok() && before == Before::New {
            self.tell(|user, membership| What::Published {
                user,
                membership,
                source,
            });
        }
        settled
    }

    /// Tells a fact of this member.
    fn tell(&self, what: impl FnOnce(UserId, MembershipId) -> What) {
        let (user, membership) = (self.member.user.clone(), self.member.holder.membership);
        let documents = &self.room.documents;
        documents.facts.tell(&documents.room, what(user, membership));
    }

    /// Call after this node was declared dead and has a new incarnation. The SFU stops forwarding sources without a seat.
    async fn take_seats_again(&mut self) {
        for source in self.publishing.sources().clone() {
            let mut publishers = self.known.seats.publishers.iter();
            let known = publishers.find(|publisher| publisher.user == self.member.user);
            let state = known
                .and_then(|publisher| publisher.track(source))
                .unwrap_or(TrackState::On);
            if let Err(error) = self
                .room
                .documents
                .take_seat(&self.member, &self.names, source, state)
                .await
            {
                warn!(error = &error as &dyn std::error::Error, %source, "a seat was lost while this node had no bus");
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

    /// Answers an offer: a new session, or an ICE restart of the connected one. `client`: the kind of client.
    pub async fn connect(&mut self, offer: String, lines: Lines, client: Client) -> Result<String, ErrorBody> {
        if self.media.next_offer() == NextOffer::IceRestart {
            return self.media.restart(offer).await;
        }
        // The slots follow the published sources, so members with media are notified first.
        self.bulletins = self.room.front();
        let answer = self.media.open(offer, lines, client, self.publishing.sources()).await;
        self.publishing.handle_session_end(Clock.now());
        if answer.is_ok() {
            let _logged_and_tried_again = self.settle_publishing().await;
        }
        answer
    }

    /// Answers an ICE restart of the session, connected or not.
    pub async fn restart(&mut self, offer: String) -> Result<String, ErrorBody> {
        self.media.restart(offer).await
    }

    /// Why a source cannot be sent: its m-line of the offer has no codec that the server accepts.
    pub fn refused(&self, source: TrackSource) -> Option<&RefusedLine> {
        self.media.refused(source)
    }

    /// Statistics of this member's media.
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

    /// From now on the first slot of each kind carries this publisher, and the other slots stay empty.
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

    /// Resolves on a bulletin of the room, on an event of this member's session, and when an unconfirmed change is tried again.
    /// Cancel-safe.
    pub async fn changed(&mut self) {
        let settle_at = self.settle_at();
        tokio::select! {
            changed = self.bulletins.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            () = self.media.changed() => {}
            () = self.pushes.changed() => {}
            () = Clock.until(settle_at) => {}
            // Members who do not moderate are not woken.
            () = self.moderation.changed(), if self.rights.may_moderate() => {}
            Ok(()) = self.own.changed() => self.seats_lost = self.publishing.has_seats(),
        }
    }

    /// Applies the newest bulletin, updates the SFU's slots and answers messages for the client.
    pub async fn follow(&mut self) -> Vec<Message> {
        if std::mem::take(&mut self.seats_lost) {
            self.take_seats_again().await;
        }
        let bulletin = self.bulletins.borrow_and_update().clone();
        let mut messages: Vec<Message> = self.rights.poll_event().map(Message::Own).into_iter().collect();
        if bulletin.after.number > self.known.number {
            if Arc::ptr_eq(&bulletin.before, &self.known) {
                let shared = bulletin.for_member(&self.member.user, self.media.message_path());
                messages.extend(shared.map(Message::Shared));
            } else {
                messages.extend(self.events_since(&self.known, &bulletin.after));
            }
            self.known = bulletin.after.clone();
        }
        messages.extend(self.poll_waiting_room().map(Message::Own));
        messages.extend(self.pushes.poll_events().into_iter().map(Message::Own));
        self.follow_media(&mut messages).await;
        messages
    }

    /// As [`follow`](Self::follow), but with the newest state of the room: for a member who has just changed something.
    pub async fn catch_up(&mut self) -> Vec<Message> {
        let latest = self.room.latest();
        let mut messages: Vec<Message> = self.rights.poll_event().map(Message::Own).into_iter().collect();
        if latest.number > self.known.number {
            messages.extend(self.events_since(&self.known, &latest));
            self.known = latest;
        }
        messages.extend(self.poll_waiting_room().map(Message::Own));
        messages.extend(self.pushes.poll_events().into_iter().map(Message::Own));
        self.follow_media(&mut messages).await;
        messages
    }

    /// The whole state, for a client that has come back.
    pub fn current_state(&self) -> Vec<Message> {
        let room = self.view(&self.key().room);
        let speakers = self.known.speakers.to_vec();
        let known = [Event::Room { room }, Event::Speakers { speakers }, self.rights.event()];
        let waiting_room = self.may_moderate().then(|| self.moderation.event());
        known
            .into_iter()
            .chain(waiting_room)
            .chain(self.media.current_events())
            .chain(self.pushes.current_events())
            .map(Message::Own)
            .collect()
    }

    /// Sends a message to all other members, with and without a data channel.
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
        // First, so that a session that is connected meanwhile has the message: it counts as one from before.
        let event = sfu::Event::CustomMessage {
            message: message.clone(),
        };
        let published = bus.tell(&sfu::events_subject(&room), &event).await;
        published.map_err(|error| {
            warn!(error = &error as &dyn std::error::Error, "publish a custom message");
            failure(ErrorCode::Internal)
        })?;
        let Some(info) = self.room.latest().info.clone() else {
            return Ok(());
        };
        let command = Command::CustomMessage { room, message };
        let mut is_sent = false;
        for node in info.sfu_nodes() {
            match bus.call::<_, sfu::Reply>(&sfu::control_subject(node), &command).await {
                Ok(_) => is_sent = true,
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    %node,
                    "send a custom message to the SFU"
                ),
            }
        }
        // A node that does not answer may be dead, and its members come back to another one.
        is_sent.then_some(()).ok_or_else(|| failure(ErrorCode::NoMediaNode))
    }

    pub async fn leave(mut self, leaving: Leaving) {
        self.media.close().await;
        // Those who may return ask for their pushes again, which then go on.
        if matches!(leaving, Leaving::ForGood | Leaving::Removed) {
            let documents = &self.room.documents;
            self.pushes.end(&documents.bus, &documents.room).await;
        }
        let seats = match leaving {
            _ if !self.publishing.has_seats() => SeatsLeft::None,
            Leaving::ForGood | Leaving::Removed => SeatsLeft::Released,
            Leaving::CutOff { may_return_within } => SeatsLeft::CellsKept {
                until_unix_ms: (Clock.unix() + may_return_within).as_millis() as u64,
            },
        };
        self.room.documents.facts.count_out(self.key(), self.rights.role());
        let stayed = Clock.now().saturating_duration_since(self.entered_at);
        self.tell(|user, membership| What::Left {
            user,
            membership,
            reason: match leaving {
                Leaving::ForGood => LeftBecause::Asked,
                Leaving::Removed => LeftBecause::Removed,
                Leaving::CutOff { .. } => LeftBecause::CutOff,
            },
            stayed_ms: stayed.as_millis() as u64,
        });
        let room = &self.room;
        room.leave(self.member, seats).await;
        info!(room = %room.documents.room, "left");
        gauge!("rotunda_signaling_members").decrement(1.0);
    }

    fn events_since(&self, before: &RoomState, after: &RoomState) -> Vec<Message> {
        let events = diff(before, after).into_iter();
        let path = self.media.message_path();
        events
            .filter(|event| event.is_for(&self.member.user, path))
            .map(|event| Message::Own(event.event))
            .collect()
    }

    async fn follow_media(&mut self, messages: &mut Vec<Message>) {
        self.wishes.drop_ended(&self.known.seats);
        let had_session = self.media.has_session();
        messages.extend(self.media.poll_events().into_iter().map(Message::Own));
        if had_session && !self.media.has_session() {
            self.publishing.handle_session_end(Clock.now());
        }
        if self.settle_at().is_some_and(|at| at <= Clock.now()) {
            let _logged_and_tried_again = self.settle_publishing().await;
        }
        self.media.follow_move().await;
        let voices_changed = self.media.poll_voices();
        let slots_changed = match self.wanted_slots() {
            Some(slots) => self.media.show(slots).await,
            None => false,
        };
        if slots_changed || voices_changed {
            messages.push(Message::Own(self.media.slots_event()));
        }
    }

    /// The slots by the present wishes, sources and rights; None: there is no session.
    fn wanted_slots(&self) -> Option<SlotMap> {
        let before = self.media.slots()?;
        let slots = match &self.only {
            Some(want) => show_only(&self.known.seats, want),
            None => {
                let microphones = self.room.documents.limits.microphones;
                let (seats, me) = (&self.known.seats, &self.member.user);
                assign(microphones, before, seats, &self.wishes, me)
            }
        };
        Some(permit(slots, self.rights.to_receive()))
    }
}
