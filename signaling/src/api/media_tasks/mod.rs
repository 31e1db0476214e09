//! Tasks that publish or record a room on demand, beside the room's mix: [`publish`] and [`record`] read the calls of the contract, and
//! this is what both do with them. [`of_member`] has the pushes that members ask for. [`upkeep`] keeps the tasks running, and ends idle ones.

pub mod of_member;
pub mod publish;
pub mod record;
mod settling;
mod undone;
mod upkeep;
mod values;

use std::convert::Infallible;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, Revision, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{MixId, RoomKey, SdkAppId, TaskId, UserId, shortened};
use rotunda_proto::media_task::{MEDIA_TASKS_PREFIX, MediaTask, Purpose, TaskEnd, TaskState, Work, media_task_key};
use rotunda_proto::mix::{MixSpec, Refusal};
use rotunda_proto::mix_task::{MixTask, Origin, Wish, task_key};
use rotunda_proto::room::{Roster, Seats, roster_key, seats_key};
use uuid::Uuid;

use super::ApiError;
use super::mix::client;
use super::mix::tasks::{self, Limit, StartError};
use crate::shared::Shared;

pub use upkeep::keep;

type Checked<T> = Result<T, ApiError>;

/// Running tasks of a room, and of an application, at most.
const MOST_OF_ROOM: usize = 20;
const MOST_OF_APPLICATION: usize = 400;
/// A task that has ended is known for so long, if its time is not over earlier.
const KNOWN_AFTER_END: Duration = Duration::from_secs(86_400);
/// The same of a push of a member, whom nobody asks about it.
const OF_MEMBER_KNOWN_AFTER_END: Duration = Duration::from_secs(60);

/// A task that a call asks for.
pub struct Asked {
    pub id: TaskId,
    pub purpose: Purpose,
    pub room: RoomKey,
    pub robot: UserId,
    pub work: Work,
    pub max_idle_seconds: u32,
    pub known_for: Duration,
}

pub fn new_id() -> Checked<TaskId> {
    let id = Uuid::new_v4().simple().to_string();
    id.parse().map_err(|error| ApiError::internal(&error))
}

/// Begins a task. If someone publishes already, its mix runs when this returns; otherwise the task waits for them.
pub async fn begin(shared: &Shared, caller: &Application, asked: Asked) -> Checked<TaskId> {
    let Asked { room, robot, .. } = &asked;
    robot_is_free(shared, room, robot).await?;
    let mut running = running_tasks(shared, room.app).await?;
    // By contract another task of the same robot ends the first one.
    for same in running.extract_if(.., |task| task.room == *room && task.robot == *robot) {
        end(shared, &same, TaskEnd::Replaced).await.map_err(bus)?;
    }
    has_place(&running, room)?;
    let task = MediaTask {
        id: asked.id,
        purpose: asked.purpose,
        room: asked.room,
        robot: asked.robot,
        started_by: caller.secret_id.clone(),
        work: asked.work,
        max_idle_seconds: asked.max_idle_seconds,
        sequence: 0,
        begun_unix_ms: Clock.unix().as_millis() as u64,
        state: TaskState::Running,
        end: None,
        known_until_unix_ms: (Clock.unix() + asked.known_for).as_millis() as u64,
        is_settled: false,
        of_member: None,
    };
    let written = shared.bus.store(&task.key(), &task, None).await.map_err(bus)?;
    if let Work::Mix { spec } = &task.work
        && is_fed(shared, &task).await.map_err(bus)?
        && let Err(error) = run_mix(shared, caller, &task.id, spec).await
    {
        shared.bus.delete(&task.key(), written).await.map_err(bus)?;
        return Err(error);
    }
    tracing::info!(room = %task.room, task = %task.id, purpose = ?task.purpose, "a task begins");
    Ok(task.id)
}

async fn running_tasks(shared: &Shared, app: SdkAppId) -> Checked<Vec<MediaTask>> {
    let prefix = format!("{MEDIA_TASKS_PREFIX}{app}.");
    let mut tasks = shared.bus.documents::<MediaTask>(&prefix).await.map_err(bus)?;
    tasks.retain(MediaTask::is_running);
    Ok(tasks)
}

