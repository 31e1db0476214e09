//! The stream in NATS: facts are kept there while the database is away.

use async_trait::async_trait;
use rotunda_bus::{EventLog, LogIncarnation};
use rotunda_store::{NewEvent, StreamedEvent};

use crate::stream::{EventStream, Incarnation, StreamError};

#[derive(Debug, Clone)]
pub struct JetStream(EventLog);

impl JetStream {
    pub fn new(log: EventLog) -> Self {
        Self(log)
    }
}

#[async_trait]
impl EventStream for JetStream {
    async fn incarnation(&self) -> Result<Incarnation, StreamError> {
        Ok(Incarnation(self.0.incarnation().await?.to_string()))
    }

    async fn append(&self, events: &[NewEvent]) -> Result<(), StreamError> {
        let messages = events.iter().map(|event| (event.id.clone(), event.body.clone().into()));
        let messages: Vec<_> = messages.collect();
        Ok(self.0.append(&messages).await?)
    }

    async fn read(&self, of: &Incarnation, after: i64, most: usize) -> Result<Vec<StreamedEvent>, StreamError> {
        let messages = self.0.read(&log(of), after.unsigned_abs(), most).await?;
        let events = messages.into_iter().map(|message| StreamedEvent {
            sequence: message.sequence as i64,
            // A body that is not text is no fact, and has no effects.
            body: String::from_utf8_lossy(&message.payload).into_owned(),
        });
        Ok(events.collect())
    }

    async fn release(&self, of: &Incarnation, through: i64) -> Result<(), StreamError> {
        Ok(self.0.release(&log(of), through.unsigned_abs()).await?)
    }
}

fn log(of: &Incarnation) -> LogIncarnation {
    LogIncarnation::of(&of.0)
}
