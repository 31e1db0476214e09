//! The outbox: callbacks that wait for their receivers. Nodes claim rows for a time, so that each is delivered by one of them.

use std::time::Duration;

use rotunda_proto::ids::SdkAppId;

use crate::StoreError;
use crate::pool::{Store, retried};
use crate::row::columns;

/// A callback on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCallback {
    /// Made from what it tells, so that telling twice makes one row.
    pub id: String,
    pub application: SdkAppId,
    /// Callbacks of one room are delivered one after the other, by `sequence`.
    pub room: String,
    pub sequence: i64,
    pub url: String,
    pub body: String,
    pub created: Duration,
}

/// A callback to deliver, claimed for this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    pub id: String,
    pub room: String,
    pub url: String,
    pub sdk_app_id: i64,
    pub body: String,
    /// Before this one.
    pub attempts: i64,
}

columns!(Callback {
    id,
    room,
    url,
    sdk_app_id,
    body,
    attempts
});

impl Callback {
    pub fn application(&self) -> Option<SdkAppId> {
        u32::try_from(self.sdk_app_id).ok()?.try_into().ok()
    }
}

/// A callback as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackInfo {
    pub id: String,
    pub room: String,
    pub url: String,
    pub body: String,
    pub sdk_app_id: i64,
    /// `waiting`, `delivered` or `failed`
    pub state: String,
    pub attempts: i64,
    pub created_unix_ms: i64,
    pub next_attempt_unix_ms: i64,
    pub last_error: Option<String>,
}

columns!(CallbackInfo {
    id,
    room,
    url,
    body,
    sdk_app_id,
    state,
    attempts,
    created_unix_ms,
    next_attempt_unix_ms,
    last_error
});

/// How a delivery went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    Delivered,
    Again { at: Duration, error: String },
    GivenUp { error: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackState {
    Waiting,
    Delivered,
    Failed,
}

impl CallbackState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// Of one look at the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Rows for this node.
    pub rows: u32,
    /// Deliveries of one application under way at one time, on all nodes: a slow receiver takes no more places.
    pub of_application: u32,
    /// A claim runs out after this time: its node has died.
    pub hold: Duration,
}

