//! The shell: worker threads, and the control task between them and the bus.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngCore;
use rotunda_proto::bus::{BusError, BusExt, Request, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{NodeId, RoomKey, SessionId};
use rotunda_proto::sfu::{Command, ControlError, NodeInfo, Reply, control_subject, events_subject, node_key};
use rotunda_proto::ticket::ClusterSecret;
use std::collections::HashMap;
use str0m::Candidate;
use str0m::net::{Protocol, TcpType, Transmit};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::net::{Tcp, TcpFrame, Udp, local_addresses};
use crate::worker::{RoomEvent, Setup, Worker};

/// Commands waiting for a worker; more wait at the sender.
const QUEUE: usize = 1024;
/// Frames of all TCP peers waiting for a worker.
const TCP_FRAMES: usize = 4096;

/// Why the SFU did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("open the media port {port}")]
    Port {
        port: u16,
        #[source]
        source: io::Error,
    },
    #[error("start a worker thread")]
    Thread(#[source] io::Error),
    #[error("there is no address to advertise: set sfu.advertise")]
    NoAddress,
    #[error("reach the bus")]
    Bus(#[from] BusError),
}

/// A running SFU node.
pub struct Service {
    control: tokio::task::JoinHandle<()>,
    workers: Vec<std::thread::JoinHandle<()>>,
}

struct Order {
    command: Command,
    reply: oneshot::Sender<Reply>,
}

impl Service {
    /// Binds every port and takes commands on the bus until `shutdown`.
    pub async fn start(
        config: Config,
        node: NodeId,
        secret: ClusterSecret,
        bus: SharedBus,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let requests = bus.serve(&control_subject(&node)).await?;
        let (events, event_queue) = mpsc::channel(QUEUE);
        let mut orders = Vec::new();
        let mut workers = Vec::new();
        for port in config.ports() {
            let (sender, receiver) = mpsc::channel(QUEUE);
            orders.push(sender);
            workers.push(start_worker(
                &config,
                port,
                secret.clone(),
                receiver,
                events.clone(),
                shutdown.clone(),
            )?);
        }
        drop(events);
        let info = NodeInfo {
            node: node.clone(),
            sessions: 0,
        };
        bus.update(&node_key(&node), |_: Option<NodeInfo>| {
            Ok::<_, ()>((Some(info.clone()), ()))
        })
        .await?
        .ok();
        let first = config.port;
        info!(workers = orders.len(), first_port = first, addresses = ?addresses(&config), "sfu listens");
        let control = Control {
            node,
            bus,
            orders,
            shards: HashMap::new(),
        };
        let control = tokio::spawn(control.run(requests, event_queue, shutdown));
        Ok(Self { control, workers })
    }

    /// Resolves when everything has ended after shutdown.
    pub async fn finish(self) {
        let _ended = self.control.await;
        let joined = tokio::task::spawn_blocking(move || {
            for worker in self.workers {
                let _ended = worker.join();
            }
        });
        let _ended = joined.await;
    }
}

/// Routes commands to workers and events to the bus.
struct Control {
    node: NodeId,
    bus: SharedBus,
    orders: Vec<mpsc::Sender<Order>>,
    /// Worker of each open session.
    shards: HashMap<SessionId, usize>,
}

impl Control {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut events: mpsc::Receiver<RoomEvent>,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(request) = requests.recv() => self.handle_request(request),
                Some(RoomEvent { room, event }) = events.recv() => {
                    if let rotunda_proto::sfu::Event::Disconnected { session, .. } = &event {
                        self.shards.remove(session);
                    }
                    if let Err(error) = self.bus.tell(&events_subject(&room), &event).await {
                        warn!(%error, "an event was not told");
                    }
                }
                else => break,
            }
        }
        if let Err(error) = self.bus.delete(&node_key(&self.node), None).await {
            warn!(%error, "the node could not be taken off the list");
        }
    }

    fn handle_request(&mut self, request: Request) {
        let command: Command = match request.parse() {
            Ok(command) => command,
            Err(error) => {
                warn!(%error, "a command was not understood");
                return;
            }
        };
        let shard = match &command {
            Command::Open { session, room, .. } => {
                let shard = shard_of(room, self.orders.len());
                self.shards.insert(*session, shard);
                Some(shard)
            }
            Command::Close { session } => self.shards.remove(session),
            Command::Restart { session, .. }
            | Command::SetIngress { session, .. }
            | Command::SetSlots { session, .. } => self.shards.get(session).copied(),
        };
        let is_close = matches!(command, Command::Close { .. });
        let Some(worker) = shard.and_then(|shard| self.orders.get(shard)).cloned() else {
            let none = Reply::Refused {
                error: ControlError::NoSuchSession,
            };
            request.answer(if is_close { &Reply::Done } else { &none });
            return;
        };
        // In order: the queue is entered here, only the waiting for the reply is on a task of its own.
        let (reply, answer) = oneshot::channel();
        let full = worker.try_send(Order { command, reply }).is_err();
        tokio::spawn(async move {
            let reply = if full { None } else { answer.await.ok() };
            request.answer(&reply.unwrap_or(Reply::Refused {
                error: ControlError::NodeFull,
            }));
        });
    }
}

