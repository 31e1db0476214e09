//! Starts and ends an SFU node: its worker threads, and the control task between them and the bus.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use rotunda_bus::{BusError, ClusterNode};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::NodeId;
use rotunda_proto::sfu::control_subject;
use rotunda_proto::ticket::ClusterSecret;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::advertise::{self, AdvertiseError, Advertised};
use super::control::{Handle, Order};
use super::load::{Load, Reading};
use super::net::{Connections, Udp, accept, within_descriptors};
use super::set_up;
use super::shell::{self, Parts, Shell};
use super::worker_message::{Inbox, inbox};
use crate::config::Config;
use crate::slab::{Index, WorkerIndex};

/// Events waiting for the control task.
pub const QUEUE: usize = 1024;

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
    #[error(transparent)]
    Advertise(#[from] AdvertiseError),
    #[error("reach the bus")]
    Bus(#[from] BusError),
}

/// A running SFU node.
pub struct Service {
    orders: mpsc::Sender<Order>,
    control: tokio::task::JoinHandle<()>,
    workers: Vec<std::thread::JoinHandle<()>>,
    failed: CancellationToken,
}

impl Service {
    /// Binds every port and takes commands on the bus until `shutdown`.
    pub async fn start(
        config: Config,
        node: ClusterNode,
        secret: ClusterSecret,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let advertised = advertise::addresses(&config).await?;
        let (changed, addresses) = watch::channel(advertised.clone());
        let requests = node.bus().serve(&control_subject(node.name())).await?;
        let (events, event_queue) = mpsc::channel(QUEUE);
        let (mut handles, mut prepared, mut workers) = (Vec::new(), Vec::new(), Vec::new());
        let failed = CancellationToken::new();
        let node_parts = NodeParts {
            node: node.name(),
            config: &config,
            addresses,
            connections: tcp_connections(&config),
            shutdown: shutdown.clone(),
        };
        for (index, port) in config.ports().enumerate() {
            let (handle, parts) = node_parts.prepare_worker(WorkerIndex::at(index), port)?;
            handles.push(handle);
            prepared.push((port, parts));
        }
        let inboxes: Vec<Inbox> = handles.iter().map(|handle| handle.inbox.clone()).collect();
        for (port, parts) in prepared {
            let shell = Shell::new(parts, inboxes.clone(), events.clone()).map_err(StartError::Thread)?;
            workers.push(start_worker(shell, port, &shutdown, &failed)?);
        }
        drop(events);
        let count = handles.len();
        let control = set_up::control(&config, node, secret, handles).await?;
        let first = config.port;
        info!(workers = count, first_port = first, addresses = ?advertised.addresses, "sfu listens");
        let orders = control.orders();
        let control = tokio::spawn(control.run(requests, event_queue, shutdown.clone()));
        tokio::spawn(async move {
            shutdown
                .run_until_cancelled(advertise::follow(config, advertised, changed))
                .await;
        });
        Ok(Self {
            orders,
            control,
            workers,
            failed,
        })
    }

    /// Resolves when a worker has ended before shutdown, which is a bug or a broken machine. Its rooms are dead, and the process
    /// should be started again.
    pub fn failed(&self) -> impl Future<Output = ()> + 'static {
        self.failed.clone().cancelled_owned()
    }

    /// Takes no more sessions, if another node does.
    pub async fn refuse(&self) {
        self.order(|done| Order::Refuse { done }).await;
    }

    /// Moves the sessions to other nodes, within the time. Call it after [`refuse`](Self::refuse).
    pub async fn drain(&self, within: Duration) {
        self.order(|done| Order::Move { within, done }).await;
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send(order(done)).await.is_ok() {
            // The control task has ended if it does not answer.
            let _ended = is_done.await;
        }
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

/// The parts that the workers of a node have in common when they start.
struct NodeParts<'a> {
    node: &'a NodeId,
    config: &'a Config,
    addresses: watch::Receiver<Advertised>,
    connections: Arc<Connections>,
    shutdown: CancellationToken,
}

impl NodeParts<'_> {
    /// Opens a worker's sockets.
    fn prepare_worker(&self, index: WorkerIndex, port: u16) -> Result<(Handle, Parts), StartError> {
        let Self {
            node,
            config,
            addresses,
            connections,
            shutdown,
        } = self;
        let first = addresses.borrow().first.clone();
        let advertised: Vec<SocketAddr> = first.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let listen = SocketAddr::new(config.bind, port);
        let bound = Udp::bind(listen, advertised.clone()).and_then(|udp| Ok((udp, listen_tcp(listen)?)));
        let (udp, tcp) = bound.map_err(|source| StartError::Port { port, source })?;
        let poll = mio::Poll::new().map_err(StartError::Thread)?;
        let waker = mio::Waker::new(poll.registry(), shell::MESSAGES).map_err(StartError::Thread)?;
        let (inbox, messages) = inbox(waker);
        let reading = Arc::new(Reading::default());
        let gauge = gauge!("rotunda_sfu_load_ratio", "worker" => index.position().to_string());
        let parts = Parts {
            worker: set_up::worker(config, node, index),
            index,
            poll,
            udp,
            messages,
            read_interval: Duration::from_micros(config.read_interval_microseconds),
            load: Load::new(Clock.now(), config.max_load, Arc::clone(&reading), gauge),
        };
        let accepting = accept(
            tcp,
            advertised,
            Arc::clone(connections),
            inbox.clone(),
            shutdown.clone(),
        );
        tokio::spawn(accepting);
        let (stopped, shutdown) = (inbox.clone(), shutdown.clone());
        tokio::spawn(async move {
            shutdown.cancelled().await;
            stopped.wake();
        });
        let handle = Handle {
            inbox,
            advertised: addresses.clone(),
            port,
            load: reading,
        };
        Ok((handle, parts))
    }
}

