//! Mixes that members ask for, each one beside the other mixes of the room.

use std::convert::Infallible;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, SharedBus, WatchEvent};
use rotunda_proto::ids::{MixId, RoomKey, StreamId, UserId};
use rotunda_proto::media_task::{MediaTask, TaskRef};
use rotunda_proto::mix::MixSpec;
use rotunda_proto::mix_task::{MixTask, NoMix, Origin, Wish, pushed, stopped, task_key};

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
    let key = key(room, user);
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

/// The stream of the member's mix. None: the member has no mix.
pub async fn stream(bus: &SharedBus, room: &RoomKey, user: &UserId) -> Result<Option<StreamId>, BusError> {
    let mix = bus.load::<MixTask>(&key(room, user)).await?;
    Ok(mix.and_then(|(mix, _)| mix.spec().map(|spec| spec.stream_id.clone())))
}

/// Pushes the mix of the task's member for the task, and for no other. False: the member has no mix.
pub async fn push(bus: &SharedBus, task: &MediaTask) -> Result<bool, BusError> {
    let urls = task.pushed().map_or(&[][..], |(_, urls)| urls);
    let key = key(&task.room, &task.robot);
    let pushed = bus.update(&key, |mix: Option<MixTask>| {
        let after = mix.map(|mix| pushed(mix, Some(task.named()), urls));
        let has_mix = after.as_ref().is_some_and(|mix| mix.spec().is_some());
        Ok::<_, Infallible>((after, has_mix))
    });
    let Ok(has_mix) = pushed.await?;
    Ok(has_mix)
}

/// The mix of the task's member is pushed for it no more, and goes on.
pub async fn end_push(bus: &SharedBus, room: &RoomKey, task: &TaskRef) -> Result<(), BusError> {
    let is_its = |mix: &MixTask| mix.spec().is_some_and(|spec| spec.task.as_ref() == Some(task));
    let key = key(room, &task.robot);
    let ended = bus.update(&key, |mix: Option<MixTask>| {
        let after = mix.map(|mix| if is_its(&mix) { pushed(mix, None, &[]) } else { mix });
        Ok::<_, Infallible>((after, ()))
    });
    let Ok(()) = ended.await?;
    Ok(())
}

fn key(room: &RoomKey, user: &UserId) -> String {
    task_key(room, &Origin::Client(user.clone()))
}
