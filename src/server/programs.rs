//! The listener for other nodes, which read the programs that are made here.

use std::net::SocketAddr;

use anyhow::Context;
use rotunda_bus::ClusterNode;
use rotunda_listen::{Binding, Listeners, Policy, Security, TrustedProxies};
use rotunda_media::program::ProgramHub;
use rotunda_programs::{ClusterTls, Programs};
use tokio_util::sync::CancellationToken;

use super::{Running, policy};
use crate::config::Config;
use crate::public_address;
use crate::secrets::Secrets;

/// Connections of other nodes; each is one program for one node.
const NODE_CONNECTIONS: usize = 4000;

/// Programs of all nodes for this one, and of this one for the others.
pub async fn start(
    config: &Config,
    node: &ClusterNode,
    secrets: &Secrets,
    hub: &ProgramHub,
) -> anyhow::Result<(Programs, Running<rotunda_programs::Service>)> {
    let stop = CancellationToken::new();
    let tls = ClusterTls::new(&secrets.cluster()).context("set up TLS between nodes")?;
    // Its peers are nodes, which no proxy stands in front of.
    let policy = Policy {
        trusted: TrustedProxies::new(Vec::new()),
        proxy_protocol: false,
        per_address: NODE_CONNECTIONS,
        ..policy(config)
    };
    let address = SocketAddr::new(config.programs.bind, config.programs.port);
    let listeners = Listeners::new(policy, Some(tls.listener()));
    let listener = listeners.bind(Binding {
        name: "programs",
        address,
        open: NODE_CONNECTIONS,
        plain: NODE_CONNECTIONS,
        security: Security::Tls,
    });
    let listener = listener
        .await
        .with_context(|| format!("listen for other nodes on {address}"))?;
    let surroundings = rotunda_programs::Surroundings {
        node: node.clone(),
        tls,
        hub: hub.clone(),
        listener,
        hosts: public_address::hosts_for_nodes(&config.programs),
    };
    let (programs, service) = Programs::start(&config.programs, surroundings, stop.clone())?;
    Ok((programs, Running { service, stop }))
}
