//! One process: starts the chosen roles over one bus, and ends them in the order in which nothing is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::serve::ListenerExt;
use rotunda_bus::lease::Own;
use rotunda_bus::{ClusterNode, InProcess, Nats, NatsConfig, NodeLease, SharedBus};
use rotunda_media::program::ProgramHub;
use rotunda_proto::config::Application;
use rotunda_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::Role;
use crate::config::Config;
use crate::open_files::raise_limit;
use crate::secrets::Secrets;
use crate::tenants::{Purpose, Tenants};
use crate::{http, preflight};

/// A running server.
pub struct Server {
    pub bus: SharedBus,
    /// The application of the demo mode.
    pub demo: Option<Application>,
    pub http: SocketAddr,
    config: Config,
    lease: NodeLease,
    signaling: Option<Running<rotunda_signaling::Service>>,
    sfu: Option<Running<rotunda_sfu::Service>>,
    mcu: Option<Running<rotunda_mcu::Service>>,
    recorder: Option<Running<rotunda_recorder::Service>>,
    live: Option<Running<rotunda_live::Service>>,
    listener: JoinHandle<std::io::Result<()>>,
    stop_listener: CancellationToken,
}

/// A service and what ends it.
struct Running<S> {
    service: S,
    stop: CancellationToken,
}

impl Server {
    /// Checks everything, then starts. `config` was loaded without mistakes.
    pub async fn start(config: Config, roles: &[Role], purpose: Purpose) -> anyhow::Result<Self> {
        preflight::check(&config, roles)?;
        check_open_files(&config, roles);
        let metrics = http::install_metrics().context("install metrics")?;
        let secrets = Secrets::load_or_make(&config.server.data)?;
        let Tenants { applications, demo } = Tenants::new(&config, secrets.application(), purpose)?;
        warn_of_demo_mode(demo.as_ref());

        let hub = ProgramHub::new();
        let store = Store::open(&config.database_url()).await.context("open the database")?;
        let bus = open_bus(&config.bus, config.server.node.as_str()).await?;
        let name = config.server.node.clone();
        let lease = NodeLease::take(bus.clone(), name.clone(), config.bus.lease_times()).await?;
        let node = ClusterNode::new(bus.clone(), name, &lease);
        let has = |role| roles.contains(&role);
        let mut router = http::router(metrics, store.clone());

        let mut sfu = None;
        if has(Role::Sfu) {
            let stop = CancellationToken::new();
            let service =
                rotunda_sfu::Service::start(config.sfu.clone(), node.clone(), secrets.cluster(), stop.clone())
                    .await
                    .context("start the sfu")?;
            sfu = Some(Running { service, stop });
        }
        let mut mcu = None;
        if has(Role::Mcu) {
            let stop = CancellationToken::new();
            let service = rotunda_mcu::Service::start(
                config.mcu.clone(),
                node.clone(),
                secrets.cluster(),
                hub.clone(),
                stop.clone(),
            )
            .await
            .context("start the mcu")?;
            mcu = Some(Running { service, stop });
        }
        let mut signaling = None;
        if has(Role::Signaling) {
            let stop = CancellationToken::new();
            let service = rotunda_signaling::Service::start(
                for_signaling(&config, demo.as_ref()),
                node.clone(),
                applications,
                store.clone(),
                stop.clone(),
            )
            .await
            .context("start signaling")?;
            router = router.merge(service.router(axum::routing::get(http::index)));
            signaling = Some(Running { service, stop });
        }
        let mut recorder = None;
        if has(Role::Recorder) {
            let stop = CancellationToken::new();
            let service = rotunda_recorder::Service::start(
                config.recorder.clone(),
                bus.clone(),
                hub.clone(),
                store.clone(),
                stop.clone(),
            )
            .await
            .context("start the recorder")?;
            router = router.merge(service.router());
            recorder = Some(Running { service, stop });
        }
        let mut live = None;
        if has(Role::Live) {
            let stop = CancellationToken::new();
            let service = rotunda_live::Service::start(config.live.clone(), bus.clone(), hub.clone(), stop.clone())
                .await
                .context("start live")?;
            router = router.merge(service.router());
            live = Some(Running { service, stop });
        }

        let address = SocketAddr::new(config.server.bind, config.server.port);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listen on {address}"))?;
        let http = listener.local_addr().context("read the HTTP address")?;
        let stop_listener = CancellationToken::new();
        let listener = serve(listener, router, stop_listener.clone());
        info!(%http, roles = %names(roles), "ready");
        Ok(Self {
            bus,
            demo,
            http,
            config,
            lease,
            signaling,
            sfu,
            mcu,
            recorder,
            live,
            listener,
            stop_listener,
        })
    }

