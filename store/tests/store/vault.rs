use rotunda_store::{KeyWish, Purpose, SealKey, Slot, Store, StoreError, Vault};
use serde_json::json;

use crate::{app, at, on_both};

on_both!(
    an_application_is_made_with_all_its_secrets_or_not_at_all,
    a_secret_is_exchanged_without_a_break,
    the_first_address_of_callbacks_brings_a_key,
    an_issued_key_opens_with_its_secret,
);

fn vault(store: &Store) -> Vault {
    Vault::new(store.clone(), SealKey::from_hex(&"5a".repeat(32)).unwrap())
}

async fn an_application_is_made_with_all_its_secrets_or_not_at_all(store: &Store) {
    let vault = vault(store);
    let purposes = [Purpose::UserSig, Purpose::Play];
    let issued = vault.create(app(21), "a", &json!({}), &purposes, at(1)).await.unwrap();
    let kept = vault.application(app(21)).await.unwrap().unwrap();
    assert_eq!(kept.secrets.len(), 2);
    for secret in &kept.secrets {
        let text = vault.open_secret(secret).unwrap();
        let same = issued.iter().find(|issued| issued.purpose == secret.purpose).unwrap();
        assert_eq!(text, same.text.as_bytes());
    }
    let again = vault
        .create(app(21), "b", &json!({}), &[Purpose::Callback], at(2))
        .await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    assert_eq!(vault.application(app(21)).await.unwrap(), Some(kept));
}

async fn a_secret_is_exchanged_without_a_break(store: &Store) {
    let vault = vault(store);
    let first = vault
        .create(app(22), "", &json!({}), &[Purpose::UserSig], at(1))
        .await
        .unwrap();
    let kept = async || vault.application(app(22)).await.unwrap().unwrap();
    let second = vault.rotate(&kept().await, Purpose::UserSig, at(2)).await.unwrap();
    assert_ne!(first[0].text, second.text);
    let valid = kept().await;
    assert!(valid.has(Purpose::UserSig, Slot::First) && valid.has(Purpose::UserSig, Slot::Second));
    let third = vault.rotate(&valid, Purpose::UserSig, at(3)).await;
    assert!(matches!(third, Err(StoreError::Exists(_))), "{third:?}");
    vault.finish_rotation(app(22), Purpose::UserSig, at(4)).await.unwrap();
    let left = kept().await;
    assert_eq!(left.secrets.len(), 1);
    assert_eq!(vault.open_secret(&left.secrets[0]).unwrap(), second.text.as_bytes());
}

async fn the_first_address_of_callbacks_brings_a_key(store: &Store) {
    let vault = vault(store);
    vault
        .create(app(23), "", &json!({}), &[Purpose::UserSig], at(1))
        .await
        .unwrap();
    let kept = async || vault.application(app(23)).await.unwrap().unwrap();
    let before = kept().await;
    let issued = vault.change(&before, "n", &json!({}), true, at(2)).await.unwrap();
    assert_eq!(issued.unwrap().purpose, Purpose::Callback);
    let late = vault.change(&before, "late", &json!({}), false, at(3)).await;
    assert!(matches!(late, Err(StoreError::Changed(_))), "{late:?}");
    let now = kept().await;
    assert_eq!((now.row.name.as_str(), now.row.revision), ("n", 3));
    assert_eq!(vault.change(&now, "m", &json!({}), true, at(4)).await.unwrap(), None);
}

async fn an_issued_key_opens_with_its_secret(store: &Store) {
    let vault = vault(store);
    let wish = KeyWish {
        application: None,
        name: "operator".to_owned(),
        scopes: ["admin".to_owned()].into(),
        expires: Some(at(50)),
    };
    let issued = vault.create_key(wish, at(1)).await.unwrap();
    let keys = store.api_keys().await.unwrap();
    let found = keys.iter().find(|key| key.about == issued.key).unwrap();
    assert_eq!(vault.open_key(found).unwrap(), issued.secret.as_bytes());
    assert!(!format!("{issued:?}").contains(&issued.secret));
}
