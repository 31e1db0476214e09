//! `ListNodes`: the media nodes of the cluster, and how much more they can take.

use rotunda_bus::BusExt;
use rotunda_proto::{mix, sfu};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, bus};
use crate::api::request::request;
use crate::shared::Shared;

request! {
    /// Lists the nodes that forward and mix media.
    ListNodes {}
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NodeList {
    pub sfu_nodes: Vec<SfuNode>,
    pub mix_nodes: Vec<MixNode>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SfuNode {
    pub node: String,
    pub sessions: u64,
    /// Sessions that it can have.
    pub capacity: u64,
    /// Busy share of its workers' time.
    pub load_percent: u8,
    pub is_full: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MixNode {
    pub node: String,
    /// Mixes that it takes besides those that it has.
    pub tasks_left: u64,
    /// Thousandths of a CPU core that are left for them.
    pub millicores_left: u64,
}

pub async fn list(shared: &Shared, _: ListNodes) -> Checked<NodeList> {
    let sfu = shared
        .bus
        .documents::<sfu::NodeInfo>(sfu::NODES_PREFIX)
        .await
        .map_err(bus)?;
    let mix = shared
        .bus
        .documents::<mix::MixNode>(mix::NODES_PREFIX)
        .await
        .map_err(bus)?;
    let mut sfu_nodes: Vec<_> = sfu
        .into_iter()
        .map(|info| SfuNode {
            is_full: info.is_full(),
            node: info.node.to_string(),
            sessions: info.sessions,
            capacity: info.capacity,
            load_percent: info.load_percent,
        })
        .collect();
    sfu_nodes.sort_by(|one, other| one.node.cmp(&other.node));
    let mut mix_nodes: Vec<_> = mix
        .into_iter()
        .map(|info| MixNode {
            node: info.node.to_string(),
            tasks_left: info.tasks_left,
            millicores_left: info.millicores_left,
        })
        .collect();
    mix_nodes.sort_by(|one, other| one.node.cmp(&other.node));
    Ok(NodeList { sfu_nodes, mix_nodes })
}
