//! Keys: compare-and-set, deletions, lists and watches.

use std::collections::BTreeSet;
use std::sync::Arc;

use rotunda_bus::{BusError, BusExt, Change, MAX_BYTES, Revision, WatchEvent};

use crate::{Cluster, on_every_bus, soon, text, told, until};

on_every_bus!(
    what_one_node_writes_the_other_reads,
    of_two_writers_of_one_revision_one_is_refused,
    a_deletion_has_a_revision_and_its_key_can_be_written_again,
    a_deletion_by_an_old_revision_is_refused,
    concurrent_updates_all_count,
    a_list_has_what_the_prefix_stands_for,
    a_watch_is_a_snapshot_a_mark_and_then_changes,
    a_watch_of_a_key_is_not_told_of_keys_that_begin_alike,
    an_empty_watch_is_synced,
    changes_of_one_key_come_in_the_order_of_their_revisions,
    a_value_may_have_the_size_limit_and_no_more,
    names_out_of_rule_are_refused,
    a_watch_goes_on_after_the_bus_was_away,
);

async fn what_one_node_writes_the_other_reads(cluster: Cluster) {
    let revision = cluster.one.put("a.b", "1".into(), None, None).await.unwrap();
    let entry = cluster.two.get("a.b").await.unwrap().unwrap();
    assert_eq!((text(&entry.value).as_str(), entry.revision), ("1", revision));
    assert_eq!(cluster.two.get("a.c").await.unwrap(), None);
}

async fn of_two_writers_of_one_revision_one_is_refused(cluster: Cluster) {
    let first = cluster.one.put("k", "1".into(), None, None).await.unwrap();
    let again = cluster.two.put("k", "9".into(), None, None).await;
    assert!(matches!(again, Err(BusError::Conflict(_))), "{again:?}");
    let second = cluster.two.put("k", "2".into(), Some(first), None).await.unwrap();
    assert!(second > first);
    let late = cluster.one.put("k", "3".into(), Some(first), None).await;
    assert!(matches!(late, Err(BusError::Conflict(_))), "{late:?}");
    assert_eq!(text(&cluster.one.get("k").await.unwrap().unwrap().value), "2");
}

async fn a_deletion_has_a_revision_and_its_key_can_be_written_again(cluster: Cluster) {
    let written = cluster.one.put("k", "1".into(), None, None).await.unwrap();
    let deleted = cluster.one.delete("k", written).await.unwrap();
    assert!(deleted > written);
    assert_eq!(cluster.two.get("k").await.unwrap(), None);
    // A list may be a little behind what another node has written.
    let two = cluster.two.clone();
    until("an empty list", || {
        let two = two.clone();
        async move { two.list("").await.unwrap().is_empty() }
    })
    .await;
    let late = cluster.two.put("k", "2".into(), Some(written), None).await;
    assert!(matches!(late, Err(BusError::Conflict(_))), "{late:?}");
    let again = cluster.two.put("k", "2".into(), None, None).await.unwrap();
    assert!(again > deleted);
    cluster.two.remove("k").await.unwrap();
    cluster.two.remove("k").await.unwrap();
    assert_eq!(cluster.one.get("k").await.unwrap(), None);
}

async fn a_deletion_by_an_old_revision_is_refused(cluster: Cluster) {
    let first = cluster.one.put("k", "1".into(), None, None).await.unwrap();
    cluster.one.put("k", "2".into(), Some(first), None).await.unwrap();
    let late = cluster.two.delete("k", first).await;
    assert!(matches!(late, Err(BusError::Conflict(_))), "{late:?}");
    let nothing = cluster.two.delete("never", Revision(1)).await;
    assert!(matches!(nothing, Err(BusError::Conflict(_))), "{nothing:?}");
    assert!(cluster.one.get("k").await.unwrap().is_some());
}

async fn concurrent_updates_all_count(cluster: Cluster) {
    let cluster = Arc::new(cluster);
    let tasks = (0..20).map(|number| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            let bus = if number % 2 == 0 { &cluster.one } else { &cluster.two };
            let one_more = |count: Option<u32>| Ok::<_, ()>((Some(count.unwrap_or(0) + 1), ()));
            bus.update("n", one_more).await.unwrap().unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        soon("an update", task).await.unwrap();
    }
    assert_eq!(cluster.one.load::<u32>("n").await.unwrap().unwrap().0, 20);
}

async fn a_list_has_what_the_prefix_stands_for(cluster: Cluster) {
    for key in ["a.2", "a.1", "ab.1", "b", "a.1.x"] {
        cluster.one.put(key, key.into(), None, None).await.unwrap();
    }
    let keys = async |prefix| {
        let list = cluster.one.list(prefix).await.unwrap();
        list.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys("a.").await, ["a.1", "a.1.x", "a.2"]);
    assert_eq!(keys("a.1").await, ["a.1"]);
    assert_eq!(keys("").await, ["a.1", "a.1.x", "a.2", "ab.1", "b"]);
    assert_eq!(keys("c.").await, Vec::<String>::new());
}

async fn a_watch_is_a_snapshot_a_mark_and_then_changes(cluster: Cluster) {
    let first = cluster.one.put("a.1", "1".into(), None, None).await.unwrap();
    cluster.one.put("b.1", "1".into(), None, None).await.unwrap();
    let mut watch = cluster.one.watch("a.").await.unwrap();
    assert_eq!(told(&mut watch).await, "a.1=1");
    assert_eq!(told(&mut watch).await, "synced");
    cluster.two.put("a.2", "2".into(), None, None).await.unwrap();
    assert_eq!(told(&mut watch).await, "a.2=2");
    let deleted = cluster.two.delete("a.1", first).await.unwrap();
    let event = soon("the deletion", watch.next()).await;
    assert_eq!(event, WatchEvent::Change(Change::deleted("a.1", deleted)));
}

