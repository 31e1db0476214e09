//! A recording task after its end. The end is told, and when all files of the task are stored and announced, that is told once.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use rotunda_bus::{BusError, BusExt};
use rotunda_events::{RecordingStep, What};
use rotunda_proto::ids::TaskId;
use rotunda_proto::media_task::{MediaTask, Purpose, TaskEnd};
use rotunda_proto::recording::Place;

use super::undone::is_recorded;
use crate::shared::Shared;

/// A recorder that has just begun or ended enters its files within this time.
const QUIET: Duration = Duration::from_secs(10);
/// The clocks of nodes differ by less.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
/// The recorder's state of a file that is on its way to the storage.
const UPLOADING: &str = "uploading";

/// The tasks that have ended, as this node has seen them.
#[derive(Debug, Default)]
pub struct Settling {
    /// Tasks whose end this node has told.
    told: HashSet<TaskId>,
    /// Since when nothing of a task is recorded, made or stored.
    quiet: HashMap<TaskId, Instant>,
}

impl Settling {
    pub fn retain(&mut self, is_known: impl Fn(&TaskId) -> bool) {
        self.told.retain(&is_known);
        self.quiet.retain(|id, _| is_known(id));
    }

    /// Takes down whether something of a task is open. Answers whether it is done.
    fn note(&mut self, task: &TaskId, is_open: bool, now: Instant) -> bool {
        if is_open {
            self.quiet.remove(task);
            return false;
        }
        let since = *self.quiet.entry(task.clone()).or_insert(now);
        now.saturating_duration_since(since) >= QUIET
    }
}

/// Looks after a task that has ended.
pub async fn look(shared: &Shared, task: &MediaTask, settling: &mut Settling, now: Instant) -> Result<(), BusError> {
    if !is_settling(task) {
        return Ok(());
    }
    if settling.told.insert(task.id.clone()) {
        tell_end(shared, task);
    }
    let is_open = is_recorded(shared, task).await? || has_open_files(shared, task).await;
    if !settling.note(&task.id, is_open, now) {
        return Ok(());
    }
    // A database that does not answer is asked again.
    let Some(is_uploaded) = is_uploaded(shared, task).await else {
        return Ok(());
    };
    tell(shared, task, true, is_uploaded);
    let key = task.key();
    let settled = shared.bus.update(&key, |task: Option<MediaTask>| {
        let settled = task.map(|task| MediaTask {
            is_settled: true,
            ..task
        });
        Ok::<_, Infallible>((settled, ()))
    });
    let Ok(()) = settled.await?;
    Ok(())
}

/// The server forgets a task.
pub async fn give_up(shared: &Shared, task: &MediaTask) {
    if is_settling(task) {
        tell_end(shared, task);
        let is_uploaded = is_uploaded(shared, task).await.unwrap_or_default();
        tell(shared, task, false, is_uploaded);
    }
}

fn is_settling(task: &MediaTask) -> bool {
    task.purpose == Purpose::Recording && !task.is_settled
}

/// A database that does not answer says nothing about the files: they are looked for again.
async fn has_open_files(shared: &Shared, task: &MediaTask) -> bool {
    let files = match shared.store.untold_files(task.room.app).await {
        Ok(files) => files,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(task = %task.id, error, "the files of a task that has ended could not be read");
            return true;
        }
    };
    let mut tasks = files.iter().filter_map(|file| file.media_task.as_ref());
    tasks.any(|of| of.id == task.id)
}

/// Whether files of the task go to a storage. None: the database does not answer.
async fn is_uploaded(shared: &Shared, task: &MediaTask) -> Option<bool> {
    let begun = Duration::from_millis(task.begun_unix_ms).saturating_sub(CLOCKS_DIFFER);
    match shared.store.files_of_task(task.room.app, &task.id, begun).await {
        Ok(files) => Some(
            files
                .iter()
                .any(|row| row.state == UPLOADING || row.file.place == Place::Storage),
        ),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(task = %task.id, error, "the files of a task that has ended could not be read");
            None
        }
    }
}

/// Every node tells it, so that it is told although a node has died at that moment: the fact has one id.
pub fn tell_end(shared: &Shared, task: &MediaTask) {
    if !is_settling(task) {
        return;
    }
    let end = task.end.unwrap_or(TaskEnd::Stopped);
    let what = What::RecordingTask {
        task: task.named(),
        step: RecordingStep::Ended { end },
    };
    let id = format!("recording-task-ended-{}", task.id);
    shared.facts.tell_as(id, &task.room, what);
}

/// Every node may see it: the fact has one id.
fn tell(shared: &Shared, task: &MediaTask, is_complete: bool, is_uploaded: bool) {
    let what = What::RecordingTaskDone {
        task: task.named(),
        is_complete,
        is_uploaded,
    };
    let id = format!("recording-task-done-{}", task.id);
    shared.facts.tell_as(id, &task.room, what);
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    #[test]
    fn a_task_is_done_when_nothing_of_it_was_open_for_a_while() {
        let mut settling = Settling::default();
        let (id, now): (TaskId, _) = ("task-1".parse().unwrap(), Clock.now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(!settling.note(&id, false, now));
        assert!(!settling.note(&id, true, at(8)));
        assert!(!settling.note(&id, false, at(9)));
        assert!(!settling.note(&id, false, at(18)));
        assert!(settling.note(&id, false, at(19)));
    }
}
