//! `/api/rooms/{room}`: rooms and their members, for operators of the application.

mod permissions;
mod removal;
mod statistics;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, FromRequestParts, Path};
use axum::http::header;
use axum::http::request::Parts;
use axum::routing::{delete, get, put};
use rotunda_proto::ids::{RoomId, RoomKey, SdkAppId, TextId, UserId, shortened};
use serde::de::DeserializeOwned;

use super::ApiError;
use super::caller::caller;
use crate::shared::Shared;

pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/api/rooms/{room}/members/{user}/statistics", get(statistics::get))
        .route("/api/rooms/{room}/members/{user}/permissions", put(permissions::put))
        .route("/api/rooms/{room}/members/{user}", delete(removal::member))
        .route("/api/rooms/{room}", delete(removal::room))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

/// Longest body, bytes. It is read when the caller is known.
const MAX_BODY: usize = 16 * 1024;

/// The member that a call names, in a room of the caller's application.
struct Member {
    room: RoomKey,
    user: UserId,
}

/// The room that a call names, of the caller's application.
struct OwnRoom(RoomKey);

impl<S> FromRequestParts<S> for Member
where
    S: Send + Sync,
    Shared: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let application = authorized(parts, &Shared::from_ref(state))?;
        let (room, user): (String, String) = path(parts, state).await?;
        Ok(Self {
            room: room_key(application, &room)?,
            user: user_id(&user)?,
        })
    }
}

impl<S> FromRequestParts<S> for OwnRoom
where
    S: Send + Sync,
    Shared: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let application = authorized(parts, &Shared::from_ref(state))?;
        let room: String = path(parts, state).await?;
        Ok(Self(room_key(application, &room)?))
    }
}

fn authorized(parts: &Parts, shared: &Shared) -> Result<SdkAppId, ApiError> {
    let header = parts.headers.get(header::AUTHORIZATION);
    let application = caller(&shared.applications, header.and_then(|value| value.to_str().ok()))?;
    Ok(application.sdk_app_id)
}

async fn path<T: DeserializeOwned + Send, S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<T, ApiError> {
    let path = Path::<T>::from_request_parts(parts, state).await;
    let Path(names) = path.map_err(|_| ApiError::new("InvalidRequest", "write the names in UTF-8"))?;
    Ok(names)
}

/// The room as in a WHIP address: digits are a number.
fn room_key(app: SdkAppId, room: &str) -> Result<RoomKey, ApiError> {
    let room = room.parse().map_err(|error| {
        let rule = "digits are a numeric room, and text: before a name makes it a text room";
        let message = format!("room {} {error}; write {}; {rule}", shortened(room), RoomId::RULE);
        ApiError::new("InvalidParameterValue.RoomId", message)
    })?;
    Ok(RoomKey { app, room })
}

fn user_id(user: &str) -> Result<UserId, ApiError> {
    user.parse().map_err(|error| {
        let message = format!("member {} {error}; write {}", shortened(user), UserId::RULE);
        ApiError::new("InvalidParameterValue.UserId", message)
    })
}

#[cfg(test)]
mod tests;
