//! `/api/rooms/{room}`: rooms and their members, for operators of the application.

mod permissions;
mod removal;
mod statistics;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::routing::{delete, get, put};
use rotunda_proto::applications::Scope;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomId, RoomKey, SdkAppId, TextId, UserId, shortened};
use serde::de::DeserializeOwned;

use super::ApiError;
use super::caller::{acting_as, check_scope, known};
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
    /// The calling key.
    by: String,
}

/// The room that a call names, of the caller's application.
struct OwnRoom {
    room: RoomKey,
    /// The calling key.
    by: String,
}

impl<S> FromRequestParts<S> for Member
where
    S: Send + Sync,
    Shared: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = authorized(parts, &Shared::from_ref(state))?;
        let (room, user): (String, String) = path(parts, state).await?;
        Ok(Self {
            room: room_key(caller.sdk_app_id, &room)?,
            user: user_id(&user)?,
            by: caller.secret_id,
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
        let caller = authorized(parts, &Shared::from_ref(state))?;
        let room: String = path(parts, state).await?;
        Ok(Self {
            room: room_key(caller.sdk_app_id, &room)?,
            by: caller.secret_id,
        })
    }
}

/// Removing members needs a scope of its own.
fn authorized(parts: &Parts, shared: &Shared) -> Result<Application, ApiError> {
    let scope = match parts.method {
        Method::DELETE => Scope::Moderate,
        _ => Scope::Rooms,
    };
    let header = parts.headers.get(header::AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok());
    let applications = shared.applications();
    let caller = acting_as(&applications, known(&applications, header)?, |name| {
        parts.headers.get(name).and_then(|value| value.to_str().ok())
    })?;
    check_scope(&caller, scope)?;
    Ok(caller)
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
