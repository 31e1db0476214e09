//! `DescribeUserInfo` and `DescribeCallDetailInfo`: the members of a call.

use std::collections::{HashMap, HashSet};

use rotunda_events::{Fact, What};
use rotunda_proto::config::Application;
use rotunda_proto::ids::{MembershipId, RoomKey, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use super::call::{CommId, room_number};
use super::quality;
use super::rooms::end_of;
use super::{Checked, HOUR, MOST_ROWS, Span, own, page, seconds, store};
use crate::api::ApiError;
use crate::api::request::{request, required};
use crate::shared::Shared;

/// Rows without paging, and the most users whose quality one call answers.
const ROWS: u64 = 6;
/// Longest time of a query of users, and of one with `DataType`.
const LONGEST: u64 = 4 * HOUR;
/// Rooms that are made in one second.
const MOST_ROOMS: i64 = 10_000;

const DATA_TYPES: [&str; 17] = [
    "appCpu",
    "sysCpu",
    "aBit",
    "bigvBit",
    "aBlock",
    "bigvBlock",
    "bigvCapFps",
    "bigvEncFps",
    "bigvDecFps",
    "bigvRecFps",
    "aLoss",
    "bigvLoss",
    "bigvWidth",
    "bigvHeight",
    "aCapEnergy",
    "aPlayEnergy",
    "rtt",
];

request! {
    /// Lists the members of a call: a row for each time that a user was in the room.
    DescribeUserInfo {
        /// The id of the call, as `DescribeRoomInfo` answers it.
        comm_id: Option<String> = "CommId" ! "InvalidParameter",
        /// Unix seconds, within the last 14 days.
        start_time: Option<u64> = "StartTime" ! "InvalidParameter.StartTs",
        /// Unix seconds, at most 4 hours after `StartTime`.
        end_time: Option<u64> = "EndTime" ! "InvalidParameter",
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// Only these users, at most 100.
        user_ids: Vec<String> = "UserIds" ? "InvalidParameter",
        /// From 0 on. Without `PageSize` it has no effect.
        page_number: Option<u64> = "PageNumber" ? "InvalidParameter.PageNumber",
        /// 1 to 100, default 6. Without `PageNumber` it has no effect.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

request! {
    /// Lists the members of a call, with `DataType` also the quality of their media in the last 4 hours, every 10 seconds.
    DescribeCallDetailInfo {
        /// The id of the call, as `DescribeRoomInfo` answers it.
        comm_id: Option<String> = "CommId" ! "InvalidParameter",
        /// Unix seconds, within the last 14 days.
        start_time: Option<u64> = "StartTime" ! "InvalidParameter.StartTs",
        /// Unix seconds, at most 4 hours after `StartTime`.
        end_time: Option<u64> = "EndTime" ! "InvalidParameter",
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// Only these users: at most 100, with `DataType` at most 6.
        user_ids: Vec<String> = "UserIds" ? "InvalidParameter",
        /// Measures, or `all`. There are values of `rtt`, `aBit`, `bigvBit`, `aLoss`, `bigvLoss`, `bigvHeight` and `bigvEncFps`, of what the member sends.
        data_type: Vec<String> = "DataType" ? "InvalidParameter",
        /// From 0 on. Without `PageSize` it has no effect.
        page_number: Option<u64> = "PageNumber" ? "InvalidParameter.PageNumber",
        /// 1 to 100, with `DataType` 1 to 6, default 6. Without `PageNumber` it has no effect.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UserList {
    /// Rows of all pages.
    pub total: u64,
    pub user_list: Vec<UserInformation>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CallDetail {
    /// Rows of all pages.
    pub total: u64,
    pub user_list: Vec<UserInformation>,
    /// A series for each user and measure; empty without `DataType`.
    pub data: Vec<QualityData>,
}

/// A time of a user in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UserInformation {
    pub room_str: String,
    pub user_id: String,
    /// Unix seconds.
    pub join_ts: u64,
    /// Unix seconds; of a user who is in the room: now.
    pub leave_ts: u64,
    /// Always empty: clients do not tell it.
    pub device_type: String,
    /// Always empty: clients do not tell it.
    pub sdk_version: String,
    /// Always empty: the server does not keep addresses of users.
    pub client_ip: String,
    pub finished: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct QualityData {
    pub content: Vec<TimeValue>,
    pub user_id: String,
    /// Always empty: the series are of what the user sends.
    pub peer_id: String,
    pub data_type: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TimeValue {
    /// Unix seconds.
    pub time: u64,
    pub value: f64,
}

/// What both actions ask for.
struct Question {
    call: CommId,
    span: Span,
    users: Vec<String>,
    rows: (i64, i64),
}

pub async fn describe(shared: &Shared, caller: &Application, request: DescribeUserInfo, now: u64) -> Checked<UserList> {
    own(caller, request.sdk_app_id)?;
    let question = Question {
        call: call(request.comm_id)?,
        span: Span::checked(
            request.start_time,
            request.end_time,
            now,
            "InvalidParameter",
            Some(LONGEST),
        )?,
        users: users(request.user_ids, MOST_ROWS as usize)?,
        rows: page(request.page_number, request.page_size, ROWS, MOST_ROWS)?,
    };
    let Answer { total, user_list, .. } = answer(shared, caller, question, now).await?;
    Ok(UserList { total, user_list })
}

pub async fn describe_call(
    shared: &Shared,
    caller: &Application,
    request: DescribeCallDetailInfo,
    now: u64,
) -> Checked<CallDetail> {
    own(caller, request.sdk_app_id)?;
    let known = |name: &String| name == "all" || DATA_TYPES.contains(&name.as_str());
    if let Some(unknown) = request.data_type.iter().find(|name| !known(name)) {
        let unknown = rotunda_proto::ids::shortened(unknown);
        let message = format!(
            "DataType must be all or some of {}, not {unknown}",
            DATA_TYPES.join(", ")
        );
        return Err(ApiError::new("InvalidParameter", message));
    }
    let has_data = !request.data_type.is_empty();
    if has_data && request.user_ids.len() > ROWS as usize {
        let message = format!("UserIds may have at most {ROWS} users with DataType");
        return Err(ApiError::new("InvalidParameter.UserIdsMorethanSix", message));
    }
    let most = if has_data { ROWS } else { MOST_ROWS };
    let question = Question {
        call: call(request.comm_id)?,
        span: Span::checked(
            request.start_time,
            request.end_time,
            now,
            "InvalidParameter",
            Some(LONGEST),
        )?,
        users: users(request.user_ids, MOST_ROWS as usize)?,
        rows: page(request.page_number, request.page_size, ROWS, most)?,
    };
    let span = question.span;
    let Answer {
        total,
        user_list,
        rooms,
    } = answer(shared, caller, question, now).await?;
    let data = match has_data {
        true => {
            let mut users: Vec<UserId> = user_list.iter().filter_map(|user| user.user_id.parse().ok()).collect();
            users.sort();
            users.dedup();
            let question = quality::Question {
                rooms,
                users,
                start: span.start,
                end: span.end,
            };
            quality::series(shared, &question, &request.data_type).await
        }
        false => Vec::new(),
    };
    Ok(CallDetail { total, user_list, data })
}

fn call(id: Option<String>) -> Checked<CommId> {
    let id = required(id, "MissingParameter.CommId", "CommId")?;
    id.parse().map_err(|_| {
        let id = rotunda_proto::ids::shortened(&id);
        let message = format!("CommId must be one that DescribeRoomInfo has answered, not {id}");
        ApiError::new("InvalidParameter", message)
    })
}

fn users(users: Vec<String>, most: usize) -> Checked<Vec<String>> {
    match users.len() > most {
        false => Ok(users),
        true => {
            let message = format!("UserIds may have at most {most} users, not {}", users.len());
            Err(ApiError::new("InvalidParameter", message))
        }
    }
}

/// The rows of the wanted page, and how many there are in all.
struct Answer {
    total: u64,
    user_list: Vec<UserInformation>,
    /// Those that the id of the call may mean.
    rooms: Vec<RoomKey>,
}

/// An unknown call has no rows.
async fn answer(shared: &Shared, caller: &Application, question: Question, now: u64) -> Checked<Answer> {
    let app = caller.sdk_app_id;
    let Question {
        call,
        span,
        users,
        rows,
    } = question;
    let (mut all, mut rooms) = (Vec::new(), Vec::new());
    if call.app == u64::from(app.get()) && call.created <= now {
        let first = (call.created * 1000) as i64;
        let made = shared
            .store
            .room_lives_made_within(app, (first, first + 999), MOST_ROOMS);
        for life in made.await.map_err(store)? {
            let Some(room) = RoomKey::from_token(&life.room).filter(|room| room_number(room) == call.room) else {
                continue;
            };
            let ended = end_of(shared, &room, &life).await?;
            let until = ended.unwrap_or(now as i64 * 1000 + 999);
            let entries = shared
                .store
                .room_attendance(app, &life.room, life.created_unix_ms, until);
            let facts = entries.await.map_err(store)?;
            let facts = facts.iter().filter_map(|fact| serde_json::from_str(fact).ok());
            all.extend(stays(facts, &room, (life.created_unix_ms, ended), now));
            rooms.push(room);
        }
    }
    let wanted: HashSet<&str> = users.iter().map(String::as_str).collect();
    all.retain(|stay| {
        let is_wanted = wanted.is_empty() || wanted.contains(stay.user_id.as_str());
        is_wanted && stay.join_ts <= span.end && stay.leave_ts >= span.start
    });
    let total = all.len() as u64;
    let page = all.into_iter().skip(rows.0 as usize).take(rows.1 as usize);
    Ok(Answer {
        total,
        user_list: page.collect(),
        rooms,
    })
}

/// The times of members in a room that existed from one moment to another (None: it exists), in the order of entering.
fn stays(
    facts: impl Iterator<Item = Fact>,
    room: &RoomKey,
    (created, ended): (i64, Option<i64>),
    now: u64,
) -> Vec<UserInformation> {
    let mut entered: Vec<(UserId, MembershipId, i64)> = Vec::new();
    let mut left: HashMap<MembershipId, i64> = HashMap::new();
    for fact in facts {
        let at = fact.at_unix_ms as i64;
        match fact.what {
            What::Entered { user, membership, .. } => entered.push((user, membership, at)),
            What::Left { membership, .. } => {
                left.insert(membership, at);
            }
            _ => {}
        }
    }
    let stay = |(user, membership, at): (UserId, MembershipId, i64)| {
        let gone = left.get(&membership).copied();
        // The clocks of nodes differ a little; so this may be the last member of the room before.
        let is_of_another = ended.is_some_and(|ended| at > ended) || gone.is_some_and(|gone| gone < created);
        if is_of_another {
            return None;
        }
        let gone = gone.or(ended);
        Some(UserInformation {
            room_str: room.room.bare(),
            user_id: user.to_string(),
            join_ts: seconds(at),
            leave_ts: gone.map_or(now, seconds),
            device_type: String::new(),
            sdk_version: String::new(),
            client_ip: String::new(),
            finished: gone.is_some(),
        })
    };
    entered.into_iter().filter_map(stay).collect()
}
