//! The control plane between services: request and reply, publish and subscribe, and a key-value store with
//! compare-and-set, revisions and watches. Control messages between nodes must use it.
//!
//! [`InProcess`] is the embedded default.

mod in_process;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub use in_process::InProcess;

/// How long a caller waits for a reply by default.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The bus, shared by every part of a process.
pub type SharedBus = Arc<dyn Bus>;

/// The operations of every implementation. Payloads are JSON of the types in this crate; [`BusExt`] has the typed
/// calls.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends a request to the server of `subject` (see [`serve`](Bus::serve)) and waits for the answer.
    async fn request(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError>;

    /// Receives requests on `subject` until the receiver is dropped. A second server of one subject replaces the
    /// first.
    async fn serve(&self, subject: &str) -> Result<mpsc::Receiver<Request>, BusError>;

    /// Sends a message to every current subscriber of exactly `subject`; a subscriber whose queue is full misses
    /// it.
    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError>;

    /// Messages on `subject`, from now on; bounded, see [`publish`](Bus::publish).
    async fn subscribe(&self, subject: &str) -> Result<mpsc::Receiver<Bytes>, BusError>;

    /// A key's value, if it has one.
    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError>;

    /// Writes `key` if its revision is `expected` (None: if it does not exist); returns the new revision. Errors:
    /// [`BusError::Conflict`] when another writer was first.
    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Revision, BusError>;

    /// Deletes `key` if its revision is `expected` (None: any revision). Deleting a missing key is not an error.
    async fn delete(&self, key: &str, expected: Option<Revision>) -> Result<(), BusError>;

    /// Every key that begins with `prefix` as it is now, and then every change of one, in order, until the receiver
    /// is dropped. When a watcher falls too far behind, its channel closes, and it must watch again.
    async fn watch(&self, prefix: &str) -> Result<mpsc::Receiver<Change>, BusError>;
}

/// Grows with every write to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value and its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub value: Bytes,
    pub revision: Revision,
}

/// The result of a change of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<R> {
    pub result: R,
    /// Of the current document; None: it was deleted.
    pub revision: Option<Revision>,
}

/// A change of a watched key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// None: deleted.
    pub entry: Option<Entry>,
}

impl Change {
    /// The new value, parsed; None when the key was deleted or has another type.
    pub fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.entry.as_ref()?.value).ok()
    }
}

/// A request to answer. If it is dropped unanswered, the caller times out at once.
#[derive(Debug)]
pub struct Request {
    pub payload: Bytes,
    reply: oneshot::Sender<Bytes>,
}

impl Request {
    pub(crate) fn new(payload: Bytes) -> (Self, oneshot::Receiver<Bytes>) {
        let (reply, answer) = oneshot::channel();
        (Self { payload, reply }, answer)
    }

    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, BusError> {
        serde_json::from_slice(&self.payload).map_err(BusError::Decode)
    }

    /// Answers; a caller that has given up is not an error here.
    pub fn answer<T: Serialize>(self, reply: &T) {
        if let Ok(json) = serde_json::to_vec(reply) {
            let _caller_gave_up = self.reply.send(json.into());
        }
    }
}

/// Why a bus operation failed.
#[derive(Debug, Error)]
pub enum BusError {
    #[error("no service answers on {0}")]
    NoResponder(String),
    #[error("no reply in time on {0}")]
    Timeout(String),
    #[error("another writer changed {0} first")]
    Conflict(String),
    #[error("encode a bus message")]
    Encode(#[source] serde_json::Error),
    #[error("decode a bus message")]
    Decode(#[source] serde_json::Error),
    #[error("the bus is not reachable: {0}")]
    Away(String),
}

/// Typed calls over any [`Bus`].
#[async_trait]
pub trait BusExt: Bus {
    /// [`Bus::request`] with JSON in both directions and [`REQUEST_TIMEOUT`].
    async fn call<Q: Serialize + Sync, R: DeserializeOwned>(&self, subject: &str, query: &Q) -> Result<R, BusError> {
        let payload = serde_json::to_vec(query).map_err(BusError::Encode)?;
        let reply = self.request(subject, payload.into(), REQUEST_TIMEOUT).await?;
        serde_json::from_slice(&reply).map_err(BusError::Decode)
    }

    /// [`Bus::publish`] of JSON.
    async fn tell<T: Serialize + Sync>(&self, subject: &str, message: &T) -> Result<(), BusError> {
        let payload = serde_json::to_vec(message).map_err(BusError::Encode)?;
        self.publish(subject, payload.into()).await
    }

    /// A key's document and its revision.
    async fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, Revision)>, BusError> {
        match self.get(key).await? {
            None => Ok(None),
            Some(entry) => {
                let document = serde_json::from_slice(&entry.value).map_err(BusError::Decode)?;
                Ok(Some((document, entry.revision)))
            }
        }
    }

    /// [`Bus::put`] of JSON.
    async fn store<T: Serialize + Sync>(
        &self,
        key: &str,
        document: &T,
        expected: Option<Revision>,
    ) -> Result<Revision, BusError> {
        let value = serde_json::to_vec(document).map_err(BusError::Encode)?;
        self.put(key, value.into(), expected).await
    }

    /// [`update_at`](Self::update_at) for callers that do not need the revision.
    async fn update<T, R, E, F>(&self, key: &str, change: F) -> Result<Result<R, E>, BusError>
    where
        T: Serialize + DeserializeOwned + Send + Sync,
        R: Send,
        E: Send,
        F: FnMut(Option<T>) -> Result<(Option<T>, R), E> + Send,
    {
        let written = self.update_at(key, change).await?;
        Ok(written.map(|written| written.result))
    }

    /// Changes a document by compare-and-set, and repeats it until no other writer was in between.
    ///
    /// `change` gets the document (None: there is none) and returns the new document (None: delete it) with a
    /// result of its own, or an error, which leaves the document unchanged.
    async fn update_at<T, R, E, F>(&self, key: &str, mut change: F) -> Result<Result<Written<R>, E>, BusError>
    where
        T: Serialize + DeserializeOwned + Send + Sync,
        R: Send,
        E: Send,
        F: FnMut(Option<T>) -> Result<(Option<T>, R), E> + Send,
    {
        loop {
            let (before, revision) = match self.load::<T>(key).await? {
                Some((document, revision)) => (Some(document), Some(revision)),
                None => (None, None),
            };
            let (after, result) = match change(before) {
                Ok(done) => done,
                Err(refused) => return Ok(Err(refused)),
            };
            let written = match (&after, revision) {
                (Some(document), _) => self.store(key, document, revision).await.map(Some),
                (None, Some(_)) => self.delete(key, revision).await.map(|()| None),
                (None, None) => Ok(None),
            };
            match written {
                Ok(revision) => return Ok(Ok(Written { result, revision })),
                Err(BusError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<B: Bus + ?Sized> BusExt for B {}
