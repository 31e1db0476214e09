//! Changes the permissions of a member who is in a room.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use rotunda_proto::room::Permissions;

use super::Member;
use crate::api::ApiError;
use crate::api::moderation::{PERMISSIONS_LAST, set_permissions};
use crate::shared::Shared;

/// Answers when the SFU has confirmed that it drops every source that the member may not send any more.
pub async fn put(
    State(shared): State<Shared>,
    Member { room, user, by }: Member,
    permissions: Result<Json<Permissions>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(permissions) = permissions.map_err(|error| ApiError::new("InvalidRequest", error.body_text()))?;
    set_permissions(&shared, room, user, &permissions, PERMISSIONS_LAST, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}
