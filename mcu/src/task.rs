//! One room's mix: follows the room, keeps the session and the worker, and tells the rest of the system.

use std::collections::HashMap;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, Change, ClusterNode, Revision, Watch, WatchEvent};
use rotunda_media::codec::CodecError;
use rotunda_media::draw::Font;
use rotunda_media::program::{ProgramExists, ProgramHub};
use rotunda_proto::clock::Clock;
use rotunda_proto::mix::{ControlError, EVENTS_SUBJECT, Event, MixSpec, RunningMix, StopReason, running_key};
use rotunda_proto::program::{ProgramDescriptor, program_key};
use rotunda_proto::room::{Roster, info_key, key_prefix, roster_key, seats_key};
use rotunda_proto::ticket::ClusterSecret;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::core::MixCore;
use crate::layout::{Canvas, Scene, lay_out};
use crate::members::Members;
use crate::session::Session;
use crate::timeline::Micros;
use crate::wants::Wants;
use crate::worker::{Order, Report, Worker};

/// Coded frames between network and worker: seconds of a full room.
const SAMPLES: usize = 4096;
const QUEUE: usize = 256;

/// What every task of a node shares.
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

struct Relayout {
    spec: Box<MixSpec>,
    done: oneshot::Sender<Result<(), CodecError>>,
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
    /// Starts mixing.
    ///
    /// Errors: [`TaskError`].
    pub async fn start(surroundings: Surroundings, spec: MixSpec) -> Result<Self, TaskError> {
        let delay = surroundings.play_out_delay.as_micros() as Micros;
        let core = MixCore::new(&spec, delay, Font::system())?;
        let writer = surroundings.hub.open(&spec.stream_id)?;
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
        let (key_requests, keys_requested) = mpsc::channel(QUEUE);
        let receiving = CancellationToken::new();
        let session = Session {
            room: spec.room.clone(),
            bus: surroundings.node.bus().clone(),
            secret: surroundings.secret.clone(),
            origin,
            wants: wanted,
            key_requests: keys_requested,
            samples,
        };
        let session = tokio::spawn(session.run(receiving.clone()));

        let (commands, commanded) = mpsc::channel(8);
        let (stop, stopped) = watch::channel(None);
        let task = Task {
            surroundings,
            spec: spec.clone(),
            members: Members::default(),
            scene: Scene::default(),
            orders,
            wants,
            key_requests,
            is_open: false,
            is_inhabited: false,
            begun: false,
            written: HashMap::new(),
        };
        let inputs = Inputs {
            changes,
            reports: reported,
            commands: commanded,
            stop: stopped,
        };
        let task = tokio::spawn(async move {
            let mut task = task;
            task.publish_running().await;
            let reason = task.run(inputs).await;
            receiving.cancel();
            let _ended_or_panicked = session.await;
            task.finish(reason, worker_ended).await;
        });
        Ok(Self {
            spec,
            commands,
            stop,
            task,
        })
    }

    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
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

struct Inputs {
    changes: Watch,
    reports: mpsc::Receiver<Report>,
    commands: mpsc::Receiver<Relayout>,
    stop: watch::Receiver<Option<StopReason>>,
}

struct Task {
    surroundings: Surroundings,
    spec: MixSpec,
    members: Members,
    scene: Scene,
    orders: mpsc::Sender<Order>,
    wants: watch::Sender<Wants>,
    key_requests: mpsc::Sender<rotunda_proto::mix::PictureRef>,
    /// As the room's documents say.
    is_open: bool,
    is_inhabited: bool,
    /// The program has frames, so it has been told of.
    begun: bool,
    /// What this task has written, so that it deletes nothing else.
    written: HashMap<String, Revision>,
}

impl Task {
    async fn run(&mut self, mut inputs: Inputs) -> StopReason {
        let mut own = self.surroundings.node.own();
        let mut is_synced = false;
        loop {
            tokio::select! {
                _ = inputs.stop.changed() => {
                    return inputs.stop.borrow_and_update().clone().unwrap_or(StopReason::Shutdown);
                }
                event = inputs.changes.next() => match event {
                    WatchEvent::Change(change) => {
                        self.handle_change(&change).await;
                        if is_synced && self.has_ended() {
                            return StopReason::RoomEmpty;
                        }
                    }
                    WatchEvent::Synced => {
                        is_synced = true;
                        if self.has_ended() {
                            return StopReason::RoomEmpty;
                        }
                    }
                },
                // The documents of before have vanished with the incarnation of before.
                Ok(()) = own.changed() => {
                    self.publish_running().await;
                    if self.begun {
                        self.publish_program().await;
                    }
                }
                report = inputs.reports.recv() => match report {
                    Some(report) => self.handle_report(report).await,
                    None => return StopReason::Failed { message: "the mix thread ended".into() },
                },
                Some(relayout) = inputs.commands.recv() => self.handle_relayout(relayout).await,
            }
        }
    }

    /// Nobody is in the room any more. Only asked when all of the room's documents are known.
    fn has_ended(&self) -> bool {
        !(self.is_open && self.is_inhabited)
    }

