//! Runs the commands for one room's mix one after the other.

use rotunda_bus::{BusExt, Request};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::mix::{Command, ControlError, MixSpec, Reply, StopReason};
use rotunda_proto::program::{ProgramDescriptor, program_key};
use rotunda_proto::room::{RoomInfo, Roster, info_key, roster_key};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::claims::Claims;
use crate::task::{Surroundings, TaskHandle};

/// One command, to be answered.
pub struct Job {
    pub command: Command,
    pub request: Request,
}

impl Job {
    pub fn room(&self) -> &RoomKey {
        match &self.command {
            Command::Start { spec } => &spec.room,
            Command::Stop { room } => room,
        }
    }
}

/// How far a room is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Commands that are done.
    pub done: u64,
    pub has_mix: bool,
}

/// See the [module](self).
pub struct RoomMix {
    surroundings: Surroundings,
    claims: Claims,
    progress: watch::Sender<Progress>,
    task: Option<TaskHandle>,
}

impl RoomMix {
    /// `progress` is told after each command, and when the mix has ended by itself.
    pub fn new(surroundings: Surroundings, claims: Claims, progress: watch::Sender<Progress>) -> Self {
        Self {
            surroundings,
            claims,
            progress,
            task: None,
        }
    }

    /// Does one job after the other until they are closed, or until `shutdown`; then it ends the mix.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>, shutdown: CancellationToken) {
        loop {
            let job = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = ended(&mut self.task) => {
                    self.task = None;
                    self.progress.send_modify(|progress| progress.has_mix = false);
                    continue;
                }
                job = jobs.recv() => job,
            };
            let Some(Job { command, request }) = job else { break };
            let reply = match self.handle(command).await {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refused { error },
            };
            let has_mix = self.task.is_some();
            self.progress.send_modify(|progress| {
                progress.done += 1;
                progress.has_mix = has_mix;
            });
            request.answer(&reply);
        }
        if let Some(task) = self.task.take() {
            task.stop(StopReason::Shutdown).await;
        }
    }

    async fn handle(&mut self, command: Command) -> Result<(), ControlError> {
        match command {
            Command::Start { spec } => self.start(*spec).await,
            Command::Stop { .. } => {
                let task = self.task.take().ok_or(ControlError::NoSuchMix)?;
                task.stop(StopReason::Asked).await;
                Ok(())
            }
        }
    }

    /// Gives the room's mix a new layout. Starts a new mix where there is none, or where a fixed part of it has changed.
    async fn start(&mut self, spec: MixSpec) -> Result<(), ControlError> {
        self.check_room(&spec.room).await?;
        self.claims.check(&spec.stream(), &spec.room)?;
        self.check_stream(&spec).await?;
        if let Some(task) = &mut self.task
            && goes_on(&task.spec, &spec)
        {
            return task.relayout(spec).await;
        }
        if let Some(task) = self.task.take() {
            let reason = reason_to_end(&task.spec, &spec);
            task.stop(reason).await;
        }
        let claim = self.claims.claim(&spec.stream(), &spec.room)?;
        self.task = Some(TaskHandle::start(self.surroundings.clone(), spec, claim).await?);
        Ok(())
    }

    /// Whether the stream is another room's, on whichever node.
    async fn check_stream(&self, spec: &MixSpec) -> Result<(), ControlError> {
        let bus = self.surroundings.node.bus();
        match bus.load::<ProgramDescriptor>(&program_key(&spec.stream())).await {
            Ok(Some((program, _))) if program.room != spec.room => Err(ControlError::StreamIdInUse),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "read whether a stream is in use");
                Ok(())
            }
        }
    }

    async fn check_room(&self, room: &RoomKey) -> Result<(), ControlError> {
        let bus = self.surroundings.node.bus();
        let info = bus.load::<RoomInfo>(&info_key(room)).await;
        let roster = bus.load::<Roster>(&roster_key(room)).await;
        match (info, roster) {
            (Ok(Some(_)), Ok(Some((roster, _)))) if !roster.members.is_empty() => Ok(()),
            _ => Err(ControlError::RoomNotExist),
        }
    }
}

/// Completes when the mix has ended by itself; never without one.
async fn ended(task: &mut Option<TaskHandle>) {
    match task {
        Some(task) => task.finished().await,
        None => std::future::pending().await,
    }
}

/// Whether the program goes on: layout and encoding may change; stream id, recording and tracks may not.
fn goes_on(before: &MixSpec, after: &MixSpec) -> bool {
    before.stream_id == after.stream_id
        && before.record == after.record
        && before.video.is_some() == after.video.is_some()
}

/// Why the mix `before` ends when `after` takes its place in the room.
fn reason_to_end(before: &MixSpec, after: &MixSpec) -> StopReason {
    if before.stream_id == after.stream_id && before.record == after.record {
        return StopReason::Asked;
    }
    StopReason::Replaced {
        record: before.record.as_ref().map(|record| record.record_id.clone()),
        by: after.stream_id.clone(),
    }
}