/// `running`: the tasks of the application.
fn has_place(running: &[MediaTask], room: &RoomKey) -> Checked<()> {
    let in_room = running.iter().filter(|task| task.room == *room).count();
    if in_room < MOST_OF_ROOM && running.len() < MOST_OF_APPLICATION {
        return Ok(());
    }
    let message = format!(
        "{in_room} tasks run in the room and {} in the application; at most {MOST_OF_ROOM} and {MOST_OF_APPLICATION} may",
        running.len()
    );
    Err(ApiError::new("FailedOperation.RestrictedConcurrency", message))
}

/// The task of that id.
///
/// Errors: `ResourceNotFound`.
pub async fn find(shared: &Shared, app: SdkAppId, id: &str, purpose: Purpose) -> Checked<(MediaTask, Revision)> {
    let unknown = || {
        let message = format!("there is no task {}, or its time is over", shortened(id));
        ApiError::new("ResourceNotFound", message)
    };
    let id: TaskId = id.parse().map_err(|_| unknown())?;
    let found = shared.bus.load::<MediaTask>(&media_task_key(app, &id)).await;
    let found = found.map_err(bus)?;
    let now = Clock.unix().as_millis() as u64;
    found
        .filter(|(task, _)| task.purpose == purpose && now < task.known_until_unix_ms)
        .ok_or_else(unknown)
}

/// Puts a changed task in the place of what was found. A mix that does not take the change goes on as it was.
pub async fn change(
    shared: &Shared,
    caller: &Application,
    before: (MediaTask, Revision),
    after: MediaTask,
) -> Checked<()> {
    let (before, revision) = before;
    let written = match shared.bus.store(&after.key(), &after, Some(revision)).await {
        Err(BusError::Conflict(_)) => {
            let message = "another call has changed the task at the same moment; try again";
            return Err(ApiError::new("FailedOperation", message));
        }
        written => written.map_err(bus)?,
    };
    let Work::Mix { spec } = &after.work else {
        return Ok(());
    };
    if mix_of(shared, &after).await.map_err(bus)?.is_none() {
        // It begins with the new layout.
        return Ok(());
    }
    let changed = run_mix(shared, caller, &after.id, spec).await;
    if changed.is_err() {
        let as_before = MediaTask {
            sequence: after.sequence,
            ..before
        };
        let restored = shared.bus.store(&as_before.key(), &as_before, Some(written)).await;
        match restored {
            // A newer change has its own work.
            Ok(_) | Err(BusError::Conflict(_)) => {}
            Err(error) => return Err(bus(error)),
        }
    }
    changed
}

/// Ends a task and its mix. It has no effect on a task that has ended.
pub async fn end(shared: &Shared, task: &MediaTask, end: TaskEnd) -> Result<(), BusError> {
    if let Some(ended) = mark_ended(&shared.bus, &task.key(), end).await? {
        settling::tell_end(shared, &ended);
    }
    tracing::info!(room = %task.room, task = %task.id, ?end, "a task ends");
    if let Work::MemberMix(_) = &task.work {
        return client::end_push(&shared.bus, &task.room, &task.named()).await;
    }
    let is_its = |mix: &MixTask| mix.origin == Origin::Task(task.id.clone());
    match tasks::stop(&shared.bus, &task.room, is_its).await {
        Ok(()) | Err(tasks::StopError::NoMix) => Ok(()),
        Err(tasks::StopError::Bus(error)) => Err(error),
    }
}

/// Ends the recording tasks of a room whose robot was removed from it; None: all were.
pub async fn end_recordings(shared: &Shared, room: &RoomKey, robots: Option<&[UserId]>) -> Checked<()> {
    let prefix = format!("{MEDIA_TASKS_PREFIX}{}.", room.app);
    let tasks = shared.bus.documents::<MediaTask>(&prefix).await.map_err(bus)?;
    let is_removed = |task: &MediaTask| robots.is_none_or(|robots| robots.contains(&task.robot));
    let is_recording = |task: &MediaTask| task.purpose == Purpose::Recording && task.is_running();
    let because = match robots {
        Some(_) => TaskEnd::RobotRemoved,
        None => TaskEnd::RoomDismissed,
    };
    for task in tasks {
        if task.room == *room && is_recording(&task) && is_removed(&task) {
            end(shared, &task, because).await.map_err(bus)?;
        }
    }
    Ok(())
}

