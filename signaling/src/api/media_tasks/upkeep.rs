//! Keeps the tasks: their mixes run while someone publishes for them, and idle tasks end. Every node does it; all changes are
//! compare-and-set, so that they happen once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TaskId;
use rotunda_proto::media_task::{MEDIA_TASKS_PREFIX, MediaTask, TaskEnd, TaskState, Work, media_task_key};
use rotunda_proto::mix_task::{MixTask, NoMix, Origin, TASKS_PREFIX, started, stopped, task_key};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::ingest;
use super::super::mix::client;
use super::of_member;
use super::settling::{self, Settling};
use super::undone::{self, Undone};
use super::{end, is_fed, mix_of, wish};
use crate::shared::Shared;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps all tasks until `shutdown`.
pub fn keep(shared: Shared, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut seen, mut unclaimed) = (Seen::default(), HashMap::new());
        let mut is_told = false;
        loop {
            let next = Clock.now() + LOOK_EVERY;
            let kept = async {
                round(&shared, &mut seen, Clock.now()).await?;
                ingest::upkeep::round(&shared, &mut unclaimed, Clock.now()).await
            };
            match kept.await {
                Ok(()) => is_told = false,
                Err(error) if !std::mem::replace(&mut is_told, true) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the tasks of the server API are not kept");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = Clock.sleep_until(next) => {}
            }
        }
    })
}

/// What this node has seen of the tasks.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Since when nobody has published for a task.
    idle: HashMap<TaskId, Instant>,
    undone: Undone,
    settling: Settling,
}

pub(super) async fn round(shared: &Shared, seen: &mut Seen, now: Instant) -> Result<(), BusError> {
    let Seen { idle, undone, settling } = seen;
    let tasks = shared.bus.documents::<MediaTask>(MEDIA_TASKS_PREFIX).await?;
    for task in &tasks {
        match task.state {
            TaskState::Ended if task.known_until_unix_ms < Clock.unix().as_millis() as u64 => {
                settling::give_up(shared, task).await;
                shared.bus.remove(&task.key()).await?;
            }
            TaskState::Ended => {
                undone::end(shared, task, undone);
                settling::look(shared, task, settling, now).await?;
            }
            TaskState::Running if !of_member::is_permitted(shared, task) => {
                undone::end(shared, task, undone);
                end(shared, task, TaskEnd::NotPermitted).await?;
            }
            TaskState::Running if is_fed(shared, task).await? => {
                idle.remove(&task.id);
                run_mix(shared, task).await?;
                undone::look(shared, task, undone, now).await?;
            }
            TaskState::Running => {
                undone::end(shared, task, undone);
                let since = *idle.entry(task.id.clone()).or_insert(now);
                let longest = Duration::from_secs(task.max_idle_seconds.into());
                if now.saturating_duration_since(since) >= longest {
                    end(shared, task, TaskEnd::Idle).await?;
                }
            }
        }
    }
    let is_running = |id: &TaskId| tasks.iter().any(|task| task.id == *id && task.is_running());
    idle.retain(|id, _| is_running(id));
    undone.retain(is_running);
    settling.retain(|id| tasks.iter().any(|task| task.id == *id));
    for mix in shared.bus.documents::<MixTask>(TASKS_PREFIX).await? {
        stop_without_task(shared, &mix).await?;
        end_push_without_task(shared, &mix).await?;
    }
    Ok(())
}

/// The mix of the task begins, also after the room was empty.
async fn run_mix(shared: &Shared, task: &MediaTask) -> Result<(), BusError> {
    let Work::Mix { spec } = &task.work else {
        return Ok(());
    };
    if mix_of(shared, task).await?.is_some() {
        return Ok(());
    }
    let wish = wish(&task.started_by, &task.id, spec);
    let key = task_key(&task.room, &wish.origin);
    let begun = shared.bus.update(&key, |before: Option<MixTask>| {
        let after = before.unwrap_or_else(|| started(None, &wish));
        Ok::<_, std::convert::Infallible>((Some(after), ()))
    });
    let Ok(()) = begun.await?;
    Ok(())
}

/// A node may have died between the end of a push of a member's mix and the change of the mix.
async fn end_push_without_task(shared: &Shared, mix: &MixTask) -> Result<(), BusError> {
    let (Origin::Client(_), Some(spec)) = (&mix.origin, mix.spec()) else {
        return Ok(());
    };
    let Some(named) = &spec.task else { return Ok(()) };
    // The task is written before the mix has it.
    if of_member::running(&shared.bus, mix.room.app, &named.id)
        .await?
        .is_some()
    {
        return Ok(());
    }
    client::end_push(&shared.bus, &mix.room, named).await
}

/// A node may have died between the end of a task and that of its mix.
async fn stop_without_task(shared: &Shared, mix: &MixTask) -> Result<(), BusError> {
    let Origin::Task(id) = &mix.origin else { return Ok(()) };
    if mix.spec().is_none() {
        return Ok(());
    }
    // The task is written before its mix.
    let task = shared.bus.load::<MediaTask>(&media_task_key(mix.room.app, id)).await?;
    if task.is_some_and(|(task, _)| task.is_running()) {
        return Ok(());
    }
    let key = task_key(&mix.room, &mix.origin);
    let stopping = shared
        .bus
        .update(&key, |before: Option<MixTask>| Ok::<_, NoMix>((stopped(before)?, ())));
    match stopping.await? {
        // It is gone already.
        Ok(()) | Err(NoMix) => Ok(()),
    }
}
