//! Callbacks: taken into an outbox in the database, then delivered at least once, in order for each room. A receiver that
//! fails delays the later callbacks of the same room alone.

mod lanes;
mod message;
mod outbox;
mod schedule;
mod sender;

use std::collections::HashMap;
use std::time::Duration;

use metrics::counter;
use rotunda_proto::bus::{BusError, Request};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomKey, SdkAppId};
use rotunda_proto::recording::{Accepted, FILE_READY_SUBJECT, RecordingFile};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::service::Shared;
use lanes::{Lane, Lanes};
pub use message::{Replaced, not_mixable, replaced};
use outbox::Due;
pub use outbox::Outbox;
use schedule::{Outcome, next_attempt};
use sender::{Sender, shown};

/// How often the outbox is looked at besides when something comes in.
const LOOK_EVERY: Duration = Duration::from_secs(5);

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

/// Stores what the recorder tells; only what is stored is accepted.
async fn take_in(shared: Shared, mut requests: mpsc::Receiver<Request>, shutdown: CancellationToken) {
    loop {
        let request = tokio::select! {
            () = shutdown.cancelled() => return,
            request = requests.recv() => request,
        };
        let Some(request) = request else { return };
        let file: RecordingFile = match request.parse() {
            Ok(file) => file,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "a file's news was not understood"
                );
                continue;
            }
        };
        match tell(&shared, &file.room, &message::file_ready(&file)).await {
            Ok(()) => request.answer(&Accepted {}),
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "store a callback; it is offered again"
            ),
        }
    }
}

/// Stores a callback about a room, where its application wants callbacks.
pub async fn tell(shared: &Shared, room: &RoomKey, body: &serde_json::Value) -> Result<(), sqlx::Error> {
    let application = shared.applications.by_id(room.app);
    let url = application.and_then(|application| application.callback_url.as_deref());
    match url {
        Some(url) => shared.outbox.store(&shared.db, room, url, body).await,
        None => Ok(()),
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
    let mut lanes = Lanes::default();
    let mut running: HashMap<Id, Lane> = HashMap::new();
    let mut deliveries: JoinSet<()> = JoinSet::new();
    loop {
        match outbox::due(&shared.db, clock.unix().as_millis() as i64).await {
            Ok(rows) => {
                for row in rows {
                    if let Some(lane) = lanes.enter(row.app, &row.room) {
                        let delivery = deliveries.spawn(attempt(shared.clone(), sender.clone(), row));
                        running.insert(delivery.id(), lane);
                    }
                }
            }
            Err(error) => error!(error = &error as &dyn std::error::Error, "read the callback outbox"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(done) = deliveries.join_next_with_id() => {
                let id = done.map_or_else(|failed| failed.id(), |(id, ())| id);
                if let Some(lane) = running.remove(&id) {
                    lanes.leave(lane);
                }
            }
            () = shared.outbox.stored() => {}
            () = clock.sleep_until(clock.now() + LOOK_EVERY) => {}
        }
    }
}

/// Tries once and writes down how it went.
async fn attempt(shared: Shared, sender: Sender, due: Due) {
    let clock = Clock;
    let app = u32::try_from(due.app).ok().and_then(|app| SdkAppId::try_from(app).ok());
    let key = app
        .and_then(|app| shared.applications.by_id(app))
        .map(|application| application.callback_key.clone());
    let body = message::signed(&due.body, key.unwrap_or_default().reveal(), clock.unix());
    let sent = sender.send(&due.url, body).await;
    let attempts = due.attempts + 1;
    let outcome = next_attempt(sent.is_ok(), attempts, clock.unix());
    let receiver = shown(&due.url);
    match &sent {
        Ok(()) => info!(receiver, attempts, "callback delivered"),
        Err(error) => {
            let given_up = outcome == Outcome::GivenUp;
            let error = error as &dyn std::error::Error;
            warn!(receiver, attempts, given_up, error, "a callback was not delivered");
        }
    }
    let result = if sent.is_ok() { "delivered" } else { "failed" };
    counter!("rotunda_callbacks_total", "result" => result).increment(1);
    if let Err(error) = outbox::write(&shared.db, &due.id, attempts, outcome, clock.unix()).await {
        error!(
            error = &error as &dyn std::error::Error,
            "write a callback's row; it may come twice"
        );
    }
}

#[cfg(test)]
mod tests;
