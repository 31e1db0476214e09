//! Whether a process does what a task asks for while someone publishes for it. A task that nobody does is told, and goes on waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rotunda_bus::BusError;
use rotunda_events::What;
use rotunda_proto::ids::{StreamId, StreamKey, TaskId};
use rotunda_proto::media_task::{MediaTask, Purpose, Singles, SinglesOutput, Work};
use rotunda_proto::program::program_key;
use rotunda_proto::recording::{RECORDERS_PREFIX, RecordingRefusal};

use crate::shared::Shared;

/// A start of media takes seconds.
const TOLD_AFTER: Duration = Duration::from_secs(30);

/// Since when nobody does a task that is fed, as this node has seen it.
#[derive(Debug, Default)]
pub struct Undone(HashMap<TaskId, Since>);

#[derive(Debug)]
struct Since {
    at: Instant,
    is_told: bool,
}

impl Undone {
    pub fn forget(&mut self, task: &TaskId) {
        self.0.remove(task);
    }

    pub fn retain(&mut self, is_running: impl Fn(&TaskId) -> bool) {
        self.0.retain(|id, _| is_running(id));
    }

    /// Takes down whether a fed task is done. Answers whether it is to be told now that it is not.
    fn note(&mut self, task: &TaskId, is_done: bool, now: Instant) -> bool {
        if is_done {
            self.forget(task);
            return false;
        }
        let first = Since {
            at: now,
            is_told: false,
        };
        let since = self.0.entry(task.clone()).or_insert(first);
        let is_late = now.saturating_duration_since(since.at) >= TOLD_AFTER;
        is_late && !std::mem::replace(&mut since.is_told, true)
    }
}

/// Looks after a task that is fed.
pub async fn look(shared: &Shared, task: &MediaTask, undone: &mut Undone, now: Instant) -> Result<(), BusError> {
    let is_done = is_done(shared, task).await?;
    if undone.note(&task.id, is_done, now) {
        tell(shared, task);
    }
    Ok(())
}

/// Whether a recorder records for the task, or its stream is on the air.
pub async fn is_done(shared: &Shared, task: &MediaTask) -> Result<bool, BusError> {
    let app = task.room.app;
    match (task.purpose, &task.work) {
        (Purpose::Publishing, Work::Mix { spec }) => is_on_air(shared, task, &spec.stream_id).await,
        (
            Purpose::Publishing,
            Work::Singles(Singles {
                output: SinglesOutput::Publish { stream_id, .. },
                ..
            }),
        ) => is_on_air(shared, task, stream_id).await,
        (_, work) => {
            // Its members' streams have names that begin with the task's id.
            let prefix = match work {
                Work::Mix { spec } => {
                    let id = spec.stream_id.clone();
                    format!("{RECORDERS_PREFIX}{}.", StreamKey { app, id }.token())
                }
                Work::Singles(_) => format!("{RECORDERS_PREFIX}{app}.{}_", task.id),
            };
            let claims = shared.bus.list(&format!("{RECORDERS_PREFIX}{app}.")).await?;
            Ok(claims.iter().any(|(key, _)| key.starts_with(&prefix)))
        }
    }
}

async fn is_on_air(shared: &Shared, task: &MediaTask, stream: &StreamId) -> Result<bool, BusError> {
    let stream = StreamKey {
        app: task.room.app,
        id: stream.clone(),
    };
    Ok(shared.bus.get(&program_key(&stream)).await?.is_some())
}

fn tell(shared: &Shared, task: &MediaTask) {
    let purpose = match task.purpose {
        Purpose::Publishing => "publishing",
        Purpose::Recording => "recording",
    };
    metrics::counter!("rotunda_signaling_tasks_undone_total", "purpose" => purpose).increment(1);
    tracing::warn!(
        room = %task.room, task = %task.id, purpose,
        "nobody has done a task of the server API for 30 s, although someone publishes; it goes on waiting"
    );
    let (stream_id, record_id) = match &task.work {
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
        Work::Singles(_) => return,
    };
    if task.purpose == Purpose::Recording {
        let what = What::RecordingRefused {
            stream_id,
            record_id,
            refusal: RecordingRefusal::NotTaken,
        };
        // Every node sees it.
        let id = format!("recording-not-taken-{}", task.id);
        shared.facts.tell_as(id, &task.room, what);
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    #[test]
    fn a_task_is_told_once_after_a_while_and_again_after_it_was_done() {
        let mut undone = Undone::default();
        let (id, now): (TaskId, _) = ("task-1".parse().unwrap(), Clock.now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(!undone.note(&id, false, now));
        assert!(!undone.note(&id, false, at(29)));
        assert!(undone.note(&id, false, at(30)));
        assert!(!undone.note(&id, false, at(31)), "once");
        assert!(!undone.note(&id, true, at(32)));
        assert!(!undone.note(&id, false, at(40)));
        assert!(undone.note(&id, false, at(70)));
    }
}
