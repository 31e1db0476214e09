//! The in-process bus with faults, for tests.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rotunda_proto::bus::{Bus, BusError, Change, Entry, InProcess, Request, Revision};
use tokio::sync::mpsc;

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

    async fn serve(&self, subject: &str) -> Result<mpsc::Receiver<Request>, BusError> {
        self.bus.serve(subject).await
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        self.bus.publish(subject, payload).await
    }

    async fn subscribe(&self, subject: &str) -> Result<mpsc::Receiver<Bytes>, BusError> {
        self.bus.subscribe(subject).await
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        self.bus.get(key).await
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Revision, BusError> {
        let away = || BusError::Away("a fault of the test".to_owned());
        match self.fault() {
            Some(Fault::Refuses(ending)) if key.ends_with(ending) => Err(away()),
            Some(Fault::LosesAnswers(ending)) if key.ends_with(ending) => {
                self.bus.put(key, value, expected).await?;
                Err(away())
            }
            _ => self.bus.put(key, value, expected).await,
        }
    }

    async fn delete(&self, key: &str, expected: Option<Revision>) -> Result<(), BusError> {
        self.bus.delete(key, expected).await
    }

    async fn watch(&self, prefix: &str) -> Result<mpsc::Receiver<Change>, BusError> {
        self.bus.watch(prefix).await
    }
}
