//! The MCU node: follows the mix tasks, and gives each that it does or may claim a [`TaskOwner`], so that no mix waits for another.

use std::collections::HashMap;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, ClusterNode, Watch, WatchEvent};
use rotunda_events::Facts;
use rotunda_media::program::ProgramHub;
use rotunda_proto::mix::{MixNode, node_key};
use rotunda_proto::mix_preview::preview_subject;
use rotunda_proto::mix_task::{MixTask, TASKS_PREFIX};
use rotunda_proto::ticket::ClusterSecret;
use rotunda_store::Store;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::claims::{Capacity, Claims};
use crate::config::Config;
use crate::engine::launcher::Launcher;
use crate::preview;
use crate::reconcile::is_claimable;
use crate::task::Surroundings;
use crate::task_owner::TaskOwner;

/// A running MCU node.
pub struct Service {
    serving: JoinHandle<()>,
}

/// Why the node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("follow the mix tasks and announce the node")]
    Bus(#[from] BusError),
}

struct Node {
    surroundings: Surroundings,
    claims: Claims,
    /// The documents of all tasks.
    tasks: HashMap<String, MixTask>,
    owners: HashMap<String, watch::Sender<u64>>,
    running: JoinSet<u64>,
    keys: HashMap<Id, String>,
    shutdown: CancellationToken,
}

/// The parts of the process that a node of the MCU uses.
pub struct Resources {
    pub hub: ProgramHub,
    pub store: Store,
    /// The durable stream of what happens to mixes.
    pub facts: Facts,
    /// Starts the engines of mixes.
    pub launcher: Launcher,
}

impl Service {
    /// Does mix tasks until `shutdown`.
    ///
    /// Errors: [`StartError`].
    pub async fn start(
        config: Config,
        node: ClusterNode,
        secret: ClusterSecret,
        resources: Resources,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let changes = node.bus().watch(TASKS_PREFIX).await?;
        let capacity = Capacity {
            tasks: config.max_tasks as u64,
            millicores: config.millicores(),
        };
        let previews = node.bus().serve(&preview_subject(node.name())).await?;
        tokio::spawn(preview::serve(previews, resources.store.clone(), shutdown.clone()));
        announce(&node, capacity).await?;
        let play_out_delay = Duration::from_millis(u64::from(config.play_out_delay_ms));
        let surroundings = Surroundings {
            node,
            secret,
            hub: resources.hub,
            store: resources.store,
            facts: resources.facts,
            launcher: resources.launcher,
            play_out_delay,
        };
        let node = Node {
            surroundings,
            claims: Claims::new(capacity),
            tasks: HashMap::new(),
            owners: HashMap::new(),
            running: JoinSet::new(),
            keys: HashMap::new(),
            shutdown,
        };
        Ok(Self {
            serving: tokio::spawn(node.serve(changes)),
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
    async fn serve(mut self, mut changes: Watch) {
        let node = self.surroundings.node.clone();
        let (mut own, mut living, mut left) = (node.own(), node.living(), self.claims.left());
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                event = changes.next() => if let WatchEvent::Change(change) = event {
                    match change.parse() {
                        Some(task) => self.tasks.insert(change.key.clone(), task),
                        None => self.tasks.remove(&change.key),
                    };
                    self.wake(&change.key);
                },
                // Earlier announcements vanished with the node's earlier incarnation.
                Ok(()) = own.changed() => {
                    let capacity = *left.borrow();
                    self.handle_standing(capacity).await;
                }
                // The tasks of dead nodes.
                Ok(()) = living.changed() => self.wake_all(),
                // Tasks that nobody had capacity for.
                Ok(()) = left.changed() => {
                    let capacity = *left.borrow_and_update();
                    self.handle_standing(capacity).await;
                }
                Some(ended) = self.running.join_next_with_id() => self.handle_ended(ended),
            }
        }
        while self.running.join_next().await.is_some() {}
        if let Err(error) = node.bus().remove(&node_key(node.name())).await {
            tracing::warn!(%error, "the node could not take back its announcement");
        }
    }

    fn handle_ended(&mut self, ended: Result<(Id, u64), JoinError>) {
        let (id, seen) = match ended {
            Ok((id, seen)) => (id, Some(seen)),
            Err(error) => {
                tracing::error!(%error, "the owner of a mix task failed");
                (error.id(), None)
            }
        };
        let Some(key) = self.keys.remove(&id) else { return };
        let woken = self.owners.remove(&key).map(|owner| *owner.borrow());
        // It was woken after its last look.
        if woken != seen {
            self.wake(&key);
        }
    }

    async fn handle_standing(&mut self, capacity: Capacity) {
        if let Err(error) = announce(&self.surroundings.node, capacity).await {
            tracing::warn!(%error, "the node was not announced");
        }
        self.wake_all();
    }

    fn wake_all(&mut self) {
        let keys: Vec<String> = self.tasks.keys().chain(self.owners.keys()).cloned().collect();
        for key in keys {
            self.wake(&key);
        }
    }

    /// Lets the task's owner look at the document; where this node has something to do, and there is no owner, it gets one.
    fn wake(&mut self, key: &str) {
        if let Some(owner) = self.owners.get(key) {
            owner.send_modify(|times| *times += 1);
            return;
        }
        if !self.is_own(key) && !self.is_claimable(key) {
            return;
        }
        let (woken, wake) = watch::channel(0);
        let owner = TaskOwner::new(key.to_owned(), self.surroundings.clone(), self.claims.clone(), wake);
        let task = self.running.spawn(owner.run(self.shutdown.clone()));
        self.keys.insert(task.id(), key.to_owned());
        self.owners.insert(key.to_owned(), woken);
    }

    fn is_own(&self, key: &str) -> bool {
        let me = self.surroundings.node.incarnation();
        self.tasks.get(key).is_some_and(|task| task.owner.as_ref() == Some(&me))
    }

    fn is_claimable(&self, key: &str) -> bool {
        let node = &self.surroundings.node;
        let living = node.living().borrow().clone();
        self.tasks
            .get(key)
            .is_some_and(|task| is_claimable(&node.incarnation(), living.as_deref(), task))
    }
}

/// Says that this node takes mixes, and how many more.
async fn announce(node: &ClusterNode, left: Capacity) -> Result<(), BusError> {
    let announcement = MixNode {
        node: node.name().clone(),
        tasks_left: left.tasks,
        millicores_left: left.millicores,
    };
    let key = node_key(node.name());
    node.bus().announce(&key, &announcement, &node.incarnation()).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
