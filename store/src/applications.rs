//! Applications that the API has made, with their sealed secrets.

use std::time::Duration;

use rotunda_proto::ids::SdkAppId;
use serde_json::Value;

use crate::StoreError;
use crate::callbacks::millis;
use crate::events::application;
use crate::pool::{Store, retried};
use crate::row::columns;
use crate::seal::SealKey;

/// An application, without the secrets themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplicationRow {
    pub id: SdkAppId,
    pub name: String,
    pub settings: Value,
    pub created: Duration,
    pub changed: Duration,
    /// A change names the revision that it is based on.
    pub revision: i64,
}

/// The purpose of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Signs UserSigs.
    UserSig,
    /// Signs callbacks.
    Callback,
    /// Signs playback addresses.
    Play,
}

/// Two secrets of one purpose are good at one time, so that they can be exchanged without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    First,
    Second,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    pub purpose: Purpose,
    pub slot: Slot,
    pub created: Duration,
    sealed: Vec<u8>,
    application: SdkAppId,
}

struct Row {
    id: i64,
    name: String,
    settings: String,
    created_unix_ms: i64,
    changed_unix_ms: i64,
    revision: i64,
}

columns!(Row {
    id,
    name,
    settings,
    created_unix_ms,
    changed_unix_ms,
    revision
});

struct SecretRow {
    application_id: i64,
    purpose: String,
    slot: i64,
    sealed: Vec<u8>,
    created_unix_ms: i64,
}

columns!(SecretRow {
    application_id,
    purpose,
    slot,
    sealed,
    created_unix_ms
});

impl Purpose {
    pub const ALL: [Self; 3] = [Self::UserSig, Self::Callback, Self::Play];

    /// What a secret of this purpose is sealed for.
    pub(crate) fn place(self, application: SdkAppId, slot: Slot) -> String {
        format!("application/{application}/{}/{}", self.as_str(), slot.number())
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserSig => "user_sig",
            Self::Callback => "callback",
            Self::Play => "play",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text)
    }
}

impl Slot {
    fn number(self) -> i64 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }
}

impl SealedSecret {
    pub fn application(&self) -> SdkAppId {
        self.application
    }

    pub fn open(&self, key: &SealKey) -> Result<Vec<u8>, StoreError> {
        let place = self.purpose.place(self.application, self.slot);
        Ok(key.open(&place, &self.sealed)?)
    }
}

impl Store {
    pub async fn applications(&self) -> Result<Vec<ApplicationRow>, StoreError> {
        let rows = retried!(self, pool => {
            sqlx::query_as::<_, Row>(
                "SELECT id, name, settings, created_unix_ms, changed_unix_ms, revision FROM applications ORDER BY id",
            )
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter().map(Row::application).collect()
    }

    /// Errors: [`StoreError::Exists`].
    pub async fn create_application(
        &self,
        id: SdkAppId,
        name: &str,
        settings: &Value,
        now: Duration,
    ) -> Result<(), StoreError> {
        self.create_application_with(id, name, settings, &[], now).await
    }

    /// `sealed`: its first secrets.
    pub(crate) async fn create_application_with(
        &self,
        id: SdkAppId,
        name: &str,
        settings: &Value,
        sealed: &[(Purpose, Vec<u8>)],
        now: Duration,
    ) -> Result<(), StoreError> {
        let settings = settings.to_string();
        let created = retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            let created = sqlx::query(
                "INSERT INTO applications (id, name, settings, created_unix_ms, changed_unix_ms, revision) \
                 VALUES ($1, $2, $3, $4, $4, 1) ON CONFLICT (id) DO NOTHING",
            )
            .bind(i64::from(id.get()))
            .bind(name)
            .bind(&settings)
            .bind(millis(now))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            for (purpose, sealed) in sealed.iter().take(if created > 0 { sealed.len() } else { 0 }) {
                sqlx::query(
                    "INSERT INTO application_secrets (application_id, purpose, slot, sealed, created_unix_ms) \
                     VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(i64::from(id.get()))
                .bind(purpose.as_str())
                .bind(Slot::First.number())
                .bind(sealed)
                .bind(millis(now))
                .execute(&mut *transaction)
                .await?;
            }
            sqlx::query(APPLICATIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(created)
        })?;
        match created {
            0 => Err(StoreError::Exists(format!("application {id}"))),
            _ => Ok(()),
        }
    }

    /// Changes an application as it was at `revision`. Errors: [`StoreError::Changed`].
    pub async fn change_application(
        &self,
        id: SdkAppId,
        revision: i64,
        name: &str,
        settings: &Value,
        now: Duration,
    ) -> Result<(), StoreError> {
        let settings = settings.to_string();
        let changed = retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            let changed = sqlx::query(
                "UPDATE applications SET name = $1, settings = $2, changed_unix_ms = $3, revision = revision + 1 \
                 WHERE id = $4 AND revision = $5",
            )
            .bind(name)
            .bind(&settings)
            .bind(millis(now))
            .bind(i64::from(id.get()))
            .bind(revision)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            sqlx::query(APPLICATIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(changed)
        })?;
        match changed {
            0 => Err(StoreError::Changed(format!("application {id}"))),
            _ => Ok(()),
        }
    }

    /// Removes an application, its secrets and its API keys; false: there was none.
    pub async fn delete_application(&self, id: SdkAppId) -> Result<bool, StoreError> {
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            sqlx::query("DELETE FROM api_keys WHERE application_id = $1")
                .bind(i64::from(id.get()))
                .execute(&mut *transaction)
                .await?;
            let deleted = sqlx::query("DELETE FROM applications WHERE id = $1")
                .bind(i64::from(id.get()))
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            sqlx::query(APPLICATIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(deleted > 0)
        })
    }

