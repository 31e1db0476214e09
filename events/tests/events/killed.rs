//! Processes that append and consume events are killed again and again, at random points.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rotunda_bus::testing::NatsServer;
use rotunda_bus::{Nats, NatsConfig};
use rotunda_events::{Consumer, EventStream, JetStream, Table};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::SdkAppId;
use rotunda_store::testing::PostgresServer;
use rotunda_store::{CallbackState, Effects, JournalEntry, NewCallback, NewEntry, Store, StreamedEvent, UsageRow};

use crate::event;

const DATABASE: &str = "ROTUNDA_TEST_DATABASE";
const NATS: &str = "ROTUNDA_TEST_NATS";
const DAY: &str = "2026-11-25";
/// Kills of each test.
const KILLS: usize = 12;

fn app() -> SdkAppId {
    40.try_into().unwrap()
}

/// A journal entry, a callback, and one second of usage.
fn effects(event: &StreamedEvent) -> Effects {
    Effects {
        sequence: event.sequence,
        entry: Some(NewEntry {
            event: event.body.clone(),
            application: app(),
            room: "r".to_owned(),
            kind: "entered".to_owned(),
            at: Duration::from_secs(1),
            body: event.body.clone(),
        }),
        callbacks: vec![NewCallback {
            id: event.body.clone(),
            application: app(),
            room: "r".to_owned(),
            sequence: event.sequence,
            url: "http://receiver".to_owned(),
            body: "{}".to_owned(),
            created: Duration::from_secs(1),
        }],
        usage: vec![UsageRow::new(app(), DAY, "seconds", 1)],
        presence: Vec::new(),
        mix: None,
    }
}

async fn stream(store: &Store, nats: Option<&str>) -> Arc<dyn EventStream> {
    let Some(url) = nats else {
        return Arc::new(Table::new(store.clone()));
    };
    let config = NatsConfig {
        urls: vec![url.to_owned()],
        ..NatsConfig::default()
    };
    Arc::new(JetStream::new(
        Nats::connect(&config, "node").await.unwrap().event_log(),
    ))
}

/// Prints the ids that are durable in the stream, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the other tests kill"]
async fn victim() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    let store = Store::open(&database).await.unwrap();
    let stream = stream(&store, std::env::var(NATS).ok().as_deref()).await;
    // Consumed facts are released at once, so that a release too early would lose them.
    let mut consumer = Consumer::new(store, "killed", [stream.clone()], Duration::ZERO);
    let consuming = async {
        loop {
            consumer.round(effects).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let appending = async {
        for number in 0_u64.. {
            let ids = [0, 1, 2].map(|part| format!("{}-{number}-{part}", std::process::id()));
            stream.append(&ids.clone().map(event)).await.unwrap();
            for id in ids {
                println!("appended {id}");
            }
        }
    };
    tokio::join!(consuming, appending);
}

fn victim_on(database: &str, nats: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "killed::victim", "--ignored", "--nocapture"])
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(nats) = nats {
        command.env(NATS, nats);
    }
    command.spawn().unwrap()
}

/// Reads what a victim has appended, and kills it in the midst of something after `rest` events.
fn read_and_kill(mut child: Child, mut rest: usize, within: Duration) -> Vec<String> {
    let mut appended = Vec::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        // The line of a process that was killed may be cut off.
        let id = line.rsplit_once("appended ").map(|(_, id)| id.to_owned());
        let Some(id) = id.filter(|id| id.split('-').count() == 3) else {
            continue;
        };
        appended.push(id);
        rest = rest.saturating_sub(1);
        if rest == 0 {
            Clock.block_until(Clock.now() + within);
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    appended
}

/// Two nodes append and consume, and each is killed and started again.
async fn kill_often(database: &str, nats: Option<&str>) {
    let store = Store::open(database).await.unwrap();
    let mut random = StdRng::seed_from_u64(11);
    let mut appended = BTreeSet::new();
    for _ in 0..KILLS / 2 {
        let victims: Vec<_> = (0..2)
            .map(|_| {
                let child = victim_on(database, nats);
                let (rest, within) = (random.random_range(1..90), random.random_range(0..4000));
                tokio::task::spawn_blocking(move || read_and_kill(child, rest, Duration::from_micros(within)))
            })
            .collect();
        for victim in victims {
            appended.extend(victim.await.unwrap());
        }
    }
    let stream = stream(&store, nats).await;
    let mut consumer = Consumer::new(store.clone(), "killed", [stream.clone()], Duration::ZERO);
    let of = stream.incarnation().await.unwrap();
    consumer.round(effects).await.unwrap();
    while !stream.read(&of, 0, 1).await.unwrap().is_empty() {
        consumer.round(effects).await.unwrap();
    }
    let mut journal: Vec<JournalEntry> = Vec::new();
    loop {
        let after = journal.last().map_or(0, |entry| entry.number);
        let more = store.journal(app(), "r", after, 500).await.unwrap();
        if more.is_empty() {
            break;
        }
        journal.extend(more);
    }
    let written: BTreeSet<_> = journal.iter().map(|row| row.entry.event.clone()).collect();
    assert_eq!(written.len(), journal.len(), "an event is in the journal twice");
    let lost: Vec<_> = appended.difference(&written).collect();
    assert!(appended.len() > 100, "only {} events", appended.len());
    assert!(lost.is_empty(), "lost: {lost:?}");
    let count = journal.len() as u64;
    assert_eq!(store.count_callbacks(CallbackState::Waiting).await.unwrap(), count);
    let usage = store.usage(app(), DAY, DAY).await.unwrap();
    assert_eq!(usage, [UsageRow::new(app(), DAY, "seconds", count as i64)]);
}

#[tokio::test]
async fn a_kill_loses_no_event_and_counts_none_twice_in_a_table_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("rotunda.db").display());
    kill_often(&url, None).await;
}

#[tokio::test]
async fn a_kill_loses_no_event_and_counts_none_twice_in_a_table_on_postgres() {
    let Some(server) = PostgresServer::start() else { return };
    server.store().await.close().await;
    kill_often(&server.url(), None).await;
}

#[tokio::test]
async fn a_kill_loses_no_event_and_counts_none_twice_in_jetstream() {
    let Some(server) = NatsServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("rotunda.db").display());
    kill_often(&url, Some(&server.url())).await;
}
