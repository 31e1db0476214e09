//! `ListNodes`, `DrainNode` and `ResumeNode`: the media nodes of the cluster, how much more they can take, and which take no more.

use std::time::Duration;

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::config::Application;
use rotunda_proto::ids::{NodeId, TextId, shortened};
use rotunda_proto::sfu::{Command, ControlError, Reply, control_subject};
use rotunda_proto::{mix, sfu};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, bus};
use crate::api::ApiError;
use crate::api::applications::operator;
use crate::api::request::{request, required};
use crate::shared::Shared;

/// Seconds of a drain.
const DRAIN: u64 = 60;
const SHORTEST_DRAIN: u64 = 10;
const LONGEST_DRAIN: u64 = 3600;

request! {
    /// Lists the nodes that forward and mix media.
    ListNodes {}
}

request! {
    /// Drains a node that forwards media, before it is stopped or maintained: it takes no more sessions, and those that it has move to other
    /// nodes. Answers when it has begun; ListNodes shows the sessions that are left. The process goes on.
    DrainNode {
        /// The node, one of `SfuNodes` of ListNodes.
        node: Option<String> = "Node" ! "InvalidParameter",
        /// Seconds within which the sessions move, 10 to 3600, default 60. Those that cannot move are ended before, and come back elsewhere.
        seconds: Option<u64> = "Seconds" ? "InvalidParameter",
    }
}

request! {
    /// Ends the drain of a node: it takes sessions again.
    ResumeNode {
        /// The node, one of `SfuNodes` of ListNodes.
        node: Option<String> = "Node" ! "InvalidParameter",
    }
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
    /// It takes no more sessions and moves those that it has to other nodes: after DrainNode, or because its process ends.
    pub is_draining: bool,
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
            is_draining: info.draining,
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

pub async fn drain(shared: &Shared, caller: &Application, request: DrainNode) -> Checked<()> {
    operator(caller)?;
    let node = node(request.node)?;
    let within = match request.seconds.unwrap_or(DRAIN) {
        seconds @ SHORTEST_DRAIN..=LONGEST_DRAIN => Duration::from_secs(seconds),
        seconds => {
            let message = format!("Seconds must be {SHORTEST_DRAIN} to {LONGEST_DRAIN}, not {seconds}");
            return Err(ApiError::new("InvalidParameter", message));
        }
    };
    let within_ms = within.as_millis() as u64;
    ask(shared, &node, &Command::Drain { within_ms }).await
}

pub async fn resume(shared: &Shared, caller: &Application, request: ResumeNode) -> Checked<()> {
    operator(caller)?;
    let node = node(request.node)?;
    ask(shared, &node, &Command::Resume).await
}

fn node(text: Option<String>) -> Checked<NodeId> {
    let text = required(text, "MissingParameter", "Node")?;
    text.parse().map_err(|error| {
        let message = format!("Node {} {error}; write {}", shortened(&text), NodeId::RULE);
        ApiError::new("InvalidParameter", message)
    })
}

async fn ask(shared: &Shared, node: &NodeId, command: &Command) -> Checked<()> {
    match shared.bus.call::<_, Reply>(&control_subject(node), command).await {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Refused {
            error: ControlError::NoOtherNode,
        }) => {
            let message = format!("no other node takes the sessions of {node}; start one first");
            Err(ApiError::new("FailedOperation.NoOtherNode", message))
        }
        Ok(Reply::Refused {
            error: ControlError::Ends,
        }) => {
            let message = format!("the process of {node} ends already");
            Err(ApiError::new("FailedOperation.NodeEnds", message))
        }
        Ok(other) => {
            tracing::error!(?other, %node, "an unexpected answer of a node");
            Err(ApiError::new(
                "InternalError",
                "the node answered something else; see the log",
            ))
        }
        Err(BusError::NoResponder(_)) => {
            let message = format!("there is no node {node} that forwards media; see ListNodes");
            Err(ApiError::new("ResourceNotFound", message))
        }
        Err(error) => Err(bus(error)),
    }
}
