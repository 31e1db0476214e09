//! The members of the other rooms that a mix's layout names, by these rooms' documents.

use std::collections::BTreeMap;
use std::time::Duration;

use rotunda_bus::{Change, SharedBus, WatchEvent};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::RoomKey;
use rotunda_proto::room::{key_prefix, roster_key, seats_key};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::layout::Member;
use crate::members::Members;

/// A room that cannot be watched, as the bus is away, is tried again after this time.
const AGAIN: Duration = Duration::from_secs(1);
const QUEUE: usize = 64;

/// See the [module](self).
pub struct OtherRooms {
    bus: SharedBus,
    rooms: BTreeMap<RoomKey, Other>,
    changes: mpsc::Receiver<(RoomKey, Change)>,
    tell: mpsc::Sender<(RoomKey, Change)>,
}

struct Other {
    members: Members,
    follower: AbortHandle,
}

impl OtherRooms {
    pub fn new(bus: SharedBus) -> Self {
        let (tell, changes) = mpsc::channel(QUEUE);
        Self {
            bus,
            rooms: BTreeMap::new(),
            changes,
            tell,
        }
    }

    /// Follows these rooms and no others. Nobody is known in a new one before its documents are.
    pub fn follow(&mut self, wanted: &[RoomKey]) {
        self.rooms.retain(|room, _| wanted.contains(room));
        for room in wanted {
            if !self.rooms.contains_key(room) {
                let following = follow(self.bus.clone(), room.clone(), self.tell.clone());
                let other = Other {
                    members: Members::default(),
                    follower: tokio::spawn(following).abort_handle(),
                };
                self.rooms.insert(room.clone(), other);
            }
        }
    }

    /// Completes when a document of a followed room has changed. Cancel-safe.
    pub async fn changed(&mut self) {
        // A sender is in `self`, so this waits rather than ends.
        while let Some((room, change)) = self.changes.recv().await {
            let Some(other) = self.rooms.get_mut(&room) else {
                continue;
            };
            if change.key == seats_key(&room) {
                other.members.handle_seats(change.parse());
                return;
            }
            if change.key == roster_key(&room) {
                other.members.handle_roster(change.parse());
                return;
            }
        }
    }

    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.rooms.iter().flat_map(|(room, other)| other.members.in_order(room))
    }

    pub fn has(&self, room: &RoomKey) -> bool {
        self.rooms.contains_key(room)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn follow(bus: SharedBus, room: RoomKey, tell: mpsc::Sender<(RoomKey, Change)>) {
    let mut watch = loop {
        match bus.watch(&key_prefix(&room)).await {
            Ok(watch) => break watch,
            Err(error) => {
                tracing::warn!(%room, error = &error as &dyn std::error::Error, "another room of a mix is not watched yet");
                Clock.sleep_until(Clock.now() + AGAIN).await;
            }
        }
    };
    loop {
        if let WatchEvent::Change(change) = watch.next().await
            && tell.send((room.clone(), change)).await.is_err()
        {
            return;
        }
    }
}
