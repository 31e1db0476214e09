//! How nodes find each other: each writes its addresses into a document, which is leased by it.

use std::time::Duration;

use rotunda_bus::lease::Own;
use rotunda_bus::{BusExt, ClusterNode};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::NodeId;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// After an error of the bus.
const AGAIN: Duration = Duration::from_secs(1);

/// Key of [`ProgramNode`].
pub fn node_key(node: &NodeId) -> String {
    format!("program_nodes.{node}")
}

/// Where a node's programs can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramNode {
    /// `host:port`, in the order in which they are to be tried.
    pub addresses: Vec<String>,
}

/// Writes this node's document, and again after the node was declared dead, until `stop`.
pub async fn keep_announced(node: ClusterNode, document: ProgramNode, stop: CancellationToken) {
    let key = node_key(node.name());
    let mut own = node.own();
    loop {
        let standing = own.borrow_and_update().clone();
        if let Own::Incarnation(incarnation) = standing {
            while let Err(error) = node.bus().announce(&key, &document, &incarnation).await {
                warn!(%error, "the address of this node's programs was not written; it is tried again");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = Clock.sleep_until(Clock.now() + AGAIN) => {}
                }
                if own.has_changed().unwrap_or(false) {
                    break;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = own.changed() => if changed.is_err() {
                stop.cancelled().await;
                return;
            },
        }
    }
}
