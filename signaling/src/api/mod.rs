//! The public API: one set of handlers ([`mix`], [`rooms`]) behind two faces, gRPC ([`grpc`]) and the Tencent envelope ([`tencent`]); and
//! [`members`] over plain HTTP.

mod caller;
mod error;
mod grpc;
mod members;
pub mod mix;
pub mod rooms;
pub mod tencent;

use std::sync::Arc;

use axum::Router;
use axum::routing::MethodRouter;
use rotunda_listen::Listener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use error::ApiError;
use mix::Mixes;

use crate::service::StartError;
use crate::shared::Shared;

/// The running API.
pub struct Api {
    shared: Shared,
    mixes: Arc<Mixes>,
    grpc: JoinHandle<()>,
    records: JoinHandle<()>,
}

pub async fn start(shared: Shared, grpc: Listener, shutdown: CancellationToken) -> Result<Api, StartError> {
    let mixes = Arc::new(Mixes::new(shared.clone()));
    let records = mix::records::follow(shared.clone(), shutdown.clone()).await?;
    let grpc = grpc::serve(grpc, shared.clone(), mixes.clone(), shutdown)?;
    Ok(Api {
        shared,
        mixes,
        grpc,
        records,
    })
}

impl Api {
    /// `/`: the Tencent envelope; `index` answers `GET /` without an action. `/api/`: members.
    pub fn router(&self, index: MethodRouter) -> Router {
        tencent::router(self.shared.clone(), self.mixes.clone(), index).merge(members::router(self.shared.clone()))
    }

    pub fn mixes(&self) -> Arc<Mixes> {
        self.mixes.clone()
    }

    pub async fn finish(self) {
        let _ended = self.grpc.await;
        let _ended = self.records.await;
    }
}
