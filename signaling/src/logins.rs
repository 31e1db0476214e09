//! The newest login of a user takes over on all nodes: here by the [`Registry`](crate::registry::Registry), on the others by
//! a document on the bus.

use std::time::Duration;

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{LoginId, SdkAppId, UserId};
use rotunda_proto::room::{LoginDocument, MemberCommand, MemberReply, login_key, members_subject};
use rotunda_proto::signaling::KickReason;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::member::ToMember;
use crate::registry::{Login, Told, UserLogin};
use crate::shared::Shared;

/// An unpublished login is published to the other nodes again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// Makes this login the user's newest. Notifies and ends the previous one on any node, and waits until it has left its room.
pub async fn take_over(shared: &Shared, app: SdkAppId, user: &UserId, login: Login) {
    let id = login.id;
    shared.registry.take_over(app, user, login).await;
    match take_over_elsewhere(shared, app, user, id).await {
        Ok(()) => shared.registry.set_told(app, user, id, Told::Told),
        // While the bus is away, only this node knows the login.
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "a login was not published to the other nodes; it is tried again"
            );
            shared.registry.untold.notify_one();
        }
    }
}

/// Publishes logins that could not be published before, and all of them after this node was declared dead.
pub fn keep_told(shared: Shared, shutdown: CancellationToken) -> JoinHandle<()> {
    let work = async move {
        let mut own = shared.cluster.own();
        own.mark_unchanged();
        let mut tell_at = None;
        loop {
            tokio::select! {
                Ok(()) = own.changed() => {
                    // The documents were removed with the earlier incarnation.
                    for UserLogin { app, user, login } in shared.registry.all() {
                        if login.told == Told::Told {
                            shared.registry.set_told(app, &user, login.id, Told::Forgotten);
                        }
                    }
                    tell_at = Some(Clock.now());
                }
                () = shared.registry.untold.notified() => tell_at = Some(Clock.now() + TELL_AGAIN),
                () = Clock.until(tell_at) => {
                    let all_told = tell_untold(&shared).await;
                    tell_at = (!all_told).then(|| Clock.now() + TELL_AGAIN);
                }
            }
        }
    };
    tokio::spawn(async move {
        let _stopped = shutdown.run_until_cancelled(work).await;
    })
}

/// False: not all could be published.
async fn tell_untold(shared: &Shared) -> bool {
    let mut all_told = true;
    for UserLogin { app, user, login } in shared.registry.all() {
        let told = match login.told {
            Told::Told => continue,
            Told::NotYet => take_over_elsewhere(shared, app, &user, login.id).await,
            Told::Forgotten => tell_again(shared, app, &user, &login).await,
        };
        match told {
            Ok(()) => shared.registry.set_told(app, &user, login.id, Told::Told),
            Err(_) => all_told = false,
        }
    }
    all_told
}

/// Writes a login's document again, unless the user has since logged in on another node: then this login ends.
async fn tell_again(shared: &Shared, app: SdkAppId, user: &UserId, login: &Login) -> Result<(), BusError> {
    let node = shared.cluster.incarnation();
    let key = login_key(app, user);
    let document = LoginDocument {
        login: login.id,
        node: node.clone(),
    };
    let value = bytes::Bytes::from(serde_json::to_vec(&document).map_err(BusError::Encode)?);
    match shared.bus.put(&key, value, None, Some(&node)).await {
        Ok(_) => Ok(()),
        Err(BusError::Conflict(_)) => {
            let newer = shared.bus.load::<LoginDocument>(&key).await?;
            if newer.is_some_and(|(newer, _)| newer.login != login.id) {
                let _ended_already = login.member.send(ToMember::Kick(KickReason::Kick)).await;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn take_over_elsewhere(shared: &Shared, app: SdkAppId, user: &UserId, id: LoginId) -> Result<(), BusError> {
    let key = login_key(app, user);
    let node = shared.cluster.incarnation();
    let document = LoginDocument {
        login: id,
        node: node.clone(),
    };
    let value = bytes::Bytes::from(serde_json::to_vec(&document).map_err(BusError::Encode)?);
    let before = loop {
        let before = shared.bus.load::<LoginDocument>(&key).await?;
        let revision = before.as_ref().map(|(_, revision)| *revision);
        match shared.bus.put(&key, value.clone(), revision, Some(&node)).await {
            Ok(_) => break before,
            Err(BusError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    };
    let Some((before, _)) = before.filter(|(before, _)| before.node != node) else {
        return Ok(());
    };
    let command = MemberCommand::Kick {
        app,
        user: user.clone(),
        login: before.login,
    };
    let subject = members_subject(before.node.node());
    match shared.bus.call::<_, MemberReply>(&subject, &command).await {
        // A dead node has no logins.
        Ok(_) | Err(BusError::NoResponder(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Ends a login of this node that one of another node has replaced. Returns when it has left its room.
pub async fn kick(shared: &Shared, app: SdkAppId, user: &UserId, login: LoginId) -> MemberReply {
    let found = shared.registry.login(app, user).filter(|found| found.id == login);
    let Some(found) = found else {
        return MemberReply::NotHere;
    };
    if found.member.send(ToMember::Kick(KickReason::Kick)).await.is_ok() {
        found.member.closed().await;
    }
    MemberReply::Done
}

/// Removes a login that has ended, unless a newer one has replaced it.
pub async fn forget(shared: &Shared, app: SdkAppId, user: &UserId, token: &str, id: LoginId) {
    shared.registry.remove(app, user, token);
    let key = login_key(app, user);
    let forgotten = async {
        match shared.bus.load::<LoginDocument>(&key).await? {
            Some((document, revision)) if document.login == id => shared.bus.delete(&key, revision).await.map(|_| ()),
            _ => Ok(()),
        }
    };
    match forgotten.await {
        Ok(()) | Err(BusError::Conflict(_) | BusError::Away) => {}
        // It is removed with this node's lease at the latest.
        Err(error) => warn!(
            error = &error as &dyn std::error::Error,
            "the document of an ended login was not removed"
        ),
    }
}