fn shard_of(room: &RoomKey, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    room.hash(&mut hasher);
    (hasher.finish() % workers.max(1) as u64) as usize
}

/// The addresses that clients are told.
fn addresses(config: &Config) -> Vec<std::net::IpAddr> {
    if !config.advertise.is_empty() {
        config.advertise.clone()
    } else if config.bind.is_unspecified() {
        local_addresses()
            .iter()
            .copied()
            .filter(|ip| ip.is_ipv4() || config.bind.is_ipv6())
            .collect()
    } else {
        vec![config.bind]
    }
}

fn candidates(advertised: &[SocketAddr]) -> Vec<Candidate> {
    let udp = advertised
        .iter()
        .filter_map(|address| Candidate::host(*address, "udp").ok());
    let tcp = advertised.iter().filter_map(|address| {
        Candidate::builder()
            .tcp()
            .host(*address)
            .tcptype(TcpType::Passive)
            .build()
            .ok()
    });
    udp.chain(tcp).collect()
}

fn start_worker(
    config: &Config,
    port: u16,
    secret: ClusterSecret,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<RoomEvent>,
    shutdown: CancellationToken,
) -> Result<std::thread::JoinHandle<()>, StartError> {
    let advertised: Vec<SocketAddr> = addresses(config)
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect();
    if advertised.is_empty() {
        return Err(StartError::NoAddress);
    }
    let listen = SocketAddr::new(config.bind, port);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let (frames, frame_queue) = mpsc::channel(TCP_FRAMES);
    let opened = {
        let _entered = runtime.enter();
        Udp::bind(listen, advertised.clone())
            .and_then(|udp| Ok((udp, Tcp::bind(listen, advertised.clone(), frames)?)))
            .map_err(|source| StartError::Port { port, source })?
    };
    let worker = Worker::new(Setup {
        secret,
        candidates: candidates(&advertised),
        connect_timeout: Duration::from_secs(config.connect_timeout_seconds),
        max_sessions: config.max_sessions,
        seed: rand::rng().next_u64(),
    });
    let (udp, tcp) = opened;
    let shell = Shell {
        worker,
        udp,
        tcp,
        frames: frame_queue,
        orders,
        events,
        batch: Vec::new(),
    };
    std::thread::Builder::new()
        .name(format!("sfu-{port}"))
        .spawn(move || {
            if let Err(error) = runtime.block_on(shell.run(shutdown)) {
                error!(%error, port, "the media socket failed; the worker has ended");
            }
        })
        .map_err(StartError::Thread)
}

/// Drives one worker.
struct Shell {
    worker: Worker,
    udp: Udp,
    tcp: Tcp,
    frames: mpsc::Receiver<TcpFrame>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<RoomEvent>,
    batch: Vec<Transmit>,
}

impl Shell {
    async fn run(mut self, shutdown: CancellationToken) -> io::Result<()> {
        let clock = Clock;
        loop {
            let due = self.worker.poll_timeout(clock.now());
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                ready = self.udp.readable() => {
                    ready?;
                    let (now, worker) = (clock.now(), &mut self.worker);
                    self.udp.receive(|datagram| {
                        worker.handle_datagram(now, datagram.from, datagram.to, datagram.proto, datagram.bytes);
                    })?;
                    worker.settle(now);
                }
                Some(frame) = self.frames.recv() => {
                    let now = clock.now();
                    self.worker.handle_datagram(now, frame.from, frame.to, Protocol::Tcp, &frame.bytes);
                    self.worker.settle(now);
                }
                accepted = self.tcp.accept() => {
                    if let Ok((stream, from)) = accepted {
                        self.tcp.serve(stream, from);
                    }
                }
                order = self.orders.recv() => {
                    let Some(Order { command, reply }) = order else { return Ok(()) };
                    let answer = self.worker.handle_command(clock.now(), clock.unix(), command);
                    let _caller_gave_up = reply.send(answer);
                }
                () = clock.sleep_until(due) => self.worker.handle_timeout(clock.now()),
            }
            self.flush();
        }
    }

    /// Sends what the worker has made.
    fn flush(&mut self) {
        self.batch.clear();
        while let Some(transmit) = self.worker.poll_transmit() {
            match transmit.proto {
                Protocol::Udp => self.batch.push(transmit),
                _ => self.tcp.send(&transmit),
            }
        }
        // Together what goes to one place, in order within it.
        self.batch.sort_by_key(|transmit| transmit.destination);
        self.udp.send(&self.batch);
        while let Some(event) = self.worker.poll_event() {
            if self.events.try_send(event).is_err() {
                metrics::counter!("rotunda_sfu_events_dropped_total").increment(1);
            }
        }
    }
}
