//! Rights that the server API gives to a member while they are in the room, whichever node they are on.

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::room::{MemberCommand, MemberCounts, MemberReply, count_key, members_subject};
use rotunda_proto::room_ticket::Rights;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::member::membership::{Membership, Message};
use crate::shared::Shared;

/// To a member: other rights from now on.
pub struct Permit {
    pub room: RoomKey,
    pub rights: Rights,
    pub done: oneshot::Sender<MemberReply>,
}

impl Permit {
    /// `membership`: the member's. Answers what to tell their client.
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

/// Why a member has not been given other rights.
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

/// Gives a member other rights, and waits until the SFU lets in only what they may still send.
pub async fn permit(shared: &Shared, room: RoomKey, user: UserId, rights: Rights) -> Result<(), PermitError> {
    let counts = shared.bus.load::<MemberCounts>(&count_key(&room)).await?;
    let (MemberCounts { by_node }, _) = counts.ok_or(PermitError::NoSuchRoom)?;
    let command = MemberCommand::Permit { room, user, rights };
    for node in by_node.keys() {
        match shared.bus.call(&members_subject(node.node()), &command).await {
            Ok(MemberReply::Done) => return Ok(()),
            Ok(MemberReply::Failed) => return Err(PermitError::Failed),
            Ok(MemberReply::NotHere) => {}
            // A node that has died is still counted for a while.
            Err(BusError::NoResponder(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PermitError::NoSuchMember)
}
