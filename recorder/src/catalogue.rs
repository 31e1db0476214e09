//! The recordings in SQL, and the files that are not announced yet.

use rotunda_proto::ids::SdkAppId;
use rotunda_proto::recording::{ListedFile, RecordingFile};
use sqlx::{AnyPool, Row};

#[derive(Clone)]
pub struct Catalogue(pub AnyPool);

impl Catalogue {
    /// Files whose announcement has not been accepted yet, oldest first.
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

    /// The newest 200 files of an application, newest first, with the address that `url` makes from a name.
    pub async fn list(&self, app: SdkAppId, url: impl Fn(&str) -> String) -> Result<Vec<ListedFile>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT name, state, format, size_bytes, duration_ms, started_unix_us FROM recordings \
             WHERE app = $1 ORDER BY started_unix_us DESC LIMIT 200",
        )
        .bind(i64::from(app.get()))
        .fetch_all(&self.0)
        .await?;
        let mut list = Vec::new();
        for row in rows {
            let number = |column| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(column)?.unsigned_abs());
            let name = row.try_get::<String, _>("name")?;
            list.push(ListedFile {
                url: url(&name),
                name,
                state: row.try_get("state")?,
                format: row.try_get("format")?,
                size: number("size_bytes")?,
                duration_ms: number("duration_ms")?,
                started_unix_ms: number("started_unix_us")? / 1000,
            });
        }
        Ok(list)
    }

    /// Whether an application has a file with this path, or a recording with this folder.
    pub async fn has(&self, app: SdkAppId, path: &str) -> Result<bool, sqlx::Error> {
        let folder = path.split_once('/').map_or("-", |(folder, _)| folder);
        let found = sqlx::query(
            "SELECT 1 FROM recordings WHERE app = $1 AND (name = $2 OR name = $3 OR recording_id = $4) LIMIT 1",
        )
        .bind(i64::from(app.get()))
        .bind(path)
        // Earlier versions entered an HLS recording under the name of its playlist.
        .bind(format!("{folder}/index.m3u8"))
        .bind(folder)
        .fetch_optional(&self.0)
        .await?;
        Ok(found.is_some())
    }

    /// Fills in the application of files that were entered before the catalogue had this column.
    pub async fn fill_in_applications(&self) -> Result<(), sqlx::Error> {
        let rows = sqlx::query("SELECT file_id, file FROM recordings WHERE app = 0")
            .fetch_all(&self.0)
            .await?;
        for row in rows {
            let file: Option<RecordingFile> = serde_json::from_str(&row.try_get::<String, _>("file")?).ok();
            let Some(file) = file else { continue };
            sqlx::query("UPDATE recordings SET app = $1 WHERE file_id = $2")
                .bind(i64::from(file.room.app.get()))
                .bind(&file.file_id)
                .execute(&self.0)
                .await?;
        }
        Ok(())
    }
}
