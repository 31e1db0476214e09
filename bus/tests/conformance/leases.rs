//! Leases: keys bound to a node's incarnation vanish with it.

use std::time::Duration;

use rotunda_bus::lease::{LeaseTimes, Own};
use rotunda_bus::{BusExt, Incarnation, NodeLease, SharedBus};
use rotunda_proto::clock::Clock;

use crate::{Cluster, Kind, is_away, on_every_bus, soon, until};

on_every_bus!(
    the_keys_of_a_node_that_is_killed_vanish_in_time,
    the_keys_of_a_node_that_ends_vanish_at_once,
    a_node_that_starts_again_takes_the_place_of_its_predecessor,
    everybody_sees_who_lives,
    nobody_is_declared_dead_for_an_outage_of_the_bus,
);

const TIMES: LeaseTimes = LeaseTimes {
    lease: Duration::from_secs(3),
};

async fn take(bus: &SharedBus, node: &str) -> NodeLease {
    NodeLease::take(bus.clone(), node.parse().unwrap(), TIMES)
        .await
        .unwrap()
}

fn name(lease: &NodeLease) -> Incarnation {
    lease.own().borrow().incarnation().clone()
}

async fn announced(bus: &SharedBus, key: &str, lease: &NodeLease) {
    bus.announce(key, &key, &name(lease)).await.unwrap();
}

async fn is_there(bus: &SharedBus, key: &str) -> bool {
    bus.get(key).await.unwrap().is_some()
}

async fn lives(lease: &NodeLease, who: &[&Incarnation]) {
    let mut living = lease.living();
    let is_so = living.wait_for(|living| {
        let living = living.as_ref().map(|living| living.iter().collect::<Vec<_>>());
        let mut who = who.to_vec();
        who.sort();
        living == Some(who)
    });
    soon("who lives", is_so).await.unwrap();
}

async fn the_keys_of_a_node_that_is_killed_vanish_in_time(cluster: Cluster) {
    let (victim, witness) = (take(&cluster.one, "victim").await, take(&cluster.two, "witness").await);
    announced(&cluster.one, "nodes.victim", &victim).await;
    announced(&cluster.two, "nodes.witness", &witness).await;
    cluster.one.store("kept", &1, None).await.unwrap();
    lives(&witness, &[&name(&victim), &name(&witness)]).await;
    let clock = Clock;
    let killed = clock.now();
    drop(victim);
    let two = &cluster.two;
    until("the key has vanished", || async {
        !is_there(two, "nodes.victim").await
    })
    .await;
    let took = clock.now() - killed;
    assert!(took <= TIMES.lease + Duration::from_secs(1), "{took:?}");
    lives(&witness, &[&name(&witness)]).await;
    assert!(is_there(&cluster.two, "nodes.witness").await && is_there(&cluster.two, "kept").await);
    until("the lease is buried", || async {
        two.list("leases.").await.unwrap().len() == 1
    })
    .await;
}

async fn the_keys_of_a_node_that_ends_vanish_at_once(cluster: Cluster) {
    let lease = take(&cluster.one, "node").await;
    announced(&cluster.one, "nodes.node", &lease).await;
    soon("the end", lease.end()).await;
    assert!(!is_there(&cluster.two, "nodes.node").await);
    let two = &cluster.two;
    until("nothing is left", || async { two.list("").await.unwrap().is_empty() }).await;
}

async fn a_node_that_starts_again_takes_the_place_of_its_predecessor(cluster: Cluster) {
    let before = take(&cluster.one, "node").await;
    announced(&cluster.one, "nodes.node", &before).await;
    let after = take(&cluster.two, "node").await;
    lives(&after, &[&name(&after)]).await;
    let two = &cluster.two;
    until("the key has vanished", || async { !is_there(two, "nodes.node").await }).await;
    let mut own = before.own();
    let told = own.wait_for(|own| matches!(own, Own::Superseded(_)));
    soon("the predecessor knows", told).await.unwrap();
}

async fn everybody_sees_who_lives(cluster: Cluster) {
    let one = take(&cluster.one, "one").await;
    let two = take(&cluster.two, "two").await;
    let all = [&name(&one), &name(&two)];
    lives(&one, &all).await;
    lives(&two, &all).await;
    soon("the end", two.end()).await;
    lives(&one, &[&name(&one)]).await;
}

async fn nobody_is_declared_dead_for_an_outage_of_the_bus(mut cluster: Cluster) {
    // If only node one is cut off, it is declared dead; see below.
    if !matches!(cluster.kind, Kind::Nats { .. }) {
        return;
    }
    let (one, two) = (take(&cluster.one, "one").await, take(&cluster.two, "two").await);
    let all = [name(&one), name(&two)];
    announced(&cluster.one, "nodes.one", &one).await;
    cluster.cut();
    let bus = cluster.one.clone();
    until("the bus is away", || is_away(&*bus)).await;
    let clock = Clock;
    clock.sleep_until(clock.now() + 2 * TIMES.lease).await;
    cluster.mend();
    let mut presence = cluster.one.presence();
    soon("the bus is here", presence.wait_for(|now| !now.is_away()))
        .await
        .unwrap();
    clock.sleep_until(clock.now() + TIMES.lease).await;
    assert_eq!([name(&one), name(&two)], all);
    assert!(is_there(&cluster.one, "nodes.one").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_learns_that_it_was_declared_dead_and_begins_anew() {
    let mut cluster = Cluster::faulty(rotunda_bus::Faults::none(1));
    let (one, two) = (take(&cluster.one, "one").await, take(&cluster.two, "two").await);
    let before = name(&one);
    announced(&cluster.one, "nodes.one", &one).await;
    cluster.cut();
    let other = &cluster.two;
    until("the key has vanished", || async { !is_there(other, "nodes.one").await }).await;
    assert_eq!(name(&one), before, "it does not know yet");
    cluster.mend();
    let mut own = one.own();
    let told = own.wait_for(|own| matches!(own, Own::Incarnation(now) if *now != before));
    soon("it knows", told).await.unwrap();
    lives(&two, &[&name(&one), &name(&two)]).await;
    announced(&cluster.one, "nodes.one", &one).await;
    assert!(is_there(&cluster.two, "nodes.one").await);
}
