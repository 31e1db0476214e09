//! Follows the restrictions of the store, and applies them to the members of this node.

use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::room::Removed;
use rotunda_proto::room_ticket::Rights;
use rotunda_store::{Restriction, RestrictionKind, RestrictionLimit, StoreError};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Changes;
use crate::member::ToMember;
use crate::permissions::Permit;
use crate::removals::remove_here;
use crate::shared::Shared;
use crate::waiting_room::{self, Whom};

/// The store is asked for its revision at this interval.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// Restrictions of an application.
const MOST: i64 = 10_000;

/// Why a restriction was not made.
#[derive(Debug, Error)]
pub enum RestrictError {
    #[error(
        "the application has {} restrictions already; lift one with LiftRestriction first",
        MOST
    )]
    Full,
    #[error("write the restriction")]
    Store(#[from] StoreError),
}

/// Follows changes until `shutdown`. While the store is away, the known restrictions stay.
pub fn follow(shared: Shared, shutdown: CancellationToken) -> JoinHandle<()> {
    let work = async move {
        let mut is_read = false;
        loop {
            let now = Clock.unix();
            let is_over = shared.restrictions.next_end().is_some_and(|end| end <= now);
            let is_changed = match shared.store.restrictions_revision().await {
                Ok(revision) => revision != shared.restrictions.revision(),
                // The store says that it is away.
                Err(_) => false,
            };
            if is_over || is_changed || !is_read {
                match refresh(&shared).await {
                    Ok(()) => is_read = true,
                    Err(error) => warn!(
                        error = &error as &dyn std::error::Error,
                        "read the restrictions; it is tried again"
                    ),
                }
            }
            Clock.sleep_until(Clock.now() + LOOK_EVERY).await;
        }
    };
    tokio::spawn(async move {
        let _stopped = shutdown.run_until_cancelled(work).await;
    })
}

/// Reads the restrictions, and applies what has changed to the members of this node.
async fn refresh(shared: &Shared) -> Result<(), StoreError> {
    // First, so that a change in the midst of the reading is read again.
    let revision = shared.store.restrictions_revision().await?;
    let all = shared.store.restrictions(Clock.unix()).await?;
    let Changes { begun, ended } = shared.restrictions.replace(revision, all);
    let begun = begun.into_iter().map(|restriction| apply(shared, restriction));
    futures::future::join_all(begun).await;
    let ended = ended.into_iter().map(|restriction| end(shared, restriction));
    futures::future::join_all(ended).await;
    Ok(())
}

async fn end(shared: &Shared, restriction: Restriction) {
    match restriction.kind() {
        RestrictionKind::Entry => {}
        RestrictionKind::Media => set(shared, restriction, None).await,
        RestrictionKind::Admission => {
            let Restriction { room, user, .. } = restriction;
            let whom = user.map_or(Whom::Everybody, |user| Whom::Users(vec![user]));
            if let Err(error) = waiting_room::changes::open_by_application(&shared.bus, &room, &whom).await {
                let error = &error as &dyn std::error::Error;
                warn!(error, %room, "admit users who need no admission any more");
            }
        }
    }
}

async fn apply(shared: &Shared, restriction: Restriction) {
    match restriction.limit {
        RestrictionLimit::Entry => {
            let removed = match restriction.user {
                Some(user) => Removed::Users(vec![user]),
                None => Removed::Everybody,
            };
            let _gone = remove_here(shared, restriction.room, removed).await;
        }
        RestrictionLimit::Media(rights) => set(shared, restriction, Some(rights)).await,
        // Those who are inside stay.
        RestrictionLimit::Admission => {}
    }
}

/// `rights`: None: those of the room ticket again.
async fn set(shared: &Shared, restriction: Restriction, rights: Option<Rights>) {
    let Restriction { room, user, .. } = restriction;
    let members: Vec<_> = match user {
        Some(user) => shared.registry.find(room.app, &user).into_iter().collect(),
        None => {
            let logins = shared.registry.all().into_iter();
            let of_application = logins.filter(|login| login.app == room.app);
            of_application.map(|login| login.login.member).collect()
        }
    };
    for member in members {
        let (done, answer) = oneshot::channel();
        let room = room.clone();
        let permit = Box::new(Permit { room, rights, done });
        // A member that has ended is not in the room any more.
        if member.send(ToMember::Permit(permit)).await.is_ok() {
            let _done_or_not_here = answer.await;
        }
    }
}

/// Writes a restriction, which holds on this node when this returns, and on the others within 2 seconds.
pub async fn restrict(shared: &Shared, restriction: &Restriction) -> Result<(), RestrictError> {
    let now = restriction.created;
    if shared.store.restrictions_of(restriction.room.app, now).await? >= MOST {
        return Err(RestrictError::Full);
    }
    shared.store.restrict(restriction).await?;
    info!(
        room = %restriction.room, user = restriction.user.as_ref().map(tracing::field::display),
        kind = restriction.kind().as_str(), by = restriction.created_by, "restricted"
    );
    Ok(refresh(shared).await?)
}

/// Lifts a restriction; false: there was none.
pub async fn lift(
    shared: &Shared,
    room: &RoomKey,
    user: Option<&UserId>,
    kind: RestrictionKind,
) -> Result<bool, StoreError> {
    let lifted = shared.store.lift_restriction(room, user, kind).await?;
    if lifted {
        refresh(shared).await?;
    }
    Ok(lifted)
}
