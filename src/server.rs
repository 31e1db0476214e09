//! One process: starts the chosen roles on one bus, and ends them in an order that loses nothing.

mod avatar;
pub mod console;
mod ending;
mod programs;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::Request;
use rotunda_bus::lease::Own;
use rotunda_bus::{ClusterNode, EventLog, InProcess, Nats, NatsConfig, NodeLease, SharedBus};
use rotunda_events::{EventStream, Facts, JetStream, Table};
use rotunda_listen::http::{Bodies, Serving};
use rotunda_listen::{Binding, Listeners, Policy, Security, Tls, TrustedProxies};
use rotunda_mcu::{EngineCommand, EngineKind, Launcher};
use rotunda_media::program::ProgramHub;
use rotunda_programs::Programs;
use rotunda_proto::config::Application;
use rotunda_proto::file_link::FileLinkKey;
use rotunda_signaling::PassKey;
use rotunda_store::{Store, Vault};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::Role;
use crate::config::Config;
use crate::open_files::raise_limit;
use crate::secrets::Secrets;
use crate::stored_applications::StoredApplications;
use crate::tenants::{Purpose, Tenants};
use crate::{http, own_signaling, preflight, public_address};

/// A running server.
pub struct Server {
    pub bus: SharedBus,
    /// The application of demo mode.
    pub demo: Option<Application>,
    pub http: SocketAddr,
    /// The password of the console, if this start has made it.
    pub console_password: Option<String>,
    config: Config,
    lease: NodeLease,
    signaling: Option<Running<rotunda_signaling::Service>>,
    sfu: Option<Running<rotunda_sfu::Service>>,
    mcu: Option<Running<rotunda_mcu::Service>>,
    recorder: Option<Running<rotunda_recorder::Service>>,
    live: Option<Running<rotunda_live::Service>>,
    relay: Option<Running<rotunda_relay::Service>>,
    avatar: Option<Running<rotunda_avatar::Service>>,
    programs: Option<Running<rotunda_programs::Service>>,
    facts: rotunda_events::Running,
    listener: JoinHandle<()>,
    console: Option<JoinHandle<()>>,
    stop_listener: CancellationToken,
    /// Cancelled when the process will end, and is not ready for more.
    draining: CancellationToken,
}

/// A service and the means to end it.
struct Running<S> {
    service: S,
    stop: CancellationToken,
}

