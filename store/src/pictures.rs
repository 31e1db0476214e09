//! Pictures that applications have uploaded for their mixes.

use std::time::Duration;

use rotunda_proto::ids::SdkAppId;

use crate::StoreError;
use crate::callbacks::millis;
use crate::pool::{Store, retried};
use crate::row::columns;

/// A picture to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPicture {
    pub application: SdkAppId,
    pub id: i64,
    pub name: String,
    /// `background`, `watermark` or `placeholder`
    pub kind: String,
    /// `png`, `jpg` ...
    pub suffix: String,
    /// JSON: position and size that the caller has given.
    pub placement: String,
    pub content: Vec<u8>,
    pub created: Duration,
}

/// A picture without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureInfo {
    pub id: i64,
    pub name: String,
    pub kind: String,
    pub suffix: String,
    pub placement: String,
    pub created_unix_ms: i64,
}

columns!(PictureInfo {
    id,
    name,
    kind,
    suffix,
    placement,
    created_unix_ms
});

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub suffix: String,
    pub placement: String,
    pub content: Vec<u8>,
}

columns!(Picture {
    suffix,
    placement,
    content
});

impl Store {
    /// Keeps a picture, in the place of one with the same id.
    pub async fn put_picture(&self, picture: &NewPicture) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "INSERT INTO pictures (application_id, id, name, kind, suffix, placement, content, created_unix_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (application_id, id) DO UPDATE SET \
                 name = excluded.name, kind = excluded.kind, suffix = excluded.suffix, \
                 placement = excluded.placement, content = excluded.content",
            )
            .bind(i64::from(picture.application.get()))
            .bind(picture.id)
            .bind(&picture.name)
            .bind(&picture.kind)
            .bind(&picture.suffix)
            .bind(&picture.placement)
            .bind(&picture.content)
            .bind(millis(picture.created))
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    pub async fn picture(&self, application: SdkAppId, id: i64) -> Result<Option<Picture>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, Picture>(
                "SELECT suffix, placement, content FROM pictures WHERE application_id = $1 AND id = $2",
            )
            .bind(i64::from(application.get()))
            .bind(id)
            .fetch_optional(pool)
            .await
        })
    }

    pub async fn pictures(&self, application: SdkAppId) -> Result<Vec<PictureInfo>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, PictureInfo>(
                "SELECT id, name, kind, suffix, placement, created_unix_ms FROM pictures \
                 WHERE application_id = $1 ORDER BY id",
            )
            .bind(i64::from(application.get()))
            .fetch_all(pool)
            .await
        })
    }

    /// Removes a picture; false: there was none.
    pub async fn delete_picture(&self, application: SdkAppId, id: i64) -> Result<bool, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM pictures WHERE application_id = $1 AND id = $2")
                .bind(i64::from(application.get()))
                .bind(id)
                .execute(pool)
                .await
                .map(|done| done.rows_affected() > 0)
        })
    }
}
