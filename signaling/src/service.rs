//! The shell of signaling: routes, start and end.

use std::time::Duration;

use axum::Router;
use axum::extract::{State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use rotunda_bus::ClusterNode;
use rotunda_events::Facts;
use rotunda_listen::Listener;
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::call_signaling::{CallRequestEnvelope, CallServerMessage};
use rotunda_proto::signaling::{KickReason, MAX_MESSAGE_BYTES, RequestEnvelope, ServerMessage};
use rotunda_store::Vault;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api};
use crate::callbacks::{self, Callbacks};
use crate::calls;
use crate::config::Config;
use crate::connection;
use crate::console::{self, Console};
use crate::dead_nodes;
use crate::demo;
use crate::drain;
use crate::events;
use crate::logins;
use crate::member::ToMember;
use crate::member_commands;
use crate::restrictions;
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
    #[error("build the messages of the gRPC service")]
    Messages(#[source] crate::api::TypedError),
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
    quality: JoinHandle<()>,
    logins: JoinHandle<()>,
    calls: JoinHandle<()>,
    restrictions: JoinHandle<()>,
    events: JoinHandle<()>,
    stop_events: CancellationToken,
    shutdown: CancellationToken,
}

impl Service {
    pub async fn start(
        config: Config,
        cluster: ClusterNode,
        applications: ApplicationList,
        vault: Vault,
        facts: Facts,
        grpc: Listener,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let shared = Shared::new(config, cluster, applications, vault, facts);
        let stop_events = CancellationToken::new();
        let events = events::consume(shared.clone(), stop_events.clone());
        let callbacks = callbacks::start(shared.clone(), shutdown.clone()).await?;
        let api = api::start(shared.clone(), grpc, shutdown.clone()).await?;
        let commands = member_commands::serve(shared.clone(), shutdown.clone()).await?;
        let quality = api::serve_quality(shared.clone(), shutdown.clone()).await?;
        let living = shared.cluster.living();
        let calls = calls::follow(shared.clone(), shutdown.clone()).await?;
        let cleaning = dead_nodes::clean_up(shared.bus.clone(), shared.facts.clone(), living, shutdown.clone());
        let logins = logins::keep_told(shared.clone(), shutdown.clone());
        let restrictions = restrictions::follow(shared.clone(), shutdown.clone());
        metrics::gauge!("rotunda_signaling_members").set(0.0);
        metrics::gauge!("rotunda_signaling_rooms").set(0.0);
        Ok(Self {
            cleaning,
            quality,
            logins,
            calls,
            restrictions,
            events,
            stop_events,
            shared,
            api,
            callbacks,
            commands,
            shutdown,
        })
    }

    /// `/ws`, `/calls`, `/whip/`, `/whep/`, the Tencent envelope at `/`, `/schema.json` and, in demo mode, `/demo/`. `index` answers `GET /`
    /// without an `Action`. `console`: whose sessions REST accepts.
    pub fn router(&self, index: MethodRouter, console: Option<&Console>) -> Router {
        let mut router = socket_routes(self.shared.clone())
            .route("/schema.json", get(|| async { axum::Json(schema()) }))
            .merge(calls::routes(self.shared.clone()))
            .merge(self.api.router(index, console.cloned()))
            .merge(whip::router(self.shared.clone()));
        if self.shared.demo_application().is_some() {
            router = router.merge(demo::router(self.shared.clone(), self.api.mixes()));
        }
        router
    }

    /// Takes no new members, and moves those that it has to other nodes within the time.
    pub async fn drain(&self, within: Duration) {
        drain::drain(&self.shared, within).await;
    }

    /// The operator console, whose routes are its own [`Console::router`].
    pub fn console(&self, setup: console::Setup) -> Console {
        Console::new(self.shared.clone(), setup)
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
        self.shared.calls.close();
        self.api.finish().await;
        self.callbacks.finish().await;
        let _ended = self.commands.await;
        let _ended = self.cleaning.await;
        let _ended = self.quality.await;
        let _ended = self.logins.await;
        let _ended = self.calls.await;
        let _ended = self.restrictions.await;
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
    if shared.draining.is_cancelled() {
        return drain::refusal();
    }
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES);
    upgrade.on_upgrade(move |socket| connection::serve(shared, socket))
}

/// The JSON schema of everything that goes over the WebSockets.
fn schema() -> serde_json::Value {
    serde_json::json!({
        "request": schemars::schema_for!(RequestEnvelope),
        "message": schemars::schema_for!(ServerMessage),
        "callRequest": schemars::schema_for!(CallRequestEnvelope),
        "callMessage": schemars::schema_for!(CallServerMessage),
    })
}
