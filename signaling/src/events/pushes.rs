//! The states of members' pushes, from the stream of events into the documents of their tasks, where the members' nodes see them.

use std::convert::Infallible;

use rotunda_bus::{BusError, BusExt, SharedBus};
use rotunda_events::{Fact, PushChange, What};
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::media_task::{MediaTask, media_task_key};
use rotunda_store::StreamedEvent;

/// A state of a push, as it was told.
#[derive(Debug)]
pub struct Told {
    app: SdkAppId,
    /// Its place in the stream.
    sequence: i64,
    push: PushChange,
}

impl Told {
    /// None: the event is of another kind.
    pub fn of(event: &StreamedEvent) -> Option<Self> {
        // Few facts are about pushes, and all are read once more for their effects.
        if !event.body.contains("\"push_changed\"") {
            return None;
        }
        let fact: Fact = serde_json::from_str(&event.body).ok()?;
        let What::PushChanged { push } = fact.what else {
            return None;
        };
        Some(Self {
            app: fact.room.app,
            sequence: event.sequence,
            push: *push,
        })
    }

    /// Writes the state into the task's document, if the task is a member's and runs. Every node that has read the event may do it.
    pub async fn note(&self, bus: &SharedBus) -> Result<(), BusError> {
        let key = media_task_key(self.app, &self.push.task.id);
        let known = bus.load::<MediaTask>(&key).await?;
        if known.and_then(|(task, _)| self.after(&task)).is_none() {
            return Ok(());
        }
        let noted = bus.update(&key, |task: Option<MediaTask>| {
            let after = task.map(|task| self.after(&task).unwrap_or(task));
            Ok::<_, Infallible>((after, ()))
        });
        let Ok(()) = noted.await?;
        Ok(())
    }

    fn after(&self, task: &MediaTask) -> Option<MediaTask> {
        let PushChange { state, error, .. } = &self.push;
        let of_member = task.of_member.as_ref().filter(|_| task.is_running())?;
        let of_member = of_member.after(*state, error.as_ref(), self.sequence)?;
        Some(MediaTask {
            of_member: Some(of_member),
            ..task.clone()
        })
    }
}
