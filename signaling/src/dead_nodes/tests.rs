//! Two signaling nodes with leases; the second one dies.

mod histories;

use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::lease::LeaseTimes;
use rotunda_bus::{ClusterNode, Faults, Faulty, InProcess, NodeLease};
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomKey, TrackSource};
use rotunda_proto::location::Location;
use rotunda_proto::room::{OwnNames, TrackState, key_prefix};
use rotunda_proto::sfu::{NodeInfo, node_key};
use rotunda_proto::signaling::Role;
use rotunda_store::Store;
use tokio::time::timeout;

use super::*;
use crate::config::Config;
use crate::room::{Demand, Entered, Knocked, Passes, Wait, Way};
use crate::shared::Shared;
use crate::waiting_room::changes;

const TIMES: LeaseTimes = LeaseTimes {
    lease: Duration::from_secs(10),
};

struct Node {
    shared: Shared,
    lease: NodeLease,
    bus: Arc<Faulty>,
    _cleaning: JoinHandle<()>,
}

impl Node {
    async fn start(bus: &SharedBus, name: &str) -> Self {
        Self::start_with(bus, name, Vec::new()).await
    }

    async fn start_with(bus: &SharedBus, name: &str, applications: Vec<Application>) -> Self {
        let bus = Arc::new(Faulty::new(bus.clone(), Faults::none(1)));
        let shared_bus: SharedBus = bus.clone();
        let name: rotunda_proto::ids::NodeId = name.parse().unwrap();
        let lease = NodeLease::take(shared_bus.clone(), name.clone(), TIMES).await.unwrap();
        let cluster = ClusterNode::new(shared_bus.clone(), name, &lease);
        let living = cluster.living();
        let store = Store::in_memory_unopened();
        let shared = Shared::for_test(Config::default(), cluster, applications, store);
        let cleaning = clean_up(shared_bus, shared.facts.clone(), living, CancellationToken::new());
        Self {
            shared,
            lease,
            bus,
            _cleaning: cleaning,
        }
    }

    /// Enters room 1 and publishes audio.
    async fn enter(&self, user: &str) -> Entered {
        let user = user.parse().unwrap();
        let entered = self
            .shared
            .rooms
            .enter(&self.shared, &room(), &user, Role::Anchor, Way::default())
            .await;
        let entered = entered.unwrap();
        let documents = &entered.room.documents;
        let names = OwnNames::default();
        let taken = documents.take_seat(&entered.member, &names, TrackSource::Audio, TrackState::On);
        taken.await.unwrap();
        entered
    }
}

fn room() -> RoomKey {
    RoomKey {
        app: 1.try_into().unwrap(),
        room: "1".parse().unwrap(),
    }
}

async fn cluster() -> SharedBus {
    let bus: SharedBus = Arc::new(InProcess::new());
    let info = NodeInfo {
        node: "sfu-1".parse().unwrap(),
        sessions: 0,
        capacity: 100,
        load_percent: 0,
        open_workers: 1,
        draining: false,
        location: Location::default(),
    };
    bus.store(&node_key(&info.node), &info, None).await.unwrap();
    bus
}

/// The members with seats, the members in the roster, and the count.
async fn room_of(bus: &SharedBus) -> (Vec<String>, Vec<String>, u64) {
    let entries: BTreeMap<String, _> = bus.list(&key_prefix(&room())).await.unwrap().into_iter().collect();
    let value = |kind: &str| {
        let entry = entries.get(&format!("{}{kind}", key_prefix(&room())));
        entry.map(|entry| entry.value.clone()).unwrap_or_default()
    };
    let seats = parsed::<Seats>(&value("seats")).publishers.into_iter();
    let roster = parsed::<Roster>(&value("roster")).members.into_iter();
    (
        seats.map(|publisher| publisher.user.to_string()).collect(),
        roster.map(|member| member.user.to_string()).collect(),
        parsed::<MemberCounts>(&value("count")).total(),
    )
}

async fn eventually(bus: &SharedBus, users: &[&str], within: Duration) {
    let expected: Vec<String> = users.iter().map(ToString::to_string).collect();
    let clock = Clock;
    let is_so = async {
        loop {
            let (seats, mut roster, count) = room_of(bus).await;
            roster.sort();
            if seats == expected && roster == expected && count == expected.len() as u64 {
                return;
            }
            clock.sleep_until(clock.now() + Duration::from_millis(100)).await;
        }
    };
    if timeout(within, is_so).await.is_err() {
        panic!("expected {expected:?}, found {:?}", room_of(bus).await);
    }
}

