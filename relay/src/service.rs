//! The shell: follows the rooms' publishers and keeps a task for each wanted stream.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{BusError, Change, ClusterNode, Watch, WatchEvent};
use rotunda_media::program::ProgramHub;
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::RoomKey;
use rotunda_proto::media_task::{MEDIA_TASKS_PREFIX, MediaTask, Work};
use rotunda_proto::room::{ROOMS_PREFIX, Seats, room_of_seats_key};
use rotunda_proto::ticket::ClusterSecret;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use crate::plan::{Key, Rules, Wanted, may_want, plan};
use crate::publisher::{Publisher, Surroundings, Told};

/// A running relay.
pub struct Service {
    task: JoinHandle<()>,
}

/// Why the relay did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("follow the rooms")]
    Bus(#[from] BusError),
}

/// Changed applications are looked for at this interval.
const LOOK_EVERY: Duration = Duration::from_millis(500);

struct Relay {
    surroundings: Surroundings,
    applications: ApplicationList,
    /// The publishers of each room that has some.
    seats: HashMap<RoomKey, Seats>,
    /// The last word to each running task.
    streams: HashMap<RoomKey, BTreeMap<Key, watch::Sender<Told>>>,
    /// The running tasks of the server API that want single streams, by their keys.
    media_tasks: BTreeMap<String, MediaTask>,
    tasks: JoinSet<(RoomKey, Key)>,
    shutdown: CancellationToken,
}

impl Service {
    /// Relays the publishers of all rooms until `shutdown`, as the rules of their applications say.
    ///
    /// Errors: [`StartError`].
    pub async fn start(
        node: ClusterNode,
        secret: ClusterSecret,
        applications: ApplicationList,
        hub: ProgramHub,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let rooms = node.bus().watch(ROOMS_PREFIX).await?;
        let media_tasks = node.bus().watch(MEDIA_TASKS_PREFIX).await?;
        let relay = Relay {
            surroundings: Surroundings { node, secret, hub },
            applications,
            seats: HashMap::new(),
            streams: HashMap::new(),
            media_tasks: BTreeMap::new(),
            tasks: JoinSet::new(),
            shutdown,
        };
        Ok(Self {
            task: tokio::spawn(relay.run(rooms, media_tasks)),
        })
    }

    /// Completes when the relay is shut down and every program has ended.
    pub async fn finish(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the relay failed");
        }
    }
}

impl Relay {
    async fn run(mut self, mut changes: Watch, mut media_tasks: Watch) {
        let mut known = self.applications.now();
        let mut look_at = Clock.now() + LOOK_EVERY;
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                () = Clock.sleep_until(look_at) => {
                    look_at = Clock.now() + LOOK_EVERY;
                    let now = self.applications.now();
                    if !Arc::ptr_eq(&known, &now) {
                        known = now;
                        self.handle_rules();
                    }
                }
                Some(ended) = self.tasks.join_next() => self.handle_ended(ended),
                event = changes.next() => if let WatchEvent::Change(change) = event {
                    self.handle_change(&change);
                },
                event = media_tasks.next() => if let WatchEvent::Change(change) = event {
                    self.handle_media_task(&change);
                }
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a single stream failed");
            }
        }
    }

    fn handle_change(&mut self, change: &Change) {
        let Some(room) = room_of_seats_key(&change.key) else {
            return;
        };
        match change.parse::<Seats>().filter(|seats| !seats.publishers.is_empty()) {
            Some(seats) => self.seats.insert(room.clone(), seats),
            None => self.seats.remove(&room),
        };
        self.plan(&room);
    }

    fn handle_media_task(&mut self, change: &Change) {
        let is_single = |task: &MediaTask| task.is_running() && matches!(task.work, Work::Singles(_));
        let before = match change.parse::<MediaTask>().filter(is_single) {
            Some(task) => {
                let room = task.room.clone();
                self.media_tasks.insert(change.key.clone(), task);
                Some(room)
            }
            None => self.media_tasks.remove(&change.key).map(|task| task.room),
        };
        if let Some(room) = before {
            self.plan(&room);
        }
    }

    /// The rules of applications may have changed.
    fn handle_rules(&mut self) {
        let rooms: Vec<RoomKey> = self.seats.keys().cloned().collect();
        for room in rooms {
            self.plan(&room);
        }
    }

    fn plan(&mut self, room: &RoomKey) {
        // The members of an application that is deleted stay until they leave, and so do their streams.
        let Some(rules) = self.applications.now().by_id(room.app).map(Rules::of) else {
            return;
        };
        let nobody = Seats::default();
        let tasks = self.media_tasks.values().filter(|task| task.room == *room);
        let mut wanted = plan(room, self.seats.get(room).unwrap_or(&nobody), rules, tasks.clone());
        for (key, running) in self.streams.get(room).into_iter().flatten() {
            let now = match wanted.remove(key) {
                Some(wanted) => Told::Run(Box::new(wanted)),
                None if key.task.is_none() || tasks.clone().any(|task| may_want(task, key)) => Told::Away,
                None => Told::Over,
            };
            running.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
        for (key, wanted) in wanted {
            self.spawn(room.clone(), key, wanted);
        }
    }

    /// A publisher may have come back while the task was ending.
    fn handle_ended(&mut self, ended: Result<(RoomKey, Key), JoinError>) {
        let (room, key) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a single stream failed");
                return;
            }
        };
        let Some(streams) = self.streams.get_mut(&room) else {
            return;
        };
        let told = streams.remove(&key).map(|told| told.borrow().clone());
        if streams.is_empty() {
            self.streams.remove(&room);
        }
        if let Some(Told::Run(wanted)) = told {
            self.spawn(room, key, *wanted);
        }
    }

    fn spawn(&mut self, room: RoomKey, key: Key, wanted: Wanted) {
        let span = info_span!("single stream", %room, user = %key.user, kind = key.kind.as_str());
        let (told, receiver) = watch::channel(Told::Run(Box::new(wanted)));
        self.streams.entry(room.clone()).or_default().insert(key.clone(), told);
        let publisher = Publisher {
            surroundings: self.surroundings.clone(),
            room: room.clone(),
            told: receiver,
            shutdown: self.shutdown.clone(),
        };
        let task = async move {
            publisher.run().await;
            (room, key)
        };
        self.tasks.spawn(task.instrument(span));
    }
}

#[cfg(test)]
mod tests;
