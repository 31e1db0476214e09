//! The in-process bus with faults, for tests.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rotunda_bus::{Bus, BusError, Entry, InProcess, Incarnation, Presence, Requests, Revision, Subscription, Watch};
use tokio::sync::watch;

#[derive(Default)]
pub struct FailingBus {
    bus: InProcess,
    fault: Mutex<Option<Fault>>,
}

/// A fault in writes of keys with this ending.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The bus refuses the write.
    Refuses(&'static str),
    /// The bus carries the write out, and its answer is lost.
    LosesAnswers(&'static str),
}

impl FailingBus {
    /// From now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bus for FailingBus {
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError> {
        self.bus.request(subject, payload, limit).await
    }

    async fn serve(&self, subject: &str) -> Result<Requests, BusError> {
        self.bus.serve(subject).await
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        self.bus.publish(subject, payload).await
    }

    async fn subscribe(&self, subject: &str) -> Result<Subscription, BusError> {
        self.bus.subscribe(subject).await
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        self.bus.get(key).await
    }

    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        lease: Option<&Incarnation>,
    ) -> Result<Revision, BusError> {
        match self.fault() {
            Some(Fault::Refuses(ending)) if key.ends_with(ending) => Err(BusError::Timeout(key.to_owned())),
            Some(Fault::LosesAnswers(ending)) if key.ends_with(ending) => {
                self.bus.put(key, value, expected, lease).await?;
                Err(BusError::Timeout(key.to_owned()))
            }
            _ => self.bus.put(key, value, expected, lease).await,
        }
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, BusError> {
        self.bus.delete(key, expected).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, BusError> {
        self.bus.list(prefix).await
    }

    async fn bound(&self, lease: &Incarnation) -> Result<Vec<(String, Revision)>, BusError> {
        self.bus.bound(lease).await
    }

    fn presence(&self) -> watch::Receiver<Presence> {
        self.bus.presence()
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, BusError> {
        self.bus.watch(prefix).await
    }
}
