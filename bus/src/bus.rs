//! The contract of the bus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{BusError, Incarnation, Requests, Subscription, Watch};

/// The bus, shared by every part of a process.
pub type SharedBus = Arc<dyn Bus>;

/// The operations of every implementation. Payloads are JSON; [`BusExt`](crate::BusExt) has the typed calls.
///
/// Keys and subjects obey the rules of NATS: tokens of letters, digits, `-`, `_`, `=` and `/` with dots between
/// them. A *prefix* is tokens with a final dot and means every key below it; without the final dot it is one key.
/// Values, messages, requests and replies have at most [`MAX_BYTES`](crate::MAX_BYTES). While the bus is
/// [away](Presence::Away), every call that needs it returns [`BusError::Away`] at once.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends a request to one of the [servers](Bus::serve) of `subject` and waits for the answer. After
    /// [`BusError::Timeout`] it may have been served; a caller that repeats it may be served twice.
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError>;

    /// Receives requests on `subject` until the receiver is dropped. Several servers of one subject share the load:
    /// each request goes to one of them. To address one node, put its name into the subject.
    async fn serve(&self, subject: &str) -> Result<Requests, BusError>;

    /// Sends a message to every subscriber whose pattern matches, at most once. A subscriber that misses it learns
    /// that it has [lost](crate::Heard::Lost) something.
    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError>;

    /// Messages on `pattern` from now on: a subject in which `*` means any one token, and a final `>` means one or
    /// more.
    async fn subscribe(&self, pattern: &str) -> Result<Subscription, BusError>;

    /// A key's value, if it has one. It is the latest: it includes every write before the call.
    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError>;

    /// Writes `key` if its revision is `expected` (None: if it has no value); returns the new revision. With a
    /// `lease` the key vanishes when that incarnation of a node is declared dead. Errors: [`BusError::Conflict`]
    /// when another writer was first.
    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        lease: Option<&Incarnation>,
    ) -> Result<Revision, BusError>;

    /// Deletes `key` if its revision is `expected`; returns the revision of the deletion. Errors:
    /// [`BusError::Conflict`] when it has another revision, or no value.
    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, BusError>;

    /// Every key of `prefix`, in the order of keys. Writes by this bus value are included; writes by other nodes
    /// appear after a moment.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, BusError>;

    /// The current keys of `prefix`, then [`Synced`](crate::WatchEvent::Synced), then every change. It also works
    /// while the bus is away; then *synced* comes when it is back.
    async fn watch(&self, prefix: &str) -> Result<Watch, BusError>;

    /// The keys that are bound to a node's incarnation.
    async fn bound(&self, lease: &Incarnation) -> Result<Vec<(String, Revision)>, BusError>;

    /// Whether the bus is reachable, from now on.
    fn presence(&self) -> watch::Receiver<Presence>;
}

/// Whether the bus can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Here,
    /// Media and members inside rooms continue; calls that need the bus fail and should be tried later.
    Away {
        since: Instant,
    },
}

impl Presence {
    pub fn is_away(self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// Grows with every write and deletion of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value and its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub value: Bytes,
    pub revision: Revision,
}
