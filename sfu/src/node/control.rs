//! The control task of a node: commands from the bus to the workers, and the workers' events to the bus.

mod draining;
mod nodes;
mod opening;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rand::RngCore;
use rotunda_bus::{BusError, BusExt, ClusterNode, Request, Requests};
use rotunda_proto::clock::Clock;
use rotunda_proto::custom_message::CustomMessage;
use rotunda_proto::ids::{NodeId, RoomKey, SessionId, UserId};
use rotunda_proto::sfu::{
    Client, Command, ControlError, Event, Identity, NodeInfo, Reply, Standing, events_subject, member_session_subject,
    node_key, session_subject,
};
use rotunda_proto::ticket::ClusterSecret;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use draining::Draining;
pub use draining::Order;
use nodes::Answered;
use opening::{Opened, open};

use super::advertise::Advertised;
use super::load::Reading;
use super::peers::{Far, Gateway, Peers};
use super::placement::Placement;
use super::worker_message::{Command as WorkerCommand, Inbox, Task, WorkerEvent, WorkerMessage};
use crate::session::Opening;
use crate::slab::{Index, WorkerIndex};
use crate::worker::RoomEvent;

/// Least time between two announcements of the number of sessions.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(200);
/// The workers' load is read so often, and announced when it has changed by so much, percent.
const LOAD_EVERY: Duration = Duration::from_secs(1);
const LOAD_STEP: u8 = 5;
/// Sessions that were not opened, waiting to be forgotten.
const REFUSED: usize = 1024;
/// Answers of other nodes, waiting.
const ANSWERS: usize = 1024;

/// How a worker is reached.
#[derive(Clone)]
pub struct Handle {
    pub inbox: Inbox,
    /// The addresses where clients find it.
    pub advertised: watch::Receiver<Advertised>,
    pub port: u16,
    pub load: Arc<Reading>,
}

/// Routes commands to workers and events to the bus.
pub struct Control {
    /// As it was announced last.
    info: NodeInfo,
    announced_at: Option<Instant>,
    /// When the workers' load is read next.
    load_at: Instant,
    node: ClusterNode,
    secret: ClusterSecret,
    workers: Vec<Handle>,
    placement: Placement,
    /// The other nodes of the rooms.
    peers: Peers,
    /// What each room's workers were told of other nodes, if that is anything.
    told: HashMap<RoomKey, Far>,
    /// Answers of other nodes.
    answers: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
    owners: HashMap<SessionId, Owner>,
    draining: Draining,
    /// The serial of the session that was opened last. Of two sessions of a member, also on different nodes, the one with the higher
    /// serial publishes, so it is by the wall clock.
    serial: u64,
    /// Sessions that got a place and were not opened.
    refused: (mpsc::Sender<SessionId>, mpsc::Receiver<SessionId>),
}

impl Control {
    /// `info`: as it has been [announced](announce). `placement`: of no session, on these workers. `node_fan_out`: as in the configuration.
    pub fn new(
        info: NodeInfo,
        node: ClusterNode,
        secret: ClusterSecret,
        workers: Vec<Handle>,
        placement: Placement,
        node_fan_out: usize,
    ) -> Self {
        let peers = Peers::new(info.node.clone(), info.location.clone(), workers.len(), node_fan_out);
        Self {
            peers,
            told: HashMap::new(),
            answers: mpsc::channel(ANSWERS),
            info,
            announced_at: None,
            load_at: Clock.now() + LOAD_EVERY,
            node,
            secret,
            workers,
            placement,
            owners: HashMap::new(),
            draining: Draining::default(),
            serial: 0,
            refused: mpsc::channel(REFUSED),
        }
    }

