//! Whether a process does what a task asks for while someone publishes for it. A task that nobody does is told, and goes on waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rotunda_bus::BusError;
use rotunda_events::{PushChange, PushError, PushErrorKind, PushState, RecordingStep, What};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SdkAppId, StreamId, StreamKey, TaskId};
use rotunda_proto::media_task::{MediaTask, Purpose, Singles, SinglesOutput, Work};
use rotunda_proto::program::{PUSHERS_PREFIX, program_key};
use rotunda_proto::recording::{RECORDERS_PREFIX, RecordingRefusal};

use crate::shared::Shared;

/// A start of media takes seconds.
const TOLD_AFTER: Duration = Duration::from_secs(30);
/// Every node sees an undone task, at about the same time: what they tell within this time has one id.
const SAME_WITHIN: Duration = Duration::from_secs(600);

/// Since when nobody does a task that is fed, as this node has seen it.
#[derive(Debug, Default)]
pub struct Undone(HashMap<TaskId, Since>);

#[derive(Debug)]
struct Since {
    at: Instant,
    is_told: bool,
}

/// The news of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    Nothing,
    /// It was not seen undone before: it begins.
    Begins,
    Late,
}

/// The process that a task lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// One that makes the stream.
    Stream,
    /// One that pushes it.
    Push,
    Recorder,
}

impl Undone {
    pub fn forget(&mut self, task: &TaskId) {
        self.0.remove(task);
    }

    pub fn retain(&mut self, is_running: impl Fn(&TaskId) -> bool) {
        self.0.retain(|id, _| is_running(id));
    }

    /// Takes down whether a fed task is done.
    fn note(&mut self, task: &TaskId, is_done: bool, now: Instant) -> Noted {
        if is_done {
            self.forget(task);
            return Noted::Nothing;
        }
        let Some(since) = self.0.get_mut(task) else {
            let since = Since {
                at: now,
                is_told: false,
            };
            self.0.insert(task.clone(), since);
            return Noted::Begins;
        };
        let is_late = now.saturating_duration_since(since.at) >= TOLD_AFTER;
        match is_late && !std::mem::replace(&mut since.is_told, is_late) {
            true => Noted::Late,
            false => Noted::Nothing,
        }
    }
}

/// Looks after a task that is fed.
pub async fn look(shared: &Shared, task: &MediaTask, undone: &mut Undone, now: Instant) -> Result<(), BusError> {
    let missing = missing(shared, task).await?;
    match (undone.note(&task.id, missing.is_none(), now), missing) {
        (Noted::Begins, Some(_)) => tell_pushes(shared, task, "connecting", &[(PushState::Connecting, None)]),
        (Noted::Late, Some(missing)) => tell_late(shared, task, missing),
        _ => {}
    }
    Ok(())
}

/// A task waits for publishers again, or has ended.
pub fn end(shared: &Shared, task: &MediaTask, undone: &mut Undone) {
    if undone.0.remove(&task.id).is_some_and(|since| !since.is_told) {
        let states = [(PushState::Disconnecting, None), (PushState::Idle, None)];
        tell_pushes(shared, task, "ended", &states);
    }
}

/// The process that a task lacks. None: it is recorded, or its stream is on the air and pushed.
pub async fn missing(shared: &Shared, task: &MediaTask) -> Result<Option<Missing>, BusError> {
    let app = task.room.app;
    if let Some((stream, push_urls)) = task.pushed() {
        let id = stream.clone();
        let stream = StreamKey { app, id };
        if shared.bus.get(&program_key(&stream)).await?.is_none() {
            return Ok(Some(Missing::Stream));
        }
        let prefix = format!("{}.", stream.token());
        let is_pushed = push_urls.is_empty() || is_claimed(shared, PUSHERS_PREFIX, app, &prefix).await?;
        return Ok((!is_pushed).then_some(Missing::Push));
    }
    let is_recorded = is_recorded(shared, task).await?;
    Ok((!is_recorded).then_some(Missing::Recorder))
}

/// Whether a recorder records for the task.
pub async fn is_recorded(shared: &Shared, task: &MediaTask) -> Result<bool, BusError> {
    let app = task.room.app;
    let prefix = match &task.work {
        Work::Mix { spec } => format!("{}.", token(app, &spec.stream_id)),
        Work::MemberMix(mix) => format!("{}.", token(app, &mix.stream_id)),
        // Its members' streams have names that begin with the task's id.
        Work::Singles(_) => format!("{app}.{}_", task.id),
    };
    is_claimed(shared, RECORDERS_PREFIX, app, &prefix).await
}