impl Store {
    /// Takes a callback in; one that is there already is left alone.
    pub async fn add_callback(&self, callback: &NewCallback) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query(INSERT_CALLBACK)
                .bind(&callback.id)
                .bind(&callback.room)
                .bind(&callback.url)
                .bind(i64::from(callback.application.get()))
                .bind(&callback.body)
                .bind(millis(callback.created))
                .bind(callback.sequence)
                .execute(pool)
                .await
                .map(|_| ())
        })
    }

    /// The next rows that are due, claimed for `node`: of each room the oldest, and of the applications in turn.
    pub async fn claim_callbacks(
        &self,
        node: &str,
        now: Duration,
        limits: ClaimLimits,
    ) -> Result<Vec<Callback>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, Callback>(
                "UPDATE callback_outbox SET claimed_by = $1, claimed_until_unix_ms = $2 \
                 WHERE id IN (SELECT id FROM (\
                     SELECT o.id, \
                         ROW_NUMBER() OVER (PARTITION BY o.sdk_app_id \
                             ORDER BY o.next_attempt_unix_ms, o.sequence, o.id) AS place, \
                         (SELECT COUNT(*) FROM callback_outbox b WHERE b.state = 'waiting' \
                             AND b.sdk_app_id = o.sdk_app_id AND b.claimed_until_unix_ms > $3) AS busy \
                     FROM callback_outbox o \
                     WHERE o.state = 'waiting' AND o.next_attempt_unix_ms <= $3 AND o.claimed_until_unix_ms <= $3 \
                     AND NOT EXISTS (SELECT 1 FROM callback_outbox e WHERE e.state = 'waiting' \
                         AND e.sdk_app_id = o.sdk_app_id AND e.room = o.room AND (e.sequence < o.sequence \
                             OR (e.sequence = o.sequence AND e.created_unix_ms < o.created_unix_ms) \
                             OR (e.sequence = o.sequence AND e.created_unix_ms = o.created_unix_ms AND e.id < o.id)))\
                 ) ranked WHERE place + busy <= $4 ORDER BY place, id LIMIT $5) \
                 AND state = 'waiting' AND claimed_until_unix_ms <= $3 \
                 RETURNING id, room, url, sdk_app_id, body, attempts",
            )
            .bind(node)
            .bind(millis(now + limits.hold))
            .bind(millis(now))
            .bind(i64::from(limits.of_application))
            .bind(i64::from(limits.rows))
            .fetch_all(pool)
            .await
        })
    }

    /// Writes down how a delivery went, unless the claim has run out and another node has the row.
    pub async fn settle_callback(&self, node: &str, callback: &Callback, how: &Settled) -> Result<(), StoreError> {
        let (state, next, error) = match how {
            Settled::Delivered => (CallbackState::Delivered, 0, None),
            Settled::Again { at, error } => (CallbackState::Waiting, millis(*at), Some(error)),
            Settled::GivenUp { error } => (CallbackState::Failed, 0, Some(error)),
        };
        retried!(self, pool => {
            sqlx::query(
                "UPDATE callback_outbox SET state = $1, attempts = $2, next_attempt_unix_ms = $3, last_error = $4, \
                 claimed_by = NULL, claimed_until_unix_ms = 0 WHERE id = $5 AND claimed_by = $6",
            )
            .bind(state.as_str())
            .bind(callback.attempts + 1)
            .bind(next)
            .bind(error)
            .bind(&callback.id)
            .bind(node)
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    /// The newest rows, newest first.
    pub async fn newest_callbacks(&self, most: u32) -> Result<Vec<CallbackInfo>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, CallbackInfo>(
                "SELECT id, room, url, body, sdk_app_id, state, attempts, created_unix_ms, next_attempt_unix_ms, last_error \
                 FROM callback_outbox ORDER BY created_unix_ms DESC, sequence DESC, id LIMIT $1",
            )
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })
    }

    /// How many rows are in that state.
    pub async fn count_callbacks(&self, state: CallbackState) -> Result<u64, StoreError> {
        let count: i64 = retried!(self, pool => {
            sqlx::query_scalar("SELECT COUNT(*) FROM callback_outbox WHERE state = $1")
                .bind(state.as_str())
                .fetch_one(pool)
                .await
        })?;
        Ok(count.unsigned_abs())
    }

    /// Delivers a row once more that was delivered or given up.
    pub async fn replay_callback(&self, id: &str, now: Duration) -> Result<(), StoreError> {
        let replayed = retried!(self, pool => {
            sqlx::query(
                "UPDATE callback_outbox SET state = 'waiting', attempts = 0, next_attempt_unix_ms = $1 \
                 WHERE id = $2 AND state <> 'waiting'",
            )
            .bind(millis(now))
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        match replayed {
            0 => Err(StoreError::Missing(format!(
                "callback {id} that was delivered or given up"
            ))),
            _ => Ok(()),
        }
    }

    /// An application's rows, newest first, and how many there are. `state`: None: all.
    pub async fn callbacks_of(
        &self,
        application: SdkAppId,
        state: Option<CallbackState>,
        offset: i64,
        most: i64,
    ) -> Result<(Vec<CallbackInfo>, i64), StoreError> {
        let state = state.map_or("", CallbackState::as_str);
        retried!(self, pool => {
            let total: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM callback_outbox WHERE sdk_app_id = $1 AND ($2 = '' OR state = $2)",
            )
            .bind(i64::from(application.get()))
            .bind(state)
            .fetch_one(pool)
            .await?;
            let rows = sqlx::query_as::<_, CallbackInfo>(
                "SELECT id, room, url, body, sdk_app_id, state, attempts, created_unix_ms, next_attempt_unix_ms, last_error \
                 FROM callback_outbox WHERE sdk_app_id = $1 AND ($2 = '' OR state = $2) \
                 ORDER BY created_unix_ms DESC, sequence DESC, id LIMIT $3 OFFSET $4",
            )
            .bind(i64::from(application.get()))
            .bind(state)
            .bind(most)
            .bind(offset)
            .fetch_all(pool)
            .await?;
            Ok((rows, total))
        })
    }

    /// Delivers an application's row once more that was delivered or given up; answers whether there is one.
    pub async fn replay_callback_of(&self, application: SdkAppId, id: &str, now: Duration) -> Result<bool, StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "UPDATE callback_outbox SET state = 'waiting', attempts = 0, next_attempt_unix_ms = $1 \
                 WHERE id = $2 AND sdk_app_id = $3 AND state <> 'waiting'",
            )
            .bind(millis(now))
            .bind(id)
            .bind(i64::from(application.get()))
            .execute(pool)
            .await
            .map(|done| done.rows_affected() > 0)
        })
    }

    /// Removes what was delivered or given up and made before that time.
    pub async fn prune_callbacks(&self, before: Duration) -> Result<u64, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM callback_outbox WHERE state <> 'waiting' AND created_unix_ms < $1")
                .bind(millis(before))
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })
    }
}

pub(crate) const INSERT_CALLBACK: &str = "INSERT INTO callback_outbox \
    (id, room, url, sdk_app_id, body, created_unix_ms, next_attempt_unix_ms, sequence) \
    VALUES ($1, $2, $3, $4, $5, $6, $6, $7) ON CONFLICT (id) DO NOTHING";

/// As the tables hold times.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
