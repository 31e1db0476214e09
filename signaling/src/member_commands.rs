//! Serves commands of other nodes and of the server API for the members of this node.

use rotunda_bus::{BusError, Request};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::room::{MemberCommand, MemberReply, members_subject};
use rotunda_proto::room_ticket::Rights;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::carried::{self, Resume};
use crate::logins;
use crate::member::ToMember;
use crate::permissions::Permit;
use crate::removals;
use crate::shared::Shared;

/// Serves changes for this node's members, until shutdown.
pub async fn serve(shared: Shared, shutdown: CancellationToken) -> Result<JoinHandle<()>, BusError> {
    let mut requests = shared.bus.serve(&members_subject(&shared.node)).await?;
    let serve = async move {
        loop {
            let request = requests.next().await;
            match request.parse() {
                // A busy member does not delay the others.
                Ok(command) => drop(tokio::spawn(handle(shared.clone(), command, request))),
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "a command for a member could not be read"
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
        MemberCommand::Remove { room, removed } => {
            return request.answer(&removals::remove_here(&shared, room, removed).await);
        }
        MemberCommand::Resume {
            app,
            user,
            token,
            via,
            to,
        } => {
            let resume = Resume {
                app,
                user,
                token,
                via,
                to,
            };
            return request.answer(&carried::resume_here(&shared, resume).await);
        }
        MemberCommand::Ask {
            app,
            user,
            number,
            id,
            request: asked,
        } => {
            let message = ToMember::Request {
                number,
                id,
                request: asked,
            };
            return request.answer(&carried::ask_here(&shared, app, &user, message).await);
        }
        MemberCommand::Detach { app, user, number } => {
            let message = ToMember::Detach { number };
            return request.answer(&carried::ask_here(&shared, app, &user, message).await);
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
    let rights = Some(rights);
    let permit = Box::new(Permit { room, rights, done });
    match member.send(ToMember::Permit(permit)).await {
        // A member that has ended is not in the room any more.
        Ok(()) => answer.await.unwrap_or(MemberReply::NotHere),
        Err(_) => MemberReply::NotHere,
    }
}