/// As many as the configuration allows and the process's file descriptors do.
fn tcp_connections(config: &Config) -> Arc<Connections> {
    let descriptors = getrlimit(Resource::Nofile).current;
    let most = within_descriptors(config.tcp_connections, descriptors);
    if most < config.tcp_connections {
        let wanted = config.tcp_connections;
        warn!(
            most,
            wanted, "too few open files are allowed for sfu.tcp_connections; raise `ulimit -n` (LimitNOFILE=)"
        );
    }
    Connections::new(most, config.tcp_connections_per_address)
}

fn start_worker(
    shell: Shell,
    port: u16,
    shutdown: &CancellationToken,
    failed: &CancellationToken,
) -> Result<std::thread::JoinHandle<()>, StartError> {
    let stop = shutdown.clone();
    // Also when it panics.
    let end = failed.clone().drop_guard();
    std::thread::Builder::new()
        .name(format!("sfu-{port}"))
        .spawn(move || match shell.run(&stop) {
            Ok(()) => drop(end.disarm()),
            Err(error) => error!(%error, port, "a worker has ended: its poll failed"),
        })
        .map_err(StartError::Thread)
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rotunda_bus::{InProcess, SharedBus};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn an_idle_node_ends_when_it_is_told_to() {
        // Many times, as threads and tasks end in any order.
        for _ in 0..50 {
            let stop = CancellationToken::new();
            let service = start(&stop).await;
            stop.cancel();
            let ended = timeout(Duration::from_secs(5), service.finish()).await;
            assert!(ended.is_ok(), "a worker goes on");
        }
    }

    /// On ports that nobody has.
    async fn start(stop: &CancellationToken) -> Service {
        loop {
            let config = Config {
                bind: "127.0.0.1".parse().unwrap(),
                port: free_port(),
                workers: 2,
                ..Config::default()
            };
            let bus: SharedBus = Arc::new(InProcess::new());
            let node = ClusterNode::alone(bus, "sfu-1".parse().unwrap());
            match Service::start(config, node, ClusterSecret::new("secret"), stop.clone()).await {
                Err(StartError::Port { .. }) => {}
                started => return started.unwrap(),
            }
        }
    }

    /// Free for UDP and TCP.
    fn free_port() -> u16 {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port().min(u16::MAX - 1)
    }
}
