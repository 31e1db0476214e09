//! Rights that the server API gives to a member while they are in the room, whichever node they are on.

use rotunda_bus::{BusError, BusExt, Request};
use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::room::{MemberCommand, MemberCounts, MemberReply, count_key, members_subject};
use rotunda_proto::room_ticket::Rights;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::logins;
use crate::member::ToMember;
use crate::member::membership::{Membership, Message};
use crate::shared::Shared;

/// To a member: other rights from now on.
pub struct Permit {
    room: RoomKey,
    rights: Rights,
    done: oneshot::Sender<MemberReply>,
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

/// Takes what is for this node's members, until shutdown.
pub async fn serve(shared: Shared, shutdown: CancellationToken) -> Result<JoinHandle<()>, BusError> {
    let mut requests = shared.bus.serve(&members_subject(&shared.node)).await?;
    let serve = async move {
        loop {
            let request = requests.next().await;
            match request.parse() {
                // A member may be busy; the others do not wait for them.
                Ok(command) => drop(tokio::spawn(handle(shared.clone(), command, request))),
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "a command for a member was not understood"
                ),
            }
        }
    };
    Ok(tokio::spawn(async move {
        let _stopped = shutdown.run_until_cancelled(serve).await;
    }))
}

async fn handle(shared: Shared, command: MemberCommand, request: Request) {
    let (room, user, rights) = match command {
        MemberCommand::Permit { room, user, rights } => (room, user, rights),
        MemberCommand::Kick { app, user, login } => {
            return request.answer(&logins::kick(&shared, app, &user, login).await);
        }
    };
    let member = shared.registry.find(room.app, &user);
    let reply = match member {
        Some(member) => ask(&member, room, rights).await,
        None => MemberReply::NotHere,
    };
    request.answer(&reply);
}

async fn ask(member: &mpsc::Sender<ToMember>, room: RoomKey, rights: Rights) -> MemberReply {
    let (done, answer) = oneshot::channel();
    let permit = Box::new(Permit { room, rights, done });
    match member.send(ToMember::Permit(permit)).await {
        // A member who ends meanwhile is not here any more.
        Ok(()) => answer.await.unwrap_or(MemberReply::NotHere),
        Err(_) => MemberReply::NotHere,
    }
}
