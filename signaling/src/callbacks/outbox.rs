//! The callbacks that are to be delivered, as rows of the database.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::RoomKey;
use serde_json::Value;
use sqlx::{AnyPool, Row};
use tokio::sync::Notify;
use uuid::Uuid;

use super::lanes::PER_APPLICATION;
use super::schedule::Outcome;

/// Most rows of all applications together that one query reads.
const AT_ONCE: i64 = 1024;

/// Takes callbacks in.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Time of the last row, milliseconds since 1970: no two have the same, so that their order is known.
    last: Mutex<i64>,
    stored: Notify,
}

/// A row that is due.
pub struct Due {
    pub id: String,
    pub room: String,
    pub url: String,
    pub app: i64,
    pub body: String,
    pub attempts: i64,
}

impl Outbox {
    pub async fn store(&self, db: &AnyPool, room: &RoomKey, url: &str, body: &Value) -> Result<(), sqlx::Error> {
        let now = self.next_time(Clock.unix());
        sqlx::query(
            "INSERT INTO callback_outbox (id, room, url, sdk_app_id, body, created_unix_ms, next_attempt_unix_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(Uuid::new_v4().to_string())
        // This is not the displayed form, as room 123 and the text room "123" differ.
        .bind(room.token())
        .bind(url)
        .bind(i64::from(room.app.get()))
        .bind(body.to_string())
        .bind(now)
        .execute(db)
        .await?;
        self.stored.notify_one();
        Ok(())
    }

    /// Resolves when a callback was stored since it last resolved.
    pub async fn stored(&self) {
        self.stored.notified().await;
    }

    fn next_time(&self, unix_now: Duration) -> i64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (unix_now.as_millis() as i64).max(*last + 1);
        *last
    }
}

/// The oldest waiting row of each room, if it is due. Each application has a few at most, so that none fills the answer.
pub async fn due(db: &AnyPool, now: i64) -> Result<Vec<Due>, sqlx::Error> {
    // Running deliveries are among them, so twice the limit contains all that may begin.
    let each = 2 * PER_APPLICATION as i64;
    let rows = sqlx::query(
        "SELECT id, room, url, sdk_app_id, body, attempts FROM (\
             SELECT o.*, ROW_NUMBER() OVER (\
                 PARTITION BY o.sdk_app_id ORDER BY o.next_attempt_unix_ms, o.created_unix_ms) AS place \
             FROM callback_outbox o WHERE o.state = 'waiting' AND o.next_attempt_unix_ms <= $1 AND NOT EXISTS (\
                 SELECT 1 FROM callback_outbox e WHERE e.room = o.room AND e.state = 'waiting' \
                 AND e.created_unix_ms < o.created_unix_ms)\
         ) AS heads WHERE place <= $2 ORDER BY place LIMIT $3",
    )
    .bind(now)
    .bind(each)
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

/// Stores the outcome of an attempt. `attempts`: this one included.
pub async fn write(
    db: &AnyPool,
    id: &str,
    attempts: i64,
    outcome: Outcome,
    unix_now: Duration,
) -> Result<(), sqlx::Error> {
    let (state, next) = match outcome {
        Outcome::Delivered => ("delivered", unix_now),
        Outcome::Again { at } => ("waiting", at),
        Outcome::GivenUp => ("failed", unix_now),
    };
    sqlx::query("UPDATE callback_outbox SET state = $1, attempts = $2, next_attempt_unix_ms = $3 WHERE id = $4")
        .bind(state)
        .bind(attempts)
        .bind(next.as_millis() as i64)
        .bind(id)
        .execute(db)
        .await?;
    Ok(())
}
