//! One watcher a room and node: follows the room's documents and the SFU's events and hands both to every local member.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rotunda_proto::bus::{BusError, SharedBus};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::sfu::{Event, events_subject};
use rotunda_proto::{mix, room};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::view::RoomState;

/// Events that a member may be behind before it misses some (speakers come again by themselves).
const EVENTS: usize = 256;

/// The feeds of the rooms that have members on this node.
#[derive(Default)]
pub struct Feeds {
    rooms: Mutex<HashMap<RoomKey, Weak<Feed>>>,
}

/// A room's present state and events; ends with its last holder.
pub struct Feed {
    pub state: watch::Receiver<Arc<RoomState>>,
    events: broadcast::Sender<Event>,
    task: JoinHandle<()>,
}

impl Feed {
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feeds {
    /// The feed of a room, its first state included.
    pub async fn of(&self, bus: &SharedBus, key: &RoomKey) -> Result<Arc<Feed>, BusError> {
        if let Some(feed) = self.known(key) {
            return Ok(feed);
        }
        let feed = Arc::new(start(bus, key).await?);
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|_, feed| feed.strong_count() > 0);
        // Another member may have been quicker; one feed is enough.
        if let Some(feed) = rooms.get(key).and_then(Weak::upgrade) {
            return Ok(feed);
        }
        rooms.insert(key.clone(), Arc::downgrade(&feed));
        Ok(feed)
    }

    fn known(&self, key: &RoomKey) -> Option<Arc<Feed>> {
        self.rooms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .and_then(Weak::upgrade)
    }
}

async fn start(bus: &SharedBus, key: &RoomKey) -> Result<Feed, BusError> {
    let mut documents = bus.watch(&room::key_prefix(key)).await?;
    let mix_key = mix::running_key(key);
    let mut mixes = bus.watch(&mix_key).await?;
    let mut sfu = bus.subscribe(&events_subject(key)).await?;
    let mut state = RoomState::default();
    while let Ok(change) = documents.try_recv() {
        state.apply(&change);
    }
    while let Ok(change) = mixes.try_recv() {
        if change.key == mix_key {
            state.apply(&change);
        }
    }
    let (states, receiver) = watch::channel(Arc::new(state.clone()));
    let (events, _) = broadcast::channel(EVENTS);
    let told = events.clone();
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(change) = documents.recv() => state.apply(&change),
                // The prefix of room 10 is one of room 1001 too.
                Some(change) = mixes.recv() => if change.key == mix_key { state.apply(&change) },
                Some(event) = sfu.recv() => {
                    if let Ok(event) = serde_json::from_slice(&event) {
                        let _nobody_listens = told.send(event);
                    }
                    continue;
                }
                else => return,
            }
            let _nobody_watches = states.send(Arc::new(state.clone()));
        }
    });
    Ok(Feed {
        state: receiver,
        events,
        task,
    })
}
