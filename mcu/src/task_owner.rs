//! Does one mix task: brings what runs here in line with the task's document, one step after the other.

use std::time::Duration;

use rotunda_bus::{BusError, BusExt, Revision};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::MixId;
use rotunda_proto::mix::{MixNode, NODES_PREFIX, Refusal, StopReason};
use rotunda_proto::mix_cost::Cost;
use rotunda_proto::mix_task::{Desired, MixTask, Refused};
use rotunda_proto::program::{ProgramDescriptor, program_key};
use rotunda_proto::room::{RoomInfo, Roster, info_key, roster_key};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::claims::Claims;
use crate::reconcile::{Actual, Step, next_step};
use crate::task::{Beginning, Ending, Surroundings, TaskHandle};

/// After an error of the bus the document is read again.
const AGAIN: Duration = Duration::from_secs(1);
/// For each node that has more capacity left, a node waits this long before it claims a task.
const CLAIM_AFTER: Duration = Duration::from_millis(300);
/// A refused start is kept this long for its caller to read.
const KEEP_REFUSED: Duration = Duration::from_secs(10);

/// See the [module](self).
pub struct TaskOwner {
    key: String,
    surroundings: Surroundings,
    claims: Claims,
    /// Changes when the document, or the standing of a node, may have changed.
    woken: watch::Receiver<u64>,
    mix: Mix,
}

enum Mix {
    None,
    Running(Box<TaskHandle>),
    Ended(MixId),
}

/// Another node does the task, or nobody.
struct NotOurs;

/// How a step went.
enum Outcome {
    /// Look for the next one.
    Done,
    /// There is nothing to do before something changes.
    Wait,
    /// The bus has failed.
    Again,
    /// Another node may do it.
    Leave,
}

impl TaskOwner {
    pub fn new(key: String, surroundings: Surroundings, claims: Claims, woken: watch::Receiver<u64>) -> Self {
        Self {
            key,
            surroundings,
            claims,
            woken,
            mix: Mix::None,
        }
    }

    /// Runs until there is nothing to do for this node, or until `shutdown`; then the mix goes to another node, or ends.
    /// Answers the last wake-up that it has acted on.
    pub async fn run(mut self, shutdown: CancellationToken) -> u64 {
        let mut seen = 0;
        while !shutdown.is_cancelled() {
            seen = *self.woken.borrow_and_update();
            let outcome = match self.step(&shutdown).await {
                Ok(outcome) => outcome,
                // A write that came between is in what is read next.
                Err(BusError::Conflict(_)) => Outcome::Done,
                Err(error) => {
                    tracing::warn!(
                        key = self.key,
                        error = &error as &dyn std::error::Error,
                        "a mix task is tried again"
                    );
                    Outcome::Again
                }
            };
            match outcome {
                Outcome::Done => {}
                Outcome::Leave => return seen,
                Outcome::Wait => self.wait(None, &shutdown).await,
                Outcome::Again => self.wait(Some(AGAIN), &shutdown).await,
            }
        }
        self.hand_over().await;
        seen
    }

