//! The files of recordings: a row each from the first segment on. Whoever holds a file's lease works on it; when that process is
//! gone another one goes on.

use std::time::Duration;

use rotunda_proto::ids::{SdkAppId, TaskId};
use rotunda_proto::recording::{Gap, Previews, RecordedLayout, RecordingFile};

use crate::StoreError;
use crate::callbacks::millis;
use crate::pool::{Store, retried};
use crate::row::columns;

/// A file of a recording and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRow {
    pub part: u64,
    /// `recording`, `closed`, `finishing`, `uploading`, `ready`, `failed` or `expired`
    pub state: String,
    /// The file's data so far.
    pub file: RecordingFile,
}

/// A file as the catalogue lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueRow {
    pub name: String,
    pub state: String,
    pub format: String,
    pub size_bytes: i64,
    pub duration_ms: i64,
    pub started_unix_us: i64,
    /// The whole [`RecordingFile`] as JSON.
    file: String,
}

impl CatalogueRow {
    /// What is missing in the file. Rows of early versions do not know it.
    pub fn gaps(&self) -> Vec<Gap> {
        parsed(&self.file).map(|file| file.gaps).unwrap_or_default()
    }

    pub fn previews(&self) -> Previews {
        parsed(&self.file).map(|file| file.previews).unwrap_or_default()
    }

    /// The layouts of the file's mix. Rows of early versions do not know them.
    pub fn layouts(&self) -> Vec<RecordedLayout> {
        parsed(&self.file).map(|file| file.layouts).unwrap_or_default()
    }
}

columns!(CatalogueRow {
    name,
    state,
    format,
    size_bytes,
    duration_ms,
    started_unix_us,
    file
});

struct Row {
    part: i64,
    state: String,
    file: String,
}

columns!(Row { part, state, file });

