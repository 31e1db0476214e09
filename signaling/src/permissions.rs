//! Rights that the server API grants to a member who is in a room, on any node.

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::room::{MemberCommand, MemberCounts, MemberReply, count_key, members_subject};
use rotunda_proto::room_ticket::Rights;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::member::membership::{Membership, Message};
use crate::shared::Shared;

/// A message to a member's task: new rights.
pub struct Permit {
    pub room: RoomKey,
    /// None: those of the room ticket again.
    pub rights: Option<Rights>,
    pub done: oneshot::Sender<MemberReply>,
}

impl Permit {
    /// `membership`: the member's. Answers messages for their client.
    pub async fn apply(self, membership: Option<&mut Membership>) -> Vec<Message> {
        let Some(membership) = membership.filter(|membership| *membership.key() == self.room) else {
            let _gave_up = self.done.send(MemberReply::NotHere);
            return Vec::new();
        };
        let permitted = membership.permit(self.rights).await;
        let messages = membership.catch_up().await;
        let _gave_up = self.done.send(match permitted {
            Ok(()) if membership.are_slots_confirmed() => MemberReply::Done,
            _ => MemberReply::Failed,
        });
        messages
    }
}

/// Why a member's rights were not changed.
#[derive(Debug, Error)]
pub enum PermitError {
    #[error("nobody is in the room")]
    NoSuchRoom,
    #[error("that member is not in the room")]
    NoSuchMember,
    #[error("the member has other rights, but what they end may not have ended everywhere yet; try again")]
    Failed,
    #[error("reach the member's signaling node")]
    Bus(#[from] BusError),
}

/// Changes a member's rights, and waits until the SFU has confirmed that it forwards only permitted sources.
pub async fn permit(shared: &Shared, room: RoomKey, user: UserId, rights: Rights) -> Result<(), PermitError> {
    let counts = shared.bus.load::<MemberCounts>(&count_key(&room)).await?;
    let (MemberCounts { by_node }, _) = counts.ok_or(PermitError::NoSuchRoom)?;
    let command = MemberCommand::Permit { room, user, rights };
    for node in by_node.keys() {
        match shared.bus.call(&members_subject(node.node()), &command).await {
            Ok(MemberReply::Done) => return Ok(()),
            Ok(MemberReply::Failed) => return Err(PermitError::Failed),
            Ok(MemberReply::NotHere) => {}
            Ok(MemberReply::Resumed { .. }) => return Err(PermitError::Failed),
            // The documents still count a dead node for a while.
            Err(BusError::NoResponder(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PermitError::NoSuchMember)
}
