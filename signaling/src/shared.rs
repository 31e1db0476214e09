//! State that all parts of signaling share.

use std::sync::Arc;

use rotunda_bus::{ClusterNode, SharedBus};
use rotunda_events::Facts;
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::config::Application;
use rotunda_proto::ids::NodeId;
use rotunda_store::{Store, Vault};
use tokio_util::sync::CancellationToken;

use crate::api::mix::health::MixHealth;
use crate::applications::Applications;
use crate::callbacks::Outbox;
use crate::calls::Exchange;
use crate::config::Config;
use crate::open_ids::OpenIds;
use crate::registry::Registry;
use crate::restrictions::Restrictions;
use crate::room::Rooms;
use crate::session_events::SessionEvents;
use crate::token_hook::TokenHook;
use crate::waiting_room::PassKey;

/// Cheap to clone.
#[derive(Clone)]
pub struct Shared(Arc<Parts>);

/// There is one in the process; see [`Shared`].
pub struct Parts {
    pub config: Config,
    pub node: NodeId,
    pub bus: SharedBus,
    /// This process in the cluster.
    pub cluster: ClusterNode,
    pub application_list: ApplicationList,
    pub rooms: Rooms,
    pub registry: Registry,
    /// What users may not do in rooms.
    pub restrictions: Restrictions,
    pub pass_key: PassKey,
    pub session_events: Arc<SessionEvents>,
    /// Checks tokens of applications' own accounts.
    pub token_hook: TokenHook,
    /// Checks the ID tokens of applications' OpenID providers.
    pub open_ids: OpenIds,
    pub store: Store,
    /// The applications of the store, and the key of their secrets.
    pub vault: Vault,
    pub outbox: Outbox,
    /// Appends the facts of this node to the stream of events.
    pub facts: Facts,
    /// Of every mix of the cluster.
    pub mix_health: MixHealth,
    /// Cancelled when the node takes no new members, because it will end.
    pub draining: CancellationToken,
    pub calls: Exchange,
}

impl Shared {
    pub fn new(
        config: Config,
        cluster: ClusterNode,
        applications: ApplicationList,
        vault: Vault,
        facts: Facts,
    ) -> Self {
        Self(Arc::new(Parts {
            calls: Exchange::new(cluster.incarnation(), config.calls.return_time()),
            rooms: Rooms::new(config.process.location.clone()),
            pass_key: (config.process.pass_key.clone()).unwrap_or_else(|| PassKey::new(rand::random())),
            config,
            session_events: Arc::new(SessionEvents::new(cluster.bus().clone(), cluster.name().clone())),
            node: cluster.name().clone(),
            bus: cluster.bus().clone(),
            cluster,
            application_list: applications,
            registry: Registry::default(),
            restrictions: Restrictions::default(),
            token_hook: TokenHook::default(),
            open_ids: OpenIds::default(),
            store: vault.store().clone(),
            vault,
            outbox: Outbox::default(),
            facts,
            mix_health: MixHealth::default(),
            draining: CancellationToken::new(),
        }))
    }

    /// Facts go into a table of the store.
    #[cfg(test)]
    pub fn for_test(config: Config, cluster: ClusterNode, applications: Vec<Application>, store: Store) -> Self {
        let table = rotunda_events::Table::new(store.clone()).shared();
        let facts = Facts::new(cluster.name().clone(), table);
        let key = rotunda_store::SealKey::derived_from(b"test").unwrap();
        let vault = Vault::new(store, key);
        Self::new(config, cluster, ApplicationList::new(applications), vault, facts)
    }

    #[cfg(test)]
    pub fn replace_applications(&self, applications: Vec<Application>) {
        let set = rotunda_proto::applications::ApplicationSet::new(applications, Vec::new());
        self.application_list.replace(set);
    }

    /// The application that the demo back end serves, in demo mode.
    pub fn demo_application(&self) -> Option<Application> {
        self.applications().by_id(self.config.process.demo?).cloned()
    }
}

impl Parts {
    /// The applications as they are now. A handler uses one snapshot.
    pub fn applications(&self) -> Applications {
        Applications::now(&self.application_list)
    }
}

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
