//! Says when there is something to deliver.

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Outbox(Notify);

impl Outbox {
    /// A callback was stored.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    /// Resolves when something was stored since it resolved the last time.
    pub async fn changed(&self) {
        self.0.notified().await;
    }
}
