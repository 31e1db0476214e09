//! `/api/rooms/{room}/members/{user}/`: one member, for operators of the application.

mod permissions;
mod statistics;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, FromRequestParts, Path};
use axum::http::header;
use axum::http::request::Parts;
use axum::routing::{get, put};
use rotunda_proto::applications::Scope;
use rotunda_proto::ids::{RoomId, RoomKey, TextId, UserId, shortened};

use super::ApiError;
use super::caller::caller;
use crate::shared::Shared;

pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/api/rooms/{room}/members/{user}/statistics", get(statistics::get))
        .route("/api/rooms/{room}/members/{user}/permissions", put(permissions::put))
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

impl<S> FromRequestParts<S> for Member
where
    S: Send + Sync,
    Shared: FromRef<S>,
{
    type Rejection = ApiError;

    /// The room as in a WHIP address: digits are a number.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let shared = Shared::from_ref(state);
        let header = parts.headers.get(header::AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        let application = caller(&shared.applications(), header, Scope::Rooms)?;
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((room, user)) = path.map_err(|_| ApiError::new("InvalidRequest", "write the names in UTF-8"))?;
        let room: RoomId = room.parse().map_err(|error| {
            let rule = "digits are a numeric room, and text: before a name makes it a text room";
            let message = format!("room {} {error}; write {}; {rule}", shortened(&room), RoomId::RULE);
            ApiError::new("InvalidParameterValue.RoomId", message)
        })?;
        let user: UserId = user.parse().map_err(|error| {
            let message = format!("member {} {error}; write {}", shortened(&user), UserId::RULE);
            ApiError::new("InvalidParameterValue.UserId", message)
        })?;
        let app = application.sdk_app_id;
        let room = RoomKey { app, room };
        Ok(Self { room, user })
    }
}

#[cfg(test)]
mod tests;
