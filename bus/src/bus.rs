//! The contract.

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
/// Keys and subjects obey the rules of NATS: tokens of letters, digits, `-`, `_`, `=` and `/` with dots between them. A
/// *prefix* is tokens with a final dot and stands for every key below; without the final dot it is one key. No value, message,
/// request or reply is larger than [`MAX_BYTES`](crate::MAX_BYTES). While the bus is [away](Presence::Away) every call that needs it
/// answers [`BusError::Away`] at once.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends a request to one of those who [serve](Bus::serve) `subject` and waits for the answer. After
    /// [`BusError::Timeout`] it may have been served; a caller that repeats it may be served twice.
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError>;

    /// Takes requests on `subject` until the receiver is dropped. Several servers of one subject share the load: each
    /// request goes to one of them. A named node is a subject with its name in it.
    async fn serve(&self, subject: &str) -> Result<Requests, BusError>;

    /// Tells every subscriber whose pattern matches, at most once. Those who miss it learn that they
    /// [lost](crate::Heard::Lost) something.
    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError>;

    /// Messages on `pattern` from now on: a subject in which `*` stands for any one token, and a final `>` for one or more.
    async fn subscribe(&self, pattern: &str) -> Result<Subscription, BusError>;

    /// A key's value, if it has one. It is the latest: whatever was written before the call is seen.
    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError>;

    /// Writes `key` if its revision is `expected` (None: if it has no value); answers the new revision. With a `lease` the key
    /// vanishes when that incarnation of a node is declared dead.
    /// Errors: [`BusError::Conflict`] when somebody else was first.
    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        lease: Option<&Incarnation>,
    ) -> Result<Revision, BusError>;

    /// Deletes `key` if its revision is `expected`; answers the revision of the deletion.
    /// Errors: [`BusError::Conflict`] when it has another one, or no value.
    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, BusError>;

    /// Every key that `prefix` stands for, in the order of keys. What was written by this same bus is in it; what others have
    /// written is after a moment.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, BusError>;

    /// What `prefix` stands for as it is now, then [`Synced`](crate::WatchEvent::Synced), then every change. Works while the bus is
    /// away, too: then *synced* comes when it is back.
    async fn watch(&self, prefix: &str) -> Result<Watch, BusError>;

    /// The keys that are bound to a node's incarnation.
    async fn bound(&self, lease: &Incarnation) -> Result<Vec<(String, Revision)>, BusError>;

    /// Whether the bus is there, from now on.
    fn presence(&self) -> watch::Receiver<Presence>;
}

/// Whether the bus can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Here,
    /// Media and those who are inside go on; what needs the bus is told to try later.
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
