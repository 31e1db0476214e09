//! The MCU node: takes commands, keeps the tasks.

use std::collections::HashMap;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, ClusterNode, Requests};
use rotunda_media::program::ProgramHub;
use rotunda_proto::ids::RoomKey;
use rotunda_proto::mix::{Command, ControlError, MixSpec, Reply, StopReason, control_subject, node_key};
use rotunda_proto::room::{RoomInfo, Roster, info_key, roster_key};
use rotunda_proto::ticket::ClusterSecret;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::task::{Surroundings, TaskHandle};

/// A running MCU node.
pub struct Service {
    serving: JoinHandle<()>,
}

/// Why the node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("serve the control subject and announce the node")]
    Bus(#[from] BusError),
}

struct Node {
    surroundings: Surroundings,
    max_tasks: usize,
    tasks: HashMap<RoomKey, TaskHandle>,
}

impl Service {
    /// Serves `mcu.<node>.control` until `shutdown`.
    ///
    /// Errors: [`StartError`].
    pub async fn start(
        config: Config,
        node: ClusterNode,
        secret: ClusterSecret,
        hub: ProgramHub,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let requests = node.bus().serve(&control_subject(node.name())).await?;
        announce(&node).await?;
        let play_out_delay = Duration::from_millis(u64::from(config.play_out_delay_ms));
        let surroundings = Surroundings {
            node,
            secret,
            hub,
            play_out_delay,
        };
        let node = Node {
            surroundings,
            max_tasks: config.max_tasks,
            tasks: HashMap::new(),
        };
        Ok(Self {
            serving: tokio::spawn(node.serve(requests, shutdown)),
        })
    }

    /// Completes when the node is shut down and every program has ended.
    pub async fn finish(self) {
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the mcu failed");
        }
    }
}

impl Node {
    async fn serve(mut self, mut requests: Requests, shutdown: CancellationToken) {
        let mut own = self.surroundings.node.own();
        loop {
            let request = tokio::select! {
                () = shutdown.cancelled() => break,
                request = requests.next() => request,
                // What was announced before has vanished with the incarnation of before.
                Ok(()) = own.changed() => {
                    if let Err(error) = announce(&self.surroundings.node).await {
                        tracing::warn!(%error, "the node was not announced");
                    }
                    continue;
                }
            };
            self.tasks.retain(|_, task| !task.is_finished());
            match request.parse::<Command>() {
                Ok(command) => {
                    let reply = match self.handle(command).await {
                        Ok(()) => Reply::Done,
                        Err(error) => Reply::Refused { error },
                    };
                    request.answer(&reply);
                }
                Err(error) => tracing::warn!(%error, "a command was not understood"),
            }
            metrics::gauge!("rotunda_mcu_tasks").set(self.tasks.len() as f64);
        }
        let stopping = self.tasks.drain().map(|(_, task)| task.stop(StopReason::Shutdown));
        futures::future::join_all(stopping).await;
        metrics::gauge!("rotunda_mcu_tasks").set(0.0);
        let node = self.surroundings.node;
        if let Err(error) = node.bus().remove(&node_key(node.name())).await {
            tracing::warn!(%error, "the node could not take back its announcement");
        }
    }

    async fn handle(&mut self, command: Command) -> Result<(), ControlError> {
        match command {
            Command::Start { spec } => self.start(*spec).await,
            Command::Stop { room } => {
                let task = self.tasks.remove(&room).ok_or(ControlError::NoSuchMix)?;
                task.stop(StopReason::Asked).await;
                Ok(())
            }
        }
    }

    /// Relayout of the room's mix; a new one where there is none, or where what may not change has changed.
    async fn start(&mut self, spec: MixSpec) -> Result<(), ControlError> {
        self.check_room(&spec.room).await?;
        let taken = self
            .tasks
            .iter()
            .any(|(room, task)| *room != spec.room && task.spec.stream_id == spec.stream_id);
        if taken {
            return Err(ControlError::StreamIdInUse);
        }
        if let Some(task) = self.tasks.get_mut(&spec.room)
            && goes_on(&task.spec, &spec)
        {
            return task.relayout(spec).await;
        }
        if let Some(task) = self.tasks.remove(&spec.room) {
            let reason = reason_to_end(&task.spec, &spec);
            task.stop(reason).await;
        }
        if self.tasks.len() >= self.max_tasks {
            return Err(ControlError::NoCapacity);
        }
        let room = spec.room.clone();
        let task = TaskHandle::start(self.surroundings.clone(), spec).await?;
        self.tasks.insert(room, task);
        Ok(())
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

/// Says that this node takes mixes.
async fn announce(node: &ClusterNode) -> Result<(), BusError> {
    let name = node.name();
    node.bus().announce(&node_key(name), name, &node.incarnation()).await?;
    Ok(())
}

/// A program goes on through a change of layout and encoding, not of what it is.
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

#[cfg(test)]
mod tests;
