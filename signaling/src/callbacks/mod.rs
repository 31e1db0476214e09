//! Callbacks: taken into an outbox in the database, then delivered at least once, in order for each room.

mod message;
mod schedule;

use std::collections::HashSet;
use std::time::Duration;

use metrics::counter;
use rotunda_proto::bus::{BusError, Request};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::recording::{Accepted, FILE_READY_SUBJECT, RecordingFile};
use rotunda_proto::redacted::RedactedUrl;
use sqlx::{AnyPool, Row};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::service::Shared;
use schedule::{Outcome, next_attempt};

/// A receiver that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How often the outbox is looked at besides when something comes in.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Deliveries at one time, at most one a room.
const AT_ONCE: i64 = 32;

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
    let (wake, woken) = mpsc::channel(1);
    let intake = tokio::spawn(take_in(shared.clone(), requests, wake, shutdown.clone()));
    let delivery = tokio::spawn(deliver(shared, woken, shutdown));
    Ok(Callbacks { intake, delivery })
}

/// Stores what the recorder tells; only what is stored is accepted.
async fn take_in(
    shared: Shared,
    mut requests: mpsc::Receiver<Request>,
    wake: mpsc::Sender<()>,
    shutdown: CancellationToken,
) {
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
        match store(&shared, &file).await {
            Ok(()) => {
                request.answer(&Accepted {});
                let _woken_already = wake.try_send(());
            }
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "store a callback; it is offered again"
            ),
        }
    }
}

async fn store(shared: &Shared, file: &RecordingFile) -> Result<(), sqlx::Error> {
    let url = shared
        .applications
        .by_id(file.room.app)
        .and_then(|application| application.callback_url.clone());
    // An application without an address wants no callbacks.
    let Some(url) = url else { return Ok(()) };
    let now = Clock.unix().as_millis() as i64;
    sqlx::query(
        "INSERT INTO callback_outbox (id, room, url, sdk_app_id, body, created_unix_ms, next_attempt_unix_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(Uuid::new_v4().to_string())
    .bind(file.room.to_string())
    .bind(url)
    .bind(i64::from(file.room.app.get()))
    .bind(message::file_ready(file).to_string())
    .bind(now)
    .execute(&shared.db)
    .await?;
    Ok(())
}

/// A row that is due.
struct Due {
    id: String,
    room: String,
    url: String,
    app: i64,
    body: String,
    attempts: i64,
}

async fn deliver(shared: Shared, mut woken: mpsc::Receiver<()>, shutdown: CancellationToken) {
    let client = match reqwest::Client::builder().timeout(ANSWER_WITHIN).build() {
        Ok(client) => client,
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "no HTTP client, so no callbacks"
            );
            return;
        }
    };
    let clock = Clock;
    let mut busy: HashSet<String> = HashSet::new();
    let mut deliveries: JoinSet<String> = JoinSet::new();
    loop {
        match due(&shared.db, clock.unix().as_millis() as i64).await {
            Ok(rows) => {
                for row in rows {
                    // One at a time for each room keeps its order; other rooms are not delayed.
                    if busy.insert(row.room.clone()) {
                        deliveries.spawn(attempt(shared.clone(), client.clone(), row));
                    }
                }
            }
            Err(error) => error!(error = &error as &dyn std::error::Error, "read the callback outbox"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(done) = deliveries.join_next() => if let Ok(room) = done {
                busy.remove(&room);
            },
            _ = woken.recv() => {}
            () = clock.sleep_until(clock.now() + LOOK_EVERY) => {}
        }
    }
}

/// The oldest waiting row of each room, where it is due.
async fn due(db: &AnyPool, now: i64) -> Result<Vec<Due>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, room, url, sdk_app_id, body, attempts FROM callback_outbox o \
         WHERE state = 'waiting' AND next_attempt_unix_ms <= $1 AND NOT EXISTS (\
             SELECT 1 FROM callback_outbox e WHERE e.room = o.room AND e.state = 'waiting' \
             AND e.created_unix_ms < o.created_unix_ms) \
         ORDER BY created_unix_ms LIMIT $2",
    )
    .bind(now)
    .bind(AT_ONCE)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Due {
                id: row.try_get("id")?,
                room: row.try_get("room")?,
                url: row.try_get("url")?,
                app: row.try_get("sdk_app_id")?,
                body: row.try_get("body")?,
                attempts: row.try_get("attempts")?,
            })
        })
        .collect()
}

/// Tries once and writes down how it went; answers the room.
async fn attempt(shared: Shared, client: reqwest::Client, due: Due) -> String {
    let clock = Clock;
    let app = u32::try_from(due.app).ok().and_then(|app| SdkAppId::try_from(app).ok());
    let key = app
        .and_then(|app| shared.applications.by_id(app))
        .map(|application| application.callback_key.clone());
    let body = message::signed(&due.body, key.unwrap_or_default().reveal(), clock.unix());
    let sent = client
        .post(&due.url)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await;
    let delivered = match sent {
        Ok(answer) if answer.status() == reqwest::StatusCode::OK => true,
        Ok(answer) => {
            warn!(url = %RedactedUrl(&due.url), status = %answer.status(), "a callback was not taken");
            false
        }
        Err(error) => {
            let error = error.without_url();
            warn!(url = %RedactedUrl(&due.url), error = &error as &dyn std::error::Error, "a callback was not delivered");
            false
        }
    };
    let attempts = due.attempts + 1;
    let (state, next) = match next_attempt(delivered, attempts, clock.unix()) {
        Outcome::Delivered => ("delivered", clock.unix()),
        Outcome::Again { at } => ("waiting", at),
        Outcome::GivenUp => ("failed", clock.unix()),
    };
    counter!("rotunda_callbacks_total", "result" => if delivered { "delivered" } else { "failed" }).increment(1);
    if delivered {
        info!(url = %RedactedUrl(&due.url), attempts, "callback delivered");
    }
    let written =
        sqlx::query("UPDATE callback_outbox SET state = $1, attempts = $2, next_attempt_unix_ms = $3 WHERE id = $4")
            .bind(state)
            .bind(attempts)
            .bind(next.as_millis() as i64)
            .bind(&due.id)
            .execute(&shared.db)
            .await;
    if let Err(error) = written {
        error!(
            error = &error as &dyn std::error::Error,
            "write a callback's row; it may come twice"
        );
    }
    due.room
}
