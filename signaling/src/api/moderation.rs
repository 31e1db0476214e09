//! What the API makes users not do in a room: for the stay, and for a time after it.

use std::time::Duration;

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomId, RoomKey, RoomName, TextId, TrackSource, UserId, shortened};
use rotunda_proto::room::{MemberCounts, Permissions, Removed, count_key};
use rotunda_proto::room_ticket::Rights;
use rotunda_store::{Restriction, RestrictionKind, RestrictionLimit, StoreError};

use super::ApiError;
use super::mix::check;
use super::request::{request, required};
use crate::permissions::{PermitError, permit};
use crate::removals::{self, RemoveError};
use crate::restrictions::{RestrictError, lift, restrict};
use crate::shared::Shared;
use crate::waiting_room;

type Checked<T> = Result<T, ApiError>;

/// Permissions outlive the stay by this time, if the call does not say otherwise.
pub const PERMISSIONS_LAST: u64 = 86_400;
/// Longest time of permissions, seconds: a year.
const LONGEST: u64 = 31_536_000;

request! {
    /// Disables the audio and video of a user of a numeric room, and enables them again. It lasts until then, also when the user enters again.
    SetUserBlocked {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// A numeric room, 1 to 4294967294.
        room_id: Option<u64> = "RoomId" ! "InvalidParameter.RoomId",
        /// The user. They need not be in the room.
        user_id: Option<String> = "UserId" ! "InvalidParameter.UserId",
        /// 0: audio and video are enabled; 1: both are disabled; 2: audio is disabled; 3: video is disabled.
        is_mute: Option<u64> = "IsMute" ! "InvalidParameter.OutOfRange",
    }
}

request! {
    /// Disables the audio and video of a user of a text room, and enables them again. It lasts until then, also when the user enters again.
    SetUserBlockedByStrRoomId {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// A text room; "123" is not room 123.
        str_room_id: Option<String> = "StrRoomId" ! "InvalidParameter.StrRoomId",
        /// The user. They need not be in the room.
        user_id: Option<String> = "UserId" ! "InvalidParameter.UserId",
        /// 0: audio and video are enabled; 1: both are disabled; 2: audio is disabled; 3: video is disabled.
        is_mute: Option<u64> = "IsMute" ! "InvalidParameter.OutOfRange",
    }
}

/// Ends the logins of members, who may not enter again for the time of the configuration. Returns when they have left the room.
pub async fn remove(shared: &Shared, room: RoomKey, removed: Removed, by: &str) -> Checked<()> {
    let api = &shared.config.api;
    let (seconds, users): (u64, Vec<Option<UserId>>) = match &removed {
        Removed::Users(users) => (api.removed_seconds, users.iter().cloned().map(Some).collect()),
        Removed::Everybody => (api.dismissed_seconds, vec![None]),
    };
    room_must_have_members(shared, &room).await?;
    let mut written = Ok(());
    if seconds > 0 {
        // First, so that nobody comes back in between.
        for user in users {
            written = written.and(entry(shared, &room, user, seconds, by).await);
        }
    }
    if let Removed::Users(users) = &removed {
        let removed = waiting_room::changes::remove(&shared.bus, &room, users).await;
        removed.map_err(|error| bus(&error))?;
    }
    match removals::remove(shared, room, removed).await {
        // The restriction has removed the last of them.
        Ok(()) | Err(RemoveError::NoSuchRoom) => {}
        Err(RemoveError::Bus(error)) => return Err(bus(&error)),
    }
    // They are out, and the caller is told that they may come back.
    written.map_err(restrict_error)
}

async fn entry(
    shared: &Shared,
    room: &RoomKey,
    user: Option<UserId>,
    seconds: u64,
    by: &str,
) -> Result<(), RestrictError> {
    let now = Clock.unix();
    let restriction = Restriction {
        room: room.clone(),
        user,
        limit: RestrictionLimit::Entry,
        until: Some(now + Duration::from_secs(seconds)),
        created: now,
        created_by: by.to_owned(),
    };
    restrict(shared, &restriction).await
}

async fn room_must_have_members(shared: &Shared, room: &RoomKey) -> Checked<()> {
    match shared.bus.load::<MemberCounts>(&count_key(room)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(ApiError::new("FailedOperation.RoomNotExist", "nobody is in the room")),
        Err(error) => Err(bus(&error)),
    }
}

fn bus(error: &BusError) -> ApiError {
    match error {
        BusError::Timeout(_) | BusError::Away => {
            ApiError::new("ResourceUnavailable", "the servers do not reach each other; try again")
        }
        error => ApiError::internal(error),
    }
}

