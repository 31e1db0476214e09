//! A process that appends and consumes events is killed again and again.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rotunda_proto::clock::Clock;
use rotunda_store::{CallbackState, Effects, JournalEntry, NewCallback, NewEvent, Store, StreamedEvent, UsageRow};

use crate::app;

const DATABASE: &str = "ROTUNDA_TEST_DATABASE";
const CONSUMER: &str = "killed";
const APP: u32 = 40;
const DAY: &str = "2026-11-25";

/// Journal, a callback, and one second of usage.
fn effects(event: &StreamedEvent) -> Effects {
    Effects {
        sequence: event.sequence,
        journal: Some(JournalEntry {
            sequence: event.sequence,
            application: app(APP),
            room: "r".to_owned(),
            kind: "entered".to_owned(),
            at: Duration::from_secs(1),
            body: event.body.clone(),
        }),
        callbacks: vec![NewCallback {
            id: event.body.clone(),
            application: app(APP),
            room: "r".to_owned(),
            sequence: event.sequence,
            url: "http://receiver".to_owned(),
            body: "{}".to_owned(),
            created: Duration::from_secs(1),
        }],
        usage: vec![UsageRow::new(app(APP), DAY, "seconds", 1)],
    }
}

async fn consume(store: &Store) -> bool {
    let position = store.position(CONSUMER).await.unwrap();
    let events = store.read_events(position, 7).await.unwrap();
    let effects: Vec<_> = events.iter().map(effects).collect();
    store.apply_events(CONSUMER, &effects).await.unwrap();
    !events.is_empty()
}

/// Prints the ids that are in the stream for good, until it is killed.
#[tokio::test]
#[ignore = "the process that the other test kills"]
async fn victim() {
    let Ok(url) = std::env::var(DATABASE) else { return };
    let store = Store::open(&url).await.unwrap();
    println!("started");
    for number in 0_u64.. {
        let id = |part: u64| format!("{}-{number}-{part}", std::process::id());
        let events: Vec<_> = (0..3)
            .map(|part| NewEvent {
                id: id(part),
                body: id(part),
            })
            .collect();
        store.append_events(&events, Clock.unix()).await.unwrap();
        for event in events {
            println!("appended {}", event.id);
        }
        consume(&store).await;
    }
}

#[tokio::test]
async fn a_kill_at_any_point_loses_no_event_and_counts_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("rotunda.db").display());
    Store::open(&url).await.unwrap().close().await;
    let mut random = StdRng::seed_from_u64(11);
    let mut appended = BTreeSet::new();
    for _ in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::victim", "--ignored", "--nocapture"])
            .env(DATABASE, &url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It is killed in the midst of something, and after so many events at the earliest.
        let mut rest = random.random_range(1..60);
        for line in lines.map_while(Result::ok) {
            let Some(id) = line.rsplit_once("appended ").map(|(_, id)| id.to_owned()) else {
                continue;
            };
            appended.insert(id);
            rest -= 1;
            if rest == 0 {
                let within = Duration::from_micros(random.random_range(0..3000));
                Clock.sleep_until(Clock.now() + within).await;
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }
    let store = Store::open(&url).await.unwrap();
    while consume(&store).await {}
    let mut journal = Vec::new();
    loop {
        let after = journal.last().map_or(0, |entry: &JournalEntry| entry.sequence);
        let more = store.journal(app(APP), "r", after, 500).await.unwrap();
        if more.is_empty() {
            break;
        }
        journal.extend(more);
    }
    let written: BTreeSet<_> = journal.iter().map(|entry| entry.body.clone()).collect();
    assert_eq!(written.len(), journal.len(), "none is there twice");
    assert!(appended.len() > 100 && appended.is_subset(&written), "none is lost");
    let count = journal.len() as u64;
    assert_eq!(store.count_callbacks(CallbackState::Waiting).await.unwrap(), count);
    let usage = store.usage(app(APP), DAY, DAY).await.unwrap();
    assert_eq!(usage, [UsageRow::new(app(APP), DAY, "seconds", count as i64)]);
}
