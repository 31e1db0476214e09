//! The set-up that a node has with sockets and in simulations: its workers as the configuration has them, and its control task.

use std::time::Duration;

use rotunda_bus::{BusError, ClusterNode};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::NodeId;
use rotunda_proto::sfu::NodeInfo;
use rotunda_proto::ticket::ClusterSecret;

use super::control::{Control, Handle, announce};
use super::placement::{self, Placement};
use crate::config::Config;
use crate::slab::WorkerIndex;
use crate::worker::{Setup, Worker};

/// A worker without sessions, one of those of [`Config::ports`].
pub fn worker(config: &Config, node: &NodeId, index: WorkerIndex) -> Worker {
    Worker::new(Setup {
        node: node.clone(),
        index,
        workers: config.ports().count(),
        first_stream: rand::random(),
        connect_timeout: Duration::from_secs(config.connect_timeout_seconds),
        max_sessions: placement::capacity(config.max_sessions),
        batch_window: Duration::from_millis(config.batch_window_milliseconds),
        started: (Clock.now(), Clock.unix()),
    })
}

/// Announces the node, and makes its control task. `workers`: all that the node has.
pub async fn control(
    config: &Config,
    node: ClusterNode,
    secret: ClusterSecret,
    workers: Vec<Handle>,
) -> Result<Control, BusError> {
    let info = NodeInfo {
        node: node.name().clone(),
        sessions: 0,
        capacity: workers.len() as u64 * config.max_sessions as u64,
        load_percent: 0,
        open_workers: workers.len() as u64,
        draining: false,
        location: config.location.clone(),
    };
    announce(&node, &info).await?;
    let placement =
        Placement::new(workers.len(), config.max_sessions, config.room_sessions).with_limit(config.node_room_sessions);
    Ok(Control::new(
        info,
        node,
        secret,
        workers,
        placement,
        config.node_fan_out,
    ))
}
