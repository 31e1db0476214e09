//! The state of every file of every recording, in SQL, from its first segment on. Whoever holds a file's lease works on it; when
//! that process is gone another one goes on.

use std::time::Duration;

use rotunda_proto::recording::RecordingFile;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row as _};

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Segments are being written.
    Recording,
    /// No more segments come; the file is to be made.
    Closed,
    /// The file is being made.
    Finishing,
    /// Whole and verified.
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

    /// Nothing is left to do but to tell of it.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Ready | Self::Failed)
    }
}

/// A file of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub part: u64,
    pub state: State,
    /// The file as far as it is known.
    pub file: RecordingFile,
}

/// See the [module](self).
#[derive(Clone)]
pub struct Ledger {
    db: AnyPool,
    /// This process, unlike every other one.
    owner: String,
}

impl Ledger {
    pub fn new(db: AnyPool, owner: String) -> Self {
        Self { db, owner }
    }

    /// `lease`: until when this process may be silent, since 1970.
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

    /// No more segments come for a part, or for all parts and the HLS of all of it.
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

    /// Writes a file's state with what is known of it.
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

    /// Forgets a file that has nothing in it.
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

    /// This process still works on its files.
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

    /// Takes over the recordings whose owner is silent, and answers them with those of this process that are not finished.
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
            // Of two processes that see it one changes the rows.
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
