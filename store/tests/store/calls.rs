//! Ended calls, missed calls and profiles.

use std::time::Duration;

use rotunda_proto::call::{CallEndReason, CallMedia, CallRecord, Gone, RecordedParty};
use rotunda_proto::ids::{CallId, UserId};
use rotunda_store::{CallProfile, CallQuery, Effects, EndedCall, NewEntry, Store};

use crate::{app, at, on_both};

on_both!(
    ended_calls_are_found_by_user_and_time_in_pages,
    a_missed_call_is_kept_until_it_is_forgotten,
    a_profile_takes_the_place_of_the_earlier_one,
);

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

/// Ann has called these users; of those with `?` no device knew.
fn call(id: u64, ended_ms: u64, users: &[&str]) -> CallRecord {
    let parties = std::iter::once("ann").chain(users.iter().copied());
    CallRecord {
        call: CallId(id),
        inviter: user("ann"),
        media: CallMedia::Video,
        is_group: users.len() > 1,
        group_id: None,
        started_unix_ms: ended_ms - 500,
        answered_unix_ms: None,
        ended_unix_ms: ended_ms,
        reason: CallEndReason::NoAnswer,
        parties: parties
            .map(|name| RecordedParty {
                user: user(name.trim_end_matches('?')),
                outcome: Gone::NoAnswer,
                joined_ms: 0,
                missed: name.ends_with('?'),
            })
            .collect(),
    }
}

async fn end(store: &Store, application: u32, calls: &[CallRecord]) {
    let consumer = format!("calls-{application}");
    for (sequence, call) in (1..).zip(calls) {
        let entry = NewEntry {
            event: format!("call-ended-{application}-{}", call.call),
            application: app(application),
            room: "room".to_owned(),
            kind: "call_ended".to_owned(),
            at: Duration::from_millis(call.ended_unix_ms),
            body: "{}".to_owned(),
        };
        let effects = Effects {
            sequence,
            entry: Some(entry),
            call: Some(EndedCall::new(app(application), call)),
            ..Effects::default()
        };
        store.apply_events(&consumer, &[effects], at(1)).await.unwrap();
    }
}

async fn found(store: &Store, application: u32, query: CallQuery, offset: i64, most: i64) -> (Vec<u64>, i64) {
    let (calls, total) = store.ended_calls(app(application), &query, offset, most).await.unwrap();
    (calls.into_iter().map(|call| call.call.0).collect(), total)
}

async fn ended_calls_are_found_by_user_and_time_in_pages(store: &Store) {
    let calls = [
        call(1, 1000, &["bob"]),
        call(2, 2000, &["cat"]),
        call(3, 3000, &["bob", "cat"]),
    ];
    end(store, 70, &calls).await;
    end(store, 71, &[call(4, 1000, &["bob"])]).await;
    let all = CallQuery::default();
    assert_eq!(
        found(store, 70, all.clone(), 0, 2).await,
        (vec![3, 2], 3),
        "newest first"
    );
    assert_eq!(found(store, 70, all, 2, 2).await, (vec![1], 3));
    let bobs = CallQuery {
        user: Some(user("bob")),
        ..CallQuery::default()
    };
    assert_eq!(found(store, 70, bobs.clone(), 0, 9).await, (vec![3, 1], 2));
    let early = CallQuery {
        to_unix_ms: Some(2999),
        ..bobs
    };
    assert_eq!(found(store, 70, early, 0, 9).await, (vec![1], 1));
    let (read, _) = store.ended_calls(app(71), &CallQuery::default(), 0, 9).await.unwrap();
    assert_eq!(read, [call(4, 1000, &["bob"])]);
}

async fn a_missed_call_is_kept_until_it_is_forgotten(store: &Store) {
    let missed = [
        call(1, 1000, &["bob?"]),
        call(2, 2000, &["bob?", "cat"]),
        call(3, 3000, &["bob"]),
    ];
    end(store, 72, &missed).await;
    let of = async |name: &str| {
        let calls = store.missed_calls(app(72), &user(name), 9).await.unwrap();
        calls.into_iter().map(|call| call.call.0).collect::<Vec<_>>()
    };
    assert_eq!(of("bob").await, [2, 1]);
    assert_eq!(of("cat").await, [0; 0]);
    store.forget_missed_calls(app(72), &user("bob"), 500).await.unwrap();
    assert_eq!(of("bob").await, [2]);
    store.prune_calls(Duration::from_millis(2500)).await.unwrap();
    assert_eq!(of("bob").await, [0; 0]);
    assert_eq!(found(store, 72, CallQuery::default(), 0, 9).await, (vec![3], 1));
}

async fn a_profile_takes_the_place_of_the_earlier_one(store: &Store) {
    let profile = |nickname: &str| CallProfile {
        user_id: "ann".to_owned(),
        nickname: nickname.to_owned(),
        avatar_url: "https://example.com/ann.png".to_owned(),
        bell_url: String::new(),
    };
    for nickname in ["Ann", "安"] {
        store.put_call_profile(app(73), &profile(nickname)).await.unwrap();
    }
    let users = [user("ann"), user("bob")];
    assert_eq!(store.call_profiles(app(73), &users).await.unwrap(), [profile("安")]);
    assert_eq!(store.call_profiles(app(74), &users).await.unwrap(), []);
    assert_eq!(store.call_profiles(app(73), &[]).await.unwrap(), []);
}
