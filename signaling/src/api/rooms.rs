//! Rooms: removing members, and dismissing a room.

use rotunda_proto::applications::Scope;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomId, RoomKey, RoomName, TextId, UserId, shortened};
use rotunda_proto::room::Removed;

use super::ApiError;
use super::caller::check_scope;
use super::media_tasks;
use super::mix::check;
use super::mix::request::RoomField;
use super::moderation;
use crate::shared::Shared;

/// Most users that one call removes.
const MAX_USERS: usize = 10;

/// As clients write it: every field optional, so that each that is missing gets its own code.
#[derive(Debug, Clone)]
pub struct RemoveRequest {
    pub room: RoomRequest,
    pub users: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct RoomRequest {
    pub sdk_app_id: Option<u64>,
    pub room: RoomField,
}

/// `RemoveUser`. Users who are not in the room are ignored. A recording task whose robot is among them ends.
pub async fn remove_users(shared: &Shared, caller: &Application, request: RemoveRequest) -> Result<(), ApiError> {
    check_scope(caller, Scope::Rooms)?;
    let room = room_key(request.room)?;
    let users = users(&request.users)?;
    own(caller, &room)?;
    let removed = Removed::Users(users.clone());
    moderation::remove(shared, room.clone(), removed, &caller.secret_id).await?;
    media_tasks::end_recordings(shared, &room, Some(&users)).await
}

/// `DismissRoom`. The recording tasks of the room end.
pub async fn dismiss(shared: &Shared, caller: &Application, request: RoomRequest) -> Result<(), ApiError> {
    check_scope(caller, Scope::Rooms)?;
    let room = room_key(request)?;
    own(caller, &room)?;
    moderation::remove(shared, room.clone(), Removed::Everybody, &caller.secret_id).await?;
    media_tasks::end_recordings(shared, &room, None).await
}

fn room_key(RoomRequest { sdk_app_id, room }: RoomRequest) -> Result<RoomKey, ApiError> {
    let app = check::application(sdk_app_id)?;
    let room = match room {
        RoomField::Number(None) | RoomField::Name(None) => {
            return Err(ApiError::new("MissingParameter.RoomId", "RoomId is missing"));
        }
        RoomField::Number(Some(number)) => RoomId::Number(check::room_number(number)?),
        RoomField::Name(Some(name)) => RoomId::Name(name.parse::<RoomName>().map_err(|error| {
            let message = format!("RoomId {} {error}; write {}", shortened(&name), RoomName::RULE);
            ApiError::new("InvalidParameter.RoomId", message)
        })?),
    };
    Ok(RoomKey { app, room })
}

fn users(users: &[String]) -> Result<Vec<UserId>, ApiError> {
    if users.is_empty() {
        let message = "UserIds is missing: name 1 to 10 users";
        return Err(ApiError::new("MissingParameter.UserIds", message));
    }
    if users.len() > MAX_USERS {
        let message = format!("UserIds has {} users; it may have 1 to {MAX_USERS}", users.len());
        return Err(ApiError::new("InvalidParameter.UserIds", message));
    }
    let parsed = users.iter().enumerate().map(|(index, user)| {
        user.parse().map_err(|error| {
            let message = format!("UserIds.{index} {} {error}; write {}", shortened(user), UserId::RULE);
            ApiError::new("InvalidParameter.UserIds", message)
        })
    });
    parsed.collect()
}

/// Errors: the key belongs to another application, or does not open this part of the API.
fn own(caller: &Application, room: &RoomKey) -> Result<(), ApiError> {
    check_scope(caller, Scope::Moderate)?;
    if caller.sdk_app_id == room.app {
        return Ok(());
    }
    Err(ApiError::new(
        "UnauthorizedOperation.SdkAppId",
        "the key belongs to another application",
    ))
}
