//! Mix tasks: what ran when, for operators and usage.

use std::time::Duration;

use crate::StoreError;
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

/// What an event changes in the rows of the mix tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MixTaskChange {
    /// A mix that is there already is left alone.
    Begun(Box<MixTaskRow>),
    /// The first end counts.
    Ended { id: String, end: MixTaskEnd },
}

pub(crate) const BEGIN_MIX_TASK: &str = "INSERT INTO mix_tasks (id, application_id, room, stream_id, spec, origin, started_unix_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";

pub(crate) const END_MIX_TASK: &str =
    "UPDATE mix_tasks SET ended_unix_ms = $1, end_reason = $2 WHERE id = $3 AND ended_unix_ms IS NULL";

impl Store {
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
