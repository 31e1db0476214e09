//! The stream of events: facts are appended to it, and one consumer makes journal, callbacks and usage of them.
//!
//! Every signaling node runs the consumer. A batch is written in one transaction with the consumer's position, and what is at or
//! before the position is left out; so each fact counts once, whichever nodes run and whenever they are killed.

mod effects;
mod fact;

use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rotunda_proto::clock::Clock;
use rotunda_store::{NewEvent, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::shared::Shared;
use effects::effects;
pub use fact::{Fact, LeftBecause, What};

/// Facts that wait to be appended. While the database is away they wait; beyond this the newest are dropped and counted.
const QUEUE: usize = 65_536;
/// Facts that are appended, or read, with one transaction.
const BATCH: usize = 512;
/// Other nodes append, too.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Facts that have been consumed stay in the stream this long.
const KEEP_CONSUMED: Duration = Duration::from_secs(3600);
const CONSUMER: &str = "signaling";

/// The way into the stream.
pub struct Events {
    queue: mpsc::Sender<Fact>,
    waiting: std::sync::Mutex<Option<mpsc::Receiver<Fact>>>,
    appended: Notify,
}

impl Default for Events {
    fn default() -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self {
            queue,
            waiting: std::sync::Mutex::new(Some(waiting)),
            appended: Notify::new(),
        }
    }
}

impl Events {
    /// Appends a fact soon.
    pub fn tell(&self, fact: Fact) {
        if self.queue.try_send(fact).is_err() {
            counter!("rotunda_events_dropped_total").increment(1);
        }
    }
}

/// Appends a fact; it is in the stream for good when this returns.
pub async fn append(shared: &Shared, fact: &Fact) -> Result<(), StoreError> {
    shared.store.append_events(&[written(fact)], Clock.unix()).await?;
    shared.events.appended.notify_one();
    Ok(())
}

/// The tasks of the stream.
pub struct Running {
    appender: JoinHandle<()>,
    consumer: JoinHandle<()>,
    stop_appending: CancellationToken,
    stop_consuming: CancellationToken,
}

pub fn start(shared: Shared) -> Running {
    let (stop_appending, stop_consuming) = (CancellationToken::new(), CancellationToken::new());
    Running {
        appender: tokio::spawn(append_all(shared.clone(), stop_appending.clone())),
        consumer: tokio::spawn(consume(shared, stop_consuming.clone())),
        stop_appending,
        stop_consuming,
    }
}

impl Running {
    /// Call when nothing is told any more. Resolves when what was told is in the stream.
    pub async fn finish(self) {
        self.stop_appending.cancel();
        let _ended = self.appender.await;
        self.stop_consuming.cancel();
        let _ended = self.consumer.await;
    }
}

fn written(fact: &Fact) -> NewEvent {
    NewEvent {
        id: fact.id.clone(),
        // Nothing in these types can fail to be written.
        body: serde_json::to_string(fact).unwrap_or_default(),
    }
}

async fn append_all(shared: Shared, stop: CancellationToken) {
    let taken = shared.events.waiting.lock().ok().and_then(|mut waiting| waiting.take());
    let Some(mut waiting) = taken else { return };
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            _ = waiting.recv_many(&mut batch, BATCH) => {}
            () = stop.cancelled() => return,
        }
        let events: Vec<_> = batch.drain(..).map(|fact| written(&fact)).collect();
        while let Err(error) = shared.store.append_events(&events, Clock.unix()).await {
            warn!(
                error = &error as &dyn std::error::Error,
                waiting = waiting.len(),
                "append to the stream of events; it is tried again"
            );
            if stop.is_cancelled() {
                counter!("rotunda_events_dropped_total").increment(events.len() as u64);
                return;
            }
            Clock.sleep_until(Clock.now() + TRY_AGAIN).await;
        }
        gauge!("rotunda_events_waiting").set(waiting.len() as f64);
        shared.events.appended.notify_one();
    }
}

async fn consume(shared: Shared, stop: CancellationToken) {
    let mut prune_at = Clock.now();
    loop {
        let more = match consume_batch(&shared).await {
            Ok(read) => read == BATCH,
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "consume the stream of events; it is tried again"
                );
                false
            }
        };
        prune_at = prune(&shared, prune_at).await;
        if more {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = shared.events.appended.notified() => {}
            () = Clock.sleep_until(Clock.now() + LOOK_EVERY) => {}
        }
    }
    // What was appended to the end is consumed by the next node, if it cannot be now.
    if let Err(error) = consume_batch(&shared).await {
        warn!(error = &error as &dyn std::error::Error, "consume the last events");
    }
}

/// Answers how many facts were read.
async fn consume_batch(shared: &Shared) -> Result<usize, StoreError> {
    let store = &shared.store;
    let position = store.position(CONSUMER).await?;
    let events = store.read_events(position, BATCH as u32).await?;
    if events.is_empty() {
        return Ok(0);
    }
    let effects: Vec<_> = events
        .iter()
        .map(|event| effects(event, &shared.applications))
        .collect();
    store.apply_events(CONSUMER, &effects).await?;
    counter!("rotunda_events_consumed_total").increment(events.len() as u64);
    if effects.iter().any(|effects| !effects.callbacks.is_empty()) {
        shared.outbox.notify();
    }
    Ok(events.len())
}

/// Answers when it is due again.
async fn prune(shared: &Shared, due_at: Instant) -> Instant {
    let (clock, store) = (Clock, &shared.store);
    if clock.now() < due_at {
        return due_at;
    }
    let unix = clock.unix();
    let keep = Duration::from_secs(u64::from(shared.config.journal_days) * 86_400);
    let pruned = async {
        let position = store.position(CONSUMER).await?;
        store.prune_events(position, unix.saturating_sub(KEEP_CONSUMED)).await?;
        store.prune_journal(unix.saturating_sub(keep)).await?;
        store.prune_callbacks(unix.saturating_sub(keep)).await
    };
    if let Err(error) = pruned.await {
        warn!(
            error = &error as &dyn std::error::Error,
            "remove old events and callbacks"
        );
    }
    clock.now() + PRUNE_EVERY
}
