//! Mixes that members ask for, each one beside the other mixes of the room.

use std::time::Duration;

use rotunda_bus::{BusExt, WatchEvent};
use rotunda_proto::ids::{MixId, RoomKey, UserId};
use rotunda_proto::mix::MixSpec;
use rotunda_proto::mix_task::{MixTask, NoMix, Origin, Wish, stopped, task_key};

use super::{bus, refused, running, tasks};
use crate::api::ApiError;
use crate::shared::Shared;

/// A caller does not wait longer than this for the end of a mix.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// Starts the member's mix or changes it, and waits until it runs.
///
/// Errors: `FailedOperation.RequestRejection` while another mix has the stream or members of the room have
/// `signaling.member_mixes_per_room` mixes, and those of the mixing server.
pub async fn start(shared: &Shared, user: &UserId, spec: MixSpec) -> Result<(), ApiError> {
    let wish = Wish {
        id: MixId(rand::random()),
        origin: Origin::Client(user.clone()),
        started_by: user.to_string(),
        spec,
    };
    let limit = tasks::Limit::Members(shared.config.member_mixes_per_room);
    let applications = shared.applications();
    let of_application = applications.by_id(wish.spec.room.app);
    let max_mixes = of_application.map_or(0, |application| application.max_mixes);
    let started = tasks::start(&shared.bus, &wish, limit, max_mixes).await;
    if let tasks::Done::Changed(mix) = started.map_err(|error| refused(&error))? {
        running::tell_change(shared, mix, &wish.spec);
    }
    Ok(())
}

/// Ends the member's mix; without one this is done already.
pub async fn stop(shared: &Shared, room: &RoomKey, user: &UserId) -> Result<(), ApiError> {
    let key = task_key(room, &Origin::Client(user.clone()));
    let stopping = shared
        .bus
        .update(&key, |before: Option<MixTask>| Ok::<_, NoMix>((stopped(before)?, ())));
    if let Err(NoMix) = stopping.await.map_err(bus)? {
        return Ok(());
    }
    let mut watch = shared.bus.watch(&key).await.map_err(bus)?;
    let ended = async {
        let mut is_there = false;
        loop {
            match watch.next().await {
                WatchEvent::Change(change) => {
                    is_there = change.entry.is_some();
                    if !is_there {
                        return;
                    }
                }
                WatchEvent::Synced if !is_there => return,
                WatchEvent::Synced => {}
            }
        }
    };
    // After that the node that does it ends it as soon as it can.
    let _ended_or_late = tokio::time::timeout(ENDED_WITHIN, ended).await;
    Ok(())
}
