//! The SFU's events about single sessions of this node's members, by one subscription, and the log of what they say about quality.

use rotunda_bus::{BusError, Router, SharedBus, Subscription};
use rotunda_proto::ids::{NodeId, SessionId};
use rotunda_proto::sfu::{member_session_subject, member_session_subjects};
use tokio::sync::OnceCell;

use crate::quality_log::QualityLog;

pub struct SessionEvents {
    bus: SharedBus,
    node: NodeId,
    /// Open from the first session on.
    router: OnceCell<Router>,
    quality: QualityLog,
}

impl SessionEvents {
    pub fn new(bus: SharedBus, node: NodeId) -> Self {
        Self {
            bus,
            node,
            router: OnceCell::new(),
            quality: QualityLog::default(),
        }
    }

    /// The node that the SFU sends the events to.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The quality of this node's members in the last hours.
    pub fn quality(&self) -> &QualityLog {
        &self.quality
    }

    /// The events of a session from now on.
    pub async fn follow(&self, session: SessionId) -> Result<Subscription, BusError> {
        let pattern = member_session_subjects(&self.node);
        let open = || Router::open(&*self.bus, &pattern);
        let router = self.router.get_or_try_init(open).await?;
        Ok(router.subscribe(&member_session_subject(&self.node, session)))
    }
}