#[tokio::test(start_paused = true)]
async fn members_of_a_killed_node_are_removed_in_time_and_the_others_stay() {
    let bus = cluster().await;
    let (one, two) = (Node::start(&bus, "node-1").await, Node::start(&bus, "node-2").await);
    let ann = one.enter("ann").await;
    let _bob = two.enter("bob").await;
    eventually(&bus, &["ann", "bob"], Duration::from_secs(1)).await;
    // Like a killed process, it neither renews its lease nor writes any more.
    two.bus.cut();
    drop(two.lease);
    eventually(&bus, &["ann"], TIMES.lease).await;
    assert_eq!(ann.room.latest().member_count, 1, "and its members are notified");
}

#[tokio::test(start_paused = true)]
async fn the_room_of_a_killed_node_ends_if_no_other_member_is_in_it() {
    let bus = cluster().await;
    let (_one, two) = (Node::start(&bus, "node-1").await, Node::start(&bus, "node-2").await);
    let _bob = two.enter("bob").await;
    two.bus.cut();
    drop(two.lease);
    eventually(&bus, &[], TIMES.lease).await;
    let left = async { while !bus.list(ROOMS_PREFIX).await.unwrap().is_empty() {} };
    timeout(Duration::from_secs(1), left).await.unwrap();
}

async fn knock(node: &Node, user: &str, demand: Demand) -> Wait {
    let passes = Passes::Never;
    let way = Way { passes, demand };
    let user = user.parse().unwrap();
    match node.shared.rooms.knock(&node.shared, &room(), &user, way).await {
        Ok(Knocked::Waits(wait)) => wait,
        Ok(Knocked::Open) => panic!("they need not wait"),
        Err(error) => panic!("{error}"),
    }
}

async fn eventually_waiting(bus: &SharedBus, users: &[&str]) {
    let waiting = async {
        loop {
            let document = changes::load(bus, &room()).await.unwrap();
            let now: Vec<String> = document.unanswered().map(|user| user.user.to_string()).collect();
            if now == users {
                return;
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(100)).await;
        }
    };
    timeout(2 * TIMES.lease, waiting).await.expect("they wait");
}

#[tokio::test(start_paused = true)]
async fn users_who_wait_at_a_killed_node_do_not_wait_any_more_and_those_of_a_node_that_is_back_do() {
    let bus = cluster().await;
    let (one, two) = (Node::start(&bus, "node-1").await, Node::start(&bus, "node-2").await);
    let _ann = knock(&one, "ann", Demand::ByApplication).await;
    let _bob = knock(&two, "bob", Demand::ByApplication).await;
    eventually_waiting(&bus, &["ann", "bob"]).await;
    two.bus.cut();
    eventually_waiting(&bus, &["ann"]).await;
    two.bus.mend();
    eventually_waiting(&bus, &["ann", "bob"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_room_of_moderators_ends_with_the_last_node_that_has_members() {
    let bus = cluster().await;
    let (one, two) = (Node::start(&bus, "node-1").await, Node::start(&bus, "node-2").await);
    let _bob = two.enter("bob").await;
    changes::require(&bus, &room()).await.unwrap();
    let mut ann = knock(&one, "ann", Demand::None).await;
    two.bus.cut();
    drop(two.lease);
    let answer = timeout(2 * TIMES.lease, ann.answered()).await.expect("ann is told");
    assert_eq!(answer, rotunda_proto::waiting_room::EntryAnswer::RoomEnded);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_cleans_up_after_those_that_died_before() {
    let bus = cluster().await;
    let two = Node::start(&bus, "node-2").await;
    let _bob = two.enter("bob").await;
    two.bus.cut();
    drop(two.lease);
    let _one = Node::start(&bus, "node-1").await;
    eventually(&bus, &[], 2 * TIMES.lease).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_the_bus_counts_its_members_again_when_it_is_back() {
    let bus = cluster().await;
    let (one, two) = (Node::start(&bus, "node-1").await, Node::start(&bus, "node-2").await);
    let _ann = one.enter("ann").await;
    let bob = two.enter("bob").await;
    two.bus.cut();
    eventually(&bus, &["ann"], TIMES.lease).await;
    two.bus.mend();
    let clock = Clock;
    let back = async {
        loop {
            // The member's task would take the seat again, and this test has no such task.
            let (_, roster, count) = room_of(&bus).await;
            if count == 2 && roster.len() == 2 {
                return;
            }
            clock.sleep_until(clock.now() + Duration::from_millis(100)).await;
        }
    };
    timeout(TIMES.lease, back).await.expect("bob is counted again");
    assert_eq!(bob.room.latest().member_count, 2);
}
