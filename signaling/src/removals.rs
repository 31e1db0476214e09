//! Members that the server API removes from their room, on any node.

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::room::{MemberCommand, MemberCounts, MemberReply, Removed, count_key, members_subject};
use rotunda_proto::signaling::KickReason;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::member::ToMember;
use crate::shared::Shared;

/// A message to a member's task: their login ends if they are in the room.
pub struct Removal {
    room: RoomKey,
    pub reason: KickReason,
    is_here: Option<oneshot::Sender<bool>>,
}

impl Removal {
    /// Whether the member is in the room or waits for it, which the remover is told. `room`: the member's.
    pub fn concerns(&mut self, room: Option<&RoomKey>) -> bool {
        let is_here = room == Some(&self.room);
        if let Some(remover) = self.is_here.take() {
            let _gave_up = remover.send(is_here);
        }
        is_here
    }
}

#[derive(Debug, Error)]
pub enum RemoveError {
    #[error("nobody is in the room")]
    NoSuchRoom,
    #[error("reach the members' signaling node")]
    Bus(#[from] BusError),
}

/// Removes members. Returns when they have left the room. Users who are not in it are no error.
pub async fn remove(shared: &Shared, room: RoomKey, removed: Removed) -> Result<(), RemoveError> {
    let counts = shared.bus.load::<MemberCounts>(&count_key(&room)).await?;
    let (MemberCounts { by_node }, _) = counts.ok_or(RemoveError::NoSuchRoom)?;
    let command = MemberCommand::Remove { room, removed };
    let calls = by_node.keys().map(|node| {
        let command = &command;
        async move {
            match shared
                .bus
                .call::<_, MemberReply>(&members_subject(node.node()), command)
                .await
            {
                // The documents still count a dead node for a while.
                Ok(_) | Err(BusError::NoResponder(_)) => Ok(()),
                Err(error) => Err(error),
            }
        }
    });
    futures::future::try_join_all(calls).await?;
    Ok(())
}

/// Removes the members that this node has.
pub async fn remove_here(shared: &Shared, room: RoomKey, removed: Removed) -> MemberReply {
    let (members, reason) = match removed {
        Removed::Users(users) => {
            let found = users.iter().filter_map(|user| shared.registry.find(room.app, user));
            (found.collect(), KickReason::Banned)
        }
        Removed::Everybody => {
            let logins = shared.registry.all().into_iter();
            let of_application = logins.filter(|login| login.app == room.app);
            let members: Vec<_> = of_application.map(|login| login.login.member).collect();
            (members, KickReason::RoomDisband)
        }
    };
    // All are told before the first one is waited for, so that they leave together.
    let mut leaving = Vec::new();
    for member in members {
        if let Some(is_here) = tell(&member, &room, reason).await {
            leaving.push((member, is_here));
        }
    }
    for (member, is_here) in leaving {
        // A member that has ended is not in the room any more.
        if is_here.await.unwrap_or(false) {
            member.closed().await;
        }
    }
    MemberReply::Done
}

async fn tell(member: &mpsc::Sender<ToMember>, room: &RoomKey, reason: KickReason) -> Option<oneshot::Receiver<bool>> {
    let (is_here, answer) = oneshot::channel();
    let removal = Box::new(Removal {
        room: room.clone(),
        reason,
        is_here: Some(is_here),
    });
    member.send(ToMember::Remove(removal)).await.ok().map(|()| answer)
}
