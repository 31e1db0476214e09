//! A signaling node without a database and an API, for simulations in virtual time: its WebSockets, and its part in the cluster.

use axum::Router;
use rotunda_bus::{BusError, ClusterNode};
use rotunda_events::Facts;
use rotunda_proto::applications::ApplicationList;
use rotunda_store::Vault;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::shared::Shared;
use crate::{dead_nodes, member_commands, service};

/// Serves until the process ends. Answers its routes, which are `/ws` alone. `vault`: its store need not be open.
pub async fn start(
    config: Config,
    cluster: ClusterNode,
    applications: ApplicationList,
    vault: Vault,
    facts: Facts,
) -> Result<Router, BusError> {
    let shared = Shared::new(config, cluster, applications, vault, facts);
    let never = CancellationToken::new();
    let _serves = member_commands::serve(shared.clone(), never.clone()).await?;
    let living = shared.cluster.living();
    let _cleans = dead_nodes::clean_up(shared.bus.clone(), shared.facts.clone(), living, never);
    Ok(service::socket_routes(shared))
}
