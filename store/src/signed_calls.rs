//! Signed calls that have been carried out: a repeated one has no second effect.

use std::time::Duration;

use crate::StoreError;
use crate::callbacks::millis;
use crate::pool::{Store, retried};

/// What is known of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// It is the first one, and is known from now on.
    New,
    Seen {
        /// When the first one came.
        first: Duration,
        /// None: it has not been answered yet.
        answer: Option<String>,
    },
}

impl Store {
    /// `id`: of the call's signature. `until`: the signature is good for no longer. Forgets calls of which that has passed.
    pub async fn remember_call(&self, id: &str, now: Duration, until: Duration) -> Result<Remembered, StoreError> {
        let row: Option<(i64, Option<String>)> = retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            sqlx::query("DELETE FROM signed_calls WHERE until_unix_ms <= $1")
                .bind(millis(now))
                .execute(&mut *transaction)
                .await?;
            let new = sqlx::query(
                "INSERT INTO signed_calls (id, first_unix_ms, until_unix_ms, answer) VALUES ($1, $2, $3, NULL) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(id)
            .bind(millis(now))
            .bind(millis(until))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            let known = match new {
                0 => {
                    sqlx::query_as::<_, (i64, Option<String>)>("SELECT first_unix_ms, answer FROM signed_calls WHERE id = $1")
                        .bind(id)
                        .fetch_optional(&mut *transaction)
                        .await?
                }
                _ => None,
            };
            transaction.commit().await?;
            Ok(known)
        })?;
        Ok(match row {
            None => Remembered::New,
            Some((first, answer)) => Remembered::Seen {
                first: Duration::from_millis(first.unsigned_abs()),
                answer,
            },
        })
    }

    /// Keeps the answer of a remembered call.
    pub async fn answer_call(&self, id: &str, answer: &str) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query("UPDATE signed_calls SET answer = $1 WHERE id = $2")
                .bind(answer)
                .bind(id)
                .execute(pool)
                .await
                .map(|_done| ())
        })
    }
}
