//! Mix tasks: what ran when, for operators and usage.

use std::time::Duration;

use crate::StoreError;
use crate::callbacks::millis;
use crate::pool::{Store, retried};
use crate::row::columns;

/// A mix that ran or runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixTaskRow {
    pub id: String,
    pub application_id: i64,
    pub room: String,
    pub stream_id: String,
    /// JSON
    pub spec: String,
    /// `api` or `client`.
    pub origin: String,
    pub started_unix_ms: i64,
    /// None: it runs.
    pub ended_unix_ms: Option<i64>,
    pub end_reason: Option<String>,
}

columns!(MixTaskRow {
    id,
    application_id,
    room,
    stream_id,
    spec,
    origin,
    started_unix_ms,
    ended_unix_ms,
    end_reason
});

/// How a mix ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixTaskEnd {
    pub at: Duration,
    pub reason: String,
}

impl Store {
    /// Enters a mix; one that is there already is left alone.
    pub async fn start_mix_task(&self, task: &MixTaskRow) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "INSERT INTO mix_tasks (id, application_id, room, stream_id, spec, origin, started_unix_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
            )
            .bind(&task.id)
            .bind(task.application_id)
            .bind(&task.room)
            .bind(&task.stream_id)
            .bind(&task.spec)
            .bind(&task.origin)
            .bind(task.started_unix_ms)
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    /// The first end counts.
    pub async fn end_mix_task(&self, id: &str, end: &MixTaskEnd) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "UPDATE mix_tasks SET ended_unix_ms = $1, end_reason = $2 WHERE id = $3 AND ended_unix_ms IS NULL",
            )
            .bind(millis(end.at))
            .bind(&end.reason)
            .bind(id)
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    /// The mixes that run, oldest first.
    pub async fn running_mix_tasks(&self) -> Result<Vec<MixTaskRow>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, MixTaskRow>(
                "SELECT id, application_id, room, stream_id, spec, origin, started_unix_ms, ended_unix_ms, end_reason \
                 FROM mix_tasks WHERE ended_unix_ms IS NULL ORDER BY started_unix_ms, id",
            )
            .fetch_all(pool)
            .await
        })
    }
}
