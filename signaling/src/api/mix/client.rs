//! Mixes that members ask for. A room has one mix, of the server API or of a member.

use rotunda_bus::BusExt;
use rotunda_proto::ids::{NodeId, RoomKey, UserId};
use rotunda_proto::mix::{Command, MixSpec, NODES_PREFIX, Reply, RunningMix, control_subject, running_key};

use super::{bus, no_capacity, refused};
use crate::api::ApiError;
use crate::shared::Shared;

/// Starts the member's mix or changes it.
///
/// Errors: `FailedOperation.RequestRejection` while the room has another mix, and those of the mixing server.
pub async fn start(shared: &Shared, user: &UserId, spec: MixSpec) -> Result<(), ApiError> {
    let node = match running(shared, &spec.room).await? {
        Some(mix) if mix.spec.layout.local_user.as_ref() != Some(user) => {
            let message = format!("the room has another mix, of stream {}", mix.spec.stream_id);
            return Err(ApiError::new("FailedOperation.RequestRejection", message));
        }
        Some(mix) => mix.node,
        None => {
            let nodes = shared.bus.documents::<NodeId>(NODES_PREFIX).await.map_err(bus)?;
            nodes.into_iter().next().ok_or_else(no_capacity)?
        }
    };
    command(shared, &node, &Command::Start { spec: Box::new(spec) }).await
}

/// Ends the member's mix; without one this is done already.
pub async fn stop(shared: &Shared, room: &RoomKey, user: &UserId) -> Result<(), ApiError> {
    match running(shared, room).await? {
        Some(mix) if mix.spec.layout.local_user.as_ref() == Some(user) => {
            command(shared, &mix.node, &Command::Stop { room: room.clone() }).await
        }
        _ => Ok(()),
    }
}

async fn running(shared: &Shared, room: &RoomKey) -> Result<Option<RunningMix>, ApiError> {
    let running = shared.bus.load::<RunningMix>(&running_key(room)).await.map_err(bus)?;
    Ok(running.map(|(running, _)| running))
}

async fn command(shared: &Shared, node: &NodeId, command: &Command) -> Result<(), ApiError> {
    match shared.bus.call(&control_subject(node), command).await.map_err(bus)? {
        Reply::Done => Ok(()),
        Reply::Refused { error } => Err(refused(&error)),
    }
}
