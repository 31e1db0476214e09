//! Ended calls, missed calls that no device knows of yet, and the profiles of users for calls.

use std::time::Duration;

use rotunda_proto::call::CallRecord;
use rotunda_proto::ids::{SdkAppId, UserId};

use crate::StoreError;
use crate::callbacks::millis;
use crate::pool::{Store, retried};
use crate::row::columns;

/// An ended call as rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedCall {
    application: SdkAppId,
    pub(crate) call_id: String,
    pub(crate) inviter: String,
    pub(crate) started_unix_ms: i64,
    pub(crate) ended_unix_ms: i64,
    /// JSON of the [`CallRecord`].
    pub(crate) record: String,
    pub(crate) users: Vec<String>,
    /// The users of whom no device knows of the call.
    pub(crate) missed_by: Vec<String>,
}

/// Which ended calls are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallQuery {
    /// Who was invited or has invited.
    pub user: Option<UserId>,
    /// The time of the end, milliseconds since 1970: from (included), to (included).
    pub from_unix_ms: Option<i64>,
    pub to_unix_ms: Option<i64>,
}

/// The profile of a user for calls. Empty texts: not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallProfile {
    pub user_id: String,
    pub nickname: String,
    pub avatar_url: String,
    pub bell_url: String,
}

columns!(CallProfile {
    user_id,
    nickname,
    avatar_url,
    bell_url
});

pub(crate) const ADD_CALL: &str = "INSERT INTO calls (application_id, call_id, inviter, ended_unix_ms, record) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (application_id, call_id) DO NOTHING";
pub(crate) const ADD_CALL_PARTY: &str = "INSERT INTO call_parties (application_id, user_id, ended_unix_ms, call_id) \
     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
pub(crate) const ADD_MISSED_CALL: &str = "INSERT INTO missed_calls (application_id, user_id, call_id, at_unix_ms, call) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

impl EndedCall {
    pub fn new(application: SdkAppId, call: &CallRecord) -> Self {
        let users = call.parties.iter().map(|party| party.user.to_string()).collect();
        let missed = call.parties.iter().filter(|party| party.missed);
        Self {
            application,
            call_id: call.call.to_string(),
            inviter: call.inviter.to_string(),
            started_unix_ms: call.started_unix_ms as i64,
            ended_unix_ms: call.ended_unix_ms as i64,
            // These types are always JSON.
            record: serde_json::to_string(call).unwrap_or_default(),
            users,
            missed_by: missed.map(|party| party.user.to_string()).collect(),
        }
    }

    pub(crate) fn application(&self) -> i64 {
        self.application.get().into()
    }
}

impl Store {
    /// A page of an application's ended calls, newest first, and how many there are in all.
    pub async fn ended_calls(
        &self,
        application: SdkAppId,
        query: &CallQuery,
        offset: i64,
        most: i64,
    ) -> Result<(Vec<CallRecord>, i64), StoreError> {
        let (from, to) = (query.from_unix_ms.unwrap_or(0), query.to_unix_ms.unwrap_or(i64::MAX));
        let application = i64::from(application.get());
        let (rows, total) = retried!(self, pool => {
            match &query.user {
                None => {
                    let total: i64 = sqlx::query_scalar(
                        "SELECT COUNT(*) FROM calls WHERE application_id = $1 AND ended_unix_ms >= $2 AND ended_unix_ms <= $3",
                    )
                    .bind(application)
                    .bind(from)
                    .bind(to)
                    .fetch_one(pool)
                    .await?;
                    let rows: Vec<String> = sqlx::query_scalar(
                        "SELECT record FROM calls WHERE application_id = $1 AND ended_unix_ms >= $2 AND ended_unix_ms <= $3 \
                         ORDER BY ended_unix_ms DESC, call_id DESC LIMIT $4 OFFSET $5",
                    )
                    .bind(application)
                    .bind(from)
                    .bind(to)
                    .bind(most)
                    .bind(offset)
                    .fetch_all(pool)
                    .await?;
                    Ok((rows, total))
                }
                Some(user) => {
                    let total: i64 = sqlx::query_scalar(
                        "SELECT COUNT(*) FROM call_parties WHERE application_id = $1 AND user_id = $2 \
                         AND ended_unix_ms >= $3 AND ended_unix_ms <= $4",
                    )
                    .bind(application)
                    .bind(user.as_str())
                    .bind(from)
                    .bind(to)
                    .fetch_one(pool)
                    .await?;
                    let rows: Vec<String> = sqlx::query_scalar(
                        "SELECT calls.record FROM call_parties JOIN calls \
                         ON calls.application_id = call_parties.application_id AND calls.call_id = call_parties.call_id \
                         WHERE call_parties.application_id = $1 AND call_parties.user_id = $2 \
                         AND call_parties.ended_unix_ms >= $3 AND call_parties.ended_unix_ms <= $4 \
                         ORDER BY call_parties.ended_unix_ms DESC, call_parties.call_id DESC LIMIT $5 OFFSET $6",
                    )
                    .bind(application)
                    .bind(user.as_str())
                    .bind(from)
                    .bind(to)
                    .bind(most)
                    .bind(offset)
                    .fetch_all(pool)
                    .await?;
                    Ok((rows, total))
                }
            }
        })?;
        Ok((records("calls", &rows)?, total))
    }

