//! The recordings in SQL, and which of them still have to be told of.

use rotunda_proto::recording::RecordingFile;
use serde_json::{Value, json};
use sqlx::{AnyPool, Row};

#[derive(Clone)]
pub struct Catalogue(pub AnyPool);

impl Catalogue {
    /// Files whose news has not been accepted yet, oldest first.
    pub async fn unannounced(&self) -> Result<Vec<RecordingFile>, sqlx::Error> {
        let rows =
            sqlx::query("SELECT file FROM recordings WHERE announced = 0 AND state = 'ready' ORDER BY started_unix_us")
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
