use rotunda_store::{NewApiKey, Purpose, SealKey, Slot, Store, StoreError};
use serde_json::json;

use crate::{app, at, on_both};

on_both!(
    an_application_is_changed_by_the_revision_that_was_read,
    two_secrets_of_a_purpose_are_good_at_one_time_and_sealed,
    a_deleted_application_leaves_no_secrets,
    api_keys_have_scopes_and_an_end,
    every_change_raises_the_revision,
);

fn key() -> SealKey {
    SealKey::from_hex(&"5a".repeat(32)).unwrap()
}

async fn an_application_is_changed_by_the_revision_that_was_read(store: &Store) {
    let settings = json!({"max_microphones": 6});
    store
        .create_application(app(1), "one", &settings, at(10))
        .await
        .unwrap();
    let again = store.create_application(app(1), "other", &settings, at(11)).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    let found = store.applications().await.unwrap();
    let found = found.iter().find(|found| found.id == app(1)).unwrap();
    assert_eq!(
        (found.name.as_str(), &found.settings, found.revision),
        ("one", &settings, 1)
    );
    let more = json!({"max_microphones": 9});
    store.change_application(app(1), 1, "new", &more, at(20)).await.unwrap();
    let late = store.change_application(app(1), 1, "late", &settings, at(21)).await;
    assert!(matches!(late, Err(StoreError::Changed(_))), "{late:?}");
    let found = store.applications().await.unwrap();
    let found = found.iter().find(|found| found.id == app(1)).unwrap();
    assert_eq!((found.name.as_str(), found.revision, found.changed), ("new", 2, at(20)));
    assert_eq!(found.created, at(10));
}

async fn two_secrets_of_a_purpose_are_good_at_one_time_and_sealed(store: &Store) {
    store
        .create_application(app(2), "two", &json!({}), at(10))
        .await
        .unwrap();
    for (slot, secret) in [(Slot::First, "old"), (Slot::Second, "new"), (Slot::First, "newest")] {
        let bytes = secret.as_bytes();
        store
            .set_secret(app(2), Purpose::UserSig, slot, bytes, &key(), at(11))
            .await
            .unwrap();
    }
    let opened = async || {
        let secrets = store.secrets().await.unwrap();
        let opened = secrets
            .iter()
            .map(|secret| String::from_utf8(secret.open(&key()).unwrap()).unwrap());
        opened.collect::<Vec<_>>()
    };
    assert_eq!(opened().await, ["newest", "new"]);
    assert!(
        store.secrets().await.unwrap()[0]
            .open(&SealKey::from_hex(&"00".repeat(32)).unwrap())
            .is_err()
    );
    store
        .remove_secret(app(2), Purpose::UserSig, Slot::First, at(12))
        .await
        .unwrap();
    assert_eq!(opened().await, ["new"]);
    let nobody = store
        .set_secret(app(99), Purpose::UserSig, Slot::First, b"x", &key(), at(12))
        .await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
    store.delete_application(app(2)).await.unwrap();
}

async fn a_deleted_application_leaves_no_secrets(store: &Store) {
    store
        .create_application(app(3), "three", &json!({}), at(10))
        .await
        .unwrap();
    store
        .set_secret(app(3), Purpose::Callback, Slot::First, b"x", &key(), at(10))
        .await
        .unwrap();
    store.delete_application(app(3)).await.unwrap();
    assert_eq!(store.secrets().await.unwrap(), []);
}

async fn api_keys_have_scopes_and_an_end(store: &Store) {
    let new = NewApiKey {
        id: "AKID1".to_owned(),
        application: Some(app(4)),
        name: "back end".to_owned(),
        scopes: ["mix".to_owned(), "rooms".to_owned()].into(),
        created: at(10),
        expires: Some(at(1000)),
    };
    store.create_api_key(&new, b"secret", &key()).await.unwrap();
    let again = store.create_api_key(&new, b"other", &key()).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    let of_all = NewApiKey {
        id: "AKID2".to_owned(),
        application: None,
        expires: None,
        created: at(11),
        ..new.clone()
    };
    store.create_api_key(&of_all, b"admin", &key()).await.unwrap();
    let keys = store.api_keys().await.unwrap();
    assert_eq!(
        keys.iter().map(|key| key.about.clone()).collect::<Vec<_>>(),
        [new, of_all]
    );
    assert_eq!(keys[0].open(&key()).unwrap(), b"secret");
    assert!(store.delete_api_key("AKID1").await.unwrap());
    assert!(!store.delete_api_key("AKID1").await.unwrap());
}

async fn every_change_raises_the_revision(store: &Store) {
    let mut last = store.applications_revision().await.unwrap();
    let mut raised = async |what: &str| {
        let now = store.applications_revision().await.unwrap();
        assert!(now > last, "{what}");
        last = now;
    };
    store
        .create_application(app(7), "seven", &json!({}), at(1))
        .await
        .unwrap();
    raised("create").await;
    store
        .change_application(app(7), 1, "7", &json!({}), at(2))
        .await
        .unwrap();
    raised("change").await;
    let (purpose, slot) = (Purpose::Play, Slot::First);
    store
        .set_secret(app(7), purpose, slot, b"s", &key(), at(3))
        .await
        .unwrap();
    raised("set a secret").await;
    store.remove_secret(app(7), purpose, slot, at(4)).await.unwrap();
    raised("remove a secret").await;
    let new = NewApiKey {
        id: "AKID7".to_owned(),
        application: Some(app(7)),
        name: String::new(),
        scopes: ["mix".to_owned()].into(),
        created: at(5),
        expires: None,
    };
    store.create_api_key(&new, b"s", &key()).await.unwrap();
    raised("create a key").await;
    assert!(store.delete_application(app(7)).await.unwrap());
    raised("delete").await;
    assert!(
        !store.delete_api_key("AKID7").await.unwrap(),
        "it went with its application"
    );
    assert!(!store.delete_application(app(7)).await.unwrap());
}
