//! The servers of a run: signaling nodes, SFU nodes, and the bus between them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rotunda_bus::lease::LeaseTimes;
use rotunda_bus::{BusExt, ClusterNode, InProcess, NodeLease, SharedBus};
use rotunda_events::{Facts, Table};
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{NodeId, RoomKey, UserId};
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_proto::ticket::ClusterSecret;
use rotunda_sfu::simulated::{self, Light, Network, Node};
use rotunda_store::{SealKey, Store, Vault};

use crate::far_bus::far_bus;
use crate::plan::Plan;
use crate::stream::Door;
use crate::{APP, ROOM, SECRET};

/// Default of `bus.lease_seconds`.
const LEASE: Duration = Duration::from_secs(5);
/// Round trips of ICE and DTLS.
const HANDSHAKE: u32 = 4;
/// The beginning of the names of viewers with light sessions.
pub const LIGHT: &str = "light-";

pub struct Cluster {
    bus: SharedBus,
    pub network: Network,
    pub doors: Vec<Door>,
    sfu: Vec<Option<SfuNode>>,
    fan_out: usize,
    _signaling: Vec<NodeLease>,
}

struct SfuNode {
    _node: Node,
    _lease: NodeLease,
}

/// The inner node that dies, and the nodes that receive the media by it; numbers of SFU nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    pub inner: usize,
    pub behind: Vec<usize>,
}

impl Cluster {
    pub async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let (between_nodes, to_clients) = (plan.node_delay(), plan.client_delay());
        let network = Network::new(Box::new(move |one, two| {
            match sfu_number(one).is_some() && sfu_number(two).is_some() {
                true => between_nodes,
                false => to_clients,
            }
        }));
        let mut cluster = Self {
            bus: Arc::new(InProcess::new()),
            network,
            doors: Vec::new(),
            sfu: Vec::new(),
            fan_out: plan.fan_out,
            _signaling: Vec::new(),
        };
        for number in 0..plan.nodes {
            cluster.start_sfu(plan, number).await?;
        }
        for number in 0..plan.signaling {
            cluster.start_signaling(plan, number).await?;
        }
        Ok(cluster)
    }

    /// Each server has a connection to the bus of its own.
    async fn node(&self, plan: &Plan, name: NodeId) -> anyhow::Result<(ClusterNode, NodeLease)> {
        let bus: SharedBus = Arc::new(far_bus(self.bus.clone(), plan.bus_delay()));
        let lease = NodeLease::take(bus.clone(), name.clone(), LeaseTimes { lease: LEASE }).await?;
        Ok((ClusterNode::new(bus, name, &lease), lease))
    }

    async fn start_sfu(&mut self, plan: &Plan, number: usize) -> anyhow::Result<()> {
        let (node, lease) = self.node(plan, sfu_name(number)?).await?;
        let config = rotunda_sfu::Config {
            workers: plan.workers.try_into()?,
            max_sessions: plan.capacity.div_ceil(plan.workers),
            node_fan_out: plan.fan_out,
            ..Default::default()
        };
        let light = Light {
            is_light: |user: &UserId| user.as_str().starts_with(LIGHT),
            handshake: plan.client_round_trip() * HANDSHAKE,
        };
        let ip = sfu_address(number)?;
        let secret = ClusterSecret::new(SECRET);
        let node = Node::start(&config, node, secret, ip, &self.network, light);
        self.sfu.push(Some(SfuNode {
            _node: node.await?,
            _lease: lease,
        }));
        Ok(())
    }

    async fn start_signaling(&mut self, plan: &Plan, number: usize) -> anyhow::Result<()> {
        let name: NodeId = format!("signaling-{number}").parse()?;
        let (node, lease) = self.node(plan, name.clone()).await?;
        // The facts go nowhere.
        let store = Store::in_memory_unopened();
        let facts = Facts::new(name, Table::new(store.clone()).shared());
        let vault = Vault::new(store, SealKey::derived_from(SECRET.as_bytes())?);
        let applications = ApplicationList::new(vec![Application::new(APP.try_into()?, SECRET)]);
        let config = rotunda_signaling::Config::default();
        let router = rotunda_signaling::simulated::start(config, node, applications, vault, facts).await?;
        let (door, connections) = Door::new(plan.client_delay());
        self.doors.push(door);
        // It ends with the process.
        tokio::spawn(axum::serve(connections, router.into_make_service()).into_future());
        self._signaling.push(lease);
        Ok(())
    }

    /// The inner node of an origin's tree with the most nodes behind it, among the nodes that the room is on. None: there is no inner node.
    pub async fn branch(&self, origin: usize) -> anyhow::Result<Option<Branch>> {
        let key = RoomKey {
            app: APP.try_into()?,
            room: ROOM.parse()?,
        };
        let info = self.bus.load::<RoomInfo>(&info_key(&key)).await?;
        let (info, _) = info.context("the room is not open")?;
        let nodes: Vec<NodeId> = info.sfu_nodes().cloned().collect();
        let origin = sfu_name(origin)?;
        let parents = simulated::parents(&origin, &nodes, self.fan_out);
        let is_behind = |node: &NodeId, inner: &NodeId| {
            let mut above = parents.get(node);
            while above.is_some_and(|above| above != inner) {
                above = above.and_then(|above| parents.get(above));
            }
            above.is_some()
        };
        let branches = (0..self.sfu.len()).map(|inner| {
            let name = sfu_name(inner)?;
            let behind = (0..self.sfu.len()).filter_map(|number| {
                let node = sfu_name(number).ok()?;
                (name != origin && is_behind(&node, &name)).then_some(number)
            });
            let behind: Vec<usize> = behind.collect();
            Ok(Branch { inner, behind })
        });
        let branches: Vec<Branch> = branches.collect::<anyhow::Result<_>>()?;
        let largest = branches.into_iter().max_by_key(|branch| branch.behind.len());
        Ok(largest.filter(|branch| !branch.behind.is_empty()))
    }

    /// The node is gone from one moment to the next.
    pub fn kill_sfu(&mut self, number: usize) {
        self.sfu[number] = None;
    }
}

fn sfu_name(number: usize) -> anyhow::Result<NodeId> {
    Ok(format!("sfu-{number}").parse()?)
}

fn sfu_address(number: usize) -> anyhow::Result<IpAddr> {
    Ok(Ipv4Addr::new(10, 1, 0, u8::try_from(number + 1)?).into())
}

/// The number of the SFU node at an address.
pub fn sfu_number(address: IpAddr) -> Option<usize> {
    match address {
        IpAddr::V4(ip) => match ip.octets() {
            [10, 1, 0, number] => usize::from(number).checked_sub(1),
            _ => None,
        },
        IpAddr::V6(_) => None,
    }
}
