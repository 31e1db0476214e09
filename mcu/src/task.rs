//! A handle on one running mix: starts its parts, gives it a new layout, ends it.
//!
//! | part | runs as | what it does |
//! | --- | --- | --- |
//! | [`controller`] | a tokio task | follows the room and decides |
//! | [`announcements`] | with the controller | documents and events |
//! | [`other_rooms`] | a tokio task for each | follows the other rooms that the layout names |
//! | [`sessions`] | a tokio task for each room | receives from the room's SFU |
//! | [`host`](crate::engine::host) | a tokio task | keeps the engine running, which decodes, mixes and encodes |

mod announcements;
mod controller;
mod other_rooms;
mod sessions;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{BusError, ClusterNode};
use rotunda_events::Facts;
use rotunda_media::program::{ProgramExists, ProgramHub};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::MixId;
use rotunda_proto::mix::{MixSpec, Refusal, StopReason};
use rotunda_proto::mix_cost::Cost;
use rotunda_proto::mix_task::Origin;
use rotunda_proto::room::key_prefix;
use rotunda_proto::ticket::ClusterSecret;
use rotunda_store::Store;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::announcements::Announcements;
use self::controller::{Controller, Inputs, Outputs, Relayout};
use self::other_rooms::OtherRooms;
use self::sessions::{Common, Sessions};
use crate::claims::Claim;
use crate::engine::host::{Host, LaunchError};
use crate::engine::launcher::Launcher;
use crate::layout::Scene;
use crate::pictures::Pictures;
use crate::timeline::Micros;

/// Coded frames between network and engine: a second of a full room.
const SAMPLES: usize = 1024;
const QUEUE: usize = 256;

/// Resources that all mixes of a node share.
#[derive(Clone)]
pub struct Surroundings {
    pub node: ClusterNode,
    pub secret: ClusterSecret,
    pub hub: ProgramHub,
    pub store: Store,
    /// The durable stream of what happens to mixes.
    pub facts: Facts,
    pub launcher: Launcher,
    pub play_out_delay: Duration,
}

/// A running task, as its owner sees it.
pub struct TaskHandle {
    pub id: MixId,
    pub spec: MixSpec,
    /// The unix time of the program's time 0.
    pub began_unix_ms: u64,
    claim: Arc<Claim>,
    commands: mpsc::Sender<Relayout>,
    stop: watch::Sender<Option<Ending>>,
    task: JoinHandle<()>,
}

/// Which mix begins, and with which time.
pub struct Beginning {
    pub id: MixId,
    pub origin: Origin,
    /// Of its task's owner.
    pub epoch: u64,
    /// The unix time of the program's time 0, where another node has begun it; None: it begins now.
    pub program_began_unix_ms: Option<u64>,
}

/// How a mix ends.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The application and the rows are told.
    Told(StopReason),
    /// Another node carries it on.
    Silent,
}

