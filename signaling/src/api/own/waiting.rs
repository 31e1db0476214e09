//! `SetWaitingRoom`, `ListWaitingUsers` and `AnswerWaitingUsers`: who is let into a room.

use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{TextId, UserId, shortened};
use rotunda_proto::waiting_room::EntryAnswer;
use rotunda_store::{Restriction, RestrictionKind, RestrictionLimit};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, bus, page_size, room_key};
use crate::api::ApiError;
use crate::api::moderation;
use crate::api::request::{request, required};
use crate::restrictions;
use crate::shared::Shared;
use crate::waiting_room::changes::{self, Otherwise};
use crate::waiting_room::{AnswerBy, Whom, list};

/// Longest time of a waiting room, seconds: a year.
const LONGEST: u64 = 31_536_000;
/// Users whom one call answers.
const MOST_USERS: usize = 100;

request! {
    /// Switches the waiting room of a room on or off; the room need not exist. Users who enter then wait until they are admitted, except
    /// moderators (their room ticket has the right 256) and members who return. Those who are inside stay. Off: everybody who waits is
    /// admitted, also where a moderator has switched it on.
    SetWaitingRoom {
        /// Digits are a numeric room; `text:` before a name makes it a text room.
        room: Option<String> = "Room" ! "InvalidParameterValue.RoomId",
        /// Whether users wait.
        required: Option<bool> = "Required" ! "InvalidParameter",
        /// Seconds for which it is on, 1 to 31536000. Absent: until it is switched off.
        seconds: Option<u64> = "Seconds" ? "InvalidParameter",
    }
}

request! {
    /// Lists the users who wait to be admitted to a room, in the order of arrival.
    ListWaitingUsers {
        /// Digits are a numeric room; `text:` before a name makes it a text room.
        room: Option<String> = "Room" ! "InvalidParameterValue.RoomId",
        /// The `Next` of the page before.
        after: Option<String> = "After" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

request! {
    /// Admits users who wait, or refuses them.
    AnswerWaitingUsers {
        /// Digits are a numeric room; `text:` before a name makes it a text room.
        room: Option<String> = "Room" ! "InvalidParameterValue.RoomId",
        /// True: they are admitted; false: they are refused.
        admit: Option<bool> = "Admit" ! "InvalidParameter",
        /// At most 100; those who do not wait are ignored. Empty or absent: everybody who waits.
        user_ids: Vec<String> = "UserIds" ? "InvalidParameter.UserIds",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct WaitingUserList {
    /// Whether users wait who enter now: by SetWaitingRoom, or by a moderator.
    pub required: bool,
    pub users: Vec<WaitingUser>,
    /// Everybody who waits.
    pub total: u64,
    /// `After` of the next page; absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct WaitingUser {
    pub user_id: String,
    /// Unix seconds.
    pub since: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct WaitingUsersAnswered {
    /// The users who had been waiting.
    pub count: u64,
}

pub async fn set(shared: &Shared, caller: &Application, request: SetWaitingRoom) -> Checked<()> {
    let room = room_key(caller, request.room)?;
    let is_required = required(request.required, "MissingParameter", "Required")?;
    let lasts = match request.seconds {
        None => None,
        Some(seconds @ 1..=LONGEST) => Some(Duration::from_secs(seconds)),
        Some(seconds) => {
            let message = format!("Seconds must be 1 to {LONGEST}, not {seconds}");
            return Err(ApiError::new("InvalidParameter", message));
        }
    };
    if !is_required {
        let kind = RestrictionKind::Admission;
        let lifted = restrictions::lift(shared, &room, None, kind).await;
        lifted.map_err(moderation::store_error)?;
        let opened = changes::open(&shared.bus, &room, Otherwise::Open, AnswerBy::ServerApi).await;
        return opened.map_err(bus);
    }
    let now = Clock.unix();
    let restriction = Restriction {
        room,
        user: None,
        limit: RestrictionLimit::Admission,
        until: lasts.map(|lasts| now + lasts),
        created: now,
        created_by: caller.secret_id.clone(),
    };
    let restricted = restrictions::restrict(shared, &restriction).await;
    restricted.map_err(moderation::restrict_error)
}

pub async fn list(shared: &Shared, caller: &Application, request: ListWaitingUsers) -> Checked<WaitingUserList> {
    let size = page_size(request.page_size)?;
    let room = room_key(caller, request.room)?;
    let document = changes::load(&shared.bus, &room).await.map_err(bus)?;
    let list::Page { users, next, total } = list::page(&document, request.after.as_deref(), size).map_err(|_| {
        let after = shortened(request.after.as_deref().unwrap_or_default());
        let message = format!("After {after} is not the Next of a page; leave it out for the first page");
        ApiError::new("InvalidParameter", message)
    })?;
    let users = users.into_iter().map(|user| WaitingUser {
        user_id: user.user_id.to_string(),
        since: user.since_unix_ms / 1000,
    });
    Ok(WaitingUserList {
        required: document.required || shared.restrictions.requires_admission(&room, Clock.unix()),
        users: users.collect(),
        total: total.into(),
        next,
    })
}

pub async fn answer(
    shared: &Shared,
    caller: &Application,
    request: AnswerWaitingUsers,
) -> Checked<WaitingUsersAnswered> {
    let room = room_key(caller, request.room)?;
    let answer = match required(request.admit, "MissingParameter", "Admit")? {
        true => EntryAnswer::Admitted,
        false => EntryAnswer::Refused,
    };
    if request.user_ids.len() > MOST_USERS {
        let message = format!(
            "UserIds has {} users; write at most {MOST_USERS}",
            request.user_ids.len()
        );
        return Err(ApiError::new("InvalidParameter.UserIds", message));
    }
    let parse = |text: &String| {
        text.parse::<UserId>().map_err(|error| {
            let message = format!("UserIds: {} {error}; write {}", shortened(text), UserId::RULE);
            ApiError::new("InvalidParameter.UserIds", message)
        })
    };
    let users = request.user_ids.iter().map(parse).collect::<Checked<Vec<UserId>>>()?;
    let whom = if users.is_empty() {
        Whom::Everybody
    } else {
        Whom::Users(users)
    };
    let answered = changes::answer(&shared.bus, &room, &whom, answer, AnswerBy::ServerApi).await;
    Ok(WaitingUsersAnswered {
        count: answered.map_err(bus)?.into(),
    })
}