    pub async fn run(
        mut self,
        mut requests: Requests,
        mut events: mpsc::Receiver<WorkerEvent>,
        shutdown: CancellationToken,
    ) {
        let mut own = self.node.own();
        loop {
            self.draining.finish(Clock.now());
            let (announce_at, ask_at) = (self.announce_at(), self.peers.due());
            let move_at = self.draining.due();
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = Clock.until(announce_at) => self.announce().await,
                // The list of before has vanished with the incarnation of before.
                Ok(()) = own.changed() => self.announce().await,
                () = Clock.sleep_until(self.load_at) => self.look_at_load(),
                Some(session) = self.refused.1.recv() => {
                    self.close(session).await;
                }
                request = requests.next() => self.handle_request(request).await,
                () = Clock.until(ask_at) => self.ask_nodes(Clock.now()),
                Some(order) = self.draining.next_order() => self.handle_order(order).await,
                () = Clock.until(move_at) => self.move_sessions().await,
                Some(answered) = self.answers.1.recv() => self.handle_answered(answered).await,
                Some(event) = events.recv() => self.handle_event(event).await,
            }
        }
        if let Err(error) = self.node.bus().remove(&node_key(&self.info.node)).await {
            warn!(%error, "the node could not be taken off the list");
        }
    }

    async fn handle_event(&mut self, event: WorkerEvent) {
        match event {
            WorkerEvent::Link { worker, event } => self.handle_link_event(worker, event).await,
            WorkerEvent::Room(RoomEvent { room, event }) => {
                if let Event::Disconnected { session, .. } = &event {
                    self.close(*session).await;
                }
                self.tell(&room, &event).await;
            }
        }
    }

    async fn tell(&self, room: &RoomKey, event: &Event) {
        let subject = match event.of_session() {
            None => events_subject(room),
            Some(session) => match self.owners.get(&session).and_then(|owner| owner.signaling.as_ref()) {
                Some(signaling) => member_session_subject(signaling, session),
                None => session_subject(session),
            },
        };
        if let Err(error) = self.node.bus().tell(&subject, event).await {
            warn!(%error, "an event was not told");
        }
    }

    /// None: what was announced still holds.
    fn announce_at(&self) -> Option<Instant> {
        let told = &self.info;
        let (load_percent, open_workers) = self.load();
        let is_true = told.sessions == self.placement.len() as u64
            && told.open_workers == open_workers
            && told.load_percent.abs_diff(load_percent) < LOAD_STEP;
        let earliest = || self.announced_at.map_or_else(|| Clock.now(), |at| at + ANNOUNCE_EVERY);
        (!is_true).then(earliest)
    }

    async fn announce(&mut self) {
        self.info.sessions = self.placement.len() as u64;
        (self.info.load_percent, self.info.open_workers) = self.load();
        self.announced_at = Some(Clock.now());
        if let Err(error) = announce(&self.node, &self.info).await {
            warn!(%error, "the node's load was not announced");
        }
    }

    /// The mean load of the workers, percent, and how many of them take more sessions.
    fn load(&self) -> (u8, u64) {
        let readings = self.workers.iter().map(|worker| &worker.load);
        let open = readings.clone().filter(|load| !load.is_full()).count();
        let sum: usize = readings.map(|load| usize::from(load.percent())).sum();
        let mean = sum.checked_div(self.workers.len()).unwrap_or_default();
        (mean as u8, open as u64)
    }

    fn look_at_load(&mut self) {
        self.load_at = Clock.now() + LOAD_EVERY;
        // A worker that has nothing to do any more would never measure its load.
        let full = self.workers.iter().filter(|worker| worker.load.is_full());
        full.for_each(|worker| worker.inbox.wake());
    }

    async fn handle_request(&mut self, request: Request) {
        let command: Command = match request.parse() {
            Ok(command) => command,
            Err(error) => {
                warn!(%error, "a command was not understood");
                return;
            }
        };
        let task = match command {
            Command::Open {
                session,
                room,
                identity,
                offer,
                lines,
                nodes,
            } => {
                let admitted = match self.admit(&room, identity) {
                    Ok(admitted) => admitted,
                    Err(error) => return request.answer(&Reply::Refused { error }),
                };
                let Some(worker) = self.assign_worker(session, &room, &nodes, &admitted).await else {
                    return request.answer(&NODE_FULL);
                };
                let owner = Owner {
                    user: admitted.user.clone(),
                    signaling: admitted.signaling,
                    publishes: false,
                };
                self.owners.insert(session, owner);
                self.serial = (self.serial + 1).max(Clock.unix().as_micros() as u64);
                let opening = Opening {
                    id: session,
                    room,
                    user: admitted.user,
                    serial: self.serial,
                    client: admitted.client,
                    offer,
                    lines,
                    seed: rand::rng().next_u64(),
                };
                let refused = self.refused.0.clone();
                tokio::spawn(async move {
                    if open(worker, opening, request).await == Opened::No {
                        // Without a listener the node has ended.
                        let _ended = refused.send(session).await;
                    }
                });
                return;
            }
            Command::Restart { session, offer } => Task::Restart { session, offer },
            Command::SetIngress { session, sources } => {
                self.handle_publishing(session, !sources.is_empty());
                Task::SetIngress { session, sources }
            }
            Command::SetSlots { session, slots } => Task::SetSlots { session, slots },
            Command::Close { session, moved } => {
                self.draining.handle_closed(session, moved);
                return self.handle_close(session, request).await;
            }
            Command::CustomMessage { room, message } => return self.carry_message(&room, &message, request).await,
            Command::Statistics { room, user } => return self.handle_statistics(room, user, request),
            Command::Meet {
                room,
                node,
                worker,
                location,
            } => {
                let there = worker.map(|worker| Gateway { worker, location });
                return self.handle_meeting(room, node, there, request).await;
            }
            Command::Link { end, worker } => return self.handle_link(end, worker, request).await,
            Command::Drain { within_ms } => {
                let within = Duration::from_millis(within_ms);
                return request.answer(&self.drain_by_api(within).await);
            }
            Command::Resume => return request.answer(&self.resume().await),
        };
        let worker = match &task {
            Task::Restart { session, .. } | Task::SetIngress { session, .. } | Task::SetSlots { session, .. } => {
                self.placement.worker_of(*session)
            }
            _ => None,
        };
        let Some(worker) = worker.and_then(|worker| self.workers.get(worker.position())) else {
            return request.answer(&Reply::Refused {
                error: ControlError::NoSuchSession,
            });
        };
        send(worker, task, request);
    }

    /// Finds a worker for a session, and tells the workers that share its room from now on. `nodes`: where the room is by signaling.
    async fn assign_worker(
        &mut self,
        session: SessionId,
        room: &RoomKey,
        nodes: &[NodeId],
        admitted: &Admitted,
    ) -> Option<Handle> {
        self.close(session).await;
        if self.info.draining {
            counter!("rotunda_sfu_sessions_refused_total", "reason" => "draining").increment(1);
            return None;
        }
        let workers = &self.workers;
        let is_busy = |worker: WorkerIndex| {
            workers
                .get(worker.position())
                .is_none_or(|worker| worker.load.is_full())
        };
        let refuse = |reason: &'static str| {
            counter!("rotunda_sfu_sessions_refused_total", "reason" => reason).increment(1);
        };
        let is_limited = admitted.standing == Standing::Newcomer && admitted.user.is_some();
        if is_limited && self.placement.has_enough_of(room) {
            refuse("room");
            return None;
        }
        let Some((worker, room_workers)) = self.placement.open(session, room, admitted.standing, is_busy) else {
            let by_load = workers.iter().any(|worker| worker.load.is_full());
            refuse(if by_load { "load" } else { "sessions" });
            return None;
        };
        self.follow_room(room, nodes, room_workers).await;
        self.workers.get(worker.position()).cloned()
    }

    /// Forgets a session. Answers the worker that has it.
    async fn close(&mut self, session: SessionId) -> Option<&Handle> {
        self.owners.remove(&session);
        self.draining.handle_closed(session, None);
        let room = self.placement.room_of(session)?.clone();
        let (worker, room_workers) = self.placement.close(session)?;
        self.follow_room(&room, &[], room_workers).await;
        self.workers.get(worker.position())
    }

    async fn handle_close(&mut self, session: SessionId, request: Request) {
        // The worker first: the other workers are then told of a room without the session.
        match self
            .placement
            .worker_of(session)
            .and_then(|worker| self.workers.get(worker.position()))
        {
            Some(worker) => send(worker, Task::Close { session }, request),
            None => request.answer(&Reply::Done),
        }
        self.close(session).await;
    }

    /// To each worker that the room is on. Malformed messages have been refused where they came from.
    async fn carry_message(&self, room: &RoomKey, message: &CustomMessage, request: Request) {
        match message.to_channel() {
            Ok(bytes) => {
                let bytes: Arc<[u8]> = bytes.into();
                for worker in self
                    .placement
                    .workers_of(room)
                    .filter_map(|worker| self.workers.get(worker.position()))
                {
                    let (room, bytes) = (room.clone(), Arc::clone(&bytes));
                    // It fails when the worker has ended, and with it the node.
                    let _ended = worker.inbox.send(WorkerMessage::CustomMessage { room, bytes }).await;
                }
            }
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "a custom message was not understood"
            ),
        }
        request.answer(&Reply::Done);
    }

    /// Asks each worker that the room is on.
    fn handle_statistics(&self, room: RoomKey, user: UserId, request: Request) {
        let workers = self.placement.workers_of(&room);
        let workers: Vec<Handle> = workers
            .filter_map(|worker| self.workers.get(worker.position()).cloned())
            .collect();
        tokio::spawn(async move {
            let mut reply = Reply::Refused {
                error: ControlError::NoSuchSession,
            };
            for worker in workers {
                let (room, user) = (room.clone(), user.clone());
                reply = ask(&worker, Task::Statistics { room, user }).await.unwrap_or(NODE_FULL);
                if matches!(reply, Reply::Statistics { .. }) {
                    break;
                }
            }
            request.answer(&reply);
        });
    }

    fn admit(&self, room: &RoomKey, identity: Identity) -> Result<Admitted, ControlError> {
        match identity {
            Identity::Member {
                user,
                signaling,
                client,
                standing,
            } => Ok(Admitted {
                user: Some(user),
                signaling: Some(signaling),
                client,
                standing,
            }),
            Identity::Service { ticket } => {
                let verified = self.secret.verify_ticket(&ticket, room, Clock.unix());
                verified.map_err(|_| ControlError::BadTicket)?;
                Ok(Admitted {
                    user: None,
                    signaling: None,
                    client: Client::MediaAlone,
                    standing: Standing::Newcomer,
                })
            }
        }
    }
}

