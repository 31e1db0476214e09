//! Removes a member from a room, or everybody. Answers when they have left it.

use axum::extract::State;
use axum::http::StatusCode;
use rotunda_proto::room::Removed;

use super::{Member, OwnRoom};
use crate::api::{ApiError, moderation};
use crate::shared::Shared;

pub async fn member(State(shared): State<Shared>, Member { room, user, by }: Member) -> Result<StatusCode, ApiError> {
    moderation::remove(&shared, room, Removed::Users(vec![user]), &by).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn room(State(shared): State<Shared>, OwnRoom { room, by }: OwnRoom) -> Result<StatusCode, ApiError> {
    moderation::remove(&shared, room, Removed::Everybody, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}
