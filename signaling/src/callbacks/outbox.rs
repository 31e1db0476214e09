//! Stores callbacks, and wakes the delivery.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::RoomKey;
use rotunda_store::{NewCallback, Store, StoreError};
use tokio::sync::Notify;

use super::News;

#[derive(Debug, Default)]
pub struct Outbox {
    /// Time of the last row, milliseconds since 1970: no two have the same, so that their order is known.
    last: Mutex<i64>,
    stored: Notify,
}

impl Outbox {
    pub async fn store(&self, store: &Store, room: &RoomKey, url: &str, news: News) -> Result<(), StoreError> {
        let now = self.next_time(Clock.unix());
        let callback = NewCallback {
            id: news.id,
            application: room.app,
            // This is not the displayed form, as room 123 and the text room "123" differ.
            room: room.token(),
            sequence: now,
            url: url.to_owned(),
            body: news.body.to_string(),
            created: Duration::from_millis(now.unsigned_abs()),
        };
        store.add_callback(&callback).await?;
        self.stored.notify_one();
        Ok(())
    }

    /// Resolves when a callback was stored since it last resolved.
    pub async fn stored(&self) {
        self.stored.notified().await;
    }

    fn next_time(&self, unix_now: Duration) -> i64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (unix_now.as_millis() as i64).max(*last + 1);
        *last
    }
}
