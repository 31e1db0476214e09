//! The news of tasks of the server API that record. Each step is told under an id of its own, so that another process may tell it, too.

use std::time::Duration;

use rotunda_events::{Facts, FirstSegment, RecordingStep, What};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::media_task::TaskRef;
use rotunda_proto::program::ProgramDescriptor;
use tracing::error;

use super::Recorder;
use crate::folder::{GROWING, Manifest};

impl Recorder {
    /// A recording begins. If another process has recorded the program before, that is told, too.
    pub(super) async fn tell_begun(&self, program: &ProgramDescriptor) {
        let Some(task) = &program.task else { return };
        let told = TaskSteps::new(self.facts.clone(), program.room.clone(), task.clone());
        told.tell("begun", RecordingStep::Begun);
        let begun = Duration::from_millis(program.started_unix_ms);
        match self.store.files_of_task(program.room.app, &task.id, begun).await {
            Ok(files) if files.iter().any(|row| row.file.stream_id == program.stream_id) => {
                // All streams of the task that this process takes over are one event.
                told.tell(&format!("moved-{}", self.ledger.owner()), RecordingStep::Moved);
            }
            Ok(_) => {}
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                task = %task.id, "the catalogue could not be read: whether another recorder had the task is not told"
            ),
        }
    }

    /// The playlist of a recording has its first segment.
    pub(super) fn tell_listed(&self, manifest: &Manifest, wall: Duration, has_video: bool) {
        let program = &manifest.program;
        let Some(task) = &program.task else { return };
        let single = program.single.as_ref();
        let first = FirstSegment {
            playlist: format!("{}/{GROWING}", manifest.recording_id),
            begun_unix_ms: wall.as_millis() as u64,
            user: single.map(|single| single.user.clone()),
            has_video,
            has_audio: !manifest.has_video_only(),
        };
        let told = TaskSteps::new(self.facts.clone(), program.room.clone(), task.clone());
        let step = format!("first-segment-{}", manifest.recording_id);
        told.tell(&step, RecordingStep::FirstSegment(Box::new(first)));
    }
}

/// Where the steps of a task are told.
pub struct TaskSteps {
    facts: Facts,
    room: RoomKey,
    task: TaskRef,
}

impl TaskSteps {
    pub fn new(facts: Facts, room: RoomKey, task: TaskRef) -> Self {
        Self { facts, room, task }
    }

    /// `name`: of the step within the task. What has one name is told once.
    pub fn tell(&self, name: &str, step: RecordingStep) {
        let id = format!("recording-task-{name}-{}", self.task.id);
        let task = self.task.clone();
        self.facts.tell_as(id, &self.room, What::RecordingTask { task, step });
    }
}
