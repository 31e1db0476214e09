//! The way into the stream. Nobody waits for it: a task appends what services tell.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{NodeId, RoomKey};
use rotunda_proto::signaling::Role;
use rotunda_store::NewEvent;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::attendance::Attendance;
use crate::stream::{EventStream, StreamError};
use crate::{Fact, What};

/// Facts that wait to be appended. While the stream is away they wait here; beyond this the newest are dropped and counted.
const QUEUE: usize = 65_536;
/// Facts that are appended at one time.
const BATCH: usize = 512;
/// The least time between two appends: under load, many facts share one.
const GATHER: Duration = Duration::from_millis(20);
/// The time between two attempts to append.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Longer facts are dropped: NATS refuses them, and they would block all others.
const MAX_BYTES: usize = 512 * 1024;

/// Appends the facts of a process about its rooms, mixes, recordings and streams to the stream. Cheap to clone.
#[derive(Clone)]
pub struct Facts(Arc<Inner>);

struct Inner {
    node: NodeId,
    stream: Arc<dyn EventStream>,
    queue: mpsc::Sender<Fact>,
    /// Taken by the task that appends.
    waiting: Mutex<Option<mpsc::Receiver<Fact>>>,
    attendance: Mutex<Attendance>,
    appended: Notify,
}

/// The task that appends.
pub struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Facts {
    pub fn new(node: NodeId, stream: Arc<dyn EventStream>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self(Arc::new(Inner {
            node,
            stream,
            queue,
            waiting: Mutex::new(Some(waiting)),
            attendance: Mutex::default(),
            appended: Notify::new(),
        }))
    }

    /// Tells a fact that this node alone knows, and that is told once.
    pub fn tell(&self, room: &RoomKey, what: What) {
        let now = Clock.unix();
        // No two facts of a node have one kind, room and microsecond: each follows from a message of its own, and the
        // number below makes it certain.
        let id = format!("{}-{}-{}-{:08x}", what.kind(), self.0.node, now.as_micros(), number());
        self.tell_as(id, room, what);
    }

    /// Tells a fact under an id. The same fact of another node, or a repeated one, has the same id.
    pub fn tell_as(&self, id: String, room: &RoomKey, what: What) {
        let fact = self.fact(id, room, what);
        if self.0.queue.try_send(fact).is_err() {
            counter!("rotunda_events_dropped_total").increment(1);
        }
    }

    /// Appends a fact. It is durable when this returns.
    pub async fn append(&self, id: String, room: &RoomKey, what: What) -> Result<(), StreamError> {
        if let Some(event) = written(&self.fact(id, room, what)) {
            self.0.stream.append(&[event]).await?;
        }
        self.0.appended.notify_one();
        Ok(())
    }

    pub fn stream(&self) -> &Arc<dyn EventStream> {
        &self.0.stream
    }

    /// Resolves when this process has appended something since it last resolved.
    pub async fn appended(&self) {
        self.0.appended.notified().await;
    }

    /// Counts a member's time in a room from now on. It is told as [`What::Attendance`], every minute.
    pub fn count_in(&self, room: &RoomKey, role: Role) {
        self.attendance().handle_entered(Clock.now(), room, role);
    }

    pub fn count_out(&self, room: &RoomKey, role: Role) {
        self.attendance().handle_left(Clock.now(), room, role);
    }

    /// Starts to append. Call it once.
    pub fn start(&self) -> Running {
        let stop = CancellationToken::new();
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let appending = append_all(self.clone(), waiting, stop.clone());
        Running {
            task: tokio::spawn(appending),
            stop,
        }
    }

    fn fact(&self, id: String, room: &RoomKey, what: What) -> Fact {
        Fact {
            id,
            room: room.clone(),
            at_unix_ms: Clock.unix().as_millis() as u64,
            what,
        }
    }

    fn attendance(&self) -> MutexGuard<'_, Attendance> {
        self.0.attendance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_attendance(&self) {
        let minutes = self.attendance().drain(Clock.now());
        for (room, minute) in minutes {
            let what = What::Attendance {
                node: self.0.node.clone(),
                anchor_ms: minute.anchor_ms,
                audience_ms: minute.audience_ms,
                peak: minute.peak,
            };
            self.tell(&room, what);
        }
    }
}

impl Running {
    /// Call it when nothing is told any more. Resolves when everything that was told is in the stream.
    pub async fn finish(self) {
        self.stop.cancel();
        let _ended = self.task.await;
    }
}

/// A number that differs from those of other facts of this moment.
fn number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn written(fact: &Fact) -> Option<NewEvent> {
    let body = serde_json::to_string(fact).ok().filter(|body| body.len() <= MAX_BYTES);
    if body.is_none() {
        error!(id = fact.id, "a fact is longer than {MAX_BYTES} bytes and is dropped");
        counter!("rotunda_events_dropped_total").increment(1);
    }
    Some(NewEvent {
        id: fact.id.clone(),
        body: body?,
    })
}

async fn append_all(facts: Facts, waiting: Option<mpsc::Receiver<Fact>>, stop: CancellationToken) {
    let Some(mut waiting) = waiting else { return };
    let mut batch = Vec::with_capacity(BATCH);
    let mut minute_ends = end_of_minute();
    let mut next_at = Clock.now();
    loop {
        tokio::select! {
            () = Clock.sleep_until(next_at) => {}
            () = stop.cancelled() => break,
        }
        tokio::select! {
            biased;
            () = Clock.sleep_until(minute_ends) => {
                facts.tell_attendance();
                minute_ends = end_of_minute();
                continue;
            }
            _ = waiting.recv_many(&mut batch, BATCH) => {}
            () = stop.cancelled() => break,
        }
        next_at = Clock.now() + GATHER;
        append(&facts, &mut batch, waiting.len(), &stop).await;
    }
    facts.tell_attendance();
    waiting.close();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        append(&facts, &mut batch, waiting.len(), &stop).await;
    }
}

/// Tries until it has succeeded, or the process stops.
async fn append(facts: &Facts, batch: &mut Vec<Fact>, waiting: usize, stop: &CancellationToken) {
    let events: Vec<NewEvent> = batch.drain(..).filter_map(|fact| written(&fact)).collect();
    gauge!("rotunda_events_waiting").set((events.len() + waiting) as f64);
    while let Err(error) = facts.0.stream.append(&events).await {
        warn!(
            error = &error as &dyn std::error::Error,
            waiting, "append to the stream of events; it is tried again"
        );
        if stop.is_cancelled() {
            error!(
                lost = events.len(),
                "facts are lost: the stream of events is away at the end"
            );
            counter!("rotunda_events_dropped_total").increment(events.len() as u64);
            break;
        }
        let again_at = Clock.now() + TRY_AGAIN;
        tokio::select! {
            () = Clock.sleep_until(again_at) => {}
            () = stop.cancelled() => {}
        }
    }
    gauge!("rotunda_events_waiting").set(waiting as f64);
    facts.0.appended.notify_one();
}

/// Attendance is told by the minutes of the clock, so that those of several nodes can be added.
fn end_of_minute() -> Instant {
    const MINUTE: u64 = 60_000;
    let into = Clock.unix().as_millis() as u64 % MINUTE;
    Clock.now() + Duration::from_millis(MINUTE - into)
}
