//! The MCU node: takes commands and hands each to its room, so that rooms do not wait for one another.

use std::collections::HashMap;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, ClusterNode, Requests};
use rotunda_media::program::ProgramHub;
use rotunda_proto::ids::RoomKey;
use rotunda_proto::mix::{Command, control_subject, node_key};
use rotunda_proto::mix_preview::preview_subject;
use rotunda_proto::ticket::ClusterSecret;
use rotunda_store::Store;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::claims::Claims;
use crate::config::Config;
use crate::preview;
use crate::room_mix::{Job, Progress, RoomMix};
use crate::task::Surroundings;

/// Commands that wait for one room, at most; further ones are dropped, and their callers time out.
const JOBS: usize = 64;

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
    claims: Claims,
    rooms: HashMap<RoomKey, Room>,
}

/// Where a room's commands go. It is let go of when they are done and the room has no mix.
struct Room {
    jobs: mpsc::Sender<Job>,
    sent: u64,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
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
        store: Store,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let requests = node.bus().serve(&control_subject(node.name())).await?;
        let previews = node.bus().serve(&preview_subject(node.name())).await?;
        tokio::spawn(preview::serve(previews, store.clone(), shutdown.clone()));
        announce(&node).await?;
        let play_out_delay = Duration::from_millis(u64::from(config.play_out_delay_ms));
        let surroundings = Surroundings {
            node,
            secret,
            hub,
            store,
            play_out_delay,
        };
        let node = Node {
            surroundings,
            claims: Claims::new(config.max_tasks),
            rooms: HashMap::new(),
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
                // Earlier announcements vanished with the node's earlier incarnation.
                Ok(()) = own.changed() => {
                    if let Err(error) = announce(&self.surroundings.node).await {
                        tracing::warn!(%error, "the node was not announced");
                    }
                    continue;
                }
            };
            match request.parse::<Command>() {
                Ok(command) => self.hand_over(Job { command, request }, &shutdown),
                Err(error) => tracing::warn!(%error, "a command was not understood"),
            }
            self.rooms.retain(|_, room| {
                let progress = *room.progress.borrow();
                (progress.has_mix || progress.done < room.sent) && !room.task.is_finished()
            });
        }
        let rooms = self.rooms.drain().map(|(_, room)| room.task);
        futures::future::join_all(rooms).await;
        let node = self.surroundings.node;
        if let Err(error) = node.bus().remove(&node_key(node.name())).await {
            tracing::warn!(%error, "the node could not take back its announcement");
        }
    }

    fn hand_over(&mut self, job: Job, shutdown: &CancellationToken) {
        let key = job.room().clone();
        let room = self.rooms.entry(key.clone()).or_insert_with(|| {
            let (jobs, received) = mpsc::channel(JOBS);
            let (told, progress) = watch::channel(Progress::default());
            let mix = RoomMix::new(self.surroundings.clone(), self.claims.clone(), told);
            Room {
                jobs,
                sent: 0,
                progress,
                task: tokio::spawn(mix.run(received, shutdown.clone())),
            }
        });
        match room.jobs.try_send(job) {
            Ok(()) => room.sent += 1,
            Err(error) => tracing::warn!(room = %key, %error, "a command for a mix was dropped"),
        }
    }
}

/// Says that this node takes mixes.
async fn announce(node: &ClusterNode) -> Result<(), BusError> {
    let name = node.name();
    node.bus().announce(&node_key(name), name, &node.incarnation()).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
