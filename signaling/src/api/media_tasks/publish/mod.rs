//! `StartPublishCdnStream`, `UpdatePublishCdnStream` and `StopPublishCdnStream`: a room's mix, or one member's stream, on the air here and
//! pushed to other servers.

mod check;
mod layout;
mod request;

use std::time::Duration;

use rotunda_proto::config::Application;
use rotunda_proto::media_task::{MediaTask, Purpose, Singles, SinglesOutput, TaskEnd, Work};

pub use request::{PublishTask, StartPublishCdnStream, StopPublishCdnStream, UpdatePublishCdnStream};

use super::values::{self, own_application};
use super::{Asked, Checked, begin, change, end, find, new_id};
use crate::api::ApiError;
use crate::api::mix::Mixes;
use crate::api::mix::check::{invalid, missing, within};
use crate::api::pictures::Pictures;
use crate::shared::Shared;

/// By contract the id of a task works for 30 days.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 86_400);
const WRONG: &str = "InvalidParameter";
const MISSING: &str = "MissingParameter";

pub async fn start(
    shared: &Shared,
    (mixes, pictures): (&Mixes, &Pictures),
    caller: &Application,
    request: StartPublishCdnStream,
) -> Checked<PublishTask> {
    let app = own_application(caller, request.sdk_app_id, MISSING)?;
    let id = new_id()?;
    let checked = check::start(caller, app, &id, request, &shared.config.process.public_names)?;
    let check::Started {
        room,
        robot,
        max_idle_seconds,
        mut work,
        pictures: wanted,
    } = checked;
    settle(mixes, pictures, &mut work, wanted).await?;
    let asked = Asked {
        id,
        purpose: Purpose::Publishing,
        room,
        robot,
        work,
        max_idle_seconds,
        known_for: KNOWN_FOR,
    };
    let id = begin(shared, caller, asked).await?;
    Ok(PublishTask {
        task_id: id.to_string(),
    })
}

pub async fn update(
    shared: &Shared,
    (mixes, pictures): (&Mixes, &Pictures),
    caller: &Application,
    request: UpdatePublishCdnStream,
) -> Checked<PublishTask> {
    let app = own_application(caller, request.sdk_app_id, MISSING)?;
    let id = request.task_id.as_deref().ok_or_else(|| missing(MISSING, "TaskId"))?;
    let sequence = request.sequence_number;
    let sequence = sequence.ok_or_else(|| missing(MISSING, "SequenceNumber"))?;
    let (task, revision) = find(shared, app, id, Purpose::Publishing).await?;
    if !task.is_running() {
        let message = format!("the task {} has ended; start another one", task.id);
        return Err(ApiError::new("FailedOperation.TaskFinished", message));
    }
    if sequence <= task.sequence {
        let message = format!("SequenceNumber must be greater than {}, not {sequence}", task.sequence);
        return Err(ApiError::new("FailedOperation.RequestOutdated", message));
    }
    let (mut work, wanted) = check::update(&task, request, &shared.config.process.public_names)?;
    settle(mixes, pictures, &mut work, wanted).await?;
    let after = MediaTask {
        work,
        sequence,
        ..task.clone()
    };
    let task_id = task.id.to_string();
    change(shared, caller, (task, revision), after).await?;
    Ok(PublishTask { task_id })
}

pub async fn stop(shared: &Shared, caller: &Application, request: StopPublishCdnStream) -> Checked<PublishTask> {
    let app = own_application(caller, request.sdk_app_id, MISSING)?;
    let id = request.task_id.ok_or_else(|| missing(MISSING, "TaskId"))?;
    let (task, _) = find(shared, app, &id, Purpose::Publishing).await?;
    end(shared, &task, TaskEnd::Stopped).await.map_err(super::bus)?;
    Ok(PublishTask {
        task_id: task.id.to_string(),
    })
}

/// Fetches the pictures, and checks the networks of the pushes.
async fn settle(mixes: &Mixes, pictures: &Pictures, work: &mut Work, wanted: Vec<values::Fetch>) -> Checked<()> {
    let name = "PublishCdnParams";
    match work {
        Work::Mix { spec } => {
            mixes.check_push_hosts(&spec.push_urls, WRONG, name).await?;
            Ok(values::fetch(pictures, spec.room.app, &mut spec.layout, wanted, WRONG).await?)
        }
        Work::Singles(Singles {
            output: SinglesOutput::Publish { push_urls, .. },
            ..
        }) => mixes.check_push_hosts(push_urls, WRONG, name).await,
        Work::Singles(_) | Work::MemberMix(_) => Ok(()),
    }
}

fn is_mix(with_transcoding: Option<u64>) -> Checked<bool> {
    let mode = with_transcoding.ok_or_else(|| missing(MISSING, "WithTranscoding"))?;
    within(mode, 0..=1, WRONG, "WithTranscoding")?;
    Ok(mode == 1)
}

fn wrong(message: &str) -> ApiError {
    invalid(WRONG, message)
}

#[cfg(test)]
mod tests;