impl Store {
    /// Enters files of a recording, all or none; those that are there already are left alone. `lease`: until when
    /// `owner` may be silent, since 1970.
    pub async fn add_files(&self, rows: &[FileRow], owner: &str, lease: Duration) -> Result<(), StoreError> {
        let mut written = Vec::new();
        for row in rows {
            written.push((row, json(&row.file)?));
        }
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            for (FileRow { part, state, file }, json) in &written {
                sqlx::query(
                    "INSERT INTO recording_files (file_id, name, state, format, size_bytes, duration_ms, \
                     started_unix_us, url, file, recording_id, part, owner, lease_unix_ms, app) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                     ON CONFLICT (file_id) DO NOTHING",
                )
                .bind(&file.file_id)
                .bind(&file.name)
                .bind(state)
                .bind(file.format.as_str())
                .bind(number(file.size_bytes))
                .bind(number(file.duration_ms))
                .bind(number(file.started_unix_us))
                .bind(&file.url)
                .bind(json)
                .bind(&file.task_id)
                .bind(number(*part))
                .bind(owner)
                .bind(millis(lease))
                .bind(i64::from(file.room.app.get()))
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        })
    }

    /// Every file of a recording.
    pub async fn files_of(&self, recording_id: &str) -> Result<Vec<FileRow>, StoreError> {
        let rows = retried!(self, pool => {
            sqlx::query_as::<_, Row>(
                "SELECT part, state, file FROM recording_files WHERE recording_id = $1 ORDER BY part, format",
            )
            .bind(recording_id)
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter().map(Row::file).collect()
    }

    /// No more segments come for a part, or for all parts and the HLS of all of it.
    pub async fn close_files(&self, recording_id: &str, part: Option<u64>) -> Result<(), StoreError> {
        let query = match part {
            Some(_) => {
                "UPDATE recording_files SET state = 'closed' WHERE recording_id = $1 AND state = 'recording' \
                 AND part = $2 AND format <> 'hls'"
            }
            None => {
                "UPDATE recording_files SET state = 'closed' WHERE recording_id = $1 AND state = 'recording' \
                 AND part >= $2"
            }
        };
        retried!(self, pool => {
            sqlx::query(query)
                .bind(recording_id)
                .bind(number(part.unwrap_or(0)))
                .execute(pool)
                .await
                .map(|_| ())
        })
    }

    /// Writes a file's state with what is known of it.
    pub async fn set_file(&self, state: &str, file: &RecordingFile) -> Result<(), StoreError> {
        let json = json(file)?;
        retried!(self, pool => {
            sqlx::query(
                "UPDATE recording_files SET state = $1, name = $2, size_bytes = $3, duration_ms = $4, \
                 started_unix_us = $5, url = $6, file = $7 WHERE file_id = $8",
            )
            .bind(state)
            .bind(&file.name)
            .bind(number(file.size_bytes))
            .bind(number(file.duration_ms))
            .bind(number(file.started_unix_us))
            .bind(&file.url)
            .bind(&json)
            .bind(&file.file_id)
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    /// Forgets a file that has nothing in it.
    pub async fn remove_file(&self, file_id: &str) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM recording_files WHERE file_id = $1")
                .bind(file_id)
                .execute(pool)
                .await
                .map(|_| ())
        })
    }

    /// `owner` still works on its files.
    pub async fn renew_files(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "UPDATE recording_files SET lease_unix_ms = $1 \
                 WHERE owner = $2 AND state IN ('recording', 'closed', 'finishing', 'uploading')",
            )
            .bind(millis(lease))
            .bind(owner)
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    /// Gives `owner` the recordings whose owner is silent, and answers them with its own that are not finished.
    pub async fn take_over_files(
        &self,
        owner: &str,
        now: Duration,
        lease: Duration,
    ) -> Result<Vec<String>, StoreError> {
        retried!(self, pool => {
            // Of two processes that see a silent one, one changes the rows.
            sqlx::query(
                "UPDATE recording_files SET owner = $1, lease_unix_ms = $2, \
                 state = CASE state WHEN 'recording' THEN 'closed' ELSE state END \
                 WHERE owner <> $1 AND lease_unix_ms < $3 AND recording_id <> '' \
                 AND state IN ('recording', 'closed', 'finishing', 'uploading')",
            )
            .bind(owner)
            .bind(millis(lease))
            .bind(millis(now))
            .execute(pool)
            .await?;
            sqlx::query_scalar(
                "SELECT DISTINCT recording_id FROM recording_files \
                 WHERE owner = $1 AND state IN ('closed', 'finishing') ORDER BY recording_id",
            )
            .bind(owner)
            .fetch_all(pool)
            .await
        })
    }

    /// The recordings of `owner` that have a file in this state.
    pub async fn recordings_in_state(&self, owner: &str, state: &str) -> Result<Vec<String>, StoreError> {
        retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT DISTINCT recording_id FROM recording_files WHERE owner = $1 AND state = $2 ORDER BY recording_id",
            )
            .bind(owner)
            .bind(state)
            .fetch_all(pool)
            .await
        })
    }

    /// Files whose news has not been accepted yet, oldest first.
    pub async fn unannounced_files(&self) -> Result<Vec<RecordingFile>, StoreError> {
        let rows: Vec<String> = retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT file FROM recording_files WHERE announced = 0 AND state = 'ready' ORDER BY started_unix_us",
            )
            .fetch_all(pool)
            .await
        })?;
        rows.iter().map(|json| parsed(json)).collect()
    }

    /// Files of an application that are being recorded, made or stored, or whose news has not been accepted yet.
    pub async fn untold_files(&self, app: SdkAppId) -> Result<Vec<RecordingFile>, StoreError> {
        let rows: Vec<String> = retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT file FROM recording_files WHERE app = $1 \
                 AND (state IN ('recording', 'closed', 'finishing', 'uploading') OR (state = 'ready' AND announced = 0))",
            )
            .bind(i64::from(app.get()))
            .fetch_all(pool)
            .await
        })?;
        rows.iter().map(|json| parsed(json)).collect()
    }

    /// The files of a task of the server API that began at or after a time since 1970.
    pub async fn files_of_task(
        &self,
        app: SdkAppId,
        task: &TaskId,
        begun: Duration,
    ) -> Result<Vec<FileRow>, StoreError> {
        let rows = retried!(self, pool => {
            sqlx::query_as::<_, Row>(
                "SELECT part, state, file FROM recording_files WHERE app = $1 AND started_unix_us >= $2 \
                 AND file LIKE $3 ORDER BY started_unix_us",
            )
            .bind(i64::from(app.get()))
            .bind(millis(begun).saturating_mul(1000))
            // The ids of tasks have no characters that mean something to LIKE; other ones only find more.
            .bind(format!("%\"media_task\"%{task}%"))
            .fetch_all(pool)
            .await
        })?;
        let rows: Result<Vec<FileRow>, StoreError> = rows.into_iter().map(Row::file).collect();
        let is_its = |row: &FileRow| row.file.media_task.as_ref().is_some_and(|of| of.id == *task);
        Ok(rows?.into_iter().filter(is_its).collect())
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

    /// An application's newest files, newest first.
    pub async fn newest_files(&self, app: SdkAppId, most: u32) -> Result<Vec<CatalogueRow>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, CatalogueRow>(
                "SELECT name, state, format, size_bytes, duration_ms, started_unix_us, file FROM recording_files \
                 WHERE app = $1 AND state <> 'expired' ORDER BY started_unix_us DESC, file_id LIMIT $2",
            )
            .bind(i64::from(app.get()))
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })
    }

    /// An application's announced files that ended before a time since 1970, oldest first.
    pub async fn files_ended_before(
        &self,
        app: SdkAppId,
        ended: Duration,
        most: u32,
    ) -> Result<Vec<RecordingFile>, StoreError> {
        let rows: Vec<String> = retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT file FROM recording_files WHERE app = $1 AND state = 'ready' AND announced = 1 \
                 AND started_unix_us / 1000 + duration_ms < $2 ORDER BY started_unix_us LIMIT $3",
            )
            .bind(i64::from(app.get()))
            .bind(millis(ended))
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })?;
        rows.iter().map(|json| parsed(json)).collect()
    }

    /// An application's complete file of this name.
    pub async fn file_named(&self, app: SdkAppId, name: &str) -> Result<Option<RecordingFile>, StoreError> {
        let row: Option<String> = retried!(self, pool => {
            sqlx::query_scalar("SELECT file FROM recording_files WHERE app = $1 AND name = $2 AND state = 'ready'")
                .bind(i64::from(app.get()))
                .bind(name)
                .fetch_optional(pool)
                .await
        })?;
        row.as_deref().map(parsed).transpose()
    }

    /// Whether an application has a file of one of these names, or a recording of that id.
    pub async fn has_file(&self, app: SdkAppId, names: [&str; 2], recording_id: &str) -> Result<bool, StoreError> {
        let found: Option<i64> = retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT part FROM recording_files WHERE app = $1 AND state <> 'expired' \
                 AND (name = $2 OR name = $3 OR recording_id = $4) LIMIT 1",
            )
            .bind(i64::from(app.get()))
            .bind(names[0])
            .bind(names[1])
            .bind(recording_id)
            .fetch_optional(pool)
            .await
        })?;
        Ok(found.is_some())
    }

    /// Fills in whose files those are that were entered before the catalogue knew it.
    pub async fn fill_in_applications(&self) -> Result<(), StoreError> {
        let rows: Vec<String> = retried!(self, pool => {
            sqlx::query_scalar("SELECT file FROM recording_files WHERE app = 0").fetch_all(pool).await
        })?;
        for json in rows {
            let Ok(file) = parsed(&json) else { continue };
            retried!(self, pool => {
                sqlx::query("UPDATE recording_files SET app = $1 WHERE file_id = $2")
                    .bind(i64::from(file.room.app.get()))
                    .bind(&file.file_id)
                    .execute(pool)
                    .await
                    .map(|_| ())
            })?;
        }
        Ok(())
    }
}

impl Row {
    fn file(self) -> Result<FileRow, StoreError> {
        Ok(FileRow {
            part: self.part.unsigned_abs(),
            state: self.state,
            file: parsed(&self.file)?,
        })
    }
}

fn json(file: &RecordingFile) -> Result<String, StoreError> {
    serde_json::to_string(file).map_err(|error| StoreError::row("recording_files", error))
}

pub(crate) fn parsed(json: &str) -> Result<RecordingFile, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::row("recording_files", error))
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
