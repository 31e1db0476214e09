//! Questions about the past, and what runs now.

use rotunda_store::{
    DayScale, Effects, MeterChange, MeterStep, NewEntry, POINT_MS, RunningMeter, Store, UsagePoint, UsageRow, UsageSpan,
};

use crate::{app, at, on_both};

on_both!(
    a_room_is_found_while_it_existed,
    a_room_without_an_end_ends_where_the_next_one_begins,
    a_room_has_the_entries_of_its_time,
    a_day_has_its_entries_users_and_rooms,
    time_counts_on_the_day_and_in_the_step_in_which_it_passes,
    a_mix_counts_by_what_it_was,
);

const DAY_MS: i64 = 86_400_000;

/// Something that happened in a room.
fn happened(application: u32, sequence: i64, room: &str, kind: &str, at_ms: i64, user: &str) -> Effects {
    Effects {
        sequence,
        entry: Some(NewEntry {
            event: format!("{application}/{sequence}"),
            application: app(application),
            room: room.to_owned(),
            kind: kind.to_owned(),
            at: std::time::Duration::from_millis(at_ms.unsigned_abs()),
            body: format!(r#"{{"kind":"{kind}","user":"{user}"}}"#),
        }),
        ..Effects::default()
    }
}

async fn apply(store: &Store, application: u32, effects: &[Effects]) {
    let consumer = format!("history-{application}");
    store.apply_events(&consumer, effects, at(1)).await.unwrap();
}

/// Rooms by name, with the times of their begin and end.
async fn found(store: &Store, application: u32, span: (i64, i64), rooms: [&str; 2]) -> Vec<(String, i64, Option<i64>)> {
    let (lives, total) = store.room_lives(app(application), span, rooms, (0, 100)).await.unwrap();
    assert_eq!(lives.len() as i64, total);
    let lives = lives.into_iter();
    lives
        .map(|life| (life.room, life.created_unix_ms, life.ended_unix_ms))
        .collect()
}

async fn a_room_is_found_while_it_existed(store: &Store) {
    let all = [
        happened(50, 1, "a", "room_made", 1000, ""),
        happened(50, 2, "a", "entered", 1010, "ann"),
        happened(50, 3, "b", "room_made", 2000, ""),
        happened(50, 4, "a", "left", 2990, "ann"),
        happened(50, 5, "a", "room_ended", 3000, ""),
        happened(50, 6, "a", "room_made", 5000, ""),
    ];
    apply(store, 50, &all).await;
    let (a, b, again) = (
        ("a".to_owned(), 1000, Some(3000)),
        ("b".to_owned(), 2000, None),
        ("a".to_owned(), 5000, None),
    );
    let every = ["", ""];
    assert_eq!(found(store, 50, (0, 999), every).await, []);
    assert_eq!(found(store, 50, (0, 1000), every).await, std::slice::from_ref(&a));
    assert_eq!(found(store, 50, (3000, 4000), every).await, [b.clone(), a.clone()]);
    assert_eq!(found(store, 50, (3001, 9000), every).await, [again.clone(), b.clone()]);
    assert_eq!(found(store, 50, (0, 9000), ["a", ""]).await, [again, a]);
    assert_eq!(found(store, 50, (0, 9000), ["x", "b"]).await, [b]);
    assert_eq!(found(store, 51, (0, 9000), every).await, [], "another application");
    let (page, total) = store.room_lives(app(50), (0, 9000), every, (2, 1)).await.unwrap();
    assert_eq!((page.len(), total), (1, 3));
    assert!(page[0].first_entry.as_ref().unwrap().contains("ann"));
    assert_eq!((page[0].created_unix_ms, page[0].last_unix_ms), (1000, 3000));
}

async fn a_room_without_an_end_ends_where_the_next_one_begins(store: &Store) {
    let all = [
        happened(52, 1, "a", "room_made", 1000, ""),
        happened(52, 2, "a", "room_made", 4000, ""),
        // A room that was made and ended within a millisecond.
        happened(52, 3, "b", "room_made", 500, ""),
        happened(52, 4, "b", "room_ended", 500, ""),
    ];
    apply(store, 52, &all).await;
    let lives = found(store, 52, (0, 9000), ["", ""]).await;
    let expected = [("a", 4000, None), ("a", 1000, Some(4000)), ("b", 500, Some(500))];
    assert_eq!(
        lives,
        expected.map(|(room, made, ended)| (room.to_owned(), made, ended))
    );
}

async fn a_room_has_the_entries_of_its_time(store: &Store) {
    let all = [
        happened(53, 1, "a", "entered", 10_000, "ann"),
        happened(53, 2, "b", "entered", 10_000, "bob"),
        happened(53, 3, "a", "published", 10_000, "ann"),
        happened(53, 4, "a", "left", 20_000, "ann"),
        happened(53, 5, "a", "entered", 90_000, "cat"),
    ];
    apply(store, 53, &all).await;
    let bodies = store.room_attendance(app(53), "a", 11_000, 30_000).await.unwrap();
    let expected = [r#"{"kind":"entered","user":"ann"}"#, r#"{"kind":"left","user":"ann"}"#];
    assert_eq!(bodies, expected);
}

async fn a_day_has_its_entries_users_and_rooms(store: &Store) {
    let all = [
        happened(54, 1, "a", "entered", DAY_MS, "ann"),
        happened(54, 2, "a", "entered", DAY_MS + 5, "ann"),
        happened(54, 3, "b", "entered", DAY_MS + 6, "ann"),
        happened(54, 4, "b", "entered", 2 * DAY_MS - 1, "bob"),
        happened(54, 5, "b", "left", 2 * DAY_MS - 1, "bob"),
        happened(54, 6, "b", "entered", 2 * DAY_MS, "bob"),
    ];
    apply(store, 54, &all).await;
    let days = store.scale(app(54), 0, 2 * DAY_MS).await.unwrap();
    let first = DayScale {
        day: 1,
        entries: 4,
        users: 3,
        rooms: 2,
    };
    assert_eq!(days, [first]);
    assert_eq!(store.scale(app(54), 0, 3 * DAY_MS).await.unwrap().len(), 2);
}

async fn time_counts_on_the_day_and_in_the_step_in_which_it_passes(store: &Store) {
    let midnight = 20_000 * DAY_MS as u64;
    let spanning = Effects {
        spans: vec![UsageSpan {
            application: app(55),
            class: "record_mixed_hd_ms".to_owned(),
            from_unix_ms: midnight - 1500,
            to_unix_ms: midnight + POINT_MS + 500,
        }],
        ..happened(55, 1, "a", "file_ready", 1, "")
    };
    apply(store, 55, std::slice::from_ref(&spanning)).await;
    apply(store, 55, &[spanning]).await;
    let row = |day: &str, amount| UsageRow::new(app(55), day, "record_mixed_hd_ms", amount);
    let days = store.usage(app(55), "2024-10-03", "2024-10-04").await.unwrap();
    assert_eq!(
        days,
        [row("2024-10-03", 1500), row("2024-10-04", POINT_MS as i64 + 500)]
    );
    let first = (midnight / POINT_MS) as i64;
    let point = |point, amount| UsagePoint {
        point,
        class: "record_mixed_hd_ms".to_owned(),
        amount,
    };
    let points = store.usage_points(app(55), first, first + 288).await.unwrap();
    assert_eq!(points, [point(first, POINT_MS as i64), point(first + 1, 500)]);
    store.prune_usage_points(first + 1).await.unwrap();
    assert_eq!(store.usage_points(app(55), 0, i64::MAX).await.unwrap().len(), 1);
    assert_eq!(store.usage(app(55), "2024-10-03", "2024-10-04").await.unwrap().len(), 2);
}

async fn a_mix_counts_by_what_it_was(store: &Store) {
    let noon = 20_000 * DAY_MS as u64 + DAY_MS as u64 / 2;
    let step = |sequence: i64, subject: &str, seconds: u64, what: MeterChange| Effects {
        meters: vec![MeterStep {
            subject: subject.to_owned(),
            application: app(56),
            at_unix_ms: noon + seconds * 1000,
            what,
        }],
        ..happened(56, sequence, "a", "mix", 1, "")
    };
    let (begin, count) = (
        |class: &str| MeterChange::Begin {
            class: class.to_owned(),
        },
        |class: &str| MeterChange::Count {
            class: class.to_owned(),
        },
    );
    let all = [
        step(1, "m1", 0, begin("sd")),
        step(2, "m1", 1, begin("hd")),
        step(3, "m1", 10, count("hd")),
        // Another node's clock is behind.
        step(4, "m1", 9, count("hd")),
        step(5, "m1", 30, MeterChange::End),
        step(6, "m1", 40, count("hd")),
        step(7, "m1", 41, MeterChange::End),
        step(8, "m2", 5, begin("audio")),
    ];
    apply(store, 56, &all).await;
    apply(store, 56, &all).await;
    let usage = store.usage(app(56), "2024-10-04", "2024-10-04").await.unwrap();
    let row = |class: &str, amount| UsageRow::new(app(56), "2024-10-04", class, amount);
    assert_eq!(usage, [row("hd", 20_000), row("sd", 10_000)]);
    let running = RunningMeter {
        subject: "m2".to_owned(),
        class: "audio".to_owned(),
        since_unix_ms: noon as i64 + 5000,
    };
    assert_eq!(store.running_meters(app(56)).await.unwrap(), [running]);
    assert_eq!(store.running_meters(app(57)).await.unwrap(), []);
    let silent = |seconds: u64| std::time::Duration::from_millis(noon + seconds * 1000);
    assert_eq!(store.prune_meters(silent(5)).await.unwrap(), 0);
    assert_eq!(store.prune_meters(silent(6)).await.unwrap(), 1);
}
