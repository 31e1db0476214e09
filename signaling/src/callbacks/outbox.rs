//! Wakes the delivery.

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Outbox(Notify);

impl Outbox {
    /// Call when a callback was stored.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    /// Resolves when a callback was stored since it last resolved.
    pub async fn changed(&self) {
        self.0.notified().await;
    }
}
