//! Changes the permissions of a member who is in a room.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use rotunda_bus::BusError;
use rotunda_proto::room::Permissions;
use rotunda_proto::room_ticket::Rights;

use super::Member;
use crate::api::ApiError;
use crate::permissions::{PermitError, permit};
use crate::shared::Shared;

/// Answers when the SFU has confirmed that it drops every source that the member may not send any more.
pub async fn put(
    State(shared): State<Shared>,
    Member { room, user }: Member,
    permissions: Result<Json<Permissions>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(permissions) = permissions.map_err(|error| ApiError::new("InvalidRequest", error.body_text()))?;
    let rights = Rights::of(&permissions);
    match permit(&shared, room, user, rights).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(explain(&error)),
    }
}

fn explain(error: &PermitError) -> ApiError {
    let code = match error {
        PermitError::NoSuchRoom => "FailedOperation.RoomNotExist",
        PermitError::NoSuchMember => "FailedOperation.UserNotExist",
        PermitError::Failed | PermitError::Bus(BusError::Timeout(_) | BusError::Away) => "ResourceUnavailable",
        PermitError::Bus(error) => return ApiError::internal(error),
    };
    ApiError::new(code, error.to_string())
}
