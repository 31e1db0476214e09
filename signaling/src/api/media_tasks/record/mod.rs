//! `CreateCloudRecording`, `DescribeCloudRecording`, `ModifyCloudRecording` and `DeleteCloudRecording`: recordings of a room on demand.

mod check;
mod layout;
mod request;

use std::time::Duration;

use rotunda_events::{RecordingStep, What};
use rotunda_proto::config::Application;
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::media_task::{MediaTask, Purpose, TaskEnd, Work};

pub use request::{
    CreateCloudRecording, DeleteCloudRecording, DescribeCloudRecording, ModifyCloudRecording, RecordingTask,
    RecordingTaskState,
};

use super::undone::is_recorded;
use super::values::{self, NotFetched, own_application};
use super::{Asked, Checked, begin, bus, change, end, find, is_fed, new_id};
use crate::api::ApiError;
use crate::api::media;
use crate::api::mix::check::missing;
use crate::api::pictures::Pictures;
use crate::shared::Shared;
use rotunda_proto::clock::Clock;

const WRONG: &str = "InvalidParameter.OutOfRange";
const NO_APPLICATION: &str = "MissingParameter.SdkAppId";
const NO_TASK: &str = "MissingParameter.TaskId";

pub async fn create(
    shared: &Shared,
    pictures: &Pictures,
    caller: &Application,
    request: CreateCloudRecording,
) -> Checked<RecordingTask> {
    let app = own_application(caller, request.sdk_app_id, NO_APPLICATION)?;
    let id = new_id()?;
    let ticket = request.private_map_key.clone();
    let check::Created {
        room,
        robot,
        max_idle_seconds,
        known_for_hours,
        mut work,
        pictures: wanted,
    } = check::create(caller, app, &id, request)?;
    if caller.requires_private_map_key {
        let rights = shared
            .applications()
            .rights(&room, &robot, ticket.as_deref(), Clock.unix());
        rights.map_err(|_| {
            let message = "the application requires a room ticket: PrivateMapKey must be one of UserId for the room";
            ApiError::new("AuthFailure", message)
        })?;
    }
    settle(pictures, app, &mut work, wanted).await?;
    if !media::a_recorder_answers(shared).await? {
        let message = "no recorder runs; start one (a process with the role recorder), or try again later";
        return Err(ApiError::new("InternalError.CRInternalError", message));
    }
    let asked = Asked {
        id,
        purpose: Purpose::Recording,
        room,
        robot,
        work,
        max_idle_seconds,
        known_for: Duration::from_secs(known_for_hours * 3600),
    };
    let id = begin(shared, caller, asked).await?;
    Ok(RecordingTask {
        task_id: id.to_string(),
    })
}

pub async fn describe(
    shared: &Shared,
    caller: &Application,
    request: DescribeCloudRecording,
) -> Checked<RecordingTaskState> {
    let (task, _) = found(shared, caller, request.sdk_app_id, request.task_id).await?;
    let status = match task.is_running() {
        false => "Exited",
        true if is_fed(shared, &task).await.map_err(bus)? && is_recorded(shared, &task).await.map_err(bus)? => {
            "InProgress"
        }
        // Also while someone publishes and no recorder has taken it.
        true => "Idle",
    };
    Ok(RecordingTaskState {
        task_id: task.id.to_string(),
        status,
        storage_file_list: Vec::new(),
    })
}

pub async fn modify(
    shared: &Shared,
    pictures: &Pictures,
    caller: &Application,
    request: ModifyCloudRecording,
) -> Checked<RecordingTask> {
    let (id, app) = (request.task_id.clone(), request.sdk_app_id);
    let (task, revision) = running(shared, caller, app, id).await?;
    let room = task.room.clone();
    let (mut work, wanted) = check::modify(&task, request)?;
    if let Err(not) = settle(pictures, task.room.app, &mut work, wanted).await {
        // The call is refused, too. By contract it would have its effect without the picture.
        let step = RecordingStep::PictureNotFetched {
            url: not.url.to_string(),
        };
        let task = task.named();
        shared.facts.tell(&room, What::RecordingTask { task, step });
        return Err(not.into());
    }
    let task_id = task.id.to_string();
    let after = MediaTask {
        work,
        sequence: task.sequence + 1,
        ..task.clone()
    };
    change(shared, caller, (task, revision), after).await?;
    Ok(RecordingTask { task_id })
}

pub async fn delete(shared: &Shared, caller: &Application, request: DeleteCloudRecording) -> Checked<RecordingTask> {
    let (task, _) = running(shared, caller, request.sdk_app_id, request.task_id).await?;
    end(shared, &task, TaskEnd::Stopped).await.map_err(bus)?;
    Ok(RecordingTask {
        task_id: task.id.to_string(),
    })
}

type Found = (MediaTask, rotunda_bus::Revision);

async fn found(shared: &Shared, caller: &Application, app: Option<u64>, id: Option<String>) -> Checked<Found> {
    let app = own_application(caller, app, NO_APPLICATION)?;
    let id = id.ok_or_else(|| missing(NO_TASK, "TaskId"))?;
    find(shared, app, &id, Purpose::Recording).await
}

/// By contract a task that has ended can no longer be changed.
async fn running(shared: &Shared, caller: &Application, app: Option<u64>, id: Option<String>) -> Checked<Found> {
    let (task, revision) = found(shared, caller, app, id).await?;
    match task.is_running() {
        true => Ok((task, revision)),
        false => Err(ApiError::new(
            "ResourceNotFound",
            format!("the task {} has ended", task.id),
        )),
    }
}

async fn settle(
    pictures: &Pictures,
    app: SdkAppId,
    work: &mut Work,
    wanted: Vec<values::Fetch>,
) -> Result<(), NotFetched> {
    match work {
        Work::Mix { spec } => values::fetch(pictures, app, &mut spec.layout, wanted, WRONG).await,
        Work::Singles(_) | Work::MemberMix(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
