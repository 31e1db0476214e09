//! The programs of a cluster, as recorder and live read them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rotunda_bus::ClusterNode;
use rotunda_listen::Listener;
use rotunda_listen::http::{Bodies, Serving};
use rotunda_media::program::{ProgramHub, ProgramReader};
use rotunda_proto::ids::StreamKey;
use rotunda_proto::program::ProgramDescriptor;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::config::Config;
use crate::grpc::programs_server::ProgramsServer;
use crate::messages::ReadFrom;
use crate::nodes::{ProgramNode, keep_announced};
use crate::pull::{Pull, Sink};
use crate::source::Source;
use crate::tls::{ClusterTls, ClusterTlsError};
use crate::window::Limits;

/// Longest message of a reader, bytes.
const MAX_REQUEST: usize = 64 * 1024;

/// Why programs cannot be read between nodes.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("read the address of the listener")]
    Address(#[from] std::io::Error),
    #[error("set up TLS between nodes")]
    Tls(#[from] ClusterTlsError),
}

/// The parts of the process that programs between nodes use.
pub struct Surroundings {
    pub node: ClusterNode,
    pub tls: ClusterTls,
    /// Of the programs that this process makes.
    pub hub: ProgramHub,
    /// With [`ClusterTls::listener`].
    pub listener: Listener,
    /// Hosts by which other nodes reach this one.
    pub hosts: Vec<String>,
}

/// Every program of the cluster. Clone it freely.
#[derive(Clone)]
pub struct Programs(Arc<Shared>);

struct Shared {
    /// Of the programs that this process makes.
    local: ProgramHub,
    /// None: the process is alone.
    remote: Option<Remote>,
}

struct Remote {
    node: ClusterNode,
    tls: ClusterTls,
    /// Of the programs that it follows on other nodes.
    hub: ProgramHub,
    pulls: Mutex<HashMap<StreamKey, Running>>,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Running {
    started_unix_ms: u64,
    sink: Sink,
    stop: CancellationToken,
}

/// Serves the programs of this process to other nodes.
pub struct Service {
    announcing: JoinHandle<()>,
    serving: JoinHandle<()>,
}

impl Programs {
    /// The programs of a process that is alone.
    pub fn local(hub: ProgramHub) -> Self {
        Self(Arc::new(Shared {
            local: hub,
            remote: None,
        }))
    }

    /// The programs of all nodes, and those of this process for the others, until `stop`.
    ///
    /// Errors: [`StartError`].
    pub fn start(
        config: &Config,
        surroundings: Surroundings,
        stop: CancellationToken,
    ) -> Result<(Self, Service), StartError> {
        let Surroundings {
            node,
            tls,
            hub,
            listener,
            hosts,
        } = surroundings;
        let port = listener.local_addr()?.port();
        let address = |host: &String| match host.parse::<std::net::Ipv6Addr>() {
            Ok(host) => format!("[{host}]:{port}"),
            Err(_) => format!("{host}:{port}"),
        };
        let document = ProgramNode {
            addresses: hosts.iter().map(address).collect(),
        };
        let limits = Limits {
            bytes: config.kept_mb << 20,
            time: Duration::from_secs(config.kept_seconds),
        };
        let source = Source::new(node.clone(), hub.clone(), limits, stop.clone());
        let server = ProgramsServer::new(source).max_decoding_message_size(MAX_REQUEST);
        let serving = Serving {
            router: Routes::new(server).prepare().into_axum_router(),
            is_of_rooms: |_| false,
            bodies: Bodies::Endless,
        };
        let service = Service {
            announcing: tokio::spawn(keep_announced(node.clone(), document, stop.clone())),
            serving: tokio::spawn(rotunda_listen::http::serve(listener, serving, stop.clone())),
        };
        let remote = Remote {
            node,
            tls,
            hub: ProgramHub::new(),
            pulls: Mutex::default(),
            stop,
        };
        let programs = Self(Arc::new(Shared {
            local: hub,
            remote: Some(remote),
        }));
        Ok((programs, service))
    }

    /// Whether this process makes the program.
    pub fn is_made_here(&self, program: &ProgramDescriptor) -> bool {
        let is_own = |remote: &Remote| *remote.node.name() == program.node;
        self.0.remote.as_ref().is_none_or(is_own)
    }

    /// Resolves at the end of a program that this process makes; at once when it is over.
    pub async fn ended_here(&self, program: &ProgramDescriptor) {
        match self.is_made_here(program) {
            true => self.0.local.ended(&program.stream()).await,
            false => std::future::pending().await,
        }
    }

    /// Reads a running program, wherever it is made. `from` is for a program on another node that nobody here reads yet; every other reader
    /// begins with the last keyframe. None: this process makes it, and it is over.
    pub fn subscribe(&self, program: &ProgramDescriptor, from: ReadFrom) -> Option<ProgramReader> {
        match &self.0.remote {
            Some(remote) if !self.is_made_here(program) => Some(remote.subscribe(&self.0, program, from)),
            _ => self.0.local.subscribe(&program.stream()),
        }
    }
}

#[cfg(test)]
impl Programs {
    /// Programs on other nodes that are followed here.
    pub fn follows(&self) -> usize {
        self.0.remote.as_ref().map_or(0, |remote| remote.pulls().len())
    }
}

impl Remote {
    fn pulls(&self) -> MutexGuard<'_, HashMap<StreamKey, Running>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, shared: &Arc<Shared>, program: &ProgramDescriptor, from: ReadFrom) -> ProgramReader {
        let stream = program.stream();
        let mut pulls = self.pulls();
        loop {
            let known = pulls
                .get(&stream)
                .filter(|running| running.started_unix_ms == program.started_unix_ms);
            if known.is_some()
                && let Some(reader) = self.hub.subscribe(&stream)
            {
                return reader;
            }
            // An earlier program of that stream, or a pull that has ended.
            if let Some(earlier) = pulls.remove(&stream) {
                earlier.end();
            }
            let Ok(writer) = self.hub.open(&stream) else { continue };
            let running = Running {
                started_unix_ms: program.started_unix_ms,
                sink: Arc::new(Mutex::new(Some(writer))),
                stop: self.stop.child_token(),
            };
            let pull = Pull {
                node: self.node.clone(),
                tls: self.tls.clone(),
                program: program.clone(),
                from,
                sink: running.sink.clone(),
                stop: running.stop.clone(),
            };
            pulls.insert(stream.clone(), running.clone());
            let (shared, stream) = (shared.clone(), stream.clone());
            tokio::spawn(async move {
                let release = || {
                    shared
                        .remote
                        .as_ref()
                        .is_some_and(|remote| remote.release(&stream, &running))
                };
                pull.run(release).await;
                if let Some(remote) = &shared.remote {
                    remote.forget(&stream, &running);
                }
            });
        }
    }

    /// Ends a pull if nobody reads it now. Whoever comes afterwards begins another one.
    fn release(&self, stream: &StreamKey, pull: &Running) -> bool {
        let mut pulls = self.pulls();
        let mut sink = pull.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if sink.as_ref().is_some_and(|writer| writer.readers() > 0) {
            return false;
        }
        sink.take();
        pull.remove_from(&mut pulls, stream);
        true
    }

    /// A pull has ended.
    fn forget(&self, stream: &StreamKey, pull: &Running) {
        pull.remove_from(&mut self.pulls(), stream);
    }
}

impl Running {
    /// Another pull of that stream stays.
    fn remove_from(&self, pulls: &mut HashMap<StreamKey, Self>, stream: &StreamKey) {
        if pulls
            .get(stream)
            .is_some_and(|known| Arc::ptr_eq(&known.sink, &self.sink))
        {
            pulls.remove(stream);
        }
    }

    fn end(&self) {
        self.stop.cancel();
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Service {
    /// Resolves when, after the stop, no other node is served any more.
    pub async fn finish(self) {
        let _ended = self.announcing.await;
        let _ended = self.serving.await;
    }
}
