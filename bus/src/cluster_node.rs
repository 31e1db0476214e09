//! The cluster as a service sees it: the bus, the name of its own node, and the live nodes.

use std::sync::Arc;

use rotunda_proto::ids::NodeId;
use tokio::sync::watch;

use crate::lease::{Living, Own};
use crate::{Incarnation, NodeLease, SharedBus};

/// This process as a node of the cluster. Every service of a process has the same one. Clone it freely.
#[derive(Clone)]
pub struct ClusterNode {
    bus: SharedBus,
    name: NodeId,
    own: watch::Receiver<Own>,
    living: watch::Receiver<Living>,
    /// Of a node without a lease.
    _alone: Option<Arc<(watch::Sender<Own>, watch::Sender<Living>)>>,
}

impl ClusterNode {
    pub fn new(bus: SharedBus, name: NodeId, lease: &NodeLease) -> Self {
        Self {
            bus,
            name,
            own: lease.own(),
            living: lease.living(),
            _alone: None,
        }
    }

    /// A node that has no lease, and so never dies: for tests and tools.
    pub fn alone(bus: SharedBus, name: NodeId) -> Self {
        let incarnation = Incarnation::new(name.clone(), 1);
        let (own_sender, own) = watch::channel(Own::Incarnation(incarnation));
        let (living_sender, living) = watch::channel(None);
        Self {
            bus,
            name,
            own,
            living,
            _alone: Some(Arc::new((own_sender, living_sender))),
        }
    }

    pub fn bus(&self) -> &SharedBus {
        &self.bus
    }

    pub fn name(&self) -> &NodeId {
        &self.name
    }

    /// As which incarnation this process is known now.
    pub fn incarnation(&self) -> Incarnation {
        self.own.borrow().incarnation().clone()
    }

    /// Changes when this process was declared dead: everything is to be announced anew.
    pub fn own(&self) -> watch::Receiver<Own> {
        self.own.clone()
    }

    /// The live nodes. A node [alone](Self::alone) gets no changes.
    pub fn living(&self) -> watch::Receiver<Living> {
        self.living.clone()
    }
}
