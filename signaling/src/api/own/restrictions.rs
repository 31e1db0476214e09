//! `ListRestrictions` and `LiftRestriction`: what users may not do in a room, also when they enter it again.

use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{TextId, TrackSource, UserId, shortened};
use rotunda_store::{Restriction, RestrictionKind, RestrictionLimit, StoreError};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, page, page_size, room_key};
use crate::api::ApiError;
use crate::api::request::request;
use crate::restrictions;
use crate::shared::Shared;

request! {
    /// Lists what users may not do in rooms of the application: after RemoveUser, DismissRoom, SetUserBlocked, SetMemberPermissions and
    /// SetWaitingRoom.
    ListRestrictions {
        /// Of this room alone: digits are a numeric room, `text:` before a name makes it a text room.
        room: Option<String> = "Room" ? "InvalidParameterValue.RoomId",
        /// Of this user alone.
        user_id: Option<String> = "UserId" ? "InvalidParameter.UserId",
        /// The `Next` of the page before.
        after: Option<String> = "After" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

request! {
    /// Lifts restrictions. The user may enter again, and has the rights of their room ticket again; on other nodes within 2 seconds.
    LiftRestriction {
        /// Digits are a numeric room; `text:` before a name makes it a text room.
        room: Option<String> = "Room" ! "InvalidParameterValue.RoomId",
        /// The user; absent: the restriction of everybody, after DismissRoom and SetWaitingRoom.
        user_id: Option<String> = "UserId" ? "InvalidParameter.UserId",
        /// `entry` (they may not enter), `media` (what they may send and receive) or `admission` (the waiting room); absent: all of them.
        kind: Option<String> = "Kind" ? "InvalidParameter",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RestrictionList {
    pub restrictions: Vec<RestrictionInfo>,
    /// For `After`; absent: there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RestrictionInfo {
    /// Digits are a numeric room; `text:` is before a text room of digits.
    pub room: String,
    /// Absent: everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// `entry`: they may not enter. `media`: they may send and receive what the lists say. `admission`: they enter when they are admitted.
    pub kind: String,
    /// What they may send; absent: another kind than `media`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<Vec<TrackSource>>,
    /// What they may receive; absent: another kind than `media`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<Vec<TrackSource>>,
    /// Unix seconds.
    pub create_time: u64,
    /// Unix seconds; absent: until it is lifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<u64>,
    /// The API key that made it.
    pub created_by: String,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListRestrictions) -> Checked<RestrictionList> {
    let size = page_size(request.page_size)?;
    let room = match request.room {
        None => None,
        room => Some(room_key(caller, room)?),
    };
    let user = request.user_id.as_deref().map(user).transpose()?;
    let mut all = shared.store.restrictions(Clock.unix()).await.map_err(store)?;
    all.retain(|restriction| {
        restriction.room.app == caller.sdk_app_id
            && room.as_ref().is_none_or(|room| restriction.room == *room)
            && (user.is_none() || restriction.user == user)
    });
    let named = |restriction: Restriction| {
        let user = restriction.user.as_ref().map_or("", |user| user.as_str());
        let name = format!("{} {user} {}", restriction.room.room, restriction.kind().as_str());
        (name, info(restriction))
    };
    let (restrictions, next) = page(all.into_iter().map(named).collect(), request.after.as_deref(), size);
    Ok(RestrictionList { restrictions, next })
}

fn info(restriction: Restriction) -> RestrictionInfo {
    let kind = restriction.kind().as_str().to_owned();
    let (send, receive) = match restriction.limit {
        RestrictionLimit::Entry | RestrictionLimit::Admission => (None, None),
        RestrictionLimit::Media(rights) => {
            let permissions = rights.permissions();
            let list = |sources: std::collections::BTreeSet<TrackSource>| Some(sources.into_iter().collect());
            (list(permissions.send), list(permissions.receive))
        }
    };
    RestrictionInfo {
        room: restriction.room.room.to_string(),
        user_id: restriction.user.map(|user| user.to_string()),
        kind,
        send,
        receive,
        create_time: restriction.created.as_secs(),
        end_time: restriction.until.map(|until| until.as_secs()),
        created_by: restriction.created_by,
    }
}

pub async fn lift(shared: &Shared, caller: &Application, request: LiftRestriction) -> Checked<()> {
    let room = room_key(caller, request.room)?;
    let user = request.user_id.as_deref().map(user).transpose()?;
    let kinds = match request.kind.as_deref() {
        None => RestrictionKind::ALL.to_vec(),
        Some(kind) => vec![RestrictionKind::parse(kind).ok_or_else(|| {
            let message = format!("Kind must be entry, media or admission, not {}", shortened(kind));
            ApiError::new("InvalidParameter", message)
        })?],
    };
    let mut lifted = false;
    for kind in kinds {
        lifted |= restrictions::lift(shared, &room, user.as_ref(), kind)
            .await
            .map_err(store)?;
    }
    match lifted {
        true => Ok(()),
        false => {
            let message = "there is no such restriction; see ListRestrictions";
            Err(ApiError::new("ResourceNotFound", message))
        }
    }
}

fn user(text: &str) -> Checked<UserId> {
    text.parse().map_err(|error| {
        let message = format!("UserId {} {error}; write {}", shortened(text), UserId::RULE);
        ApiError::new("InvalidParameter.UserId", message)
    })
}

fn store(error: StoreError) -> ApiError {
    tracing::error!(error = &error as &dyn std::error::Error, "read or lift restrictions");
    ApiError::new("InternalError.DBError", "the database does not answer; try again")
}
