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

/// Asks the SFU node that serves the room, wherever the member's WebSocket is.
async fn find(shared: &Shared, Member { room, user }: Member) -> Result<Statistics, ApiError> {
    let info = shared.bus.load::<RoomInfo>(&info_key(&room)).await;
    let info = info.map_err(|error| ApiError::internal(&error))?;
    let (info, _) = info.ok_or_else(|| ApiError::new("FailedOperation.RoomNotExist", "nobody is in the room"))?;
    let subject = sfu::control_subject(&info.sfu);
    let reply = shared.bus.call(&subject, &Command::Statistics { room, user }).await;
    match reply {
        Ok(sfu::Reply::Statistics { statistics }) => Ok(*statistics),
        Ok(_) => Err(ApiError::new(
            "FailedOperation.UserNotExist",
            "that member has no media session in this room",
        )),
        Err(error @ (BusError::NoResponder(_) | BusError::Timeout(_))) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "ask an SFU for statistics");
            Err(ApiError::new(
                "ResourceUnavailable",
                "the room's media server does not answer",
            ))
        }
        Err(error) => Err(ApiError::internal(&error)),
    }
}
