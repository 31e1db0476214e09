//! A bus that is some milliseconds away from each server.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rotunda_bus::{Bus, BusError, Entry, Incarnation, Presence, Requests, Revision, SharedBus, Subscription, Watch};
use rotunda_proto::clock::Clock;
use tokio::sync::watch;

/// Calls take the way there and back, and requests that of both servers. Messages and watched changes take no time: a server does not wait
/// for them either.
pub struct FarBus {
    inner: SharedBus,
    delay: Duration,
}

impl FarBus {
    /// `delay`: one way.
    pub fn new(inner: SharedBus, delay: Duration) -> Self {
        Self { inner, delay }
    }

    async fn ways(&self, count: u32) {
        if !self.delay.is_zero() {
            Clock.sleep_until(Clock.now() + self.delay * count).await;
        }
    }
}

#[async_trait]
impl Bus for FarBus {
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError> {
        self.ways(2).await;
        let answer = self.inner.request(subject, payload, limit).await;
        self.ways(2).await;
        answer
    }

    async fn serve(&self, subject: &str) -> Result<Requests, BusError> {
        self.inner.serve(subject).await
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        self.inner.publish(subject, payload).await
    }

    async fn subscribe(&self, pattern: &str) -> Result<Subscription, BusError> {
        self.inner.subscribe(pattern).await
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        self.ways(1).await;
        let found = self.inner.get(key).await;
        self.ways(1).await;
        found
    }

    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        lease: Option<&Incarnation>,
    ) -> Result<Revision, BusError> {
        self.ways(1).await;
        let written = self.inner.put(key, value, expected, lease).await;
        self.ways(1).await;
        written
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, BusError> {
        self.ways(1).await;
        let deleted = self.inner.delete(key, expected).await;
        self.ways(1).await;
        deleted
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, BusError> {
        self.ways(1).await;
        let found = self.inner.list(prefix).await;
        self.ways(1).await;
        found
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, BusError> {
        self.inner.watch(prefix).await
    }

    async fn bound(&self, lease: &Incarnation) -> Result<Vec<(String, Revision)>, BusError> {
        self.ways(1).await;
        let found = self.inner.bound(lease).await;
        self.ways(1).await;
        found
    }

    fn presence(&self) -> watch::Receiver<Presence> {
        self.inner.presence()
    }
}
