//! The public API: one set of handlers ([`mix`], [`rooms`], [`pictures`]) behind two faces, gRPC ([`grpc`]) and the Tencent envelope
//! ([`tencent`]); and [`members`] over plain HTTP.

mod caller;
mod error;
mod grpc;
mod members;
pub mod mix;
pub mod pictures;
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
use pictures::Pictures;

use crate::service::StartError;
use crate::shared::Shared;

/// The running API.
pub struct Api {
    shared: Shared,
    mixes: Arc<Mixes>,
    pictures: Arc<Pictures>,
    grpc: JoinHandle<()>,
}

pub async fn start(shared: Shared, grpc: Listener, shutdown: CancellationToken) -> Result<Api, StartError> {
    let pictures = Arc::new(Pictures::new(&shared).map_err(StartError::Pictures)?);
    let mixes = Arc::new(Mixes::new(shared.clone(), pictures.clone()));
    let grpc = grpc::serve(grpc, shared.clone(), mixes.clone(), shutdown)?;
    Ok(Api {
        shared,
        mixes,
        pictures,
        grpc,
    })
}

impl Api {
    /// `/`: the Tencent envelope; `index` answers `GET /` without an action. `/api/`: members.
    pub fn router(&self, index: MethodRouter) -> Router {
        tencent::router(self.shared.clone(), self.mixes.clone(), self.pictures.clone(), index)
            .merge(members::router(self.shared.clone()))
            .merge(mix::preview::router(self.shared.clone()))
    }

    pub fn mixes(&self) -> Arc<Mixes> {
        self.mixes.clone()
    }

    pub async fn finish(self) {
        let _ended = self.grpc.await;
    }
}
