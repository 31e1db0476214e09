//! A running SFU node: its worker threads, and the control task between them and the bus.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use rotunda_proto::bus::{BusError, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::NodeId;
use rotunda_proto::sfu::{NodeInfo, control_subject};
use rotunda_proto::ticket::ClusterSecret;
use str0m::Candidate;
use str0m::net::TcpType;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::advertise::{self, AdvertiseError};
use crate::config::Config;
use crate::control::{Control, Handle, announce};
use crate::inbox::inbox;
use crate::load::{Load, Reading};
use crate::net::{Udp, accept};
use crate::shell::{self, Shell};
use crate::worker::{RoomEvent, Setup, Worker};

/// Events waiting for the control task.
const QUEUE: usize = 1024;

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
    control: tokio::task::JoinHandle<()>,
    workers: Vec<std::thread::JoinHandle<()>>,
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
        let addresses = advertise::addresses(&config).await?;
        let requests = bus.serve(&control_subject(&node)).await?;
        let (events, event_queue) = mpsc::channel(QUEUE);
        let mut handles = Vec::new();
        let mut workers = Vec::new();
        for port in config.ports() {
            let (handle, thread) = start_worker(&config, &addresses, port, events.clone(), shutdown.clone())?;
            handles.push(handle);
            workers.push(thread);
        }
        drop(events);
        let info = NodeInfo {
            node,
            sessions: 0,
            capacity: handles.len() as u64 * config.max_sessions as u64,
            load_percent: 0,
            open_workers: handles.len() as u64,
        };
        announce(&bus, &info).await?;
        let first = config.port;
        info!(workers = handles.len(), first_port = first, ?addresses, "sfu listens");
        let control = Control::new(info, bus, secret, handles);
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
    addresses: &[IpAddr],
    port: u16,
    events: mpsc::Sender<RoomEvent>,
    shutdown: CancellationToken,
) -> Result<(Handle, std::thread::JoinHandle<()>), StartError> {
    let advertised: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    let listen = SocketAddr::new(config.bind, port);
    let bound = Udp::bind(listen, advertised.clone()).and_then(|udp| Ok((udp, listen_tcp(listen)?)));
    let (udp, tcp) = bound.map_err(|source| StartError::Port { port, source })?;
    let poll = mio::Poll::new().map_err(StartError::Thread)?;
    let waker = mio::Waker::new(poll.registry(), shell::LETTERS).map_err(StartError::Thread)?;
    let (inbox, letters) = inbox(Arc::new(waker));
    let clock = Clock;
    let worker = Worker::new(Setup {
        connect_timeout: Duration::from_secs(config.connect_timeout_seconds),
        max_sessions: config.max_sessions,
        batch_window: Duration::from_millis(config.batch_window_milliseconds),
        started: (clock.now(), clock.unix()),
    });
    let read_interval = Duration::from_micros(config.read_interval_microseconds);
    let reading = Arc::new(Reading::default());
    let gauge = gauge!("rotunda_sfu_load_ratio", "worker" => (port - config.port).to_string());
    let load = Load::new(clock.now(), config.max_load, Arc::clone(&reading), gauge);
    let shell = Shell::new(worker, poll, udp, letters, events, read_interval, load).map_err(StartError::Thread)?;
    let stop = shutdown.clone();
    let thread = std::thread::Builder::new()
        .name(format!("sfu-{port}"))
        .spawn(move || {
            if let Err(error) = shell.run(&stop) {
                error!(%error, port, "the media socket failed; the worker has ended");
            }
        })
        .map_err(StartError::Thread)?;
    let candidates = candidates(&advertised);
    tokio::spawn(accept(tcp, advertised, inbox.clone(), shutdown.clone()));
    let stopped = inbox.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        stopped.wake();
    });
    let handle = Handle {
        inbox,
        candidates,
        load: reading,
    };
    Ok((handle, thread))
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
