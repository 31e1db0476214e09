use std::collections::BTreeSet;
use std::time::Duration;

use rotunda_store::{Callback, CallbackState, ClaimLimits, NewCallback, Settled, Store, StoreError};

use crate::{app, at, on_both};

on_both!(
    callbacks_of_a_room_are_delivered_one_after_the_other,
    of_two_nodes_one_delivers,
    a_claim_runs_out_when_its_node_has_died,
    a_failing_receiver_delays_nobody_else,
    an_application_with_many_rooms_takes_no_more_than_its_places,
    told_twice_is_one_row,
    what_was_given_up_can_be_replayed_and_is_pruned,
);

const LIMITS: ClaimLimits = ClaimLimits {
    rows: 100,
    of_application: 4,
    hold: Duration::from_secs(30),
};

fn callback(id: &str, application: u32, room: &str, sequence: i64) -> NewCallback {
    NewCallback {
        id: id.to_owned(),
        application: app(application),
        room: room.to_owned(),
        sequence,
        url: "http://receiver".to_owned(),
        body: "{}".to_owned(),
        created: at(100),
    }
}

async fn add(store: &Store, callbacks: &[NewCallback]) {
    for callback in callbacks {
        store.add_callback(callback).await.unwrap();
    }
}

async fn claim(store: &Store, node: &str, seconds: u64) -> Vec<Callback> {
    store.claim_callbacks(node, at(seconds), LIMITS).await.unwrap()
}

fn ids(callbacks: &[Callback]) -> BTreeSet<&str> {
    callbacks.iter().map(|callback| callback.id.as_str()).collect()
}

/// Delivers all that are due, so that the next test begins with an empty outbox.
async fn drain(store: &Store) {
    loop {
        let due = claim(store, "drain", 1_000_000).await;
        if due.is_empty() {
            return;
        }
        for callback in due {
            store
                .settle_callback("drain", &callback, &Settled::Delivered)
                .await
                .unwrap();
        }
    }
}

async fn callbacks_of_a_room_are_delivered_one_after_the_other(store: &Store) {
    add(
        store,
        &[
            callback("a2", 10, "r", 2),
            callback("a1", 10, "r", 1),
            callback("b1", 10, "s", 3),
        ],
    )
    .await;
    let due = claim(store, "n1", 200).await;
    assert_eq!(ids(&due), ["a1", "b1"].into());
    assert_eq!(claim(store, "n1", 200).await, []);
    let first = due.iter().find(|callback| callback.id == "a1").unwrap();
    assert_eq!(first.application(), Some(app(10)));
    store.settle_callback("n1", first, &Settled::Delivered).await.unwrap();
    assert_eq!(ids(&claim(store, "n1", 200).await), ["a2"].into());
    drain(store).await;
}

async fn of_two_nodes_one_delivers(store: &Store) {
    let many: Vec<_> = (0..40)
        .map(|number| callback(&format!("two{number}"), 100 + number, "r", 1))
        .collect();
    add(store, &many).await;
    let (one, two) = tokio::join!(claim(store, "n1", 200), claim(store, "n2", 200));
    assert!(ids(&one).is_disjoint(&ids(&two)));
    assert_eq!(one.len() + two.len(), 40);
    drain(store).await;
}

async fn a_claim_runs_out_when_its_node_has_died(store: &Store) {
    add(store, &[callback("c1", 11, "r", 1)]).await;
    let dead = claim(store, "dead", 200).await;
    assert_eq!(claim(store, "n2", 229).await, []);
    let taken = claim(store, "n2", 230).await;
    assert_eq!(ids(&taken), ["c1"].into());
    // The first node was only slow: its word does not count any more.
    let given_up = Settled::GivenUp {
        error: "late".to_owned(),
    };
    store.settle_callback("dead", &dead[0], &given_up).await.unwrap();
    store
        .settle_callback("n2", &taken[0], &Settled::Delivered)
        .await
        .unwrap();
    assert_eq!(store.count_callbacks(CallbackState::Failed).await.unwrap(), 0);
}

async fn a_failing_receiver_delays_nobody_else(store: &Store) {
    add(
        store,
        &[
            callback("f1", 12, "bad", 1),
            callback("f2", 12, "bad", 2),
            callback("g1", 12, "good", 3),
        ],
    )
    .await;
    let due = claim(store, "n1", 200).await;
    for callback in &due {
        let how = match callback.id.as_str() {
            "f1" => Settled::Again {
                at: at(500),
                error: "status 500".to_owned(),
            },
            _ => Settled::Delivered,
        };
        store.settle_callback("n1", callback, &how).await.unwrap();
    }
    add(store, &[callback("g2", 12, "good", 4), callback("h1", 13, "other", 5)]).await;
    assert_eq!(ids(&claim(store, "n1", 300).await), ["g2", "h1"].into());
    let again = claim(store, "n1", 500).await;
    assert_eq!(ids(&again), ["f1", "g2", "h1"].into());
    assert_eq!(again.iter().find(|callback| callback.id == "f1").unwrap().attempts, 1);
    drain(store).await;
}

async fn an_application_with_many_rooms_takes_no_more_than_its_places(store: &Store) {
    let mut many: Vec<_> = (0..50)
        .map(|number| callback(&format!("m{number}"), 14, &format!("r{number}"), 1))
        .collect();
    many.push(callback("few", 15, "r", 99));
    add(store, &many).await;
    let due = claim(store, "n1", 200).await;
    assert_eq!(due.len(), 5);
    assert!(ids(&due).contains("few"));
    assert_eq!(claim(store, "n2", 200).await, []);
    let one = due.iter().find(|callback| callback.id != "few").unwrap();
    store.settle_callback("n1", one, &Settled::Delivered).await.unwrap();
    assert_eq!(claim(store, "n2", 200).await.len(), 1);
    drain(store).await;
}

async fn told_twice_is_one_row(store: &Store) {
    add(store, &[callback("t1", 16, "r", 1), callback("t1", 16, "r", 1)]).await;
    assert_eq!(claim(store, "n1", 200).await.len(), 1);
    drain(store).await;
}

async fn what_was_given_up_can_be_replayed_and_is_pruned(store: &Store) {
    add(store, &[callback("p1", 17, "r", 1)]).await;
    let due = claim(store, "n1", 200).await;
    let given_up = Settled::GivenUp {
        error: "refused".to_owned(),
    };
    store.settle_callback("n1", &due[0], &given_up).await.unwrap();
    assert_eq!(store.count_callbacks(CallbackState::Failed).await.unwrap(), 1);
    let failed = store.newest_callbacks(100).await.unwrap();
    let failed = failed.iter().find(|callback| callback.id == "p1").unwrap();
    assert_eq!(
        (failed.state.as_str(), failed.last_error.as_deref()),
        ("failed", Some("refused"))
    );
    store.replay_callback("p1", at(300)).await.unwrap();
    let twice = store.replay_callback("p1", at(300)).await;
    assert!(matches!(twice, Err(StoreError::Missing(_))), "{twice:?}");
    let due = claim(store, "n1", 300).await;
    assert_eq!(ids(&due), ["p1"].into());
    store.settle_callback("n1", &due[0], &Settled::Delivered).await.unwrap();
    assert!(store.prune_callbacks(at(101)).await.unwrap() >= 1);
    assert_eq!(store.count_callbacks(CallbackState::Delivered).await.unwrap(), 0);
}
