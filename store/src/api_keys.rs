//! Keys of the API, each with what it may do.

use std::collections::BTreeSet;
use std::time::Duration;

use rotunda_proto::ids::SdkAppId;

use crate::StoreError;
use crate::applications::APPLICATIONS_CHANGED;
use crate::callbacks::millis;
use crate::events::application;
use crate::pool::{Store, retried};
use crate::row::columns;
use crate::seal::SealKey;

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// Public: it names the key.
    pub id: String,
    /// None: of every application.
    pub application: Option<SdkAppId>,
    /// For people.
    pub name: String,
    /// Words such as `mix` or `rooms`, without spaces in them.
    pub scopes: BTreeSet<String>,
    pub created: Duration,
    /// None: never.
    pub expires: Option<Duration>,
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub about: NewApiKey,
    sealed: Vec<u8>,
}

impl ApiKey {
    pub fn open(&self, key: &SealKey) -> Result<Vec<u8>, StoreError> {
        Ok(key.open(&place(&self.about.id), &self.sealed)?)
    }
}

fn place(id: &str) -> String {
    format!("api_key/{id}")
}

struct Row {
    id: String,
    application_id: Option<i64>,
    name: String,
    sealed: Vec<u8>,
    scopes: String,
    created_unix_ms: i64,
    expires_unix_ms: Option<i64>,
}

columns!(Row {
    id,
    application_id,
    name,
    sealed,
    scopes,
    created_unix_ms,
    expires_unix_ms
});

impl Store {
    /// Errors: [`StoreError::Exists`].
    pub async fn create_api_key(&self, new: &NewApiKey, secret: &[u8], key: &SealKey) -> Result<(), StoreError> {
        let sealed = key.seal(&place(&new.id), secret)?;
        let scopes = new.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let created = retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            let created = sqlx::query(
                "INSERT INTO api_keys (id, application_id, name, sealed, scopes, created_unix_ms, expires_unix_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
            )
            .bind(&new.id)
            .bind(new.application.map(|application| i64::from(application.get())))
            .bind(&new.name)
            .bind(&sealed)
            .bind(&scopes)
            .bind(millis(new.created))
            .bind(new.expires.map(millis))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            sqlx::query(APPLICATIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(created)
        })?;
        match created {
            0 => Err(StoreError::Exists(format!("API key {}", new.id))),
            _ => Ok(()),
        }
    }

    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows = retried!(self, pool => {
            sqlx::query_as::<_, Row>(
                "SELECT id, application_id, name, sealed, scopes, created_unix_ms, expires_unix_ms \
                 FROM api_keys ORDER BY created_unix_ms, id",
            )
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter().map(Row::key).collect()
    }

    /// Removes a key; false: there was none.
    pub async fn delete_api_key(&self, id: &str) -> Result<bool, StoreError> {
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            let deleted = sqlx::query("DELETE FROM api_keys WHERE id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            sqlx::query(APPLICATIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(deleted > 0)
        })
    }
}

impl Row {
    fn key(self) -> Result<ApiKey, StoreError> {
        let of = self.application_id.map(|id| application("api_keys", id)).transpose()?;
        let about = NewApiKey {
            id: self.id,
            application: of,
            name: self.name,
            scopes: self.scopes.split_whitespace().map(str::to_owned).collect(),
            created: Duration::from_millis(self.created_unix_ms.unsigned_abs()),
            expires: self.expires_unix_ms.map(|at| Duration::from_millis(at.unsigned_abs())),
        };
        Ok(ApiKey {
            about,
            sealed: self.sealed,
        })
    }
}