    async fn wait(&mut self, at_most: Option<Duration>, shutdown: &CancellationToken) {
        let timeout = async {
            match at_most {
                Some(wait) => Clock.sleep_until(Clock.now() + wait).await,
                None => std::future::pending().await,
            }
        };
        let ended = async {
            match &mut self.mix {
                Mix::Running(task) => task.finished().await,
                Mix::None | Mix::Ended(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = self.woken.changed() => {}
            () = timeout => {}
            () = ended => {
                if let Mix::Running(task) = &self.mix {
                    self.mix = Mix::Ended(task.id);
                }
            }
        }
    }

    async fn step(&mut self, shutdown: &CancellationToken) -> Result<Outcome, BusError> {
        let node = self.surroundings.node.clone();
        let me = node.incarnation();
        let known = node.bus().load::<MixTask>(&self.key).await?;
        let living = node.living().borrow().clone();
        let actual = match &self.mix {
            Mix::None => Actual::Nothing,
            Mix::Ended(id) => Actual::Ended { id: *id },
            Mix::Running(task) => Actual::Running {
                id: task.id,
                spec: &task.spec,
            },
        };
        let step = next_step(&me, living.as_deref(), known.as_ref().map(|(task, _)| task), actual);
        match (step, known) {
            (Step::End(reason), _) => {
                self.end(Ending::Told(reason)).await;
                Ok(Outcome::Done)
            }
            (Step::Yield, _) => {
                tracing::warn!(key = self.key, "another node carries the mix on");
                self.end(Ending::Silent).await;
                Ok(Outcome::Done)
            }
            (Step::Claim, Some((task, revision))) => self.claim(task, revision, shutdown).await,
            (Step::Start, Some((task, revision))) => self.start(task, revision).await,
            (Step::Change, Some((task, revision))) => self.change(task, revision).await,
            (Step::Report, Some((task, revision))) => {
                let Mix::Running(handle) = &self.mix else {
                    return Ok(Outcome::Done);
                };
                let reported = MixTask {
                    reached: task.revision,
                    refused: None,
                    program_began_unix_ms: Some(handle.began_unix_ms),
                    ..task
                };
                node.bus().store(&self.key, &reported, Some(revision)).await?;
                Ok(Outcome::Done)
            }
            (Step::Delete, Some((_, revision))) => {
                node.bus().delete(&self.key, revision).await?;
                self.mix = Mix::None;
                Ok(Outcome::Done)
            }
            (Step::Rest | Step::Claim | Step::Start | Step::Change | Step::Report | Step::Delete, _) => {
                Ok(match self.mix {
                    Mix::Running(_) => Outcome::Wait,
                    Mix::None | Mix::Ended(_) => Outcome::Leave,
                })
            }
        }
    }

    /// Writes this node in as the owner, when its turn comes: nodes with more capacity left come first.
    async fn claim(
        &mut self,
        task: MixTask,
        revision: Revision,
        shutdown: &CancellationToken,
    ) -> Result<Outcome, BusError> {
        let node = self.surroundings.node.clone();
        if let (Some(spec), Mix::None | Mix::Ended(_)) = (task.spec(), &self.mix) {
            let millicores = Cost::of(spec).millicores();
            let left = *self.claims.left().borrow();
            if left.tasks == 0 || left.millicores < millicores {
                return Ok(Outcome::Leave);
            }
            let nodes = node.bus().documents::<MixNode>(NODES_PREFIX).await?;
            let own = (left.millicores, node.name());
            let better = nodes
                .iter()
                .filter(|other| other.node != *node.name() && other.can_take(millicores))
                .filter(|other| (other.millicores_left, &other.node) > own)
                .count();
            if better > 0 {
                let turn = Clock.now() + CLAIM_AFTER * better as u32;
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(Outcome::Leave),
                    () = Clock.sleep_until(turn) => {}
                }
            }
        }
        let claimed = MixTask {
            owner: Some(node.incarnation()),
            epoch: task.epoch + 1,
            ..task
        };
        node.bus().store(&self.key, &claimed, Some(revision)).await?;
        Ok(Outcome::Done)
    }

    async fn start(&mut self, task: MixTask, revision: Revision) -> Result<Outcome, BusError> {
        let Some(spec) = task.spec() else {
            return Ok(Outcome::Done);
        };
        let began = match self.check(&task).await? {
            Ok(()) => {
                let claim = self.claims.claim(&spec.stream(), Cost::of(spec).millicores());
                match claim {
                    Ok(claim) => {
                        let beginning = Beginning {
                            id: task.id,
                            origin: task.origin.clone(),
                            epoch: task.epoch,
                            program_began_unix_ms: task.program_began_unix_ms,
                        };
                        let started =
                            TaskHandle::start(self.surroundings.clone(), spec.clone(), claim, beginning).await;
                        started.map_err(Refusal::from)
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            Err(refusal) => Err(refusal),
        };
        match began {
            Ok(handle) => {
                tracing::info!(key = self.key, id = %task.id, epoch = task.epoch, "the mix runs here");
                self.mix = Mix::Running(Box::new(handle));
                Ok(Outcome::Done)
            }
            // Another mix has taken the capacity since the claim; another node may have some.
            Err(Refusal::NoCapacity) => {
                let released = MixTask { owner: None, ..task };
                self.surroundings
                    .node
                    .bus()
                    .store(&self.key, &released, Some(revision))
                    .await?;
                Ok(Outcome::Leave)
            }
            Err(refusal) => self.refuse_start(task, revision, refusal).await,
        }
    }

    async fn refuse_start(&mut self, task: MixTask, revision: Revision, error: Refusal) -> Result<Outcome, BusError> {
        let refused = MixTask {
            desired: Desired::Stop,
            owner: None,
            reached: task.revision,
            refused: Some(Refused {
                revision: task.revision,
                error,
            }),
            ..task
        };
        let bus = self.surroundings.node.bus().clone();
        let revision = bus.store(&self.key, &refused, Some(revision)).await?;
        let key = self.key.clone();
        tokio::spawn(async move {
            Clock.sleep_until(Clock.now() + KEEP_REFUSED).await;
            // The caller has deleted it, or somebody starts a mix again.
            let _deleted_or_changed = bus.delete(&key, revision).await;
        });
        Ok(Outcome::Leave)
    }

    async fn change(&mut self, task: MixTask, revision: Revision) -> Result<Outcome, BusError> {
        let (Mix::Running(handle), Some(spec)) = (&mut self.mix, task.spec()) else {
            return Ok(Outcome::Done);
        };
        let Err(error) = handle.relayout(spec.clone()).await else {
            return Ok(Outcome::Done);
        };
        let running = handle.spec.clone();
        let refused = MixTask {
            desired: Desired::Run {
                spec: Box::new(running),
            },
            reached: task.revision,
            refused: Some(Refused {
                revision: task.revision,
                error,
            }),
            ..task
        };
        let bus = self.surroundings.node.bus();
        bus.store(&self.key, &refused, Some(revision)).await?;
        Ok(Outcome::Done)
    }

    async fn end(&mut self, ending: Ending) {
        if let Mix::Running(task) = std::mem::replace(&mut self.mix, Mix::None) {
            task.stop(ending).await;
        }
    }

    /// Lets another node carry the mix on. If there is none, the mix ends.
    async fn hand_over(mut self) {
        let node = self.surroundings.node.clone();
        let others = node.bus().documents::<MixNode>(NODES_PREFIX).await.unwrap_or_default();
        let has_successor = others.iter().any(|other| other.node != *node.name());
        if let Mix::Running(_) = &self.mix {
            let ending = match has_successor {
                true => Ending::Silent,
                false => Ending::Told(StopReason::Shutdown),
            };
            self.end(ending).await;
        }
        let me = node.incarnation();
        let changed = node.bus().update(&self.key, |task: Option<MixTask>| match task {
            Some(task) if task.owner.as_ref() == Some(&me) => {
                let released = MixTask { owner: None, ..task };
                Ok((has_successor.then_some(released), ()))
            }
            _ => Err(NotOurs),
        });
        if let Err(error) = changed.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                key = self.key,
                error,
                "a mix task was not handed over; another node takes it when this one is dead"
            );
        }
    }

    /// Whether the room has members, and the stream is free.
    async fn check(&self, task: &MixTask) -> Result<Result<(), Refusal>, BusError> {
        let Some(spec) = task.spec() else {
            return Ok(Ok(()));
        };
        let bus = self.surroundings.node.bus();
        let info = bus.load::<RoomInfo>(&info_key(&task.room)).await?;
        let roster = bus.load::<Roster>(&roster_key(&task.room)).await?;
        let is_inhabited = roster.is_some_and(|(roster, _)| !roster.members.is_empty());
        if info.is_none() || !is_inhabited {
            return Ok(Err(Refusal::RoomNotExist));
        }
        let program = bus.load::<ProgramDescriptor>(&program_key(&spec.stream())).await?;
        Ok(match program {
            Some((program, _)) if program.room != task.room => Err(Refusal::StreamIdInUse),
            _ => Ok(()),
        })
    }
}
