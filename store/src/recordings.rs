//! Recordings, and the files that came of them.

use rotunda_proto::recording::RecordingFile;

use crate::StoreError;
use crate::pool::{Store, retried};
use crate::row::columns;

/// A recording as it was begun, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingRow {
    pub id: String,
    pub application_id: i64,
    pub room: String,
    pub stream_id: String,
    /// None: a mix.
    pub user_id: Option<String>,
    pub state: String,
    /// The incarnation of a node that works on it.
    pub owner: Option<String>,
    /// JSON: all that its files and callbacks need.
    pub spec: String,
    pub started_unix_us: i64,
    pub ended_unix_us: Option<i64>,
}

columns!(RecordingRow {
    id,
    application_id,
    room,
    stream_id,
    user_id,
    state,
    owner,
    spec,
    started_unix_us,
    ended_unix_us
});

/// A file as the catalogue lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    pub file_id: String,
    pub name: String,
    /// `ready` or `failed`
    pub state: String,
    pub format: String,
    pub size_bytes: i64,
    pub duration_ms: i64,
    pub started_unix_us: i64,
    pub url: String,
}

columns!(FileRow {
    file_id,
    name,
    state,
    format,
    size_bytes,
    duration_ms,
    started_unix_us,
    url
});

impl Store {
    /// Enters a recording at its start; one that is there already is left alone.
    pub async fn start_recording(&self, recording: &RecordingRow) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "INSERT INTO recordings (id, application_id, room, stream_id, user_id, state, owner, spec, \
                 started_unix_us, ended_unix_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(&recording.id)
            .bind(recording.application_id)
            .bind(&recording.room)
            .bind(&recording.stream_id)
            .bind(&recording.user_id)
            .bind(&recording.state)
            .bind(&recording.owner)
            .bind(&recording.spec)
            .bind(recording.started_unix_us)
            .bind(recording.ended_unix_us)
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    /// Moves a recording on, if it is in the state that the caller knows. Errors: [`StoreError::Changed`].
    pub async fn move_recording(&self, id: &str, from: &str, to: &str, owner: Option<&str>) -> Result<(), StoreError> {
        let moved = retried!(self, pool => {
            sqlx::query("UPDATE recordings SET state = $1, owner = $2 WHERE id = $3 AND state = $4")
                .bind(to)
                .bind(owner)
                .bind(id)
                .bind(from)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        match moved {
            0 => Err(StoreError::Changed(format!("recording {id}"))),
            _ => Ok(()),
        }
    }

    /// Recordings in one of two states, oldest first.
    pub async fn recordings_in(&self, state: &str) -> Result<Vec<RecordingRow>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, RecordingRow>(
                "SELECT id, application_id, room, stream_id, user_id, state, owner, spec, started_unix_us, \
                 ended_unix_us FROM recordings WHERE state = $1 ORDER BY started_unix_us, id",
            )
            .bind(state)
            .fetch_all(pool)
            .await
        })
    }

    /// Enters a finished file in the catalogue; one that is there already is left alone.
    pub async fn add_file(&self, file: &RecordingFile) -> Result<(), StoreError> {
        let json = serde_json::to_string(file).map_err(|error| StoreError::row("recording_files", error))?;
        retried!(self, pool => {
            sqlx::query(
                "INSERT INTO recording_files (file_id, name, state, format, size_bytes, duration_ms, \
                 started_unix_us, url, file, application_id, recording_id) \
                 VALUES ($1, $2, 'ready', $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (file_id) DO NOTHING",
            )
            .bind(&file.file_id)
            .bind(&file.name)
            .bind(file.format.as_str())
            .bind(number(file.size_bytes))
            .bind(number(file.duration_ms))
            .bind(number(file.started_unix_us))
            .bind(&file.url)
            .bind(&json)
            .bind(i64::from(file.room.app.get()))
            .bind(&file.task_id)
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    /// Files whose news has not been accepted yet, oldest first.
    pub async fn unannounced_files(&self) -> Result<Vec<RecordingFile>, StoreError> {
        let rows: Vec<String> = retried!(self, pool => {
            sqlx::query_scalar("SELECT file FROM recording_files WHERE announced = 0 ORDER BY started_unix_us")
                .fetch_all(pool)
                .await
        })?;
        rows.iter()
            .map(|json| serde_json::from_str(json).map_err(|error| StoreError::row("recording_files", error)))
            .collect()
    }

    pub async fn set_announced(&self, file_id: &str) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query("UPDATE recording_files SET announced = 1 WHERE file_id = $1")
                .bind(file_id)
                .execute(pool)
                .await
                .map(|_| ())
        })
    }

    /// The newest files, newest first.
    pub async fn newest_files(&self, most: u32) -> Result<Vec<FileRow>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, FileRow>(
                "SELECT file_id, name, state, format, size_bytes, duration_ms, started_unix_us, url \
                 FROM recording_files ORDER BY started_unix_us DESC, file_id LIMIT $1",
            )
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
