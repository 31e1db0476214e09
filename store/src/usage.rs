//! Usage: amounts per application, day and class.

use rotunda_proto::ids::SdkAppId;

use crate::StoreError;
use crate::pool::{Store, retried};
use crate::row::columns;

/// An amount of a day, or what is to be added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    pub application_id: i64,
    /// As in `2026-11-25`.
    pub day: String,
    /// The measure, with its unit: `audio_seconds`, `video_hd_seconds`, `record_seconds` ...
    pub class: String,
    pub amount: i64,
}

columns!(UsageRow {
    application_id,
    day,
    class,
    amount
});

impl UsageRow {
    pub fn new(application: SdkAppId, day: impl Into<String>, class: impl Into<String>, amount: i64) -> Self {
        Self {
            application_id: application.get().into(),
            day: day.into(),
            class: class.into(),
            amount,
        }
    }
}

pub(crate) const ADD_USAGE: &str = "INSERT INTO usage_totals (application_id, day, class, amount) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (application_id, day, class) \
    DO UPDATE SET amount = usage_totals.amount + excluded.amount";

/// The most members of a room who were present on one node in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentMembers {
    pub application: SdkAppId,
    /// As in `2026-11-25`.
    pub day: String,
    /// Minutes since 1970.
    pub minute: i64,
    /// The measure: `members_peak` ...
    pub class: String,
    /// The room and node. The members of all places are summed.
    pub place: String,
    pub members: i64,
}

/// A node that was restarted tells a minute twice; the larger number counts.
pub(crate) const SET_PRESENT: &str = "INSERT INTO present_members (application_id, minute, class, place, members) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (application_id, minute, class, place) DO UPDATE SET members = \
    CASE WHEN present_members.members > excluded.members THEN present_members.members ELSE excluded.members END";

pub(crate) const SUM_PRESENT: &str = "SELECT CAST(SUM(members) AS BIGINT) FROM present_members \
    WHERE application_id = $1 AND minute = $2 AND class = $3";

pub(crate) const RAISE_PEAK: &str = "INSERT INTO usage_totals (application_id, day, class, amount) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (application_id, day, class) DO UPDATE SET amount = \
    CASE WHEN usage_totals.amount > excluded.amount THEN usage_totals.amount ELSE excluded.amount END";

impl Store {
    /// Removes the sums of minutes before that one. The peaks of their days stay.
    pub async fn prune_present_members(&self, before_minute: i64) -> Result<u64, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM present_members WHERE minute < $1")
                .bind(before_minute)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })
    }

    /// The usage from `first` to `last`, both included, by day and class.
    pub async fn usage(&self, application: SdkAppId, first: &str, last: &str) -> Result<Vec<UsageRow>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, UsageRow>(
                "SELECT application_id, day, class, amount FROM usage_totals \
                 WHERE application_id = $1 AND day >= $2 AND day <= $3 ORDER BY day, class",
            )
            .bind(i64::from(application.get()))
            .bind(first)
            .bind(last)
            .fetch_all(pool)
            .await
        })
    }
}
