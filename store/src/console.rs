//! The password of the operator console.

use std::time::Duration;

use crate::StoreError;
use crate::callbacks::millis;
use crate::password::PasswordHash;
use crate::pool::{Store, retried};

/// There is one person to sign in by a password.
const ADMIN: &str = "admin";

impl Store {
    /// None: nobody has made one yet.
    pub async fn console_password(&self) -> Result<Option<PasswordHash>, StoreError> {
        let found: Option<String> = retried!(self, pool => {
            sqlx::query_scalar("SELECT hash FROM console_passwords WHERE name = $1")
                .bind(ADMIN)
                .fetch_optional(pool)
                .await
        })?;
        Ok(found.map(PasswordHash::from_text))
    }

    /// Keeps the first password. False: there is one already, also when another node has just made it.
    pub async fn make_console_password(&self, hash: &PasswordHash, now: Duration) -> Result<bool, StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "INSERT INTO console_passwords (name, hash, changed_unix_ms) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
            )
            .bind(ADMIN)
            .bind(hash.as_str())
            .bind(millis(now))
            .execute(pool)
            .await
            .map(|done| done.rows_affected() > 0)
        })
    }

    /// Replaces the password.
    pub async fn set_console_password(&self, hash: &PasswordHash, now: Duration) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "INSERT INTO console_passwords (name, hash, changed_unix_ms) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, changed_unix_ms = excluded.changed_unix_ms",
            )
            .bind(ADMIN)
            .bind(hash.as_str())
            .bind(millis(now))
            .execute(pool)
            .await
            .map(|_| ())
        })
    }
}