impl Server {
    /// Checks everything, then starts. `config` must have been loaded without mistakes.
    pub async fn start(config: Config, roles: &[Role], purpose: Purpose) -> anyhow::Result<Self> {
        preflight::check(&config, roles)?;
        let open_files = check_open_files(&config, roles);
        let metrics = http::install_metrics().context("install metrics")?;
        let secrets = Secrets::load_or_make(&config.server.data)?;
        let Tenants { applications, demo } = Tenants::new(&config, secrets.application(), purpose)?;
        warn_of_demo_mode(demo.as_ref());

        let tls = Tls::load(&config.server.tls).context("server.tls")?;
        public_address::warn_without_tls(&config);
        let listeners = Listeners::new(policy(&config), tls.clone());
        let limits = &config.server.limits;

        let hub = ProgramHub::new();
        let store = Store::open(&config.database_url()).await.context("open the database")?;
        let seal_key = secrets.seal_key(&config.server)?;
        let vault = Vault::new(store.clone(), seal_key);
        let stored = StoredApplications::open(vault.clone(), applications).await;
        let stored = stored.context("read the applications")?;
        let applications = stored.list();
        let (stop_listener, draining) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(stored.follow(stop_listener.clone()));
        let (bus, log) = open_bus(&config.bus, config.server.node.as_str()).await?;
        let name = config.server.node.clone();
        let facts = Facts::new(name.clone(), event_stream(log, &store));
        let lease = NodeLease::take(bus.clone(), name.clone(), config.bus.lease_times()).await?;
        let node = ClusterNode::new(bus.clone(), name, &lease);
        let has = |role| roles.contains(&role);
        let mut router = http::router(metrics, store.clone(), bus.clone(), draining.clone());

        let mut programs = None;
        let all_programs = match config.makes_or_reads_programs(roles) {
            true => {
                let (all, running) = programs::start(&config, &node, &secrets, &hub).await?;
                programs = Some(running);
                all
            }
            false => Programs::local(hub.clone()),
        };
        let mut sfu = None;
        if has(Role::Sfu) {
            let stop = CancellationToken::new();
            let for_sfu = rotunda_sfu::Config {
                location: config.server.location(),
                ..config.sfu.clone()
            };
            let service = rotunda_sfu::Service::start(for_sfu, node.clone(), secrets.cluster(), stop.clone())
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
                rotunda_mcu::Resources {
                    hub: hub.clone(),
                    store: store.clone(),
                    facts: facts.clone(),
                    launcher: mix_launcher(&config).context("start the thread that starts mix engines")?,
                },
                stop.clone(),
            )
            .await
            .context("start the mcu")?;
            mcu = Some(Running { service, stop });
        }
        let (mut console, mut console_password) = (None, None);
        let mut signaling = None;
        if has(Role::Signaling) {
            let stop = CancellationToken::new();
            let address = SocketAddr::new(config.signaling.api.bind, config.signaling.api.grpc_port);
            let grpc = listeners.bind(Binding {
                name: "grpc",
                address,
                open: limits.grpc_connections,
                plain: limits.grpc_connections,
                security: Security::Tls,
            });
            let grpc = grpc.await.with_context(|| format!("listen for gRPC on {address}"))?;
            let service = rotunda_signaling::Service::start(
                for_signaling(&config, demo.as_ref(), &secrets),
                node.clone(),
                applications.clone(),
                vault,
                facts.clone(),
                grpc,
                stop.clone(),
            )
            .await
            .context("start signaling")?;
            if config.console.enabled {
                console_password = console::prepare(&config, &store).await?;
                console = Some(service.console(console::setup(&config, &secrets)?));
            }
            router = router.merge(service.router(axum::routing::get(http::index), console.as_ref()));
            signaling = Some(Running { service, stop });
        }
        let mut recorder = None;
        if has(Role::Recorder) {
            let stop = CancellationToken::new();
            let access = rotunda_recorder::Access {
                key: FileLinkKey::new(&secrets.cluster()),
                applications: applications.clone(),
                facts: facts.clone(),
            };
            let service = rotunda_recorder::Service::start(
                config.recorder.clone(),
                access,
                node.clone(),
                all_programs.clone(),
                store.clone(),
                stop.clone(),
            )
            .await
            .context("start the recorder")?;
            router = router.merge(service.router());
            recorder = Some(Running { service, stop });
        }
        let own = own_signaling::bind(&config, roles, policy(&config))
            .await
            .context("listen for the process's own members")?;
        let own_url = own_signaling::url(own.as_ref(), &config).context("read the address for own members")?;
        let mut live = None;
        if has(Role::Live) {
            let stop = CancellationToken::new();
            let ports = [
                ("rtmp", config.live.rtmp_port, Security::Plain),
                ("rtmps", config.live.rtmps_port, Security::Tls),
            ];
            let mut rtmp = Vec::new();
            for (name, port, security) in ports.into_iter().filter(|(_, port, _)| *port > 0) {
                let address = SocketAddr::new(config.live.bind, port);
                let listener = listeners.bind(Binding {
                    name,
                    address,
                    open: limits.rtmp_connections,
                    plain: limits.rtmp_connections,
                    security,
                });
                rtmp.push(
                    listener
                        .await
                        .with_context(|| format!("listen for {name} on {address}"))?,
                );
            }
            let access = rotunda_live::Access {
                applications: applications.clone(),
                networks: config.server.outbound_networks.clone(),
                facts: facts.clone(),
                signaling_url: match &config.live.ingest_signaling_url {
                    Some(url) => url.to_string(),
                    None => own_url.clone(),
                },
            };
            let service = rotunda_live::Service::start(
                config.live.clone(),
                access,
                node.clone(),
                all_programs.clone(),
                rtmp,
                stop.clone(),
            )
            .await
            .context("start live")?;
            router = router.merge(service.router());
            live = Some(Running { service, stop });
        }

        let mut relay = None;
        if has(Role::Recorder) || has(Role::Live) {
            let stop = CancellationToken::new();
            let service = rotunda_relay::Service::start(
                node.clone(),
                secrets.cluster(),
                applications.clone(),
                hub.clone(),
                stop.clone(),
            )
            .await
            .context("start the relay of single streams")?;
            relay = Some(Running { service, stop });
        }

