//! A room on this node. One task counts its members in and out ([`presence`]), follows its documents ([`feed`]) and notifies the
//! members of changes ([`notification_groups`]).

mod bulletin;
mod feed;
mod gate;
mod kept_cells;
mod local_members;
mod notification_groups;
mod pace;
mod presence;
mod task;
mod waiters;
mod waiting;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rotunda_proto::ids::{MembershipId, RoomKey, SessionId, UserId};
use rotunda_proto::location::Location;
use rotunda_proto::room::RosterMember;
use rotunda_proto::signaling::{ErrorCode, MediaState, Role};
use rotunda_proto::waiting_room::WaitingRoom;
use tokio::sync::{mpsc, oneshot, watch};

pub use bulletin::Bulletin;
pub use gate::{Demand, Passes, Way};
pub use waiting::{Knocked, Knocking, Wait};

use crate::media_nodes::{Refusals, Reservations};
use crate::room_documents::{Refused, RoomDocuments};
use crate::session_events::SessionEvents;
use crate::shared::Parts;
use crate::view::RoomState;

/// Members on their way in and out; more wait at the sender.
const QUEUE: usize = 4096;
/// A room may end at the moment at which a member enters. The member then tries again, at most so often.
const TRIES: usize = 3;

/// The rooms that have members on this node.
#[derive(Clone)]
pub struct Rooms {
    /// Of SFU nodes, for the rooms that begin here.
    reservations: Reservations,
    inboxes: Arc<Mutex<HashMap<RoomKey, mpsc::Sender<ToRoom>>>>,
    /// Members on this node, of all rooms together.
    members: Arc<AtomicU64>,
}

/// A message to a room's task.
pub enum ToRoom {
    Enter(Box<Entering>),
    Leave {
        member: RosterMember,
        seats: SeatsLeft,
        left: oneshot::Sender<()>,
    },
    Knock(Box<Knocking>),
    StopWaiting {
        id: MembershipId,
        stopped: oneshot::Sender<()>,
    },
}

/// The handling of a leaving member's seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatsLeft {
    /// The member has none.
    None,
    Released,
    /// They are released, and mixes keep the member's cells until a time.
    CellsKept {
        until_unix_ms: u64,
    },
}

/// A member who wants to enter.
pub struct Entering {
    pub user: UserId,
    pub role: Role,
    pub way: Way,
    pub entered: oneshot::Sender<Result<Entered, Refused>>,
}

/// The newest state of a media session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionMedia {
    pub state: MediaState,
    /// The number of the newest custom message in the room when the state came.
    pub messages: u64,
}

/// The room as a member sees it.
pub struct Entered {
    pub room: Arc<Room>,
    /// Under this entry it [leaves](Room::leave).
    pub member: RosterMember,
    /// A state that contains the member.
    pub state: Arc<RoomState>,
    pub bulletins: watch::Receiver<Arc<Bulletin>>,
    /// Released when the member leaves.
    pub capacity: Option<Capacity>,
}

/// The share of a node's capacity that one member takes; released when dropped.
#[derive(Debug)]
pub struct Capacity(Arc<AtomicU64>);

/// The part of a room that its members share.
pub struct Room {
    pub documents: RoomDocuments,
    inbox: mpsc::Sender<ToRoom>,
    latest: watch::Sender<Arc<RoomState>>,
    front: watch::Sender<Arc<Bulletin>>,
    /// For moderators.
    waiting_room: watch::Sender<Arc<WaitingRoom>>,
    sessions: Mutex<HashMap<SessionId, watch::Sender<Option<SessionMedia>>>>,
    /// Changes when events of the SFU were lost, the end of a session perhaps among them.
    losses: watch::Sender<()>,
    pub session_events: Arc<SessionEvents>,
}

impl Capacity {
    fn take(members: Arc<AtomicU64>, most: u64) -> Result<Self, Refused> {
        let one_more = |members: u64| (members < most).then_some(members + 1);
        match members.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Self(members)),
            Err(_) => Err(Refused::Code(ErrorCode::NodeFull)),
        }
    }
}

impl Drop for Capacity {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Rooms {
    /// `location`: of this process.
    pub fn new(location: Location) -> Self {
        Self {
            reservations: Reservations::new(location),
            inboxes: Arc::default(),
            members: Arc::default(),
        }
    }

    /// Enters a room. Returns when the documents show it.
    pub async fn enter(
        &self,
        shared: &Parts,
        key: &RoomKey,
        user: &UserId,
        role: Role,
        way: Way,
    ) -> Result<Entered, Refused> {
        let capacity = Capacity::take(self.members.clone(), shared.config.max_members)?;
        let enter = |entered| {
            ToRoom::Enter(Box::new(Entering {
                user: user.clone(),
                role,
                way,
                entered,
            }))
        };
        let entered = self.ask(shared, key, enter).await??;
        Ok(Entered {
            capacity: Some(capacity),
            ..entered
        })
    }

