//! Random schedules: under every fault that the contract allows, no acknowledged write is lost, and watchers end up
//! with the current state.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rotunda_bus::{BusError, BusExt, Faults, SharedBus, WatchEvent};

use crate::{Cluster, soon, text, until};

const KEYS: u32 = 8;
const WRITERS: u64 = 4;
const STEPS: usize = 60;

/// A document with its writers: each writer's number only grows.
type Document = BTreeMap<String, u64>;

/// Changes documents, and records the last acknowledged number for each key.
async fn write(bus: SharedBus, seed: u64) -> BTreeMap<String, u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let me = format!("w{seed}");
    let mut acknowledged = BTreeMap::new();
    for step in 1..=STEPS as u64 {
        let key = format!("docs.{}", random.random_range(0..KEYS));
        let written = bus
            .update(&key, |document: Option<Document>| {
                let mut document = document.unwrap_or_default();
                let mine = document.entry(me.clone()).or_default();
                *mine = (*mine).max(step);
                Ok::<_, Infallible>((Some(document), ()))
            })
            .await;
        match written {
            Ok(Ok(())) => {
                acknowledged.insert(key, step);
            }
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
    acknowledged
}

async fn run(mut cluster: Cluster, seed: u64, cuts: bool) {
    let mut watch = cluster.two.watch("docs.").await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let bus = if number % 2 == 0 { &cluster.one } else { &cluster.two };
            tokio::spawn(write(bus.clone(), seed * 100 + number))
        })
        .collect();
    if cuts {
        for _ in 0..3 {
            cluster.cut();
            tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>())
                .await
                .unwrap_err();
            cluster.mend();
        }
    }
    let mut acknowledged = Vec::new();
    for (number, writer) in writers.into_iter().enumerate() {
        let name = format!("w{}", seed * 100 + number as u64);
        for (key, step) in soon("a writer", writer).await.unwrap() {
            acknowledged.push((name.clone(), key, step));
        }
    }
    assert!(
        acknowledged.len() >= 8,
        "only {} writes were acknowledged",
        acknowledged.len()
    );
    let there = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let bus = cluster.two.clone();
    // A node may read a little behind what another one has written; what is lost never comes.
    until("everything acknowledged is in the list", || {
        let (bus, there, acknowledged) = (bus.clone(), there.clone(), acknowledged.clone());
        async move {
            let list: BTreeMap<_, _> = match bus.list("docs.").await {
                Ok(list) => list.into_iter().collect(),
                Err(error) => {
                    assert!(error.is_passing() || matches!(error, BusError::Away), "{error}");
                    return false;
                }
            };
            let is_whole = acknowledged.iter().all(|(writer, key, step)| {
                let entry = list
                    .get(key)
                    .map(|entry| serde_json::from_slice::<Document>(&entry.value).unwrap());
                entry.is_some_and(|document| document.get(writer).is_some_and(|written| written >= step))
            });
            *there.lock().unwrap() = list;
            is_whole
        }
    })
    .await;
    let there = there.lock().unwrap().clone();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let expected: BTreeMap<String, String> = there
        .iter()
        .map(|(key, entry)| (key.clone(), text(&entry.value)))
        .collect();
    while seen != expected {
        if let WatchEvent::Change(change) = soon("the watcher has everything", watch.next()).await {
            match change.entry {
                Some(entry) => seen.insert(change.key, text(&entry.value)),
                None => seen.remove(&change.key),
            };
        }
    }
}

#[tokio::test(start_paused = true)]
async fn on_a_bus_that_misbehaves_nothing_acknowledged_is_lost() {
    for seed in 0..40 {
        run(Cluster::faulty(Faults::some(seed)), seed, seed % 2 == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_nats_nothing_acknowledged_is_lost() {
    for seed in 0..3 {
        let Some(cluster) = Cluster::nats().await else { return };
        run(cluster, seed, false).await;
    }
}
