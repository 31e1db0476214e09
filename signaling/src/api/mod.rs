//! The public API: one table of actions ([`action`]) behind the Tencent envelope ([`tencent`]) and REST ([`rest`]); gRPC ([`grpc`]) with
//! the same handlers; and [`members`] over plain HTTP.

mod action;
mod applications;
mod caller;
mod error;
mod grpc;
mod history;
mod ingest;
pub mod media;
pub mod media_tasks;
mod members;
pub mod mix;
pub mod moderation;
pub mod outbound;
pub mod own;
pub mod pictures;
pub mod request;
mod rest;
pub mod rooms;
pub mod tencent;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::routing::MethodRouter;
use rotunda_listen::Listener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use action::Actions;
pub use caller::{ACTS_AS, acting_as, check_scope};
pub use error::ApiError;
pub use grpc::TypedError;
pub use history::quality::serve as serve_quality;
use mix::Mixes;
use pictures::Pictures;

use crate::console::Console;
use crate::service::StartError;
use crate::shared::Shared;

/// The running API.
pub struct Api {
    shared: Shared,
    mixes: Arc<Mixes>,
    actions: Actions,
    grpc: JoinHandle<()>,
    running: JoinHandle<()>,
    media_tasks: JoinHandle<()>,
}

pub async fn start(shared: Shared, grpc: Listener, shutdown: CancellationToken) -> Result<Api, StartError> {
    let pictures = Arc::new(Pictures::new(&shared).map_err(StartError::Pictures)?);
    let mixes = Arc::new(Mixes::new(shared.clone(), pictures.clone()));
    let actions = Actions::new(shared.clone(), mixes.clone(), pictures);
    let running = mix::running::follow(shared.clone(), shutdown.clone()).await?;
    let media_tasks = media_tasks::keep(shared.clone(), shutdown.clone());
    let grpc = grpc::serve(grpc, shared.clone(), mixes.clone(), actions.clone(), shutdown)?;
    Ok(Api {
        shared,
        mixes,
        actions,
        grpc,
        running,
        media_tasks,
    })
}

impl Api {
    /// `/`: the Tencent envelope; `index` answers `GET /` without an action. `/v1/`: REST, also with sessions of the console. `/api/`: members.
    pub fn router(&self, index: MethodRouter, console: Option<Console>) -> Router {
        tencent::router(self.actions.clone(), index)
            .merge(rest::router(self.actions.clone(), console))
            .merge(members::router(self.shared.clone()))
            .merge(mix::preview::router(self.shared.clone()))
    }

    pub fn mixes(&self) -> Arc<Mixes> {
        self.mixes.clone()
    }

    pub async fn finish(self) {
        let _ended = self.grpc.await;
        let _ended = self.running.await;
        let _ended = self.media_tasks.await;
    }
}

/// The REST face alone.
#[cfg(test)]
pub fn test_router(shared: Shared, console: Option<Console>) -> Result<Router, StartError> {
    let pictures = Arc::new(Pictures::new(&shared).map_err(StartError::Pictures)?);
    let mixes = Arc::new(Mixes::new(shared.clone(), pictures.clone()));
    Ok(rest::router(Actions::new(shared, mixes, pictures), console))
}