/// The owner of a session.
struct Owner {
    /// None: a service.
    user: Option<UserId>,
    /// The signaling node that reads the session's events.
    signaling: Option<NodeId>,
    publishes: bool,
}

/// The owner of a new session.
struct Admitted {
    /// None: a service.
    user: Option<UserId>,
    /// The signaling node that reads the session's events.
    signaling: Option<NodeId>,
    client: Client,
    standing: Standing,
}

const NODE_FULL: Reply = Reply::Refused {
    error: ControlError::NodeFull,
};

/// In order: the queue is entered here, and only the reply is waited for on a task of its own.
fn send(worker: &Handle, task: Task, request: Request) {
    let reply = ask(worker, task);
    tokio::spawn(async move {
        request.answer(&reply.await.unwrap_or(NODE_FULL));
    });
}

/// Enters a worker's queue at once. None: it is full, or the worker has ended.
fn ask(worker: &Handle, task: Task) -> impl Future<Output = Option<Reply>> + use<> {
    let (reply, answer) = oneshot::channel();
    let sent = worker
        .inbox
        .try_send(WorkerMessage::Command(WorkerCommand { task, reply }));
    async move {
        match sent {
            Ok(()) => answer.await.ok(),
            Err(_) => None,
        }
    }
}

/// Writes how many sessions a node has and takes, for those who choose a node.
pub async fn announce(node: &ClusterNode, info: &NodeInfo) -> Result<(), BusError> {
    let key = node_key(&info.node);
    node.bus().announce(&key, info, &node.incarnation()).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
