//! The public API: one table of actions ([`action`]) behind the Tencent envelope ([`tencent`]) and REST ([`rest`]); gRPC ([`grpc`]) with
//! the same handlers; and [`members`] over plain HTTP.

mod action;
mod caller;
mod error;
mod grpc;
mod history;
pub mod media;
mod members;
pub mod mix;
mod own;
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
pub use error::ApiError;
use mix::Mixes;
use pictures::Pictures;

use crate::service::StartError;
use crate::shared::Shared;

/// The running API.
pub struct Api {
    shared: Shared,
    mixes: Arc<Mixes>,
    actions: Actions,
    grpc: JoinHandle<()>,
    running: JoinHandle<()>,
}

pub async fn start(shared: Shared, grpc: Listener, shutdown: CancellationToken) -> Result<Api, StartError> {
    let pictures = Arc::new(Pictures::new(&shared).map_err(StartError::Pictures)?);
    let mixes = Arc::new(Mixes::new(shared.clone(), pictures.clone()));
    let actions = Actions::new(shared.clone(), mixes.clone(), pictures);
    let running = mix::running::follow(shared.clone(), shutdown.clone()).await?;
    let grpc = grpc::serve(grpc, shared.clone(), mixes.clone(), actions.clone(), shutdown)?;
    Ok(Api {
        shared,
        mixes,
        actions,
        grpc,
        running,
    })
}

impl Api {
    /// `/`: the Tencent envelope; `index` answers `GET /` without an action. `/v1/`: REST. `/api/`: members.
    pub fn router(&self, index: MethodRouter) -> Router {
        tencent::router(self.actions.clone(), index)
            .merge(rest::router(self.actions.clone()))
            .merge(members::router(self.shared.clone()))
            .merge(mix::preview::router(self.shared.clone()))
    }

    pub fn mixes(&self) -> Arc<Mixes> {
        self.mixes.clone()
    }

    pub async fn finish(self) {
        let _ended = self.grpc.await;
        let _ended = self.running.await;
    }
}
