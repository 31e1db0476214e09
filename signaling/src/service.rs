//! The shell of signaling: routes, start and end.

use axum::Router;
use axum::extract::{State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use rotunda_bus::ClusterNode;
use rotunda_events::Facts;
use rotunda_listen::Listener;
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::signaling::{KickReason, MAX_MESSAGE_BYTES, RequestEnvelope, ServerMessage};
use rotunda_store::Store;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api};
use crate::callbacks::{self, Callbacks};
use crate::config::Config;
use crate::connection;
use crate::dead_nodes;
use crate::demo;
use crate::events;
use crate::logins;
use crate::member::ToMember;
use crate::member_commands;
use crate::shared::Shared;
use crate::whip;

/// Read buffer of each connection, bytes. Most messages of clients are shorter.
const READ_BUFFER: usize = 1024;

/// Why signaling did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("reach the bus")]
    Bus(#[from] rotunda_bus::BusError),
    #[error("build the gRPC reflection service")]
    Reflection(#[source] tonic_reflection::server::Error),
    #[error("set up the HTTP client that fetches pictures")]
    Pictures(#[source] reqwest::Error),
}

/// A running signaling node.
pub struct Service {
    shared: Shared,
    api: Api,
    callbacks: Callbacks,
    commands: JoinHandle<()>,
    cleaning: JoinHandle<()>,
    logins: JoinHandle<()>,
    events: JoinHandle<()>,
    stop_events: CancellationToken,
    shutdown: CancellationToken,
}

impl Service {
    pub async fn start(
        config: Config,
        cluster: ClusterNode,
        applications: ApplicationList,
        store: Store,
        facts: Facts,
        grpc: Listener,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let shared = Shared::new(config, cluster, applications, store, facts);
        let stop_events = CancellationToken::new();
        let events = events::consume(shared.clone(), stop_events.clone());
        let callbacks = callbacks::start(shared.clone(), shutdown.clone()).await?;
        let api = api::start(shared.clone(), grpc, shutdown.clone()).await?;
        let commands = member_commands::serve(shared.clone(), shutdown.clone()).await?;
        let living = shared.cluster.living();
        let cleaning = dead_nodes::clean_up(shared.bus.clone(), shared.facts.clone(), living, shutdown.clone());
        let logins = logins::keep_told(shared.clone(), shutdown.clone());
        metrics::gauge!("rotunda_signaling_members").set(0.0);
        Ok(Self {
            cleaning,
            logins,
            events,
            stop_events,
            shared,
            api,
            callbacks,
            commands,
            shutdown,
        })
    }

    /// `/ws`, `/whip/`, `/whep/`, the Tencent envelope at `/`, `/schema.json` and, in demo mode, `/demo/`. `index` answers `GET /`
    /// without an `Action`.
    pub fn router(&self, index: MethodRouter) -> Router {
        let mut router = socket_routes(self.shared.clone())
            .route("/schema.json", get(|| async { axum::Json(schema()) }))
            .merge(self.api.router(index))
            .merge(whip::router(self.shared.clone()));
        if self.shared.demo_application().is_some() {
            router = router.merge(demo::router(self.shared.clone(), self.api.mixes()));
        }
        router
    }

    /// Resolves when everything has ended after shutdown: members are notified, and callbacks of files are stored.
    pub async fn finish(self) {
        self.shutdown.cancelled().await;
        // All are notified before the first one is awaited, so that they leave together.
        let logins = self.shared.registry.all();
        for found in &logins {
            let _gone_already = found.login.member.send(ToMember::Kick(KickReason::Shutdown)).await;
        }
        for found in logins {
            found.login.member.closed().await;
        }
        self.api.finish().await;
        self.callbacks.finish().await;
        let _ended = self.commands.await;
        let _ended = self.cleaning.await;
        let _ended = self.logins.await;
        // Last, so that it consumes what has been told by now.
        self.stop_events.cancel();
        let _ended = self.events.await;
    }
}

/// `/ws`.
pub fn socket_routes(shared: Shared) -> Router {
    Router::new().route("/ws", get(upgrade)).with_state(shared)
}

async fn upgrade(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES);
    upgrade.on_upgrade(move |socket| connection::serve(shared, socket))
}

/// The JSON schema of everything that goes over the WebSocket.
fn schema() -> serde_json::Value {
    serde_json::json!({
        "request": schemars::schema_for!(RequestEnvelope),
        "message": schemars::schema_for!(ServerMessage),
    })
}
