//! A handle on one running mix: starts its parts, gives it a new layout, ends it.
//!
//! | part | runs as | what it does |
//! | --- | --- | --- |
//! | [`controller`] | a tokio task | follows the room and decides |
//! | [`announcements`] | with the controller | documents and events |
//! | [`Session`] | a tokio task | receives from the SFU |
//! | [`worker`](crate::worker) | a thread | decodes, mixes, encodes |

mod announcements;
mod controller;

use std::time::Duration;

use rotunda_bus::{BusError, ClusterNode};
use rotunda_media::codec::CodecError;
use rotunda_media::draw::Font;
use rotunda_media::program::{ProgramExists, ProgramHub};
use rotunda_proto::clock::Clock;
use rotunda_proto::mix::{ControlError, MixSpec, StopReason};
use rotunda_proto::room::key_prefix;
use rotunda_proto::ticket::ClusterSecret;
use rotunda_receiver::{LineCounts, Session, Wants};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::announcements::Announcements;
use self::controller::{Controller, Inputs, Outputs, Relayout};
use crate::claims::Claim;
use crate::core::MixCore;
use crate::timeline::Micros;
use crate::worker::Worker;

/// Coded frames between network and worker: seconds of a full room.
const SAMPLES: usize = 4096;
const QUEUE: usize = 256;

/// Resources that all mixes of a node share.
#[derive(Clone)]
pub struct Surroundings {
    pub node: ClusterNode,
    pub secret: ClusterSecret,
    pub hub: ProgramHub,
    pub play_out_delay: Duration,
}

/// A running task, as its owner sees it.
pub struct TaskHandle {
    pub spec: MixSpec,
    commands: mpsc::Sender<Relayout>,
    stop: watch::Sender<Option<StopReason>>,
    task: JoinHandle<()>,
}

/// Why a task does not start.
#[derive(Debug, Error)]
pub enum TaskError {
    #[error(transparent)]
    Encoder(#[from] CodecError),
    #[error(transparent)]
    Program(#[from] ProgramExists),
    #[error("follow the room")]
    Bus(#[from] BusError),
    #[error("start the mix thread")]
    Thread(#[from] std::io::Error),
}

impl From<TaskError> for ControlError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Encoder(error) => Self::Encoder {
                reason: error.to_string(),
            },
            TaskError::Program(_) => Self::StreamIdInUse,
            TaskError::Bus(_) | TaskError::Thread(_) => Self::NoCapacity,
        }
    }
}

impl TaskHandle {
    /// Starts mixing. `claim` is held until everything is closed.
    ///
    /// Errors: [`TaskError`].
    pub async fn start(surroundings: Surroundings, spec: MixSpec, claim: Claim) -> Result<Self, TaskError> {
        let delay = surroundings.play_out_delay.as_micros() as Micros;
        let core = MixCore::new(&spec, delay, Font::system())?;
        let writer = surroundings.hub.open(&spec.stream())?;
        let changes = surroundings.node.bus().watch(&key_prefix(&spec.room)).await?;
        let origin = Clock.now();
        let (samples, received) = std::sync::mpsc::sync_channel(SAMPLES);
        let (orders, ordered) = mpsc::channel(QUEUE);
        let (reports, reported) = mpsc::channel(QUEUE);
        let worker = Worker {
            core,
            writer,
            origin,
            samples: received,
            orders: ordered,
            reports,
        };
        let (ended, worker_ended) = oneshot::channel();
        std::thread::Builder::new()
            .name(format!("mix {}", spec.stream_id))
            .spawn(move || {
                worker.run();
                let _nobody_waits = ended.send(());
            })?;

        let (wants, wanted) = watch::channel(Wants::default());
        let (cannot_mix, not_mixable) = mpsc::channel(QUEUE);
        let (key_requests, keys_requested) = mpsc::channel(QUEUE);
        let receiving = CancellationToken::new();
        let session = Session {
            room: spec.room.clone(),
            bus: surroundings.node.bus().clone(),
            secret: surroundings.secret.clone(),
            lines: LineCounts::ROOM,
            origin,
            wants: wanted,
            key_requests: keys_requested,
            samples,
            not_mixable: cannot_mix,
            opened: 0,
            barred: Vec::new(),
        };
        let session = tokio::spawn(session.run(receiving.clone()));

        let (commands, commanded) = mpsc::channel(8);
        let (stop, stopped) = watch::channel(None);
        let announcements = Announcements::new(surroundings.node, spec.room.clone(), spec.stream_id.clone());
        let outputs = Outputs {
            orders,
            wants,
            key_requests,
        };
        let inputs = Inputs {
            changes,
            reports: reported,
            commands: commanded,
            not_mixable,
            stop: stopped,
        };
        let mut controller = Controller::new(spec.clone(), announcements, outputs);
        let task = tokio::spawn(async move {
            let reason = controller.run(inputs).await;
            receiving.cancel();
            let _ended_or_panicked = session.await;
            let announcements = controller.into_announcements();
            // The worker ends with its orders, and the program with it: readers see the end before the documents go.
            let _ended_or_panicked = worker_ended.await;
            finish(&announcements, reason).await;
            drop(claim);
        });
        Ok(Self {
            spec,
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
    /// Errors: [`ControlError::Encoder`], [`ControlError::NoSuchMix`] when it has just ended.
    pub async fn relayout(&mut self, spec: MixSpec) -> Result<(), ControlError> {
        let (done, answer) = oneshot::channel();
        let relayout = Relayout {
            spec: Box::new(spec.clone()),
            done,
        };
        self.commands
            .send(relayout)
            .await
            .map_err(|_| ControlError::NoSuchMix)?;
        let result = answer.await.map_err(|_| ControlError::NoSuchMix)?;
        result.map_err(|error| ControlError::Encoder {
            reason: error.to_string(),
        })?;
        self.spec = spec;
        Ok(())
    }

    /// Ends the task and waits until everything is closed.
    pub async fn stop(self, reason: StopReason) {
        self.stop.send_replace(Some(reason));
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a mix task failed");
        }
    }
}

async fn finish(announcements: &Announcements, reason: StopReason) {
    let (room, stream_id) = (&announcements.room, &announcements.stream_id);
    tracing::info!(%room, %stream_id, ?reason, "the mix ends");
    announcements.withdraw().await;
    announcements.tell_stopped(reason).await;
}
