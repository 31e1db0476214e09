//! `DescribeScaleInfo`: how many members and rooms each day had.

use rotunda_proto::config::Application;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, DAY, Span, own, store};
use crate::api::request::request;
use crate::shared::Shared;

request! {
    /// Counts rooms, users and entries by day (UTC). Days that are not over are left out.
    DescribeScaleInfo {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// Unix seconds, within the last 14 days. The day that it is in is the first one.
        start_time: Option<u64> = "StartTime" ! "InvalidParameter.StartTs",
        /// Unix seconds, after the last day that is asked for.
        end_time: Option<u64> = "EndTime" ! "InvalidParameter.EndTs",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ScaleList {
    pub total: u64,
    /// A row for each day, oldest first.
    pub scale_list: Vec<ScaleInfo>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ScaleInfo {
    /// The start of the day, Unix seconds.
    pub time: u64,
    /// Users, each counted once in each room.
    pub user_number: u64,
    /// Entries into rooms.
    pub user_count: u64,
    pub room_numbers: u64,
}

pub async fn describe(
    shared: &Shared,
    caller: &Application,
    request: DescribeScaleInfo,
    now: u64,
) -> Checked<ScaleList> {
    own(caller, request.sdk_app_id)?;
    let end_code = "InvalidParameter.EndTs";
    let span = Span::checked(request.start_time, request.end_time, now, end_code, None)?;
    let days = span.start / DAY..span.end.min(now) / DAY;
    let in_ms = |day: u64| (day * DAY * 1000) as i64;
    let counted = shared
        .store
        .scale(caller.sdk_app_id, in_ms(days.start), in_ms(days.end))
        .await
        .map_err(store)?;
    let row = |day: u64| {
        let counted = counted.iter().find(|counted| counted.day == day as i64);
        let number = |number: i64| number.unsigned_abs();
        ScaleInfo {
            time: day * DAY,
            user_number: counted.map_or(0, |counted| number(counted.users)),
            user_count: counted.map_or(0, |counted| number(counted.entries)),
            room_numbers: counted.map_or(0, |counted| number(counted.rooms)),
        }
    };
    let scale_list: Vec<_> = days.map(row).collect();
    Ok(ScaleList {
        total: scale_list.len() as u64,
        scale_list,
    })
}