async fn a_watch_of_a_key_is_not_told_of_keys_that_begin_alike(cluster: Cluster) {
    cluster.one.put("mix.12", "1".into(), None, None).await.unwrap();
    let mut watch = cluster.one.watch("mix.1").await.unwrap();
    assert_eq!(told(&mut watch).await, "synced");
    cluster.two.put("mix.13", "1".into(), None, None).await.unwrap();
    cluster.two.put("mix.1", "2".into(), None, None).await.unwrap();
    assert_eq!(told(&mut watch).await, "mix.1=2");
}

async fn an_empty_watch_is_synced(cluster: Cluster) {
    let mut watch = cluster.one.watch("nothing.").await.unwrap();
    assert_eq!(told(&mut watch).await, "synced");
}

async fn changes_of_one_key_come_in_the_order_of_their_revisions(cluster: Cluster) {
    let mut watch = cluster.one.watch("k").await.unwrap();
    assert_eq!(told(&mut watch).await, "synced");
    let mut revision = None;
    for number in 0..100 {
        let written = cluster.two.put("k", format!("{number}").into(), revision, None).await;
        revision = Some(written.unwrap());
    }
    let mut last = Revision(0);
    while Some(last) != revision {
        let WatchEvent::Change(change) = soon("the last change", watch.next()).await else {
            continue;
        };
        assert!(change.revision > last);
        last = change.revision;
    }
}

async fn a_value_may_have_the_size_limit_and_no_more(cluster: Cluster) {
    let largest = vec![b'x'; MAX_BYTES];
    cluster.one.put("k", largest.clone().into(), None, None).await.unwrap();
    let read = cluster.two.get("k").await.unwrap().unwrap();
    assert_eq!(read.value.len(), MAX_BYTES);
    let mut watch = cluster.two.watch("k").await.unwrap();
    let snapshot = soon("the snapshot", watch.snapshot()).await;
    assert_eq!(snapshot.len(), 1);
    let larger = vec![b'x'; MAX_BYTES + 1];
    let refused = cluster.one.put("l", larger.into(), None, None).await;
    assert!(
        matches!(refused, Err(BusError::TooLarge { bytes, .. }) if bytes == MAX_BYTES + 1),
        "{refused:?}"
    );
}

async fn names_out_of_rule_are_refused(cluster: Cluster) {
    for name in ["", "a..b", "a b", "a.*"] {
        let put = cluster.one.put(name, "1".into(), None, None).await;
        assert!(matches!(put, Err(BusError::Name(_))), "{name:?}: {put:?}");
        let published = cluster.one.publish(name, "1".into()).await;
        assert!(matches!(published, Err(BusError::Name(_))), "{name:?}: {published:?}");
    }
}

async fn a_watch_goes_on_after_the_bus_was_away(mut cluster: Cluster) {
    let first = cluster.one.put("a.1", "1".into(), None, None).await.unwrap();
    let mut watch = cluster.one.watch("a.").await.unwrap();
    assert_eq!(told(&mut watch).await, "a.1=1");
    assert_eq!(told(&mut watch).await, "synced");
    if matches!(cluster.kind, crate::Kind::InProcess) {
        return;
    }
    cluster.cut();
    let bus = cluster.one.clone();
    crate::until("the bus is away", || crate::is_away(&*bus)).await;
    let refused = cluster.one.get("a.1").await;
    assert!(matches!(refused, Err(BusError::Away)), "{refused:?}");
    cluster.mend();
    let mut presence = cluster.one.presence();
    soon("the bus is here", presence.wait_for(|now| !now.is_away()))
        .await
        .unwrap();
    let mut presence = cluster.two.presence();
    soon("the bus is here", presence.wait_for(|now| !now.is_away()))
        .await
        .unwrap();
    cluster.two.delete("a.1", first).await.unwrap();
    cluster.two.put("a.2", "2".into(), None, None).await.unwrap();
    // The missed changes may come before the mark or after it.
    let mut missing = BTreeSet::from(["-a.1".to_owned(), "a.2=2".to_owned(), "synced".to_owned()]);
    let mut seen = Vec::new();
    while !missing.is_empty() {
        let event = told(&mut watch).await;
        missing.remove(&event);
        seen.push(event);
        assert!(seen.len() < 10, "{seen:?}");
    }
}

/// NATS has lost everything and has restarted, with smaller revisions than before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_store_is_told_as_deletions() {
    let Some(mut cluster) = Cluster::nats().await else {
        return;
    };
    for number in 0..10 {
        cluster
            .one
            .put(&format!("a.{number}"), "1".into(), None, None)
            .await
            .unwrap();
    }
    let mut watch = cluster.one.watch("a.").await.unwrap();
    assert_eq!(soon("the snapshot", watch.snapshot()).await.len(), 10);
    let crate::Kind::Nats { server } = &mut cluster.kind else {
        return;
    };
    server.wipe_and_resume();
    let mut left: BTreeSet<String> = (0..10).map(|number| format!("-a.{number}")).collect();
    while !left.is_empty() {
        left.remove(&told(&mut watch).await);
    }
    let mut presence = cluster.two.presence();
    soon("the bus is here", presence.wait_for(|now| !now.is_away()))
        .await
        .unwrap();
    crate::until("a write after the loss", || async {
        cluster.two.put("a.1", "2".into(), None, None).await.is_ok()
    })
    .await;
    while told(&mut watch).await != "a.1=2" {}
}
