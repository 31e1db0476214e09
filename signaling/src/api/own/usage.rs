//! `DescribeUsage`: everything that is counted, by day.

use rotunda_proto::config::Application;
use rotunda_store::day_of;
use schemars::JsonSchema;
use serde::Serialize;

use super::Checked;
use crate::api::ApiError;
use crate::api::request::request;
use crate::api::usage::Days;
use crate::shared::Shared;

request! {
    /// Answers everything that is counted, by day (UTC): members' times in rooms, the most members of a minute, mixes and recordings
    /// by frame size. Mixes count here every five minutes and at their end.
    DescribeUsage {
        /// The first day: `YYYY-MM-DD`.
        start_time: Option<String> = "StartTime" ! "InvalidParameter",
        /// The last day, at most 31 days in all.
        end_time: Option<String> = "EndTime" ! "InvalidParameter",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UsageRows {
    pub rows: Vec<UsageRow>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UsageRow {
    /// `2026-11-25`
    pub day: String,
    /// What is counted: `_ms` at its end means milliseconds.
    pub measure: String,
    pub amount: i64,
}

pub async fn describe(shared: &Shared, caller: &Application, request: DescribeUsage) -> Checked<UsageRows> {
    let (wrong, start, end) = ("InvalidParameter", request.start_time, request.end_time);
    let days = Days::read(start.as_deref(), end.as_deref(), wrong, wrong)?;
    let (first, last) = (day_of(days.from), day_of(days.end - 1));
    let rows = shared
        .store
        .usage(caller.sdk_app_id, &first, &last)
        .await
        .map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "read the usage");
            ApiError::new("InternalError.DBError", "the database does not answer; try again")
        })?;
    let rows = rows.into_iter().map(|row| UsageRow {
        day: row.day,
        measure: row.class,
        amount: row.amount,
    });
    Ok(UsageRows { rows: rows.collect() })
}
