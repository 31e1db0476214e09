//! The contract of a stream of events. `tests/events` holds both implementations to it.

use async_trait::async_trait;
use rotunda_bus::BusError;
use rotunda_store::{NewEvent, StoreError, StreamedEvent};
use thiserror::Error;

/// Which stream it is. A server that has lost its data begins another one, with numbers from 1 again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Incarnation(pub String);

/// Why the stream did not do it. Every call may be repeated.
#[derive(Debug, Error)]
pub enum StreamError {
    #[error("the table of events")]
    Table(#[from] StoreError),
    #[error("the JetStream of events")]
    JetStream(#[from] BusError),
}

/// Events in the order in which they were appended, until they are released.
#[async_trait]
pub trait EventStream: Send + Sync + 'static {
    async fn incarnation(&self) -> Result<Incarnation, StreamError>;

    /// Whether it is a [`Table`](crate::Table) of the store.
    fn is_in_store(&self) -> bool {
        false
    }

    /// Appends events in this order. They are durable when this returns; after an error some of them may be. An event that is
    /// appended again soon is in the stream once.
    async fn append(&self, events: &[NewEvent]) -> Result<(), StreamError>;

    /// The next events after that number, at most `most`, by number. Errors: the stream is another one by now.
    async fn read(&self, of: &Incarnation, after: i64, most: usize) -> Result<Vec<StreamedEvent>, StreamError>;

    /// Removes the events up to that number: their effects are written.
    async fn release(&self, of: &Incarnation, through: i64) -> Result<(), StreamError>;
}
