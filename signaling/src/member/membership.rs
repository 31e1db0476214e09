//! A member of one room: a hub that routes between rights, published sources, wishes, the media session and the room.

mod entry;
mod following;
mod media;
mod moderation;
mod publishing;
mod pushes;
mod rights;
mod sources;

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
use rotunda_proto::sfu::{self, Client, Command, VideoWant};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Event, KickReason, Lines, Role, RoomView, WaitingRoomView};
use rotunda_proto::statistics::Statistics;
use tokio::sync::watch;
use tracing::{info, warn};

use super::failure;
use crate::refused_lines::RefusedLine;
use crate::restrictions::Left;
use crate::room::{Bulletin, Capacity, Entered, Passes, Room, SeatsLeft};
use crate::room_documents::Refused;
use crate::room_messages::MessageLimiter;
use crate::shared::Shared;
use crate::slots::Wishes;
use crate::view::RoomState;
pub use entry::knock;
pub use media::codec_not_supported;
use media::{Media, NextOffer};
use moderation::Moderation;
use publishing::Publishing;
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

    /// Tells a fact of this member.
    fn tell(&self, what: impl FnOnce(UserId, MembershipId) -> What) {
        let (user, membership) = (self.member.user.clone(), self.member.holder.membership);
        let documents = &self.room.documents;
        documents.facts.tell(&documents.room, what(user, membership));
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
}
