//! The password of the console.

use rotunda_store::{PasswordHash, Store};

use crate::{at, on_both};

on_both!(the_first_password_stays_until_it_is_replaced,);

async fn the_first_password_stays_until_it_is_replaced(store: &Store) {
    let hash = |text: &str| PasswordHash::from_text(text);
    assert_eq!(store.console_password().await.unwrap(), None);
    assert!(store.make_console_password(&hash("first"), at(1)).await.unwrap());
    assert!(
        !store
            .make_console_password(&hash("of another node"), at(2))
            .await
            .unwrap()
    );
    assert_eq!(store.console_password().await.unwrap(), Some(hash("first")));
    store.set_console_password(&hash("second"), at(3)).await.unwrap();
    assert_eq!(store.console_password().await.unwrap(), Some(hash("second")));
}