    /// Resolves when a part of it has ended that should not have, or another process has taken this node's name.
    pub async fn failed(&self) {
        let sfu = async {
            match &self.sfu {
                Some(sfu) => sfu.service.failed().await,
                None => std::future::pending().await,
            }
        };
        let mut own = self.lease.own();
        let superseded = own.wait_for(|own| matches!(own, Own::Superseded(_)));
        tokio::select! {
            () = sfu => {}
            _ = superseded => {}
        }
    }

    /// Ends mixes first, then what reads them, then the rooms; within `server.shutdown_seconds`.
    pub async fn finish(self) {
        let limit = Duration::from_secs(self.config.server.shutdown_seconds);
        let in_order = async {
            end(self.mcu, rotunda_mcu::Service::finish).await;
            end(self.live, rotunda_live::Service::finish).await;
            // The recorder hands its last files to the callback outbox, so signaling ends after it.
            end(self.recorder, rotunda_recorder::Service::finish).await;
            end(self.signaling, rotunda_signaling::Service::finish).await;
            end(self.sfu, rotunda_sfu::Service::finish).await;
            self.lease.end().await;
            self.stop_listener.cancel();
            let _ended = self.listener.await;
        };
        match tokio::time::timeout(limit, in_order).await {
            Ok(()) => info!("stopped"),
            Err(_) => warn!(
                seconds = limit.as_secs(),
                "not everything ended in time; stopping anyway"
            ),
        }
    }
}

/// Inside this process, or at NATS where that is configured.
async fn open_bus(config: &NatsConfig, node: &str) -> anyhow::Result<SharedBus> {
    if !config.is_remote() {
        return Ok(Arc::new(InProcess::new()));
    }
    let nats = Nats::connect(config, node).await.context("connect to NATS")?;
    info!(servers = %config.urls.join(", "), "connected to NATS");
    Ok(Arc::new(nats))
}

/// Signaling's section and what it needs to know of the process.
fn for_signaling(config: &Config, demo: Option<&Application>) -> rotunda_signaling::Config {
    let server = &config.server;
    rotunda_signaling::Config {
        process: rotunda_signaling::Process {
            public_names: server.public_names.clone(),
            trusted_proxies: server.trusted_proxies.clone(),
            outbound: server.outbound_networks.clone(),
            demo: demo.map(|application| application.sdk_app_id),
        },
        ..config.signaling.clone()
    }
}

fn warn_of_demo_mode(demo: Option<&Application>) {
    if let Some(application) = demo {
        warn!(
            sdk_app_id = %application.sdk_app_id,
            "demo mode: anybody who reaches this server gets a ticket of the generated application and may start mixes; \
             configure [[applications]], or set signaling.demo = false"
        );
    }
}

/// Says so when members will be refused for want of file descriptors; the rest of the server runs all the same.
fn check_open_files(config: &Config, roles: &[Role]) {
    let needed = match roles.contains(&Role::Signaling) {
        true => config.signaling.max_members + OTHER_FILES,
        false => OTHER_FILES,
    };
    match raise_limit() {
        Some(limit) if limit < needed => warn!(
            limit,
            needed, "too few open files are allowed for signaling.max_members; raise `ulimit -Hn` (LimitNOFILE=)"
        ),
        limit => info!(?limit, "open files"),
    }
}

/// Of the database, media sockets, recordings, players.
const OTHER_FILES: u64 = 2000;

/// Tells a service to end and waits until it has.
async fn end<S, F: Future<Output = ()>>(running: Option<Running<S>>, finish: impl FnOnce(S) -> F) {
    if let Some(Running { service, stop }) = running {
        stop.cancel();
        finish(service).await;
    }
}

fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> JoinHandle<std::io::Result<()>> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    // Signaling is small messages that somebody waits for: none is held back to be sent with the next one.
    let listener = listener.tap_io(|stream| {
        let _works_slower = stream.set_nodelay(true);
    });
    // Live players and WebSockets never end by themselves, so connections are dropped with the task, not waited for.
    tokio::spawn(async move {
        tokio::select! {
            served = axum::serve(listener, service) => served,
            () = stop.cancelled() => Ok(()),
        }
    })
}

fn names(roles: &[Role]) -> String {
    roles.iter().map(Role::to_string).collect::<Vec<_>>().join(",")
}