    async fn handle_change(&mut self, change: &Change) {
        if change.key == info_key(&self.spec.room) {
            self.is_open = change.entry.is_some();
            return;
        } else if change.key == seats_key(&self.spec.room) {
            self.members.handle_seats(change.parse());
        } else if change.key == roster_key(&self.spec.room) {
            let roster: Option<Roster> = change.parse();
            self.is_inhabited = roster.as_ref().is_some_and(|roster| !roster.members.is_empty());
            self.members.handle_roster(roster);
        } else {
            return;
        }
        self.lay_out().await;
    }

    async fn handle_relayout(&mut self, relayout: Relayout) {
        let (done, answer) = oneshot::channel();
        let order = Order::Spec {
            spec: relayout.spec.clone(),
            done,
        };
        if self.orders.send(order).await.is_err() {
            return;
        }
        let Ok(result) = answer.await else { return };
        if result.is_ok() {
            let told = self.spec.clone();
            self.spec = *relayout.spec;
            self.lay_out().await;
            self.publish_running().await;
            if told.push_urls != self.spec.push_urls || told.video != self.spec.video || told.audio != self.spec.audio {
                self.publish_program().await;
            }
        }
        let _caller_gave_up = relayout.done.send(result);
    }

    async fn handle_report(&mut self, report: Report) {
        let (room, stream_id) = (self.spec.room.clone(), self.spec.stream_id.clone());
        match report {
            Report::NeedsKey(picture) => {
                // Asked for again while it is needed.
                let _asked_or_later = self.key_requests.try_send(picture);
            }
            Report::Health(health) => {
                self.tell(&Event::Health {
                    room,
                    stream_id,
                    health,
                })
                .await
            }
            Report::Begun => {
                self.begun = true;
                self.publish_program().await;
                self.tell(&Event::Started { room, stream_id }).await;
            }
        }
    }

    async fn lay_out(&mut self) {
        let video = self.spec.video;
        let canvas = video.map(|video| Canvas {
            width: usize::from(video.width),
            height: usize::from(video.height),
        });
        let scene = lay_out(&self.spec.layout, &self.members.in_order(), canvas);
        if scene == self.scene {
            return;
        }
        self.scene = scene.clone();
        self.wants.send_replace(Wants::of(&scene));
        // A worker that has ended is seen at its reports.
        let _told_or_ended = self.orders.send(Order::Scene(scene)).await;
    }

    async fn publish_running(&mut self) {
        let running = RunningMix {
            node: self.surroundings.node.name().clone(),
            spec: self.spec.clone(),
        };
        self.put(&running_key(&self.spec.room), &running).await;
    }

    async fn publish_program(&mut self) {
        let key = program_key(&self.spec.stream_id);
        let began = self.surroundings.node.bus().load::<ProgramDescriptor>(&key).await;
        let began = began
            .ok()
            .flatten()
            .filter(|(_, revision)| self.written.get(&key) == Some(revision));
        let now = Clock.unix().as_millis() as u64;
        let descriptor = ProgramDescriptor {
            stream_id: self.spec.stream_id.clone(),
            room: self.spec.room.clone(),
            node: self.surroundings.node.name().clone(),
            audio: self.spec.audio,
            video: self.spec.video,
            record: self.spec.record.clone(),
            push_urls: self.spec.push_urls.clone(),
            started_unix_ms: began.map_or(now, |(before, _)| before.started_unix_ms),
        };
        self.put(&key, &descriptor).await;
    }

    /// Writes a document that vanishes with this node.
    async fn put<T: Serialize + Sync>(&mut self, key: &str, document: &T) {
        let node = &self.surroundings.node;
        match node.bus().announce(key, document, &node.incarnation()).await {
            Ok(revision) => {
                self.written.insert(key.to_owned(), revision);
            }
            Err(error) => tracing::error!(room = %self.spec.room, %key, %error, "a document was not written"),
        }
    }

    async fn tell(&self, event: &Event) {
        if let Err(error) = self.surroundings.node.bus().tell(EVENTS_SUBJECT, event).await {
            tracing::warn!(room = %self.spec.room, %error, "an event was not told");
        }
    }

    async fn finish(self, reason: StopReason, worker_ended: oneshot::Receiver<()>) {
        let (room, stream_id) = (self.spec.room.clone(), self.spec.stream_id.clone());
        tracing::info!(%room, %stream_id, ?reason, "the mix ends");
        let bus = self.surroundings.node.bus().clone();
        let written = self.written.clone();
        let stopped = Event::Stopped {
            room: room.clone(),
            stream_id: stream_id.clone(),
            reason,
        };
        drop(self);
        // Closing the orders ends the worker, and with it the program: its readers see the end before the key goes.
        let _ended_or_panicked = worker_ended.await;
        for key in [program_key(&stream_id), running_key(&room)] {
            let Some(revision) = written.get(&key) else { continue };
            match bus.delete(&key, *revision).await {
                // Another revision is a successor's.
                Ok(_) | Err(BusError::Conflict(_)) => {}
                Err(error) => tracing::error!(%room, %key, %error, "a document was not deleted"),
            }
        }
        if let Err(error) = bus.tell(EVENTS_SUBJECT, &stopped).await {
            tracing::warn!(%room, %error, "an event was not told");
        }
    }
}
