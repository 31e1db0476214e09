//! The control task of a node that drains: it takes no more sessions, and moves those that it has to other nodes.

use std::time::{Duration, Instant};

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::SessionId;
use rotunda_proto::sfu::{ControlError, Event, Moved, NODES_PREFIX, NodeInfo, Reply};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::{Control, Owner, ask};
use crate::node::evacuation::{Evacuation, Rank, Step};
use crate::node::worker_message::Task;
use crate::slab::Index;

/// Orders that wait.
const ORDERS: usize = 4;
const ENDED: &str = "the node ends";

/// From the process.
#[derive(Debug)]
pub enum Order {
    /// Take no more sessions, if another node does.
    Refuse { done: oneshot::Sender<()> },
    /// Move the sessions to other nodes within the time, if this one refuses new ones. Done when they are elsewhere, or the time is over.
    Move {
        within: Duration,
        done: oneshot::Sender<()>,
    },
}

pub struct Draining {
    orders: (mpsc::Sender<Order>, mpsc::Receiver<Order>),
    running: Option<Running>,
    /// The process ends: the node does not resume.
    is_ending: bool,
}

struct Running {
    evacuation: Evacuation,
    /// None: by the server API, which does not wait.
    done: Option<oneshot::Sender<()>>,
}

/// Why the sessions of a node stay.
#[derive(Debug, Error)]
enum Alone {
    #[error("no other node takes sessions")]
    NoOtherNode,
    #[error("other nodes are not known")]
    Bus(#[from] BusError),
}

impl Default for Draining {
    fn default() -> Self {
        Self {
            orders: mpsc::channel(ORDERS),
            running: None,
            is_ending: false,
        }
    }
}

impl Draining {
    pub fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.0.clone()
    }

    pub async fn next_order(&mut self) -> Option<Order> {
        self.orders.1.recv().await
    }

    /// When [`Control::move_sessions`] has something to do; None: nothing is being moved.
    pub fn due(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.evacuation.due())
    }

    pub fn handle_closed(&mut self, session: SessionId, moved: Option<Moved>) {
        if let Some(running) = &mut self.running {
            running.evacuation.handle_closed(Clock.now(), session, moved);
        }
    }

    /// Reports, if everybody has moved or the time is over.
    pub fn finish(&mut self, now: Instant) {
        if let Some(running) = self.running.take_if(|running| running.evacuation.is_over(now)) {
            running.evacuation.write();
            if let Some(done) = running.done {
                // Nobody waits any more after a second signal.
                let _nobody_waits = done.send(());
            }
        }
    }
}

impl Control {
    pub fn orders(&self) -> mpsc::Sender<Order> {
        self.draining.orders()
    }

    pub(super) async fn handle_order(&mut self, order: Order) {
        match order {
            Order::Refuse { done } => {
                self.draining.is_ending = true;
                match self.refuse_if_others_take().await {
                    Ok(()) => {}
                    Err(Alone::NoOtherNode) => info!("no other node takes sessions: they end with this one"),
                    Err(Alone::Bus(error)) => {
                        warn!(%error, "sessions end with this node: other nodes are not known");
                    }
                }
                let _nobody_waits = done.send(());
            }
            Order::Move { within, done } if self.info.draining => self.begin(within, Some(done)),
            Order::Move { done, .. } => {
                let _nobody_waits = done.send(());
            }
        }
    }

    fn begin(&mut self, within: Duration, done: Option<oneshot::Sender<()>>) {
        let owners = self.owners.iter();
        let sessions = owners.map(|(session, owner)| (*session, owner.rank()));
        let evacuation = Evacuation::new(Clock.now(), within, sessions);
        info!(sessions = self.owners.len(), "draining: sessions move to other nodes");
        self.draining.running = Some(Running { evacuation, done });
    }

    /// Begins to drain while the process goes on.
    pub(super) async fn drain_by_api(&mut self, within: Duration) -> Reply {
        let error = match self.refuse_if_others_take().await {
            // The process that ends moves them in its own time.
            Ok(()) if self.draining.is_ending => ControlError::Ends,
            Ok(()) => {
                self.begin(within, None);
                return Reply::Done;
            }
            Err(alone) => {
                warn!(%alone, "the node was to drain, and goes on");
                ControlError::NoOtherNode
            }
        };
        Reply::Refused { error }
    }

    /// Ends a drain of the API. Sessions that have been asked to move still do.
    pub(super) async fn resume(&mut self) -> Reply {
        if self.draining.is_ending {
            let error = ControlError::Ends;
            return Reply::Refused { error };
        }
        self.draining.running = None;
        if self.info.draining {
            self.info.draining = false;
            info!("the node takes sessions again");
            self.announce().await;
        }
        Reply::Done
    }

    async fn refuse_if_others_take(&mut self) -> Result<(), Alone> {
        let nodes = self.node.bus().documents::<NodeInfo>(NODES_PREFIX).await?;
        let takes = |other: &NodeInfo| other.node != self.info.node && !other.draining;
        if !nodes.iter().any(takes) {
            return Err(Alone::NoOtherNode);
        }
        if !self.info.draining {
            self.info.draining = true;
            self.announce().await;
        }
        Ok(())
    }

    /// A session sends something, or nothing.
    pub(super) fn handle_publishing(&mut self, session: SessionId, publishes: bool) {
        let Some(owner) = self.owners.get_mut(&session) else {
            return;
        };
        owner.publishes = publishes;
        if let Some(running) = &mut self.draining.running {
            running.evacuation.handle_rank(session, owner.rank());
        }
    }

    /// Asks sessions to move, and ends those that have not.
    pub(super) async fn move_sessions(&mut self) {
        let now = Clock.now();
        while let Some(step) = self.draining.running.as_mut().and_then(|it| it.evacuation.poll(now)) {
            match step {
                Step::Ask(session) => match self.placement.room_of(session).cloned() {
                    Some(room) => self.tell(&room, &Event::Move { session }).await,
                    None => self.draining.handle_closed(session, None),
                },
                Step::End(session) => self.end_session(session).await,
            }
        }
    }

    async fn end_session(&mut self, session: SessionId) {
        let Some(room) = self.placement.room_of(session).cloned() else {
            return;
        };
        let worker = self.placement.worker_of(session);
        if let Some(handle) = worker.and_then(|worker| self.workers.get(worker.position())) {
            // It ends with the node at the latest.
            drop(ask(handle, Task::Close { session }));
        }
        let event = Event::Disconnected {
            session,
            user: self.owners.get(&session).and_then(|owner| owner.user.clone()),
            reason: ENDED.to_owned(),
        };
        self.close(session).await;
        self.tell(&room, &event).await;
    }
}

impl Owner {
    fn rank(&self) -> Rank {
        match &self.user {
            None => Rank::Service,
            Some(_) if self.publishes => Rank::Publisher,
            Some(_) => Rank::Viewer,
        }
    }
}
