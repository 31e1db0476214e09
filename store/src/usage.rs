//! Usage: amounts per application, day and class, and times also in steps of five minutes.

use std::collections::BTreeMap;

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

/// Milliseconds of a step of [`UsagePoint`].
pub const POINT_MS: u64 = 300_000;
const DAY_MS: u64 = 86_400_000;

/// Time that counts, from one moment to another, milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSpan {
    pub application: SdkAppId,
    pub class: String,
    pub from_unix_ms: u64,
    pub to_unix_ms: u64,
}

/// The time of a class in a step of five minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePoint {
    /// Steps of [`POINT_MS`] since 1970.
    pub point: i64,
    pub class: String,
    /// Milliseconds.
    pub amount: i64,
}

columns!(UsagePoint { point, class, amount });

/// A step in the life of something whose time counts while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterStep {
    /// The same for all steps of one thing.
    pub subject: String,
    pub application: SdkAppId,
    pub at_unix_ms: u64,
    pub what: MeterChange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeterChange {
    /// Its time counts from now on. A second beginning changes nothing.
    Begin {
        class: String,
    },
    /// What has passed is counted; the rest counts for this class. It begins nothing.
    Count {
        class: String,
    },
    End,
}

/// Something that runs: its time since then is not in the totals yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningMeter {
    pub subject: String,
    pub class: String,
    pub since_unix_ms: i64,
}

columns!(RunningMeter {
    subject,
    class,
    since_unix_ms
});

impl UsageSpan {
    /// Its milliseconds in each step of `step_ms` since 1970.
    pub fn steps(&self, step_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let (mut from, to) = (self.from_unix_ms, self.to_unix_ms);
        std::iter::from_fn(move || {
            if from >= to {
                return None;
            }
            let step = from / step_ms;
            let until = to.min((step + 1) * step_ms);
            let amount = until - from;
            from = until;
            Some((step, amount))
        })
    }
}

/// `2026-11-25`, in UTC.
pub fn day_of(unix_ms: u64) -> String {
    // Civil from days: Howard Hinnant's algorithm, for years from 1970 on.
    let days = unix_ms / DAY_MS + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The sums of a batch, so that a transaction changes each row once.
#[derive(Default)]
pub(crate) struct Totals {
    pub days: BTreeMap<(i64, String, String), i64>,
    pub points: BTreeMap<(i64, i64, String), i64>,
}

impl Totals {
    pub fn add_row(&mut self, row: &UsageRow) {
        let key = (row.application_id, row.day.clone(), row.class.clone());
        let sum = self.days.entry(key).or_default();
        *sum = sum.saturating_add(row.amount);
    }

    /// Time counts on the day on which it passes.
    pub fn add_span(&mut self, span: &UsageSpan) {
        let application = i64::from(span.application.get());
        for (day, amount) in span.steps(DAY_MS) {
            self.add_row(&UsageRow {
                application_id: application,
                day: day_of(day * DAY_MS),
                class: span.class.clone(),
                amount: amount as i64,
            });
        }
        for (point, amount) in span.steps(POINT_MS) {
            let sum = self.points.entry((application, point as i64, span.class.clone()));
            *sum.or_default() += amount as i64;
        }
    }
}

pub(crate) const ADD_POINT: &str = "INSERT INTO usage_points (application_id, point, class, amount) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (application_id, point, class) \
    DO UPDATE SET amount = usage_points.amount + excluded.amount";

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

    /// The times from one step of five minutes to another, the last one not included.
    pub async fn usage_points(
        &self,
        application: SdkAppId,
        first: i64,
        end: i64,
    ) -> Result<Vec<UsagePoint>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, UsagePoint>(
                "SELECT point, class, amount FROM usage_points \
                 WHERE application_id = $1 AND point >= $2 AND point < $3 ORDER BY point, class",
            )
            .bind(i64::from(application.get()))
            .bind(first)
            .bind(end)
            .fetch_all(pool)
            .await
        })
    }

    /// Removes the steps before that one. The sums of their days stay.
    pub async fn prune_usage_points(&self, before: i64) -> Result<u64, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM usage_points WHERE point < $1")
                .bind(before)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })
    }

    /// What runs, with the time from which on it is not in the totals yet.
    pub async fn running_meters(&self, application: SdkAppId) -> Result<Vec<RunningMeter>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, RunningMeter>(
                "SELECT subject, class, since_unix_ms FROM usage_meters WHERE application_id = $1 ORDER BY subject",
            )
            .bind(i64::from(application.get()))
            .fetch_all(pool)
            .await
        })
    }

    /// Forgets what has been silent since then: it ended with the whole cluster, and nobody could tell it.
    pub async fn prune_meters(&self, silent_since: std::time::Duration) -> Result<u64, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM usage_meters WHERE since_unix_ms < $1")
                .bind(crate::callbacks::millis(silent_since))
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_that_of_the_calendar() {
        assert_eq!(day_of(0), "1970-01-01");
        assert_eq!(day_of(951_782_400_000), "2000-02-29");
        assert_eq!(day_of(1_764_028_799_999), "2025-11-24");
        assert_eq!(day_of(1_764_028_800_000), "2025-11-25");
        assert_eq!(day_of(4_107_542_400_000), "2100-03-01");
    }

    #[test]
    fn a_span_is_split_where_a_step_ends() {
        let span = UsageSpan {
            application: 7.try_into().unwrap(),
            class: "mix_hd_ms".to_owned(),
            from_unix_ms: POINT_MS - 1000,
            to_unix_ms: 2 * POINT_MS + 1,
        };
        let steps: Vec<_> = span.steps(POINT_MS).collect();
        assert_eq!(steps, [(0, 1000), (1, POINT_MS), (2, 1)]);
        let nothing = UsageSpan { to_unix_ms: 0, ..span };
        assert_eq!(nothing.steps(POINT_MS).count(), 0);
    }
}