    /// Grows with every change of an application, its secrets or an API key.
    pub async fn applications_revision(&self) -> Result<i64, StoreError> {
        let revision: Option<i64> = retried!(self, pool => {
            sqlx::query_scalar("SELECT revision FROM changes WHERE subject = 'applications'")
                .fetch_optional(pool)
                .await
        })?;
        Ok(revision.unwrap_or(0))
    }

    /// Puts a secret into a slot, whatever was there.
    pub async fn set_secret(
        &self,
        application: SdkAppId,
        purpose: Purpose,
        slot: Slot,
        secret: &[u8],
        key: &SealKey,
        now: Duration,
    ) -> Result<(), StoreError> {
        let sealed = key.seal(&purpose.place(application, slot), secret)?;
        let known = retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            let known = sqlx::query(
                "UPDATE applications SET changed_unix_ms = $1, revision = revision + 1 WHERE id = $2",
            )
            .bind(millis(now))
            .bind(i64::from(application.get()))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if known > 0 {
                sqlx::query(
                    "INSERT INTO application_secrets (application_id, purpose, slot, sealed, created_unix_ms) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (application_id, purpose, slot) \
                     DO UPDATE SET sealed = excluded.sealed, created_unix_ms = excluded.created_unix_ms",
                )
                .bind(i64::from(application.get()))
                .bind(purpose.as_str())
                .bind(slot.number())
                .bind(&sealed)
                .bind(millis(now))
                .execute(&mut *transaction)
                .await?;
            }
            sqlx::query(APPLICATIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(known)
        })?;
        match known {
            0 => Err(StoreError::Missing(format!("application {application}"))),
            _ => Ok(()),
        }
    }

    /// Empties a slot.
    pub async fn remove_secret(
        &self,
        application: SdkAppId,
        purpose: Purpose,
        slot: Slot,
        now: Duration,
    ) -> Result<(), StoreError> {
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            sqlx::query("UPDATE applications SET changed_unix_ms = $1, revision = revision + 1 WHERE id = $2")
                .bind(millis(now))
                .bind(i64::from(application.get()))
                .execute(&mut *transaction)
                .await?;
            sqlx::query("DELETE FROM application_secrets WHERE application_id = $1 AND purpose = $2 AND slot = $3")
                .bind(i64::from(application.get()))
                .bind(purpose.as_str())
                .bind(slot.number())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(APPLICATIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await
        })
    }

    /// The secrets of all applications.
    pub async fn secrets(&self) -> Result<Vec<SealedSecret>, StoreError> {
        let rows = retried!(self, pool => {
            sqlx::query_as::<_, SecretRow>(
                "SELECT application_id, purpose, slot, sealed, created_unix_ms FROM application_secrets \
                 ORDER BY application_id, purpose, slot",
            )
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter().map(SecretRow::secret).collect()
    }
}

/// Part of every transaction that changes an application, its secrets or an API key.
pub(crate) const APPLICATIONS_CHANGED: &str = "INSERT INTO changes (subject, revision) VALUES ('applications', 1) \
    ON CONFLICT (subject) DO UPDATE SET revision = changes.revision + 1";

impl Row {
    fn application(self) -> Result<ApplicationRow, StoreError> {
        let settings = serde_json::from_str(&self.settings).map_err(|error| StoreError::row("applications", error))?;
        Ok(ApplicationRow {
            id: application("applications", self.id)?,
            name: self.name,
            settings,
            created: Duration::from_millis(self.created_unix_ms.unsigned_abs()),
            changed: Duration::from_millis(self.changed_unix_ms.unsigned_abs()),
            revision: self.revision,
        })
    }
}

impl SecretRow {
    fn secret(self) -> Result<SealedSecret, StoreError> {
        let wrong = || StoreError::row("application_secrets", UnknownWord(self.purpose.clone()));
        Ok(SealedSecret {
            purpose: Purpose::parse(&self.purpose).ok_or_else(wrong)?,
            slot: if self.slot == 1 { Slot::First } else { Slot::Second },
            created: Duration::from_millis(self.created_unix_ms.unsigned_abs()),
            application: application("application_secrets", self.application_id)?,
            sealed: self.sealed,
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not known to this version")]
pub(crate) struct UnknownWord(pub String);
