//! The stream as a table of the store: for a single node, and for clusters whose bus is not NATS.

use std::sync::Arc;

use async_trait::async_trait;
use rotunda_proto::clock::Clock;
use rotunda_store::{NewEvent, Store, StreamedEvent};

use crate::stream::{EventStream, Incarnation, StreamError};

#[derive(Debug, Clone)]
pub struct Table(Store);

impl Table {
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    pub fn shared(self) -> Arc<dyn EventStream> {
        Arc::new(self)
    }
}

#[async_trait]
impl EventStream for Table {
    /// The table is in the database of the positions, so both are lost together.
    async fn incarnation(&self) -> Result<Incarnation, StreamError> {
        Ok(Incarnation("table".to_owned()))
    }

    fn is_in_store(&self) -> bool {
        true
    }

    async fn append(&self, events: &[NewEvent]) -> Result<(), StreamError> {
        Ok(self.0.append_events(events, Clock.unix()).await?)
    }

    async fn read(&self, _of: &Incarnation, after: i64, most: usize) -> Result<Vec<StreamedEvent>, StreamError> {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        Ok(self.0.read_events(after, most).await?)
    }

    async fn release(&self, _of: &Incarnation, through: i64) -> Result<(), StreamError> {
        self.0.prune_events(through).await?;
        Ok(())
    }
}
