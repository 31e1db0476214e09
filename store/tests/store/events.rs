use rotunda_store::{
    CallbackState, ClaimLimits, Effects, NewCallback, NewEntry, NewEvent, PresentMembers, Settled, Store, UsageRow,
};

use crate::{app, at, on_both};

on_both!(
    events_are_read_in_the_order_in_which_they_were_appended,
    the_effects_of_an_event_are_written_once_however_often_it_is_applied,
    an_event_of_another_stream_has_no_effects_a_second_time,
    callbacks_keep_the_order_of_the_streams,
    the_peak_of_a_day_is_its_highest_minute,
    a_batch_that_fails_leaves_nothing,
);

/// An event whose body is also its id.
pub fn event(body: impl Into<String>) -> NewEvent {
    let body = body.into();
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
    assert_eq!(store.prune_events(after).await.unwrap(), 80);
    // Numbers are not used again.
    store.append_events(&[event("next")], at(12)).await.unwrap();
    let next = store.read_events(after, 7).await.unwrap();
    assert_eq!(next.len(), 1);
    assert!(next[0].sequence > after);
}

fn effects(application: u32, sequence: i64) -> Effects {
    Effects {
        sequence,
        mix: None,
        entry: Some(NewEntry {
            event: format!("{application}/{sequence}"),
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
        ..Effects::default()
    }
}

async fn the_effects_of_an_event_are_written_once_however_often_it_is_applied(store: &Store) {
    let consumer = "once";
    let all: Vec<_> = (1..=6).map(|sequence| effects(20, sequence)).collect();
    assert_eq!(store.position(consumer).await.unwrap(), 0);
    assert_eq!(store.apply_events(consumer, &all[..3], at(1)).await.unwrap(), 3);
    assert_eq!(store.apply_events(consumer, &all[..3], at(1)).await.unwrap(), 3);
    let (one, two) = tokio::join!(
        store.apply_events(consumer, &all[1..5], at(1)),
        store.apply_events(consumer, &all[2..], at(1))
    );
    assert!(one.unwrap().max(two.unwrap()) == 6);
    assert_eq!(store.position(consumer).await.unwrap(), 6);
    let usage = store.usage(app(20), "2026-11-01", "2026-11-30").await.unwrap();
    assert_eq!(usage, [UsageRow::new(app(20), "2026-11-25", "audio_seconds", 60)]);
    assert_eq!(store.usage(app(20), "2026-11-26", "2026-11-30").await.unwrap(), []);
    let journal = store.journal(app(20), "r", 0, 10).await.unwrap();
    let events: Vec<_> = journal.iter().map(|row| row.entry.event.as_str()).collect();
    assert_eq!(events, ["20/1", "20/2", "20/3", "20/4", "20/5", "20/6"]);
    let later = store.journal(app(20), "r", journal[1].number, 3).await.unwrap();
    assert_eq!(later, journal[2..5]);
    assert_eq!(store.count_callbacks(CallbackState::Waiting).await.unwrap(), 6);
    assert_eq!(store.prune_journal(at(1004)).await.unwrap(), 3);
}

async fn a_batch_that_fails_leaves_nothing(store: &Store) {
    let mut bad = effects(21, 102);
    bad.usage[0].amount = i64::MAX;
    let good = effects(21, 101);
    store
        .apply_events("fails", std::slice::from_ref(&good), at(1))
        .await
        .unwrap();
    let mut next = effects(21, 103);
    next.usage[0].amount = i64::MAX;
    // On PostgreSQL the sum overflows; SQLite has no such limit, so there is nothing to see.
    if store.apply_events("fails", &[bad.clone(), next], at(1)).await.is_ok() {
        return;
    }
    assert_eq!(store.position("fails").await.unwrap(), 101);
    assert_eq!(store.journal(app(21), "r", 0, 10).await.unwrap().len(), 1);
}

async fn an_event_of_another_stream_has_no_effects_a_second_time(store: &Store) {
    let first = effects(22, 7);
    store
        .apply_events("table", std::slice::from_ref(&first), at(1))
        .await
        .unwrap();
    let again = Effects { sequence: 1, ..first };
    let next = effects(22, 2);
    store.apply_events("other", &[again, next], at(1)).await.unwrap();
    assert_eq!(store.position("other").await.unwrap(), 2);
    let usage = store.usage(app(22), "2026-11-25", "2026-11-25").await.unwrap();
    assert_eq!(usage, [UsageRow::new(app(22), "2026-11-25", "audio_seconds", 20)]);
    assert_eq!(store.journal(app(22), "r", 0, 10).await.unwrap().len(), 2);
}

async fn callbacks_keep_the_order_of_the_streams(store: &Store) {
    // A stream that begins again has lower numbers, and the clock may go back.
    store.apply_events("old", &[effects(23, 900)], at(100)).await.unwrap();
    store
        .apply_events("new", &[effects(23, 1), effects(23, 2)], at(50))
        .await
        .unwrap();
    let mut delivered = Vec::new();
    let limits = ClaimLimits {
        rows: 100,
        of_application: 100,
        hold: at(10),
    };
    for round in 0..3 {
        let claimed = store.claim_callbacks("node", at(2000 + round), limits).await.unwrap();
        for callback in claimed {
            store
                .settle_callback("node", &callback, &Settled::Delivered)
                .await
                .unwrap();
            if callback.application() == Some(app(23)) {
                delivered.push(callback.id);
            }
        }
    }
    assert_eq!(delivered, ["23/900", "23/1", "23/2"]);
}

async fn the_peak_of_a_day_is_its_highest_minute(store: &Store) {
    let present = |sequence: i64, minute: i64, place: &str, members: i64| Effects {
        callbacks: Vec::new(),
        usage: Vec::new(),
        presence: vec![PresentMembers {
            application: app(24),
            day: "2026-11-25".to_owned(),
            minute,
            class: "members_peak".to_owned(),
            place: place.to_owned(),
            members,
        }],
        ..effects(24, sequence)
    };
    let first = [
        present(1, 10, "r/a", 40),
        present(2, 10, "r/b", 60),
        present(3, 11, "r/a", 70),
    ];
    store.apply_events("peak", &first, at(1)).await.unwrap();
    store.apply_events("peak", &first, at(1)).await.unwrap();
    let peak = |members| UsageRow::new(app(24), "2026-11-25", "members_peak", members);
    let usage = || store.usage(app(24), "2026-11-25", "2026-11-25");
    assert_eq!(usage().await.unwrap(), [peak(100)]);
    // The other node's minute arrives in another batch.
    store
        .apply_events("peak", &[present(4, 11, "r/b", 50)], at(1))
        .await
        .unwrap();
    assert_eq!(usage().await.unwrap(), [peak(120)]);
    // A node that was restarted tells its minute once more.
    store
        .apply_events("peak", &[present(5, 11, "r/b", 45)], at(1))
        .await
        .unwrap();
    assert_eq!(usage().await.unwrap(), [peak(120)]);
    store.prune_present_members(12).await.unwrap();
    assert_eq!(usage().await.unwrap(), [peak(120)]);
}
