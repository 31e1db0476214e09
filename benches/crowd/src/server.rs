//! Signaling and SFU as the server starts them, with one additional listener whose connections need no file
//! descriptors.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::serve::{Listener, ListenerExt};
use rotunda_bus::{ClusterNode, InProcess, SharedBus};
use rotunda_events::{Facts, Table};
use rotunda_listen::{Binding, Limits, Listeners, Policy, Security, TrustedProxies};
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::config::Application;
use rotunda_proto::ids::NodeId;
use rotunda_proto::ticket::ClusterSecret;
use rotunda_store::{SealKey, Store, Vault};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::mux::{Mux, Stream};
use crate::{APP, Ports, SECRET};

/// The use of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Each is a connection to the server.
    Served,
    /// Each is kept after its first byte: the remaining memory is that of the harness.
    Held,
}

/// Serves until the process ends.
pub async fn run(ports: Ports, streams: Streams) -> anyhow::Result<()> {
    let (opened, incoming) = mpsc::unbounded_channel();
    let router = start(ports).await?;
    let carrier = listen(ports.crowd()).await?;
    let plain = listen(ports.http()).await?.tap_io(|stream| {
        let _works_slower = stream.set_nodelay(true);
    });
    let tcp = axum::serve(plain, router.clone().into_make_service());
    println!("ready");
    let carried = async move {
        let listener = InMemory { incoming };
        match streams {
            Streams::Served => axum::serve(listener, router.into_make_service()).await,
            Streams::Held => hold(listener).await,
        }
    };
    tokio::try_join!(accept(carrier, opened), tcp.into_future(), carried)?;
    Ok(())
}

/// Like the server's own start, without the parts that no audience member uses.
async fn start(ports: Ports) -> anyhow::Result<Router> {
    let bus: SharedBus = Arc::new(InProcess::new());
    let store = Store::in_memory().await.context("open the database")?;
    let name: NodeId = "crowd".parse()?;
    let node = ClusterNode::alone(bus, name.clone());
    let sfu = rotunda_sfu::Config {
        workers: 1,
        port: ports.media(),
        ..Default::default()
    };
    let stop = CancellationToken::new();
    let secret = ClusterSecret::new(SECRET);
    let sfu = rotunda_sfu::Service::start(sfu, node.clone(), secret, stop.clone()).await?;
    let signaling = rotunda_signaling::Config::default();
    let applications = ApplicationList::new(vec![Application::new(APP.try_into()?, SECRET)]);
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, ports.grpc()));
    let listeners = listeners();
    let grpc = listeners.bind(Binding {
        name: "grpc",
        address,
        open: 100,
        plain: 100,
        security: Security::Plain,
    });
    let grpc = grpc.await.with_context(|| format!("listen for gRPC on {address}"))?;
    let vault = Vault::new(store.clone(), SealKey::derived_from(SECRET.as_bytes())?);
    let facts = Facts::new(name, Table::new(store.clone()).shared());
    // It ends with the process.
    let _appending = facts.start();
    let signaling = rotunda_signaling::Service::start(signaling, node, applications, vault, facts, grpc, stop).await?;
    let router = signaling.router(axum::routing::get(|| async { "crowd" }), None);
    // They end with the process.
    tokio::spawn(async move { tokio::join!(sfu.finish(), signaling.finish()) });
    Ok(router)
}

fn listeners() -> Listeners {
    let limits = Limits::default();
    let policy = Policy {
        trusted: TrustedProxies::new(TrustedProxies::this_machine()),
        proxy_protocol: false,
        per_address: limits.connections_per_address,
        header: limits.header(),
        body: limits.body(),
        idle: limits.idle(),
    };
    Listeners::new(policy, None)
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))
}

/// Accepts connections that carry many streams.
async fn accept(carrier: TcpListener, opened: mpsc::UnboundedSender<Stream>) -> io::Result<()> {
    let mut carriers = Vec::new();
    loop {
        let (socket, _) = carrier.accept().await?;
        carriers.push(Mux::start(socket, opened.clone())?);
    }
}

/// The streams as connections of a listener.
struct InMemory {
    incoming: mpsc::UnboundedReceiver<Stream>,
}

impl Listener for InMemory {
    type Io = Stream;
    type Addr = ();

    async fn accept(&mut self) -> (Stream, ()) {
        match self.incoming.recv().await {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

async fn hold(mut listener: InMemory) -> io::Result<()> {
    let mut held = Vec::new();
    loop {
        let (mut stream, ()) = listener.accept().await;
        stream.read_u8().await?;
        held.push(stream);
    }
}
