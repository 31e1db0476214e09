//! The stream of events where no other server has it, and what its consumer makes of them: journal, callbacks and usage, in
//! one transaction with the consumer's position.

use std::time::Duration;

use rotunda_proto::ids::SdkAppId;

use crate::StoreError;
use crate::callbacks::{INSERT_CALLBACK, NewCallback, millis};
use crate::pool::{Pool, Store, retried};
use crate::row::columns;
use crate::usage::{ADD_USAGE, UsageRow};

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub id: String,
    /// JSON
    pub body: String,
}

/// An event of the embedded stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamedEvent {
    pub sequence: i64,
    pub body: String,
}

columns!(StreamedEvent { sequence, body });

/// The rows that follow from one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Of the event in its stream.
    pub sequence: i64,
    pub journal: Option<JournalEntry>,
    pub callbacks: Vec<NewCallback>,
    pub usage: Vec<UsageRow>,
}

/// An event as it is kept for queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    pub sequence: i64,
    pub application: SdkAppId,
    pub room: String,
    pub kind: String,
    pub at: Duration,
    /// JSON
    pub body: String,
}

struct JournalRow {
    sequence: i64,
    application_id: i64,
    room: String,
    kind: String,
    at_unix_ms: i64,
    body: String,
}

columns!(JournalRow {
    sequence,
    application_id,
    room,
    kind,
    at_unix_ms,
    body
});

impl Store {
    /// Appends events to the embedded stream; they are there for good when this returns. An event that is there already stays where
    /// it is, so after an error the same events may be appended again.
    pub async fn append_events(&self, events: &[NewEvent], now: Duration) -> Result<(), StoreError> {
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            // One writer at a time, so that numbers become visible in their order and the reader skips none. SQLite has one anyway.
            if matches!(self.pool, Pool::Postgres(_)) {
                sqlx::query("LOCK TABLE event_stream IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
            }
            for event in events {
                sqlx::query(
                    "INSERT INTO event_stream (id, body, appended_unix_ms) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
                )
                .bind(&event.id)
                .bind(&event.body)
                .bind(millis(now))
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        })
    }

    /// The next events of the embedded stream after that number.
    pub async fn read_events(&self, after: i64, most: u32) -> Result<Vec<StreamedEvent>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, StreamedEvent>(
                "SELECT sequence, body FROM event_stream WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            )
            .bind(after)
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })
    }

    /// Removes events of the embedded stream up to that number that are older than that time.
    pub async fn prune_events(&self, through: i64, before: Duration) -> Result<u64, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM event_stream WHERE sequence <= $1 AND appended_unix_ms < $2")
                .bind(through)
                .bind(millis(before))
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })
    }

    /// How far a consumer has come.
    pub async fn position(&self, consumer: &str) -> Result<i64, StoreError> {
        let position: Option<i64> = retried!(self, pool => {
            sqlx::query_scalar("SELECT sequence FROM positions WHERE consumer = $1")
                .bind(consumer)
                .fetch_optional(pool)
                .await
        })?;
        Ok(position.unwrap_or(0))
    }

    /// Writes what a consumer made of its next events, and its position with it; answers the position. Events up to the
    /// position that was there before have been written already and are left out, so a batch may be given again.
    pub async fn apply_events(&self, consumer: &str, events: &[Effects]) -> Result<i64, StoreError> {
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            // It writes first, so that of two consumers one waits for the other here.
            let before: i64 = sqlx::query_scalar(
                "INSERT INTO positions (consumer, sequence) VALUES ($1, 0) \
                 ON CONFLICT (consumer) DO UPDATE SET sequence = positions.sequence RETURNING sequence",
            )
            .bind(consumer)
            .fetch_one(&mut *transaction)
            .await?;
            let mut position = before;
            for event in events.iter().filter(|event| event.sequence > before) {
                if let Some(entry) = &event.journal {
                    sqlx::query(
                        "INSERT INTO journal (sequence, application_id, room, kind, at_unix_ms, body) \
                         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (sequence) DO NOTHING",
                    )
                    .bind(entry.sequence)
                    .bind(i64::from(entry.application.get()))
                    .bind(&entry.room)
                    .bind(&entry.kind)
                    .bind(millis(entry.at))
                    .bind(&entry.body)
                    .execute(&mut *transaction)
                    .await?;
                }
                for callback in &event.callbacks {
                    sqlx::query(INSERT_CALLBACK)
                        .bind(&callback.id)
                        .bind(&callback.room)
                        .bind(&callback.url)
                        .bind(i64::from(callback.application.get()))
                        .bind(&callback.body)
                        .bind(millis(callback.created))
                        .bind(callback.sequence)
                        .execute(&mut *transaction)
                        .await?;
                }
                for row in &event.usage {
                    sqlx::query(ADD_USAGE)
                        .bind(row.application_id)
                        .bind(&row.day)
                        .bind(&row.class)
                        .bind(row.amount)
                        .execute(&mut *transaction)
                        .await?;
                }
                position = position.max(event.sequence);
            }
            sqlx::query("UPDATE positions SET sequence = $1 WHERE consumer = $2")
                .bind(position)
                .bind(consumer)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(position)
        })
    }

    /// Entries of a room after that number, oldest first.
    pub async fn journal(
        &self,
        application: SdkAppId,
        room: &str,
        after: i64,
        most: u32,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let rows = retried!(self, pool => {
            sqlx::query_as::<_, JournalRow>(
                "SELECT sequence, application_id, room, kind, at_unix_ms, body FROM journal \
                 WHERE application_id = $1 AND room = $2 AND sequence > $3 ORDER BY sequence LIMIT $4",
            )
            .bind(i64::from(application.get()))
            .bind(room)
            .bind(after)
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter().map(JournalRow::entry).collect()
    }

    /// Removes entries that are older than that time.
    pub async fn prune_journal(&self, before: Duration) -> Result<u64, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM journal WHERE at_unix_ms < $1")
                .bind(millis(before))
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })
    }
}

impl JournalRow {
    fn entry(self) -> Result<JournalEntry, StoreError> {
        let application = application("journal", self.application_id)?;
        Ok(JournalEntry {
            sequence: self.sequence,
            application,
            room: self.room,
            kind: self.kind,
            at: Duration::from_millis(self.at_unix_ms.unsigned_abs()),
            body: self.body,
        })
    }
}

/// The application id of a row.
pub(crate) fn application(table: &'static str, id: i64) -> Result<SdkAppId, StoreError> {
    let id = u32::try_from(id).map_err(|error| StoreError::row(table, error))?;
    SdkAppId::try_from(id).map_err(|error| StoreError::row(table, error))
}
