//! `DescribeRoomInfo`: the rooms of a time.

use rotunda_bus::BusExt;
use rotunda_events::{Fact, What};
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomId, RoomKey, shortened};
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_store::RoomLife;
use schemars::JsonSchema;
use serde::Serialize;

use super::call::CommId;
use super::{Checked, DAY, MOST_ROWS, Span, own, page, seconds, store};
use crate::api::ApiError;
use crate::api::request::request;
use crate::shared::Shared;

/// Rows without paging.
const ROWS: u64 = 10;

request! {
    /// Lists the rooms that existed within a span of time, newest first.
    DescribeRoomInfo {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// Unix seconds, within the last 14 days.
        start_time: Option<u64> = "StartTime" ! "InvalidParameter.StartTs",
        /// Unix seconds, at most 24 hours after `StartTime`.
        end_time: Option<u64> = "EndTime" ! "InvalidParameter.EndTs",
        /// The room to find; a number finds the numeric room and the text room of that name.
        room_id: Option<String> = "RoomId" ? "InvalidParameter.BodyParamsError",
        /// From 0 on. Without `PageSize` it has no effect.
        page_number: Option<u64> = "PageNumber" ? "InvalidParameter.PageNumber",
        /// 1 to 100, default 10. Without `PageNumber` it has no effect.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RoomList {
    /// Rooms of all pages.
    pub total: i64,
    pub room_list: Vec<RoomState>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RoomState {
    /// The id of the call: `SdkAppId_RoomNumber_CreateTime`.
    pub comm_id: String,
    /// The room as the application names it.
    pub room_string: String,
    /// Unix seconds.
    pub create_time: u64,
    /// Unix seconds; of a room that is not over: now.
    pub destroy_time: u64,
    pub is_finished: bool,
    /// The first member.
    pub user_id: String,
}

pub async fn describe(shared: &Shared, caller: &Application, request: DescribeRoomInfo, now: u64) -> Checked<RoomList> {
    own(caller, request.sdk_app_id)?;
    let end_code = "InvalidParameter.EndTs";
    let span = Span::checked(request.start_time, request.end_time, now, end_code, Some(DAY))?;
    let rows = page(request.page_number, request.page_size, ROWS, MOST_ROWS)?;
    let tokens = match &request.room_id {
        Some(room) => tokens(caller, room)?,
        None => [String::new(), String::new()],
    };
    let app = caller.sdk_app_id;
    let found = shared
        .store
        .room_lives(app, span.in_ms(), [&tokens[0], &tokens[1]], rows);
    let (lives, total) = found.await.map_err(store)?;
    let mut room_list = Vec::new();
    for life in lives {
        let Some(room) = RoomKey::from_token(&life.room) else {
            continue;
        };
        let ended = end_of(shared, &room, &life).await?;
        let created = seconds(life.created_unix_ms);
        room_list.push(RoomState {
            comm_id: CommId::new(&room, created).to_string(),
            room_string: room.room.bare(),
            create_time: created,
            destroy_time: ended.map_or(now, seconds),
            is_finished: ended.is_some(),
            user_id: life.first_entry.as_deref().map(first_user).unwrap_or_default(),
        });
    }
    Ok(RoomList { total, room_list })
}

/// When a room ended; None: it has not. A room that is gone without a fact about its end ended when something was last heard of it.
pub async fn end_of(shared: &Shared, room: &RoomKey, life: &RoomLife) -> Checked<Option<i64>> {
    if life.ended_unix_ms.is_some() {
        return Ok(life.ended_unix_ms);
    }
    let info = shared.bus.load::<RoomInfo>(&info_key(room)).await;
    match info.map_err(|error| ApiError::internal(&error))? {
        Some(_) => Ok(None),
        None => Ok(Some(life.last_unix_ms)),
    }
}

/// Both rooms that may be meant: a field of this kind is a text for numeric rooms, too.
fn tokens(caller: &Application, room: &str) -> Checked<[String; 2]> {
    let app = caller.sdk_app_id;
    let name = room.parse().map(RoomId::Name).map_err(|error| {
        let message = format!("RoomId {} {error}; write {}", shortened(room), RoomId::RULE);
        ApiError::new("InvalidParameter.BodyParamsError", message)
    })?;
    let number = room.parse::<u64>().ok().and_then(|number| number.try_into().ok());
    let number = number.map(|number| {
        RoomKey {
            app,
            room: RoomId::Number(number),
        }
        .token()
    });
    Ok([RoomKey { app, room: name }.token(), number.unwrap_or_default()])
}

fn first_user(fact: &str) -> String {
    match serde_json::from_str::<Fact>(fact) {
        Ok(Fact {
            what: What::Entered { user, .. },
            ..
        }) => user.to_string(),
        _ => String::new(),
    }
}
