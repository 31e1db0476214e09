//! Removes a member from a room, or everybody. Answers when they have left it.

use axum::extract::State;
use axum::http::StatusCode;
use rotunda_proto::room::Removed;

use super::{Member, OwnRoom};
use crate::api::{ApiError, rooms};
use crate::shared::Shared;

pub async fn member(State(shared): State<Shared>, Member { room, user }: Member) -> Result<StatusCode, ApiError> {
    rooms::remove(&shared, room, Removed::Users(vec![user])).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn room(State(shared): State<Shared>, OwnRoom(room): OwnRoom) -> Result<StatusCode, ApiError> {
    rooms::remove(&shared, room, Removed::Everybody).await?;
    Ok(StatusCode::NO_CONTENT)
}
