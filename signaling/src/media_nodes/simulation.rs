//! A room of 50,000 on ten SFU nodes, in virtual time: members come at 1,000 a second by two signaling nodes, and a node dies meanwhile.

use rotunda_bus::{BusExt, ClusterNode, InProcess, SharedBus};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_proto::sfu::node_key;
use rotunda_proto::signaling::Role;
use rotunda_store::Store;
use tokio::time::advance;

use super::*;
use crate::config::Config;
use crate::room::{Entered, Way};
use crate::shared::Shared;

const NODES: usize = 10;
/// Sessions of the room that a node takes.
const CAPACITY: u64 = 6_000;
const MEMBERS: usize = 50_000;
/// Between two members.
const PACE: Duration = Duration::from_millis(1);
/// Members that come between two announcements of the nodes.
const ANNOUNCED_EVERY: usize = 1_000;
/// The lease of a dead node ends after so many more members.
const DECLARED_DEAD_AFTER: usize = 3_500;

struct World {
    bus: SharedBus,
    room: RoomKey,
    /// Each signaling node, and a member by which it has the room.
    signaling: Vec<(Shared, Entered)>,
    /// The sessions that each living node has.
    sessions: BTreeMap<NodeId, u64>,
    /// How many nodes each member has tried.
    tries: Vec<usize>,
}

impl World {
    async fn new() -> Self {
        let bus: SharedBus = Arc::new(InProcess::new());
        let names = (0..NODES).map(|index| format!("sfu-{index}").parse().unwrap());
        let room = RoomKey {
            app: 1.try_into().unwrap(),
            room: "1".parse().unwrap(),
        };
        let mut world = Self {
            bus: bus.clone(),
            room,
            signaling: Vec::new(),
            sessions: names.map(|name| (name, 0)).collect(),
            tries: Vec::new(),
        };
        world.announce().await;
        for name in ["signaling-1", "signaling-2"] {
            let cluster = ClusterNode::alone(bus.clone(), name.parse().unwrap());
            let shared = Shared::for_test(Config::default(), cluster, Vec::new(), Store::in_memory_unopened());
            let user = name.parse().unwrap();
            let entered = shared
                .rooms
                .enter(&shared, &world.room, &user, Role::Audience, Way::default());
            let entered = entered.await;
            world.signaling.push((shared, entered.unwrap()));
        }
        world
    }

    async fn announce(&self) {
        for (node, sessions) in &self.sessions {
            let info = NodeInfo {
                node: node.clone(),
                sessions: *sessions,
                capacity: CAPACITY,
                load_percent: 0,
                open_workers: 1,
                draining: false,
                location: Location::default(),
            };
            let key = node_key(node);
            let known = self.bus.get(&key).await.unwrap().map(|entry| entry.revision);
            self.bus.store(&key, &info, known).await.unwrap();
        }
    }

    async fn nodes_of_the_room(&self) -> Vec<NodeId> {
        let (info, _) = self.bus.load::<RoomInfo>(&info_key(&self.room)).await.unwrap().unwrap();
        info.sfu_nodes().cloned().collect()
    }

    /// A member opens a session by one of the signaling nodes. `before`: the node of their last one.
    async fn join(&mut self, by: usize, before: Option<&NodeId>) {
        let documents = &self.signaling[by % self.signaling.len()].1.room.documents;
        let nodes = self.nodes_of_the_room().await;
        let mut search = Search::new(before, nodes.iter(), &documents.refusals);
        for tried in 1.. {
            let node = search.next(documents).await.expect("there is a node with capacity");
            match self.sessions.get_mut(&node) {
                None => search.handle_silent(node),
                Some(sessions) if *sessions >= CAPACITY => search.handle_full(node),
                Some(sessions) => {
                    *sessions += 1;
                    self.tries.push(tried);
                    break;
                }
            }
        }
        search.tidy(documents).await;
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_members_find_a_node_at_once_while_one_dies() {
    let mut world = World::new().await;
    let mut dead = None;
    for member in 0..MEMBERS {
        if member % ANNOUNCED_EVERY == 0 {
            world.announce().await;
        }
        if member == MEMBERS / 2 {
            // The node where the room began. Its members come back.
            let node = world.nodes_of_the_room().await.swap_remove(0);
            let lost = world.sessions.remove(&node).unwrap();
            assert_eq!(lost, CAPACITY);
            for again in 0..lost as usize {
                world.join(again, Some(&node)).await;
            }
            dead = Some(node);
        }
        if member == MEMBERS / 2 + DECLARED_DEAD_AFTER {
            world.bus.remove(&node_key(dead.as_ref().unwrap())).await.unwrap();
        }
        world.join(member, None).await;
        if member as u64 == CAPACITY - 1 {
            assert_eq!(
                world.nodes_of_the_room().await.len(),
                1,
                "it stays together while it fits"
            );
        }
        advance(PACE).await;
    }
    assert_eq!(
        world.sessions.values().sum::<u64>(),
        MEMBERS as u64,
        "everybody has a session"
    );
    let nodes = world.nodes_of_the_room().await;
    assert_eq!(
        nodes.len() as u64,
        (MEMBERS as u64).div_ceil(CAPACITY),
        "no more nodes than needed"
    );
    assert!(!nodes.contains(&dead.unwrap()), "the room has left the dead node");
    world.tries.sort_unstable();
    let tries = |part: f64| world.tries[((world.tries.len() - 1) as f64 * part) as usize];
    eprintln!(
        "nodes tried by a member: p50 {}, p95 {}, p99 {}, most {}",
        tries(0.5),
        tries(0.95),
        tries(0.99),
        tries(1.0)
    );
    assert!(
        tries(0.85) == 1 && tries(0.99) <= 2,
        "those that came back tried the dead node"
    );
    assert!(tries(1.0) <= NODES);
}
