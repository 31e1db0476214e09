//! History: the rooms, members and days of the last 14 days, from the journal.

mod call;
pub mod quality;
mod rooms;
mod scale;
mod users;

use std::time::Duration;

use rotunda_proto::config::Application;
use rotunda_store::StoreError;

use super::ApiError;
use super::request::required;

pub use rooms::{DescribeRoomInfo, RoomList, describe as describe_rooms};
pub use scale::{DescribeScaleInfo, ScaleList, describe as describe_scale};
pub use users::{
    CallDetail, DescribeCallDetailInfo, DescribeUserInfo, UserList, describe as describe_users, describe_call,
};

type Checked<T> = Result<T, ApiError>;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// Queries reach back for this time.
const REACH: u64 = 14 * DAY;
/// A query that was written exactly 14 days after its start may arrive a moment later.
const TOLERANCE: u64 = 60;
/// Most rows of a page.
const MOST_ROWS: u64 = 100;

/// The time that a query is about, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// `end_code`: of a wrong end. `longest`: seconds; None: any.
    fn checked(
        start: Option<u64>,
        end: Option<u64>,
        now: u64,
        end_code: &'static str,
        longest: Option<u64>,
    ) -> Checked<Self> {
        let start = required(start, "MissingParameter.StartTs", "StartTime")?;
        let end = required(end, "MissingParameter.EndTs", "EndTime")?;
        if start.saturating_add(REACH + TOLERANCE) < now {
            let message = format!("StartTime must be within the last 14 days, not {start}; it is {now} here");
            return Err(ApiError::new("InvalidParameter.StartTsOversize", message));
        }
        // Later times fit no clock, and would not fit the store's milliseconds.
        if start > now + 366 * DAY {
            let message = format!("StartTime must be Unix seconds, not {start}");
            return Err(ApiError::new("InvalidParameter.StartTs", message));
        }
        if end <= start {
            let message = format!("EndTime must be after StartTime, not {end}");
            return Err(ApiError::new(end_code, message));
        }
        if let Some(longest) = longest.filter(|longest| end - start > *longest) {
            let hours = longest / HOUR;
            let message = format!("EndTime must be at most {hours} hours after StartTime");
            return Err(ApiError::new("InvalidParameter.QueryScaleOversize", message));
        }
        let end = end.min(now + 367 * DAY);
        Ok(Self { start, end })
    }

    fn in_ms(self) -> (i64, i64) {
        ((self.start * 1000) as i64, (self.end * 1000 + 999) as i64)
    }
}

/// The rows that a query wants. Both fields must be there, or the default counts.
fn page(number: Option<u64>, size: Option<u64>, default: u64, most: u64) -> Checked<(i64, i64)> {
    let (Some(number), Some(size)) = (number, size) else {
        return Ok((0, default as i64));
    };
    if size == 0 {
        let message = format!("PageSize must be 1 to {most}, not 0");
        return Err(ApiError::new("InvalidParameter.PageSize", message));
    }
    if size > most {
        let message = format!("PageSize must be 1 to {most}, not {size}");
        return Err(ApiError::new("InvalidParameter.PageSizeOversize", message));
    }
    let offset = number.checked_mul(size).and_then(|offset| i64::try_from(offset).ok());
    let offset = offset.ok_or_else(|| {
        let message = format!("PageNumber must be a page, from 0 on, not {number}");
        ApiError::new("InvalidParameter.PageNumber", message)
    })?;
    Ok((offset, size as i64))
}

/// Errors: the key belongs to another application.
fn own(caller: &Application, app: Option<u64>) -> Checked<()> {
    let app = required(app, "MissingParameter.SdkAppId", "SdkAppId")?;
    match app == u64::from(caller.sdk_app_id.get()) {
        true => Ok(()),
        false => {
            let message = format!("SdkAppId must be the application of the key, not {app}");
            Err(ApiError::new("InvalidParameter.SdkAppId", message))
        }
    }
}

fn store(error: StoreError) -> ApiError {
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "answer a question about the past"
    );
    ApiError::new("InternalError.DBError", "the database does not answer; try again")
}

fn seconds(unix_ms: i64) -> u64 {
    Duration::from_millis(unix_ms.unsigned_abs()).as_secs()
}

#[cfg(test)]
mod tests;