    /// A user's missed calls, newest first.
    pub async fn missed_calls(
        &self,
        application: SdkAppId,
        user: &UserId,
        most: u32,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let rows: Vec<String> = retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT call FROM missed_calls WHERE application_id = $1 AND user_id = $2 \
                 ORDER BY at_unix_ms DESC, call_id LIMIT $3",
            )
            .bind(i64::from(application.get()))
            .bind(user.as_str())
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })?;
        records("missed_calls", &rows)
    }

    /// Forgets a user's missed calls up to one that began at that time, because a device of theirs knows of them.
    pub async fn forget_missed_calls(
        &self,
        application: SdkAppId,
        user: &UserId,
        through_unix_ms: u64,
    ) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM missed_calls WHERE application_id = $1 AND user_id = $2 AND at_unix_ms <= $3")
                .bind(i64::from(application.get()))
                .bind(user.as_str())
                .bind(through_unix_ms as i64)
                .execute(pool)
                .await
                .map(|_| ())
        })
    }

    /// Removes ended and missed calls that are older than that time.
    pub async fn prune_calls(&self, before: Duration) -> Result<u64, StoreError> {
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            let mut removed = 0;
            for statement in [
                "DELETE FROM calls WHERE ended_unix_ms < $1",
                "DELETE FROM call_parties WHERE ended_unix_ms < $1",
                "DELETE FROM missed_calls WHERE at_unix_ms < $1",
            ] {
                let done = sqlx::query(statement).bind(millis(before)).execute(&mut *transaction).await?;
                removed += done.rows_affected();
            }
            transaction.commit().await?;
            Ok(removed)
        })
    }

    /// Keeps a user's profile, in the place of an earlier one.
    pub async fn put_call_profile(&self, application: SdkAppId, profile: &CallProfile) -> Result<(), StoreError> {
        retried!(self, pool => {
            sqlx::query(
                "INSERT INTO call_profiles (application_id, user_id, nickname, avatar_url, bell_url) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (application_id, user_id) DO UPDATE SET \
                 nickname = excluded.nickname, avatar_url = excluded.avatar_url, bell_url = excluded.bell_url",
            )
            .bind(i64::from(application.get()))
            .bind(&profile.user_id)
            .bind(&profile.nickname)
            .bind(&profile.avatar_url)
            .bind(&profile.bell_url)
            .execute(pool)
            .await
            .map(|_| ())
        })
    }

    /// The profiles of those of these users who have one.
    pub async fn call_profiles(&self, application: SdkAppId, users: &[UserId]) -> Result<Vec<CallProfile>, StoreError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        retried!(self, pool => {
            let mut query = sqlx::QueryBuilder::new(
                "SELECT user_id, nickname, avatar_url, bell_url FROM call_profiles WHERE application_id = ",
            );
            query.push_bind(i64::from(application.get()));
            query.push(" AND user_id IN (");
            let mut list = query.separated(", ");
            for user in users {
                list.push_bind(user.to_string());
            }
            query.push(") ORDER BY user_id");
            query.build_query_as::<CallProfile>().fetch_all(pool).await
        })
    }
}

fn records(table: &'static str, rows: &[String]) -> Result<Vec<CallRecord>, StoreError> {
    let parsed = rows.iter().map(|row| serde_json::from_str(row));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::row(table, error))
}
