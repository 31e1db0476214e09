//! Statistics of a member's media.

use axum::Json;
use axum::extract::State;
use rotunda_bus::{BusError, BusExt};
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_proto::sfu::{self, Command};
use rotunda_proto::statistics::Statistics;

use super::Member;
use crate::api::ApiError;
use crate::shared::Shared;

pub async fn get(State(shared): State<Shared>, member: Member) -> Result<Json<Statistics>, ApiError> {
    find(&shared, member).await.map(Json)
}

/// Asks the SFU nodes that the room is on, wherever the member's WebSocket is.
async fn find(shared: &Shared, Member { room, user, .. }: Member) -> Result<Statistics, ApiError> {
    let info = shared.bus.load::<RoomInfo>(&info_key(&room)).await;
    let info = info.map_err(|error| ApiError::internal(&error))?;
    let (info, _) = info.ok_or_else(|| ApiError::new("FailedOperation.RoomNotExist", "nobody is in the room"))?;
    let command = Command::Statistics { room, user };
    let mut is_silent = false;
    for node in info.sfu_nodes() {
        match shared.bus.call(&sfu::control_subject(node), &command).await {
            Ok(sfu::Reply::Statistics { statistics }) => return Ok(*statistics),
            Ok(_) => {}
            Err(error @ (BusError::NoResponder(_) | BusError::Timeout(_))) => {
                tracing::warn!(error = &error as &dyn std::error::Error, %node, "ask an SFU for statistics");
                is_silent = true;
            }
            Err(error) => return Err(ApiError::internal(&error)),
        }
    }
    // The member may be at the silent one.
    Err(if is_silent {
        ApiError::new("ResourceUnavailable", "the room's media server does not answer")
    } else {
        ApiError::new(
            "FailedOperation.UserNotExist",
            "that member has no media session in this room",
        )
    })
}
