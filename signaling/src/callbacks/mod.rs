//! Callbacks: the consumer of events puts them into an outbox in the database. They are then delivered at least once, in order for each room. A receiver that
//! fails delays the later callbacks of the same room alone.

pub mod call_events;
mod message;
mod outbox;
mod recording_steps;
pub mod room_events;
mod schedule;
pub mod sender;
pub mod stream_events;
pub mod task_events;

use std::time::Duration;

use metrics::{counter, gauge};
use rotunda_bus::{BusError, Requests};
use rotunda_events::What;
use rotunda_proto::clock::Clock;
use rotunda_proto::recording::{Accepted, FILE_READY_SUBJECT, RecordingFile};
use rotunda_store::{Callback, CallbackState, ClaimLimits, Settled};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::shared::Shared;
pub use message::{file_ready, not_mixable};
pub use outbox::Outbox;
use schedule::{Outcome, Schedule, next_attempt};
use sender::{ANSWER_WITHIN, EVENT_WITHIN, Message, Sender, shown};

/// The outbox is read at this interval, and whenever a callback is stored.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The waiting callbacks are counted at this interval.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Before the token of a room, in the queue of its events.
pub const EVENTS_OF: &str = "events/";
/// Before the user and the token of a call's room, in the queue of a push request.
pub const PUSHES_OF: &str = "push/";
/// Before the id of a task and the token of its room, in the queue of the task's events.
pub const TASKS_OF: &str = "tasks/";

/// Deliveries of this node at one time.
const AT_ONCE: usize = 256;
/// Deliveries of one application at one time, so that receivers that do not answer delay no other application.
const PER_APPLICATION: u32 = 8;
/// A row that was claimed this long ago may be claimed by another node.
const CLAIMED_FOR: Duration = ANSWER_WITHIN.saturating_add(Duration::from_secs(20));

/// The running outbox.
pub struct Callbacks {
    intake: JoinHandle<()>,
    delivery: JoinHandle<()>,
}

impl Callbacks {
    pub async fn finish(self) {
        let _ended = self.intake.await;
        let _ended = self.delivery.await;
    }
}

pub async fn start(shared: Shared, shutdown: CancellationToken) -> Result<Callbacks, BusError> {
    let requests = shared.bus.serve(FILE_READY_SUBJECT).await?;
    let intake = tokio::spawn(take_in(shared.clone(), requests, shutdown.clone()));
    let delivery = tokio::spawn(deliver(shared, shutdown));
    Ok(Callbacks { intake, delivery })
}

/// Appends the recorder's finished files to the stream of events. A file is acknowledged only after it was appended.
async fn take_in(shared: Shared, mut requests: Requests, shutdown: CancellationToken) {
    loop {
        let request = tokio::select! {
            () = shutdown.cancelled() => return,
            request = requests.next() => request,
        };
        let file: RecordingFile = match request.parse() {
            Ok(file) => file,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "a message about a file could not be read"
                );
                continue;
            }
        };
        let (id, room) = (format!("file-{}", file.file_id), file.room.clone());
        let what = What::FileReady { file: Box::new(file) };
        match shared.facts.append(id, &room, what).await {
            Ok(()) => request.answer(&Accepted {}),
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "append a file to the stream of events; it is offered again"
            ),
        }
    }
}

async fn deliver(shared: Shared, shutdown: CancellationToken) {
    let sender = match Sender::new(shared.config.process.outbound.clone()) {
        Ok(sender) => sender,
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "no HTTP client, so no callbacks"
            );
            return;
        }
    };
    let clock = Clock;
    let node = shared.cluster.incarnation().to_string();
    let mut deliveries: JoinSet<()> = JoinSet::new();
    let mut count_at = clock.now();
    loop {
        if clock.now() >= count_at {
            count_at = clock.now() + COUNT_EVERY;
            if let Ok(waiting) = shared.store.count_callbacks(CallbackState::Waiting).await {
                gauge!("rotunda_callbacks_waiting").set(waiting as f64);
            }
        }
        let limits = ClaimLimits {
            rows: AT_ONCE.saturating_sub(deliveries.len()) as u32,
            of_application: PER_APPLICATION,
            hold: CLAIMED_FOR,
        };
        match shared.store.claim_callbacks(&node, clock.unix(), limits).await {
            Ok(claimed) => {
                for callback in claimed {
                    deliveries.spawn(attempt(shared.clone(), node.clone(), sender.clone(), callback));
                }
            }
            Err(error) => error!(error = &error as &dyn std::error::Error, "read the callback outbox"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_done) = deliveries.join_next() => {}
            () = shared.outbox.changed() => {}
            () = clock.sleep_until(clock.now() + LOOK_EVERY) => {}
        }
    }
}

/// Makes one attempt and stores its outcome.
async fn attempt(shared: Shared, node: String, sender: Sender, callback: Callback) {
    let clock = Clock;
    let applications = shared.applications();
    let key = callback
        .application()
        .and_then(|app| applications.by_id(app))
        .map(|application| application.callback_key.clone());
    let key = key.unwrap_or_default();
    let (schedule, message) = match room_events::sent(&callback.body, clock.unix()) {
        Some(body) => {
            let sign = room_events::signature(key.reveal(), &body);
            let headers = vec![("Sign", sign), ("SdkAppId", callback.sdk_app_id.to_string())];
            let within = EVENT_WITHIN;
            (Schedule::Moments, Message { headers, body, within })
        }
        None => {
            let body = message::signed(&callback.body, key.reveal(), clock.unix());
            let (headers, within) = (Vec::new(), ANSWER_WITHIN);
            (Schedule::Minutes, Message { headers, body, within })
        }
    };
    let sent = sender.send(&callback.url, message).await;
    let attempts = callback.attempts + 1;
    let outcome = next_attempt(schedule, sent.is_ok(), attempts, clock.unix());
    let receiver = shown(&callback.url);
    match &sent {
        Ok(()) => info!(receiver, attempts, "callback delivered"),
        Err(error) => {
            let given_up = outcome == Outcome::GivenUp;
            let error = error as &dyn std::error::Error;
            warn!(receiver, attempts, given_up, error, "a callback was not delivered");
        }
    }
    let result = match outcome {
        Outcome::Delivered => "delivered",
        Outcome::GivenUp => "given_up",
        _ => "failed",
    };
    counter!("rotunda_callbacks_total", "result" => result).increment(1);
    let error = sent.err().map(|error| error.to_string()).unwrap_or_default();
    let how = match outcome {
        Outcome::Delivered => Settled::Delivered,
        Outcome::Again { at } => Settled::Again { at, error },
        Outcome::GivenUp => Settled::GivenUp { error },
    };
    if let Err(error) = shared.store.settle_callback(&node, &callback, &how).await {
        error!(
            error = &error as &dyn std::error::Error,
            "write a callback's row; it may come twice"
        );
    }
}

#[cfg(test)]
mod tests;
