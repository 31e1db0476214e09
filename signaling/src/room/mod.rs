//! A room on this node: one task for each that counts its local members in and out, follows its documents and tells the
//! members what changes.

mod bulletin;
mod keeper;
mod lanes;
mod local_members;
mod pace;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rotunda_proto::ids::{RoomKey, SessionId, UserId};
use rotunda_proto::room::RosterMember;
use rotunda_proto::signaling::{ErrorCode, MediaState, Role};
use tokio::sync::{mpsc, oneshot, watch};

pub use bulletin::Bulletin;

use crate::room_documents::{Refused, RoomDocuments};
use crate::service::Parts;
use crate::view::RoomState;
use keeper::Keeper;

/// Members on their way in and out; more wait at the sender.
const QUEUE: usize = 4096;
/// A room can end in the moment in which somebody enters; twice in a row is a mistake of ours.
const TRIES: usize = 3;

/// The rooms that have members on this node.
#[derive(Clone, Default)]
pub struct Rooms {
    inboxes: Arc<Mutex<HashMap<RoomKey, mpsc::Sender<ToRoom>>>>,
    /// Members on this node, of all rooms together.
    members: Arc<AtomicU64>,
}

/// What reaches a room's task.
pub enum ToRoom {
    Enter(Box<Entering>),
    Leave {
        member: RosterMember,
        left: oneshot::Sender<()>,
    },
}

/// Who wants to enter.
pub struct Entering {
    pub user: UserId,
    pub role: Role,
    pub entered: oneshot::Sender<Result<Entered, Refused>>,
}

/// What a member has of its room.
pub struct Entered {
    pub room: Arc<Room>,
    /// Under this entry it [leaves](Room::leave).
    pub member: RosterMember,
    /// The member is in it.
    pub state: Arc<RoomState>,
    pub bulletins: watch::Receiver<Arc<Bulletin>>,
    /// Held while the member is there.
    pub place: Option<Place>,
}

/// One of the places that a node has for members; given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicU64>);

/// The newest state of a media session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionNews {
    pub state: MediaState,
    /// The number of the newest message in the room when the state came.
    pub said: u64,
}

/// What the members of a room share.
pub struct Room {
    pub documents: RoomDocuments,
    inbox: mpsc::Sender<ToRoom>,
    latest: watch::Sender<Arc<RoomState>>,
    front: watch::Sender<Arc<Bulletin>>,
    sessions: Mutex<HashMap<SessionId, watch::Sender<Option<SessionNews>>>>,
}

impl Place {
    fn take(members: Arc<AtomicU64>, most: u64) -> Result<Self, Refused> {
        let one_more = |members: u64| (members < most).then_some(members + 1);
        match members.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Self(members)),
            Err(_) => Err(Refused::Code(ErrorCode::NodeFull)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Rooms {
    /// Enters a room and waits until it is so.
    pub async fn enter(&self, shared: &Parts, key: &RoomKey, user: &UserId, role: Role) -> Result<Entered, Refused> {
        let place = Place::take(self.members.clone(), shared.config.max_members)?;
        for _ in 0..TRIES {
            let inbox = self.inbox(shared, key);
            let (entered, answer) = oneshot::channel();
            let entering = Entering {
                user: user.clone(),
                role,
                entered,
            };
            if inbox.send(ToRoom::Enter(Box::new(entering))).await.is_err() {
                continue;
            }
            if let Ok(answer) = answer.await {
                return answer.map(|entered| Entered {
                    place: Some(place),
                    ..entered
                });
            }
        }
        Err(Refused::Code(ErrorCode::Internal))
    }

    /// Of the room's task, which is started when there is none.
    fn inbox(&self, shared: &Parts, key: &RoomKey) -> mpsc::Sender<ToRoom> {
        let mut rooms = self.rooms();
        if let Some(inbox) = rooms.get(key).filter(|inbox| !inbox.is_closed()) {
            return inbox.clone();
        }
        let (inbox, queue) = mpsc::channel(QUEUE);
        rooms.insert(key.clone(), inbox.clone());
        let documents = RoomDocuments {
            bus: shared.bus.clone(),
            node: shared.node.clone(),
            room: key.clone(),
            microphones: shared.applications.microphones(key.app),
        };
        let keeper = Keeper::new(documents, inbox.clone());
        let (rooms, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            keeper.run(queue).await;
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
    /// The room as it is now; members are [told](Bulletin) of it in their turn.
    pub fn latest(&self) -> Arc<RoomState> {
        self.latest.borrow().clone()
    }

    /// A place among those who are told first, for a member with media.
    pub fn front(&self) -> watch::Receiver<Arc<Bulletin>> {
        self.front.subscribe()
    }

    /// Returns when it is so.
    pub async fn leave(&self, member: RosterMember) {
        let (left, done) = oneshot::channel();
        if self.inbox.send(ToRoom::Leave { member, left }).await.is_ok() {
            let _done_or_ended = done.await;
        }
    }

    /// The state of a media session from now on: a state and not events, so that nothing is missed.
    pub fn follow_session(&self, session: SessionId) -> watch::Receiver<Option<SessionNews>> {
        self.sessions()
            .entry(session)
            .or_insert_with(|| watch::Sender::new(None))
            .subscribe()
    }

    pub fn forget_session(&self, session: SessionId) {
        self.sessions().remove(&session);
    }

    /// Takes the SFU's news of a session.
    pub fn set_session(&self, session: SessionId, news: SessionNews) {
        if let Some(follower) = self.sessions().get(&session) {
            follower.send_replace(Some(news));
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, watch::Sender<Option<SessionNews>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