/// Writes the end of a task into its document, and answers the task.
async fn mark_ended(bus: &SharedBus, key: &str, end: TaskEnd) -> Result<Option<MediaTask>, BusError> {
    let now = Clock.unix();
    let ended = bus.update(key, |task: Option<MediaTask>| {
        let ended = task.map(|task| {
            let known_for = match task.of_member {
                Some(_) => OF_MEMBER_KNOWN_AFTER_END,
                None => KNOWN_AFTER_END,
            };
            MediaTask {
                state: TaskState::Ended,
                // Of two ends the first one counts.
                end: task.end.or((task.state == TaskState::Running).then_some(end)),
                known_until_unix_ms: task.known_until_unix_ms.min((now + known_for).as_millis() as u64),
                ..task
            }
        });
        Ok::<_, Infallible>((ended.clone(), ended))
    });
    let Ok(ended) = ended.await?;
    Ok(ended)
}

/// Whether someone publishes what the task takes; of the push of a member's mix: whether the mix is there, too.
async fn is_fed(shared: &Shared, task: &MediaTask) -> Result<bool, BusError> {
    let seats = shared.bus.load::<Seats>(&seats_key(&task.room)).await?;
    if !seats.is_some_and(|(seats, _)| task.is_fed_by(&seats)) {
        return Ok(false);
    }
    let is_there = |mix: MixTask| mix.spec().is_some_and(|spec| spec.task.as_ref() == Some(&task.named()));
    match &task.work {
        Work::MemberMix(_) => Ok(mix_of(shared, task).await?.is_some_and(is_there)),
        Work::Mix { .. } | Work::Singles(_) => Ok(true),
    }
}

/// The mix of a task; None: it has none now.
async fn mix_of(shared: &Shared, task: &MediaTask) -> Result<Option<MixTask>, BusError> {
    let Some(origin) = task.mix_origin() else {
        return Ok(None);
    };
    let key = task_key(&task.room, &origin);
    Ok(shared.bus.load::<MixTask>(&key).await?.map(|(mix, _)| mix))
}

fn wish(started_by: &str, task: &TaskId, spec: &MixSpec) -> Wish {
    Wish {
        id: MixId(rand::random()),
        origin: Origin::Task(task.clone()),
        started_by: started_by.to_owned(),
        spec: spec.clone(),
    }
}

/// Starts or changes the mix of a task, and waits until it is so.
async fn run_mix(shared: &Shared, caller: &Application, task: &TaskId, spec: &MixSpec) -> Checked<()> {
    let wish = wish(&caller.secret_id, task, spec);
    let error = match tasks::start(&shared.bus, &wish, Limit::None, caller.max_mixes).await {
        Ok(tasks::Done::Begun) => return Ok(()),
        Ok(tasks::Done::Changed(mix)) => {
            super::mix::running::tell_change(shared, mix, spec);
            return Ok(());
        }
        // The publishers have just left: the task waits for others.
        Err(StartError::Refused(Refusal::RoomNotExist) | StartError::Ended) => return Ok(()),
        Err(error) => error,
    };
    let code = match &error {
        StartError::Refused(Refusal::NoCapacity) | StartError::ApplicationFull(_) => {
            "FailedOperation.RestrictedConcurrency"
        }
        StartError::Refused(Refusal::Failed { .. }) | StartError::Late | StartError::Bus(_) => {
            return Err(ApiError::internal(&error));
        }
        _ => "FailedOperation",
    };
    Err(ApiError::new(code, error.to_string()))
}

async fn robot_is_free(shared: &Shared, room: &RoomKey, robot: &UserId) -> Checked<()> {
    let roster = shared.bus.load::<Roster>(&roster_key(room)).await.map_err(bus)?;
    let is_member = roster.is_some_and(|(roster, _)| roster.members.iter().any(|member| member.user == *robot));
    match is_member {
        true => Err(ApiError::new(
            "FailedOperation",
            format!("the user {robot} is in the room; a task needs a user id that nobody has"),
        )),
        false => Ok(()),
    }
}

fn bus(error: BusError) -> ApiError {
    ApiError::internal(&error)
}

#[cfg(test)]
mod tests;