    /// Asks to be admitted to a room. Returns when moderators see the user.
    pub async fn knock(&self, shared: &Parts, key: &RoomKey, user: &UserId, way: Way) -> Result<Knocked, Refused> {
        let capacity = Capacity::take(self.members.clone(), shared.config.max_members)?;
        let knock = |knocked| {
            ToRoom::Knock(Box::new(Knocking {
                user: user.clone(),
                way,
                knocked,
            }))
        };
        let mut knocked = self.ask(shared, key, knock).await??;
        if let Knocked::Waits(wait) = &mut knocked {
            wait.capacity = Some(capacity);
        }
        Ok(knocked)
    }

    /// Asks the room's task, which may just end.
    async fn ask<T>(
        &self,
        shared: &Parts,
        key: &RoomKey,
        message: impl Fn(oneshot::Sender<T>) -> ToRoom,
    ) -> Result<T, Refused> {
        for _ in 0..TRIES {
            let inbox = self.inbox(shared, key);
            let (asked, answer) = oneshot::channel();
            if inbox.send(message(asked)).await.is_err() {
                continue;
            }
            if let Ok(answer) = answer.await {
                return Ok(answer);
            }
        }
        Err(Refused::Code(ErrorCode::Internal))
    }

    /// The inbox of the room's task, which is started if there is none.
    fn inbox(&self, shared: &Parts, key: &RoomKey) -> mpsc::Sender<ToRoom> {
        let mut rooms = self.rooms();
        if let Some(inbox) = rooms.get(key).filter(|inbox| !inbox.is_closed()) {
            return inbox.clone();
        }
        let (inbox, queue) = mpsc::channel(QUEUE);
        rooms.insert(key.clone(), inbox.clone());
        let documents = RoomDocuments {
            bus: shared.bus.clone(),
            cluster: shared.cluster.clone(),
            room: key.clone(),
            limits: shared.applications().publish_limits(key.app),
            facts: shared.facts.clone(),
            reservations: self.reservations.clone(),
            refusals: Refusals::default(),
        };
        let session_events = shared.session_events.clone();
        let (rooms, key, way) = (self.clone(), key.clone(), inbox.clone());
        tokio::spawn(async move {
            task::run(documents, session_events, way, queue).await;
            rooms.forget(&key);
        });
        inbox
    }

    /// Unless the room has begun again.
    fn forget(&self, key: &RoomKey) {
        let mut rooms = self.rooms();
        if rooms.get(key).is_some_and(mpsc::Sender::is_closed) {
            rooms.remove(key);
        }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomKey, mpsc::Sender<ToRoom>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// The newest state of the room. Members are [notified](Bulletin) of it group by group.
    pub fn latest(&self) -> Arc<RoomState> {
        self.latest.borrow().clone()
    }

    /// The bulletins of the group that is notified first, for a member with media.
    pub fn front(&self) -> watch::Receiver<Arc<Bulletin>> {
        self.front.subscribe()
    }

    /// The waiting room, for a moderator.
    pub fn waiting_room(&self) -> watch::Receiver<Arc<WaitingRoom>> {
        self.waiting_room.subscribe()
    }

    /// Returns when the member has left. While the bus is away the documents follow later.
    pub async fn leave(&self, member: RosterMember, seats: SeatsLeft) {
        let (left, done) = oneshot::channel();
        let leave = ToRoom::Leave { member, seats, left };
        if self.inbox.send(leave).await.is_ok() {
            let _done_or_ended = done.await;
        }
    }

    /// Follows the state of a media session. It is a state and not a series of events, so that none is missed.
    pub fn follow_session(&self, session: SessionId) -> watch::Receiver<Option<SessionMedia>> {
        self.sessions()
            .entry(session)
            .or_insert_with(|| watch::Sender::new(None))
            .subscribe()
    }

    pub fn forget_session(&self, session: SessionId) {
        self.sessions().remove(&session);
    }

    /// Sets the state that the SFU has reported. A session that is connected already keeps the number of its first message.
    pub fn set_session(&self, session: SessionId, media: SessionMedia) {
        if let Some(follower) = self.sessions().get(&session) {
            follower.send_if_modified(|known| {
                let is_new = known.is_none_or(|known| known.state != media.state);
                if is_new {
                    *known = Some(media);
                }
                is_new
            });
        }
    }

    /// Changes when events of the SFU were lost.
    pub fn losses(&self) -> watch::Receiver<()> {
        self.losses.subscribe()
    }

    fn lose_events(&self) {
        self.losses.send_replace(());
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, watch::Sender<Option<SessionMedia>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