fn token(app: SdkAppId, stream: &StreamId) -> String {
    let id = stream.clone();
    StreamKey { app, id }.token()
}

/// `streams`: the beginning of the streams' tokens.
async fn is_claimed(shared: &Shared, work: &str, app: SdkAppId, streams: &str) -> Result<bool, BusError> {
    let claims = shared.bus.list(&format!("{work}{app}.")).await?;
    let is_it = |key: &str| key.strip_prefix(work).is_some_and(|token| token.starts_with(streams));
    Ok(claims.iter().any(|(key, _)| is_it(key)))
}

fn tell_late(shared: &Shared, task: &MediaTask, missing: Missing) {
    let purpose = match task.purpose {
        Purpose::Publishing => "publishing",
        Purpose::Recording => "recording",
    };
    metrics::counter!("rotunda_signaling_tasks_undone_total", "purpose" => purpose).increment(1);
    tracing::warn!(
        room = %task.room, task = %task.id, purpose, ?missing,
        "nobody has done a task of the server API for 30 s, although someone publishes; it goes on waiting"
    );
    match missing {
        Missing::Recorder => tell_recording(shared, task),
        Missing::Stream | Missing::Push => {
            let role = match missing {
                Missing::Push => "pushes the stream (role live)",
                Missing::Stream | Missing::Recorder if task.mix_origin().is_some() => "mixes the room (role mcu)",
                Missing::Stream | Missing::Recorder => "relays the member's stream (role live or recorder)",
            };
            let error = PushError {
                kind: PushErrorKind::NotDone,
                message: format!("no process {role}; the task goes on waiting for one"),
            };
            let states = [(PushState::Failed, Some(error)), (PushState::Idle, None)];
            tell_pushes(shared, task, "not-done", &states);
        }
    }
}

/// Tells states of all pushes of a task that no process has.
fn tell_pushes(shared: &Shared, task: &MediaTask, why: &str, states: &[(PushState, Option<PushError>)]) {
    let Some((_, push_urls)) = task.pushed() else { return };
    let moment = Clock.unix().as_secs() / SAME_WITHIN.as_secs();
    for (index, url) in push_urls.iter().enumerate() {
        for (step, (state, error)) in states.iter().enumerate() {
            let push = PushChange {
                task: task.named(),
                url: url.clone(),
                state: *state,
                error: error.clone(),
            };
            let id = format!("push-{why}-{}-{index}-{step}-{moment}", task.id);
            let what = What::PushChanged { push: Box::new(push) };
            shared.facts.tell_as(id, &task.room, what);
        }
    }
}

fn tell_recording(shared: &Shared, task: &MediaTask) {
    let (stream_id, record_id): (StreamId, _) = match &task.work {
        Work::Mix { spec } => {
            let record_id = spec.record.as_ref().map(|record| record.record_id.clone());
            (spec.stream_id.clone(), record_id)
        }
        Work::Singles(Singles {
            output: SinglesOutput::Record { prefix, .. },
            ..
        }) => match task.id.as_str().parse() {
            Ok(stream_id) => (stream_id, Some(prefix.clone())),
            Err(_) => return,
        },
        Work::Singles(_) | Work::MemberMix(_) => return,
    };
    let what = What::RecordingRefused {
        stream_id,
        record_id,
        refusal: RecordingRefusal::NotTaken,
    };
    // Every node sees it.
    let id = format!("recording-not-taken-{}", task.id);
    shared.facts.tell_as(id, &task.room, what);
    let what = What::RecordingTask {
        task: task.named(),
        step: RecordingStep::NotBegun,
    };
    let id = format!("recording-task-not-begun-{}", task.id);
    shared.facts.tell_as(id, &task.room, what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_told_once_after_a_while_and_again_after_it_was_done() {
        let mut undone = Undone::default();
        let (id, now): (TaskId, _) = ("task-1".parse().unwrap(), Clock.now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(undone.note(&id, false, now), Noted::Begins);
        assert_eq!(undone.note(&id, false, at(29)), Noted::Nothing);
        assert_eq!(undone.note(&id, false, at(30)), Noted::Late);
        assert_eq!(undone.note(&id, false, at(31)), Noted::Nothing, "once");
        assert_eq!(undone.note(&id, true, at(32)), Noted::Nothing);
        assert_eq!(undone.note(&id, false, at(40)), Noted::Begins);
        assert_eq!(undone.note(&id, false, at(70)), Noted::Late);
    }
}
