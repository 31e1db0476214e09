use rotunda_store::{CallbackState, Effects, JournalEntry, NewCallback, NewEvent, Store, UsageRow};

use crate::{app, at, on_both};

on_both!(
    events_are_read_in_the_order_in_which_they_were_appended,
    what_an_event_leads_to_is_written_once_however_often_it_is_applied,
    a_batch_that_fails_leaves_nothing,
);

/// Of that body, which is its id, too.
pub fn event(body: String) -> NewEvent {
    NewEvent { id: body.clone(), body }
}

async fn events_are_read_in_the_order_in_which_they_were_appended(store: &Store) {
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..5 {
                let events = [
                    event(format!("{writer}.{number}.a")),
                    event(format!("{writer}.{number}.b")),
                ];
                store.append_events(&events, at(10)).await.unwrap();
                store.append_events(&events, at(10)).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut read = Vec::new();
    let mut after = 0;
    loop {
        let events = store.read_events(after, 7).await.unwrap();
        let Some(last) = events.last() else { break };
        assert!(events[0].sequence > after && events.is_sorted_by_key(|event| event.sequence));
        after = last.sequence;
        read.extend(events.into_iter().map(|event| event.body));
    }
    assert_eq!(read.len(), 80);
    for writer in 0..8 {
        let own: Vec<_> = read
            .iter()
            .filter(|body| body.starts_with(&format!("{writer}.")))
            .collect();
        assert!(own.is_sorted());
    }
    assert_eq!(store.prune_events(after, at(10)).await.unwrap(), 0);
    assert_eq!(store.prune_events(after - 1, at(11)).await.unwrap(), 79);
    // Numbers are not used again.
    store.append_events(&[event("next".to_owned())], at(12)).await.unwrap();
    let next = store.read_events(after, 7).await.unwrap();
    assert_eq!(next.len(), 1);
    assert!(next[0].sequence > after);
}

fn effects(application: u32, sequence: i64) -> Effects {
    Effects {
        sequence,
        journal: Some(JournalEntry {
            sequence,
            application: app(application),
            room: "r".to_owned(),
            kind: "entered".to_owned(),
            at: at(1000 + sequence.unsigned_abs()),
            body: "{}".to_owned(),
        }),
        callbacks: vec![NewCallback {
            id: format!("{application}/{sequence}"),
            application: app(application),
            room: "r".to_owned(),
            sequence,
            url: "http://receiver".to_owned(),
            body: "{}".to_owned(),
            created: at(1000),
        }],
        usage: vec![UsageRow::new(app(application), "2026-11-25", "audio_seconds", 10)],
    }
}

async fn what_an_event_leads_to_is_written_once_however_often_it_is_applied(store: &Store) {
    let consumer = "once";
    let all: Vec<_> = (1..=6).map(|sequence| effects(20, sequence)).collect();
    assert_eq!(store.position(consumer).await.unwrap(), 0);
    assert_eq!(store.apply_events(consumer, &all[..3]).await.unwrap(), 3);
    assert_eq!(store.apply_events(consumer, &all[..3]).await.unwrap(), 3);
    let (one, two) = tokio::join!(
        store.apply_events(consumer, &all[1..5]),
        store.apply_events(consumer, &all[2..])
    );
    assert!(one.unwrap().max(two.unwrap()) == 6);
    assert_eq!(store.position(consumer).await.unwrap(), 6);
    let usage = store.usage(app(20), "2026-11-01", "2026-11-30").await.unwrap();
    assert_eq!(usage, [UsageRow::new(app(20), "2026-11-25", "audio_seconds", 60)]);
    assert_eq!(store.usage(app(20), "2026-11-26", "2026-11-30").await.unwrap(), []);
    let journal = store.journal(app(20), "r", 2, 3).await.unwrap();
    assert_eq!(
        journal.iter().map(|entry| entry.sequence).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    assert_eq!(store.count_callbacks(CallbackState::Waiting).await.unwrap(), 6);
    assert_eq!(store.prune_journal(at(1004)).await.unwrap(), 3);
}

async fn a_batch_that_fails_leaves_nothing(store: &Store) {
    let mut bad = effects(21, 102);
    bad.usage[0].amount = i64::MAX;
    let good = effects(21, 101);
    store.apply_events("fails", std::slice::from_ref(&good)).await.unwrap();
    let mut next = effects(21, 103);
    next.usage[0].amount = i64::MAX;
    // On PostgreSQL the sum overflows; SQLite has no such limit, so there is nothing to see.
    if store.apply_events("fails", &[bad.clone(), next]).await.is_ok() {
        return;
    }
    assert_eq!(store.position("fails").await.unwrap(), 101);
    assert_eq!(store.journal(app(21), "r", 0, 10).await.unwrap().len(), 1);
}
