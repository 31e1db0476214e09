//! Pushes that members ask for by the client protocol: tasks whose robot is the member. Each member may have one for each video source.

use std::convert::Infallible;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MembershipId, OwnStreamId, RoomKey, SdkAppId, TaskId, TrackSource, UserId};
use rotunda_proto::media_task::{
    MediaTask, OfMember, Purpose, Singles, SinglesOutput, TaskEnd, TaskState, Work, media_task_key,
};
use rotunda_proto::selection::{Selection, Videos};

use super::{Checked, bus, end, has_place, mark_ended, new_id, running_tasks};
use crate::api::ApiError;
use crate::shared::Shared;

/// A push ends when its member has published nothing for it for so long: that of a task of the server API by default.
const MAX_IDLE_SECONDS: u32 = 30;
/// A push is known for this time at most.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 86_400);

/// A push that a member asks for.
pub struct AskedByMember<'a> {
    pub room: &'a RoomKey,
    pub user: &'a UserId,
    pub membership: MembershipId,
    /// Camera (with the microphone) or screen.
    pub source: TrackSource,
    /// A valid RTMP(S) address.
    pub url: &'a str,
}

/// Begins a push in place of an earlier one of the same source. One that has this address already goes on.
///
/// Errors: `FailedOperation.RestrictedConcurrency` while as many pushes of members or tasks run as may.
pub async fn begin(shared: &Shared, asked: AskedByMember<'_>) -> Checked<TaskId> {
    let AskedByMember {
        room,
        user,
        membership,
        source,
        url,
    } = asked;
    let mut running = running_tasks(shared, room.app).await?;
    let is_same =
        |task: &mut MediaTask| task.room == *room && task.robot == *user && task.pushed_by_member() == Some(source);
    for same in running.extract_if(.., is_same) {
        let goes_there = same.pushed().is_some_and(|(_, urls)| urls == [url]);
        if !goes_there {
            end(shared, &same, TaskEnd::Replaced).await.map_err(bus)?;
        } else if adopt(shared, &same, membership).await.map_err(bus)? {
            return Ok(same.id);
        }
    }
    let most = shared.config.member_pushes_per_room;
    let of_members = running
        .iter()
        .filter(|task| task.room == *room && task.of_member.is_some());
    let of_members = of_members.count();
    if of_members >= most {
        let message = format!(
            "members of the room have {of_members} pushes already, and signaling.member_pushes_per_room permits {most}; one of them must \
             end first"
        );
        return Err(ApiError::new("FailedOperation.RestrictedConcurrency", message));
    }
    has_place(&running, room)?;
    let task = task(new_id()?, room, user, membership, source, url);
    shared.bus.store(&task.key(), &task, None).await.map_err(bus)?;
    tracing::info!(%room, task = %task.id, %source, "a member's push begins");
    Ok(task.id)
}

fn task(id: TaskId, room: &RoomKey, user: &UserId, of: MembershipId, source: TrackSource, url: &str) -> MediaTask {
    let videos = match source {
        TrackSource::Screen => Videos::Screen,
        TrackSource::Camera | TrackSource::Audio => Videos::Camera,
    };
    MediaTask {
        purpose: Purpose::Publishing,
        room: room.clone(),
        robot: user.clone(),
        started_by: user.to_string(),
        work: Work::Singles(Singles {
            selection: Selection::of_user(user, videos),
            output: SinglesOutput::Publish {
                stream_id: OwnStreamId::from(id.clone()).into(),
                push_urls: vec![url.to_owned()],
            },
        }),
        max_idle_seconds: MAX_IDLE_SECONDS,
        sequence: 0,
        begun_unix_ms: Clock.unix().as_millis() as u64,
        state: TaskState::Running,
        end: None,
        known_until_unix_ms: (Clock.unix() + KNOWN_FOR).as_millis() as u64,
        is_settled: false,
        of_member: Some(OfMember::new(of)),
        id,
    }
}

/// The push goes on with another stay of its member. False: it has ended meanwhile.
async fn adopt(shared: &Shared, task: &MediaTask, membership: MembershipId) -> Result<bool, BusError> {
    let key = task.key();
    let adopted = shared.bus.update(&key, |task: Option<MediaTask>| {
        let after = task.map(|task| match task.is_running() {
            true => MediaTask {
                of_member: task.of_member.clone().map(|of| OfMember { membership, ..of }),
                ..task
            },
            false => task,
        });
        let is_running = after.as_ref().is_some_and(MediaTask::is_running);
        Ok::<_, Infallible>((after, is_running))
    });
    let Ok(is_running) = adopted.await?;
    Ok(is_running)
}

/// Ends a push. It has no effect on one that has ended.
pub async fn stop(bus: &SharedBus, app: SdkAppId, task: &TaskId) -> Result<(), BusError> {
    mark_ended(bus, &media_task_key(app, task), TaskEnd::Stopped).await?;
    Ok(())
}