/// Sets what a member may send and receive. `seconds`: how long it outlives the stay; 0: not at all.
pub async fn set_permissions(
    shared: &Shared,
    room: RoomKey,
    user: UserId,
    permissions: &Permissions,
    seconds: u64,
    by: &str,
) -> Checked<()> {
    if seconds > LONGEST {
        let message = format!("Seconds must be 0 to {LONGEST}, not {seconds}");
        return Err(ApiError::new("InvalidParameter", message));
    }
    let rights = Rights::of(permissions);
    permit(shared, room.clone(), user.clone(), rights)
        .await
        .map_err(|error| {
            let code = match &error {
                PermitError::NoSuchRoom => "FailedOperation.RoomNotExist",
                PermitError::NoSuchMember => "FailedOperation.UserNotExist",
                PermitError::Failed | PermitError::Bus(BusError::Timeout(_) | BusError::Away) => "ResourceUnavailable",
                PermitError::Bus(error) => return ApiError::internal(error),
            };
            ApiError::new(code, error.to_string())
        })?;
    let is_limited = rights != Rights::ALL;
    match is_limited && seconds > 0 {
        true => {
            let until = Clock.unix() + Duration::from_secs(seconds);
            media(shared, room, user, rights, Some(until), by).await
        }
        // What was before lasts no longer than the stay.
        false => {
            let lifted = lift(shared, &room, Some(&user), RestrictionKind::Media).await;
            let was_lifted = lifted.map_err(store_error)?;
            // The lifting has given the member the rights of their ticket.
            match was_lifted && is_limited {
                true => permit(shared, room, user, rights)
                    .await
                    .map_err(|error| ApiError::new("ResourceUnavailable", error.to_string())),
                false => Ok(()),
            }
        }
    }
}

async fn media(
    shared: &Shared,
    room: RoomKey,
    user: UserId,
    rights: Rights,
    until: Option<Duration>,
    by: &str,
) -> Checked<()> {
    let restriction = Restriction {
        room,
        user: Some(user),
        limit: RestrictionLimit::Media(rights),
        until,
        created: Clock.unix(),
        created_by: by.to_owned(),
    };
    restrict(shared, &restriction).await.map_err(restrict_error)
}

pub async fn block(shared: &Shared, caller: &Application, request: SetUserBlocked) -> Checked<()> {
    let app = check::application(request.sdk_app_id)?;
    let number = required(request.room_id, "MissingParameter.RoomId", "RoomId")?;
    let room = RoomId::Number(check::room_number(number)?);
    set_blocked(shared, caller, RoomKey { app, room }, request.user_id, request.is_mute).await
}

pub async fn block_by_name(shared: &Shared, caller: &Application, request: SetUserBlockedByStrRoomId) -> Checked<()> {
    let app = check::application(request.sdk_app_id)?;
    let name = required(request.str_room_id, "MissingParameter.RoomId", "StrRoomId")?;
    let room = name.parse::<RoomName>().map(RoomId::Name).map_err(|error| {
        let message = format!("StrRoomId {} {error}; write {}", shortened(&name), RoomName::RULE);
        ApiError::new("InvalidParameter.StrRoomId", message)
    })?;
    set_blocked(shared, caller, RoomKey { app, room }, request.user_id, request.is_mute).await
}

async fn set_blocked(
    shared: &Shared,
    caller: &Application,
    room: RoomKey,
    user: Option<String>,
    is_mute: Option<u64>,
) -> Checked<()> {
    let user = required(user, "MissingParameter.UserId", "UserId")?;
    let user: UserId = user.parse().map_err(|error| {
        let message = format!("UserId {} {error}; write {}", shortened(&user), UserId::RULE);
        ApiError::new("InvalidParameter.UserId", message)
    })?;
    let send = match required(is_mute, "MissingParameter", "IsMute")? {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(vec![TrackSource::Camera, TrackSource::Screen]),
        3 => Some(vec![TrackSource::Audio]),
        other => {
            let message = format!("IsMute must be 0, 1, 2 or 3, not {other}");
            return Err(ApiError::new("InvalidParameter.OutOfRange", message));
        }
    };
    if caller.sdk_app_id != room.app {
        let message = "the key belongs to another application";
        return Err(ApiError::new("UnauthorizedOperation.SdkAppId", message));
    }
    room_must_have_members(shared, &room).await?;
    match send {
        Some(send) => {
            let rights = Rights::of(&Permissions {
                send: send.into_iter().collect(),
                receive: TrackSource::ALL.into(),
            });
            media(shared, room.clone(), user.clone(), rights, None, &caller.secret_id).await?;
            // At once on every node; the others would follow within 2 seconds.
            match permit(shared, room, user, rights).await {
                Ok(()) | Err(PermitError::NoSuchMember | PermitError::NoSuchRoom) => Ok(()),
                Err(error) => Err(ApiError::new("ResourceUnavailable", error.to_string())),
            }
        }
        None => {
            let _was_blocked = lift(shared, &room, Some(&user), RestrictionKind::Media)
                .await
                .map_err(store_error)?;
            Ok(())
        }
    }
}

pub fn restrict_error(error: RestrictError) -> ApiError {
    match error {
        RestrictError::Full => ApiError::new("LimitExceeded", error.to_string()),
        RestrictError::Store(error) => store_error(error),
    }
}

pub fn store_error(error: StoreError) -> ApiError {
    tracing::error!(error = &error as &dyn std::error::Error, "write a restriction");
    let message = "the database does not answer, so that it does not outlive the stay; try again";
    ApiError::new("InternalError.DBError", message)
}