        let address = SocketAddr::new(config.server.bind, config.server.port);
        let open = limits.http(open_files);
        let listener = listeners.bind(Binding {
            name: "http",
            address,
            open,
            plain: limits.plain_http(open),
            security: Security::Tls,
        });
        let listener = listener.await.with_context(|| format!("listen on {address}"))?;
        let http = listener.local_addr().context("read the HTTP address")?;
        let mut avatar = None;
        if has(Role::Avatar) {
            avatar = Some(avatar::start(&config, &listeners, applications.clone(), own_url).await?);
        }
        let console = match console {
            Some(console) => {
                let routes = console.router(axum::routing::get(http::console));
                if config.console.port == 0 {
                    router = router.merge(routes);
                    None
                } else {
                    let routes = router.clone().merge(routes);
                    Some(console::serve(&config, &listeners, routes, stop_listener.clone()).await?)
                }
            }
            None => None,
        };
        let serving = Serving {
            router,
            is_of_rooms,
            bodies: Bodies::Short,
        };
        if let Some(own) = own {
            tokio::spawn(rotunda_listen::http::serve(own, serving.clone(), stop_listener.clone()));
        }
        let listener = tokio::spawn(rotunda_listen::http::serve(listener, serving, stop_listener.clone()));
        if let Some(tls) = tls {
            tokio::spawn(tls.follow(stop_listener.clone()));
        }
        info!(%http, roles = %names(roles), "ready");
        Ok(Self {
            bus,
            demo,
            http,
            console_password,
            config,
            lease,
            signaling,
            sfu,
            mcu,
            recorder,
            live,
            relay,
            avatar,
            programs,
            facts: facts.start(),
            listener,
            console,
            stop_listener,
            draining,
        })
    }

    /// Resolves when a part of the server has ended unexpectedly, or another process has taken this node's name.
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
}

/// Starts the engines of mixes: this same program, in processes of their own, or threads.
fn mix_launcher(config: &Config) -> std::io::Result<Launcher> {
    if config.mcu.engine == EngineKind::Inside {
        return Ok(Launcher::inside());
    }
    let mut arguments = vec![
        "mix-engine".into(),
        "--memory-mb".into(),
        config.mcu.engine_memory_mb.to_string().into(),
        "--log".into(),
        config.server.log.clone().into(),
    ];
    if config.server.log_json {
        arguments.push("--log-json".into());
    }
    // This very file, also when a newer version has been installed in its place.
    let program = "/proc/self/exe".into();
    Launcher::process(EngineCommand { program, arguments })
}

/// Inside this process, or at NATS where that is configured.
async fn open_bus(config: &NatsConfig, node: &str) -> anyhow::Result<(SharedBus, Option<EventLog>)> {
    if !config.is_remote() {
        return Ok((Arc::new(InProcess::new()), None));
    }
    let nats = Nats::connect(config, node).await.context("connect to NATS")?;
    info!(servers = %config.urls.join(", "), "connected to NATS");
    let log = nats.event_log();
    Ok((Arc::new(nats), Some(log)))
}

/// In NATS where the bus is, and in the database otherwise.
fn event_stream(log: Option<EventLog>, store: &Store) -> Arc<dyn EventStream> {
    match log {
        Some(log) => Arc::new(JetStream::new(log)),
        None => Table::new(store.clone()).shared(),
    }
}

/// Limits of all listeners of the process.
fn policy(config: &Config) -> Policy {
    let limits = &config.server.limits;
    Policy {
        trusted: TrustedProxies::new(config.server.trusted_proxies.clone()),
        proxy_protocol: config.server.proxy_protocol,
        per_address: limits.connections_per_address,
        header: limits.header(),
        body: limits.body(),
        idle: limits.idle(),
    }
}

/// Requests that are served even when pages and players use all their connections.
fn is_of_rooms(request: &Request) -> bool {
    let path = request.uri().path();
    path == "/ws" || path.starts_with("/whip/") || path.starts_with("/whep/") || path == "/healthz" || path == "/readyz"
}

/// The signaling section, with the facts that signaling needs about the process.
fn for_signaling(config: &Config, demo: Option<&Application>, secrets: &Secrets) -> rotunda_signaling::Config {
    let server = &config.server;
    rotunda_signaling::Config {
        process: rotunda_signaling::Process {
            public_names: server.public_names.clone(),
            public_url: server.public_url.clone(),
            trusted_proxies: server.trusted_proxies.clone(),
            outbound: server.outbound_networks.clone(),
            location: server.location(),
            demo: demo.map(|application| application.sdk_app_id),
            pass_key: Some(PassKey::new(secrets.cluster().derive("waiting room"))),
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

/// Raises the limit of open files and returns it. Logs a warning when members will be refused for lack of file
/// descriptors; the rest of the server still runs.
fn check_open_files(config: &Config, roles: &[Role]) -> Option<u64> {
    let limits = &config.server.limits;
    // Each publisher by RTMP has two more sockets: it is a member of a room.
    let rtmp = 3 * limits.rtmp_connections as u64;
    let others = limits.reserved_files + limits.grpc_connections as u64 + rtmp;
    let needed = match roles.contains(&Role::Signaling) {
        true => config.signaling.max_members + others,
        false => others,
    };
    let limit = raise_limit();
    match limit {
        Some(limit) if limit < needed => warn!(
            limit,
            needed, "the limit of open files is too low for signaling.max_members; raise `ulimit -Hn` (LimitNOFILE=)"
        ),
        limit => info!(?limit, "open files"),
    }
    limit
}

fn names(roles: &[Role]) -> String {
    roles.iter().map(Role::to_string).collect::<Vec<_>>().join(",")
}