/// Why a task does not start.
#[derive(Debug, Error)]
pub enum TaskError {
    #[error(transparent)]
    Engine(#[from] LaunchError),
    #[error(transparent)]
    Program(#[from] ProgramExists),
    #[error("follow the room")]
    Bus(#[from] BusError),
}

impl From<TaskError> for Refusal {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Engine(LaunchError::Refused { reason }) => Self::Encoder { reason },
            TaskError::Program(_) => Self::StreamIdInUse,
            TaskError::Bus(_) | TaskError::Engine(_) => Self::Failed {
                reason: error.to_string(),
            },
        }
    }
}

impl TaskHandle {
    /// Starts mixing. `claim` is held until everything is closed.
    ///
    /// Errors: [`TaskError`].
    pub async fn start(
        surroundings: Surroundings,
        spec: MixSpec,
        claim: Claim,
        beginning: Beginning,
    ) -> Result<Self, TaskError> {
        let claim = Arc::new(claim);
        let writer = surroundings.hub.open(&spec.stream())?;
        let now = Clock.unix();
        let is_carried_on = beginning.program_began_unix_ms.is_some();
        let began = beginning.program_began_unix_ms.map_or(now, Duration::from_millis);
        // The program's time 0 may be before this process's own beginning.
        let elapsed = now.saturating_sub(began);
        let origin = Clock.now().checked_sub(elapsed).unwrap_or(Clock.now());
        let (samples, received) = mpsc::channel(SAMPLES);
        let (orders, ordered) = mpsc::channel(QUEUE);
        let (reports, reported) = mpsc::channel(QUEUE);
        let host = Host {
            launcher: surroundings.launcher,
            spec: spec.clone(),
            scene: Scene::default(),
            pictures: HashMap::new(),
            delay: surroundings.play_out_delay.as_micros() as Micros,
            origin,
            writer,
            samples: received,
            orders: ordered,
            reports,
        };
        let engine = host.launch().await?;
        // Not before: the room changes while the engine starts.
        let changes = surroundings.node.bus().watch(&key_prefix(&spec.room)).await?;
        let host = tokio::spawn(host.run(engine));

        let (told, undecodable) = mpsc::channel(QUEUE);
        let mut sessions = Sessions::new(Common {
            bus: surroundings.node.bus().clone(),
            secret: surroundings.secret.clone(),
            origin,
            samples,
            undecodable: told,
        });
        sessions.open(&spec.room);
        let other_rooms = OtherRooms::new(surroundings.node.bus().clone());

        let (commands, commanded) = mpsc::channel(8);
        let (stop, stopped) = watch::channel(None);
        let announcements = Announcements::new(surroundings.node, surroundings.facts, &spec, &beginning, is_carried_on);
        let outputs = Outputs { orders, sessions };
        let inputs = Inputs {
            changes,
            reports: reported,
            commands: commanded,
            undecodable,
            stop: stopped,
        };
        let pictures = Pictures::new(surroundings.store, spec.room.app);
        let mut controller = Controller::new(spec.clone(), pictures, announcements, outputs, other_rooms);
        let held = claim.clone();
        let task = tokio::spawn(async move {
            let ending = controller.run(inputs).await;
            let announcements = controller.close().await;
            // The engine ends with its orders, and the program with it: readers see the end before the documents go.
            let _ended_or_panicked = host.await;
            finish(&announcements, ending).await;
            drop(held);
        });
        Ok(Self {
            id: beginning.id,
            spec,
            began_unix_ms: began.as_millis() as u64,
            claim,
            commands,
            stop,
            task,
        })
    }

    /// Completes when the task has ended by itself. Cancel-safe; not to be called again after it has completed.
    pub async fn finished(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "a mix task failed");
        }
    }

    /// Gives the task a new layout and encoding.
    ///
    /// Errors: [`Refusal`]; then everything stays as it was.
    pub async fn relayout(&mut self, spec: MixSpec) -> Result<(), Refusal> {
        let before = Cost::of(&self.spec).millicores();
        self.claim.resize(Cost::of(&spec).millicores())?;
        let changed = self.try_relayout(&spec).await;
        match changed {
            Ok(()) => self.spec = spec,
            // It had as much before.
            Err(_) => self.claim.resize(before).unwrap_or_default(),
        }
        changed
    }

    async fn try_relayout(&mut self, spec: &MixSpec) -> Result<(), Refusal> {
        let ended = || Refusal::Failed {
            reason: "the mix has just ended".to_owned(),
        };
        let (done, answer) = oneshot::channel();
        let relayout = Relayout {
            spec: Box::new(spec.clone()),
            done,
        };
        self.commands.send(relayout).await.map_err(|_| ended())?;
        let result = answer.await.map_err(|_| ended())?;
        result.map_err(|reason| Refusal::Encoder { reason })
    }

    /// Ends the task and waits until everything is closed.
    pub async fn stop(self, ending: Ending) {
        self.stop.send_replace(Some(ending));
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a mix task failed");
        }
    }
}

async fn finish(announcements: &Announcements, ending: Ending) {
    let (room, stream_id) = (&announcements.room, &announcements.stream_id);
    tracing::info!(%room, %stream_id, ?ending, "the mix ends");
    announcements.withdraw().await;
    if let Ending::Told(reason) = ending {
        announcements.tell_stopped(reason).await;
    }
}
