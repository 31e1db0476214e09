//! Pushes that members ask for by the client protocol: tasks whose robot is the member. Each member may have one for each of camera, screen
//! and their mix.

use std::convert::Infallible;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MembershipId, OwnStreamId, RoomKey, SdkAppId, StreamId, TaskId, UserId};
use rotunda_proto::media_task::{
    MediaTask, MemberMix, OfMember, Purpose, Singles, SinglesOutput, TaskEnd, TaskState, Work, media_task_key,
};
use rotunda_proto::push_state::PushSource;
use rotunda_proto::selection::{Selection, Videos};

use super::{Checked, bus, end, has_place, mark_ended, new_id, running_tasks};
use crate::api::ApiError;
use crate::api::mix::client;
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
    pub source: PushSource,
    /// A valid RTMP(S) address.
    pub url: &'a str,
}

/// Begins a push in place of an earlier one of the same source. One that has this address already goes on.
///
/// Errors: `FailedOperation.RestrictedConcurrency` while as many pushes of members or tasks run as may; `FailedOperation.MixNotExist` for
/// the mix of a member who has none.
pub async fn begin(shared: &Shared, asked: AskedByMember<'_>) -> Checked<TaskId> {
    let AskedByMember {
        room,
        user,
        membership,
        source,
        url,
    } = &asked;
    let (source, membership) = (*source, *membership);
    let mut running = running_tasks(shared, room.app).await?;
    let is_same =
        |task: &mut MediaTask| task.room == **room && task.robot == **user && task.pushed_by_member() == Some(source);
    for same in running.extract_if(.., is_same) {
        let goes_there = same.pushed().is_some_and(|(_, urls)| urls == [*url]);
        if !goes_there {
            end(shared, &same, TaskEnd::Replaced).await.map_err(bus)?;
        } else if let Some(adopted) = adopt(shared, &same, membership).await.map_err(bus)? {
            push_mix(shared, &adopted).await?;
            return Ok(same.id);
        }
    }
    let most = shared.config.member_pushes_per_room;
    let of_members = running
        .iter()
        .filter(|task| task.room == **room && task.of_member.is_some());
    let of_members = of_members.count();
    if of_members >= most {
        let message = format!(
            "members of the room have {of_members} pushes already, and signaling.member_pushes_per_room permits {most}; one of them must \
             end first"
        );
        return Err(ApiError::new("FailedOperation.RestrictedConcurrency", message));
    }
    has_place(&running, room)?;
    let id = new_id()?;
    let work = work(shared, &id, &asked).await?;
    let task = task(id, room, user, membership, work);
    shared.bus.store(&task.key(), &task, None).await.map_err(bus)?;
    push_mix(shared, &task).await?;
    tracing::info!(%room, task = %task.id, %source, "a member's push begins");
    Ok(task.id)
}

/// The push of a mix is a task and an entry in the document of the mix. A mix that has ended meanwhile ends the task.
async fn push_mix(shared: &Shared, task: &MediaTask) -> Checked<()> {
    if !matches!(task.work, Work::MemberMix(_)) || client::push(&shared.bus, task).await.map_err(bus)? {
        return Ok(());
    }
    end(shared, task, TaskEnd::Stopped).await.map_err(bus)?;
    Err(no_mix())
}

async fn work(shared: &Shared, id: &TaskId, asked: &AskedByMember<'_>) -> Checked<Work> {
    let AskedByMember { room, user, url, .. } = asked;
    let push_urls = vec![(*url).to_owned()];
    let videos = match asked.source {
        PushSource::Camera => Videos::Camera,
        PushSource::Screen => Videos::Screen,
        PushSource::Mix => {
            let stream_id = client::stream(&shared.bus, room, user).await.map_err(bus)?;
            return Ok(Work::MemberMix(MemberMix {
                selection: Selection::of_user(user, Videos::All),
                stream_id: stream_id.ok_or_else(no_mix)?,
                push_urls,
            }));
        }
    };
    Ok(Work::Singles(Singles {
        selection: Selection::of_user(user, videos),
        output: SinglesOutput::Publish {
            stream_id: OwnStreamId::from(id.clone()).into(),
            push_urls,
        },
    }))
}

fn no_mix() -> ApiError {
    let message = "the member has no mix, which setMixTranscodingConfig starts";
    ApiError::new("FailedOperation.MixNotExist", message)
}

fn task(id: TaskId, room: &RoomKey, user: &UserId, of: MembershipId, work: Work) -> MediaTask {
    MediaTask {
        purpose: Purpose::Publishing,
        room: room.clone(),
        robot: user.clone(),
        started_by: user.to_string(),
        work,
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

/// The push goes on with another stay of its member. None: it has ended meanwhile.
async fn adopt(shared: &Shared, task: &MediaTask, membership: MembershipId) -> Result<Option<MediaTask>, BusError> {
    let key = task.key();
    let adopted = shared.bus.update(&key, |task: Option<MediaTask>| {
        let after = task.map(|task| match task.is_running() {
            true => MediaTask {
                of_member: task.of_member.clone().map(|of| OfMember { membership, ..of }),
                ..task
            },
            false => task,
        });
        let running = after.clone().filter(MediaTask::is_running);
        Ok::<_, Infallible>((after, running))
    });
    let Ok(running) = adopted.await?;
    Ok(running)
}

/// Ends a push. It has no effect on one that has ended.
pub async fn stop(bus: &SharedBus, app: SdkAppId, task: &TaskId, because: TaskEnd) -> Result<(), BusError> {
    match mark_ended(bus, &media_task_key(app, task), because).await? {
        Some(ended) if matches!(ended.work, Work::MemberMix(_)) => {
            client::end_push(bus, &ended.room, &ended.named()).await
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the application still lets its members push. One that this node does not know says nothing.
pub fn is_permitted(shared: &Shared, task: &MediaTask) -> bool {
    let applications = shared.applications();
    let application = applications.by_id(task.room.app);
    task.of_member.is_none() || application.is_none_or(|application| application.members_may_push)
}

/// The push as its document has it. None: it has ended.
pub async fn running(bus: &SharedBus, app: SdkAppId, task: &TaskId) -> Result<Option<MediaTask>, BusError> {
    let found = bus.load::<MediaTask>(&media_task_key(app, task)).await?;
    Ok(found.map(|(task, _)| task).filter(MediaTask::is_running))
}

/// The pushed mix has another stream from now on.
pub async fn follow_mix(bus: &SharedBus, app: SdkAppId, task: &TaskId, stream: &StreamId) -> Result<(), BusError> {
    let key = media_task_key(app, task);
    let followed = bus.update(&key, |task: Option<MediaTask>| {
        let after = task.map(|mut task| {
            if let (TaskState::Running, Work::MemberMix(mix)) = (task.state, &mut task.work) {
                mix.stream_id = stream.clone();
            }
            task
        });
        Ok::<_, Infallible>((after, ()))
    });
    let Ok(()) = followed.await?;
    Ok(())
}
