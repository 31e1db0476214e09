//! The recordings that are not finished, and the space that finished files take.

use rotunda_proto::ids::SdkAppId;
use rotunda_proto::recording::RecordingFile;

use crate::StoreError;
use crate::pool::{Store, retried};
use crate::recording_files::{FileRow, parsed};
use crate::row::columns;

/// A file that is not finished, and the process that works on it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenFile {
    pub owner: String,
    pub file: FileRow,
}

struct Row {
    part: i64,
    state: String,
    file: String,
    owner: String,
}

columns!(Row {
    part,
    state,
    file,
    owner
});

impl Store {
    /// An application's files that are not finished, in order of their recordings.
    pub async fn open_files(&self, app: SdkAppId) -> Result<Vec<OpenFile>, StoreError> {
        let rows: Vec<Row> = retried!(self, pool => {
            sqlx::query_as(
                "SELECT part, state, file, owner FROM recording_files WHERE app = $1 \
                 AND state IN ('recording', 'closed', 'finishing', 'uploading') ORDER BY recording_id, part, format",
            )
            .bind(i64::from(app.get()))
            .fetch_all(pool)
            .await
        })?;
        let open = |row: Row| {
            Ok(OpenFile {
                owner: row.owner,
                file: FileRow {
                    part: row.part.unsigned_abs(),
                    state: row.state,
                    file: parsed(&row.file)?,
                },
            })
        };
        rows.into_iter().map(open).collect()
    }

    /// The process that works on an application's recording; None: the application has no such recording that is not finished.
    pub async fn recording_owner(&self, app: SdkAppId, recording_id: &str) -> Result<Option<String>, StoreError> {
        retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT owner FROM recording_files WHERE app = $1 AND recording_id = $2 \
                 AND state IN ('recording', 'closed', 'finishing', 'uploading') LIMIT 1",
            )
            .bind(i64::from(app.get()))
            .bind(recording_id)
            .fetch_optional(pool)
            .await
        })
    }

    /// The bytes of an application's finished files.
    pub async fn recorded_bytes(&self, app: SdkAppId) -> Result<u64, StoreError> {
        let bytes: i64 = retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM recording_files \
                 WHERE app = $1 AND state <> 'expired'",
            )
            .bind(i64::from(app.get()))
            .fetch_one(pool)
            .await
        })?;
        Ok(bytes.unsigned_abs())
    }

    /// Announced files, oldest first: of one application, or of all.
    pub async fn oldest_files(&self, app: Option<SdkAppId>, most: u32) -> Result<Vec<RecordingFile>, StoreError> {
        let rows: Vec<String> = retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT file FROM recording_files WHERE state = 'ready' AND announced = 1 AND (app = $1 OR $1 = 0) \
                 ORDER BY started_unix_us, file_id LIMIT $2",
            )
            .bind(app.map_or(0, |app| i64::from(app.get())))
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })?;
        rows.iter().map(|json| parsed(json)).collect()
    }
}
