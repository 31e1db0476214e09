//! The state of every file of every recording, in SQL, from its first segment on. The process that holds a file's
//! lease works on it; when that process is gone, another one continues.

use std::time::Duration;

use rotunda_proto::recording::RecordingFile;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row as _};

/// The state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Segments are being written.
    Recording,
    /// No more segments will come; the file is to be made.
    Closed,
    /// The file is being made.
    Finishing,
    /// Complete and verified.
    Ready,
    /// There is no file.
    Failed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Closed => "closed",
            Self::Finishing => "finishing",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Self {
        let all = [Self::Recording, Self::Closed, Self::Finishing, Self::Ready];
        all.into_iter()
            .find(|state| state.as_str() == text)
            .unwrap_or(Self::Failed)
    }

    /// Nothing is left to do except the announcement.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Ready | Self::Failed)
    }
}

/// A file of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub part: u64,
    pub state: State,
    /// The known facts about the file.
    pub file: RecordingFile,
}

/// See the [module](self).
#[derive(Clone)]
pub struct Ledger {
    db: AnyPool,
    /// The unique name of this process.
    owner: String,
}

impl Ledger {
    pub fn new(db: AnyPool, owner: String) -> Self {
        Self { db, owner }
    }

    /// `lease`: how long this process may be silent, as a time since 1970.
    pub async fn add(&self, rows: &[Row], lease: Duration) -> Result<(), sqlx::Error> {
        let mut transaction = self.db.begin().await?;
        for Row { part, state, file } in rows {
            sqlx::query(
                "INSERT INTO recordings (file_id, name, state, format, size_bytes, duration_ms, started_unix_us, url, file, \
                 recording_id, part, owner, lease_unix_ms, app) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            )
            .bind(&file.file_id)
            .bind(&file.name)
            .bind(state.as_str())
            .bind(file.format.as_str())
            .bind(file.size_bytes as i64)
            .bind(file.duration_ms as i64)
            .bind(file.started_unix_us as i64)
            .bind(&file.url)
            .bind(json(file)?)
            .bind(&file.task_id)
            .bind(*part as i64)
            .bind(&self.owner)
            .bind(lease.as_millis() as i64)
            .bind(i64::from(file.room.app.get()))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// Every file of a recording.
    pub async fn rows(&self, recording_id: &str) -> Result<Vec<Row>, sqlx::Error> {
        let rows =
            sqlx::query("SELECT part, state, file FROM recordings WHERE recording_id = $1 ORDER BY part, format")
                .bind(recording_id)
                .fetch_all(&self.db)
                .await?;
        rows.iter().map(parse).collect()
    }

    /// Closes a part, or all parts and the HLS of the whole recording: no more segments will come.
    pub async fn close(&self, recording_id: &str, part: Option<u64>) -> Result<(), sqlx::Error> {
        let query = match part {
            Some(_) => {
                "UPDATE recordings SET state = 'closed' WHERE recording_id = $1 AND state = 'recording' AND part = $2 \
                 AND format <> 'hls'"
            }
            None => {
                "UPDATE recordings SET state = 'closed' WHERE recording_id = $1 AND state = 'recording' AND part >= $2"
            }
        };
        sqlx::query(query)
            .bind(recording_id)
            .bind(part.unwrap_or(0) as i64)
            .execute(&self.db)
            .await?;
        Ok(())
    }

    /// Writes a file's state with the known facts.
    pub async fn set(&self, state: State, file: &RecordingFile) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE recordings SET state = $1, name = $2, size_bytes = $3, duration_ms = $4, started_unix_us = $5, url = $6, \
             file = $7 WHERE file_id = $8",
        )
        .bind(state.as_str())
        .bind(&file.name)
        .bind(file.size_bytes as i64)
        .bind(file.duration_ms as i64)
        .bind(file.started_unix_us as i64)
        .bind(&file.url)
        .bind(json(file)?)
        .bind(&file.file_id)
        .execute(&self.db)
        .await?;
        Ok(())
    }

    /// Removes an empty file.
    pub async fn remove(&self, file_id: &str) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM recordings WHERE file_id = $1")
            .bind(file_id)
            .execute(&self.db)
            .await?;
        Ok(())
    }

    pub async fn knows(&self, recording_id: &str) -> Result<bool, sqlx::Error> {
        let found = sqlx::query("SELECT 1 FROM recordings WHERE recording_id = $1 LIMIT 1")
            .bind(recording_id)
            .fetch_optional(&self.db)
            .await?;
        Ok(found.is_some())
    }

    /// Renews the lease on this process's files.
    pub async fn renew(&self, lease: Duration) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE recordings SET lease_unix_ms = $1 WHERE owner = $2 AND state IN ('recording', 'closed', 'finishing')",
        )
        .bind(lease.as_millis() as i64)
        .bind(&self.owner)
        .execute(&self.db)
        .await?;
        Ok(())
    }

    /// Takes over the recordings whose owner is silent, and returns them with this process's unfinished ones.
    pub async fn take_over(&self, now: Duration, lease: Duration) -> Result<Vec<String>, sqlx::Error> {
        let silent = sqlx::query(
            "SELECT DISTINCT recording_id, owner FROM recordings WHERE owner <> $1 AND lease_unix_ms < $2 AND recording_id <> '' \
             AND state IN ('recording', 'closed', 'finishing')",
        )
        .bind(&self.owner)
        .bind(now.as_millis() as i64)
        .fetch_all(&self.db)
        .await?;
        for row in silent {
            // If two processes see it, only one changes the rows.
            sqlx::query(
                "UPDATE recordings SET owner = $1, lease_unix_ms = $2, \
                 state = CASE state WHEN 'recording' THEN 'closed' ELSE state END \
                 WHERE recording_id = $3 AND owner = $4 AND lease_unix_ms < $5 AND state IN ('recording', 'closed', 'finishing')",
            )
            .bind(&self.owner)
            .bind(lease.as_millis() as i64)
            .bind(row.try_get::<String, _>("recording_id")?)
            .bind(row.try_get::<String, _>("owner")?)
            .bind(now.as_millis() as i64)
            .execute(&self.db)
            .await?;
        }
        let open = sqlx::query(
            "SELECT DISTINCT recording_id FROM recordings WHERE owner = $1 AND state IN ('closed', 'finishing')",
        )
        .bind(&self.owner)
        .fetch_all(&self.db)
        .await?;
        open.iter().map(|row| row.try_get("recording_id")).collect()
    }
}

fn json(file: &RecordingFile) -> Result<String, sqlx::Error> {
    serde_json::to_string(file).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn parse(row: &AnyRow) -> Result<Row, sqlx::Error> {
    let file: RecordingFile =
        serde_json::from_str(&row.try_get::<String, _>("file")?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Row {
        part: row.try_get::<i64, _>("part")?.unsigned_abs(),
        state: State::parse(&row.try_get::<String, _>("state")?),
        file,
    })
}
