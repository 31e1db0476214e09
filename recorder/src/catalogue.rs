//! The recordings in SQL, and which of them still have to be told of.

use rotunda_proto::recording::RecordingFile;
use serde_json::{Value, json};
use sqlx::{AnyPool, Row};

#[derive(Clone)]
pub struct Catalogue(pub AnyPool);

impl Catalogue {
    pub async fn add(&self, file: &RecordingFile) -> Result<(), sqlx::Error> {
        let json = serde_json::to_string(file).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(
            "INSERT INTO recordings (file_id, name, state, format, size_bytes, duration_ms, started_unix_us, url, file) \
             VALUES ($1, $2, 'ready', $3, $4, $5, $6, $7, $8)",
        )
        .bind(&file.file_id)
        .bind(&file.name)
        .bind(file.format.as_str())
        .bind(file.size_bytes as i64)
        .bind(file.duration_ms as i64)
        .bind(file.started_unix_us as i64)
        .bind(&file.url)
        .bind(json)
        .execute(&self.0)
        .await?;
        Ok(())
    }

    /// Files whose news has not been accepted yet, oldest first.
    pub async fn unannounced(&self) -> Result<Vec<RecordingFile>, sqlx::Error> {
        let rows = sqlx::query("SELECT file FROM recordings WHERE announced = 0 ORDER BY started_unix_us")
            .fetch_all(&self.0)
            .await?;
        let parse = |row: &sqlx::any::AnyRow| serde_json::from_str(&row.try_get::<String, _>("file").ok()?).ok();
        Ok(rows.iter().filter_map(parse).collect())
    }

    pub async fn set_announced(&self, file_id: &str) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE recordings SET announced = 1 WHERE file_id = $1")
            .bind(file_id)
            .execute(&self.0)
            .await?;
        Ok(())
    }

    /// The newest 200, newest first, as JSON.
    pub async fn list(&self) -> Result<Value, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT name, state, format, size_bytes, duration_ms, started_unix_us, url FROM recordings \
             ORDER BY started_unix_us DESC LIMIT 200",
        )
        .fetch_all(&self.0)
        .await?;
        let mut list = Vec::new();
        for row in rows {
            list.push(json!({
                "name": row.try_get::<String, _>("name")?,
                "state": row.try_get::<String, _>("state")?,
                "format": row.try_get::<String, _>("format")?,
                "size": row.try_get::<i64, _>("size_bytes")?,
                "durationMs": row.try_get::<i64, _>("duration_ms")?,
                "startedUnixMs": row.try_get::<i64, _>("started_unix_us")? / 1000,
                "url": row.try_get::<String, _>("url")?,
            }));
        }
        Ok(Value::Array(list))
    }
}
