//! The start of the avatars, whose HTTP API has a listener of its own.

use std::net::SocketAddr;

use anyhow::Context;
use rotunda_listen::{Binding, Listeners, Security};
use rotunda_proto::applications::ApplicationList;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Running;
use crate::config::Config;

/// Connections of the avatars' HTTP API.
const AVATAR_CONNECTIONS: usize = 1000;

/// `signaling_url`: where avatars enter rooms.
pub async fn start(
    config: &Config,
    listeners: &Listeners,
    applications: ApplicationList,
    signaling_url: String,
) -> anyhow::Result<Running<rotunda_avatar::Service>> {
    let stop = CancellationToken::new();
    let address = SocketAddr::new(config.avatar.bind, config.avatar.port);
    let listener = listeners.bind(Binding {
        name: "avatar",
        address,
        open: AVATAR_CONNECTIONS,
        plain: AVATAR_CONNECTIONS,
        security: Security::Tls,
    });
    let listener = listener
        .await
        .with_context(|| format!("listen for avatars on {address}"))?;
    let surroundings = rotunda_avatar::Surroundings {
        applications,
        signaling_url,
        listener,
    };
    let service = rotunda_avatar::Service::start(config.avatar.clone(), surroundings, stop.clone())
        .await
        .context("start avatars")?;
    info!(%address, "avatars are ready");
    Ok(Running { service, stop })
}
