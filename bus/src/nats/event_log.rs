//! A durable log in JetStream: messages stay until they are released.

use std::fmt;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::bucket::JETSTREAM_TIMEOUT;
use super::connection::Connection;
use super::error::{failed, put_error};
use super::{Nats, NatsConfig};
use crate::BusError;

/// When so many messages wait for their release, further ones are refused, so that the server's disk does not fill.
const MAX_MESSAGES: i64 = 50_000_000;
/// Messages that are read at one time.
const READS: usize = 64;

/// The log of a cluster. Clone it freely.
#[derive(Clone)]
pub struct EventLog {
    connection: Connection,
    jetstream: jetstream::Context,
    config: stream::Config,
    subject: String,
}

/// Which log it is: the server begins another one when it has lost its data. Numbers are of one log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogIncarnation(String);

/// A message in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub sequence: u64,
    pub payload: Bytes,
}

impl Nats {
    /// The log of this cluster's events. It is made when it is first used.
    pub fn event_log(&self) -> EventLog {
        EventLog::new(self.connection.clone(), &self.config)
    }
}

impl EventLog {
    fn new(connection: Connection, config: &NatsConfig) -> Self {
        let mut jetstream = jetstream::new(connection.client().clone());
        jetstream.set_timeout(JETSTREAM_TIMEOUT);
        let subject = format!("{}_events", config.prefix);
        let config = stream::Config {
            name: subject.clone(),
            description: Some("Events of Rotunda".to_owned()),
            subjects: vec![subject.clone()],
            max_messages: MAX_MESSAGES,
            discard: stream::DiscardPolicy::New,
            num_replicas: config.replicas,
            storage: stream::StorageType::File,
            ..stream::Config::default()
        };
        Self {
            connection,
            jetstream,
            config,
            subject,
        }
    }

    pub async fn incarnation(&self) -> Result<LogIncarnation, BusError> {
        Ok(incarnation(self.found().await?.cached_info()))
    }

    /// Appends messages in this order, each with its id. They are durable when this returns. After an error some of them may be in
    /// the log; the server drops those whose id it has had in the last minutes.
    pub async fn append(&self, messages: &[(String, Bytes)]) -> Result<(), BusError> {
        self.check_here()?;
        match self.try_append(messages).await {
            Err(error) if error.kind() == PublishErrorKind::StreamNotFound => {
                self.found().await?;
                self.try_append(messages).await
            }
            done => done,
        }
        .map_err(|error| put_error(&self.subject, error))
    }

    async fn try_append(&self, messages: &[(String, Bytes)]) -> Result<(), PublishError> {
        let mut acknowledgements = Vec::with_capacity(messages.len());
        for (id, payload) in messages {
            let publish = PublishMessage::build().payload(payload.clone()).message_id(id);
            acknowledgements.push(self.jetstream.send_publish(self.subject.clone(), publish).await?);
        }
        for acknowledgement in acknowledgements {
            acknowledgement.await?;
        }
        Ok(())
    }

    /// The next messages after that number, at most `most`. Errors: [`BusError::Conflict`] when it is another log by now.
    pub async fn read(&self, of: &LogIncarnation, after: u64, most: usize) -> Result<Vec<Logged>, BusError> {
        let stream = self.found().await?;
        let info = stream.cached_info();
        if incarnation(info) != *of {
            return Err(BusError::Conflict(self.subject.clone()));
        }
        let first = info.state.first_sequence.max(after + 1);
        let last = info.state.last_sequence.min(first.saturating_add(most as u64) - 1);
        let numbers = futures::stream::iter(first..=last);
        // Its leader answers, so that no replica that is behind makes a message seem deleted.
        let messages = numbers.map(|sequence| {
            let stream = &stream;
            async move {
                match stream.get_raw_message(sequence).await {
                    Ok(message) => Ok(Some(Logged {
                        sequence,
                        payload: message.payload,
                    })),
                    Err(error) if error.kind() == stream::RawMessageErrorKind::NoMessageFound => Ok(None),
                    Err(error) => Err(failed(format!("read event {sequence}"), error)),
                }
            }
        });
        let messages: Vec<Option<Logged>> = messages.buffered(READS).try_collect().await?;
        Ok(messages.into_iter().flatten().collect())
    }

    /// Removes the messages up to that number.
    pub async fn release(&self, of: &LogIncarnation, through: u64) -> Result<(), BusError> {
        let stream = self.found().await?;
        if incarnation(stream.cached_info()) != *of {
            return Err(BusError::Conflict(self.subject.clone()));
        }
        let purged = stream.purge().sequence(through + 1).await;
        purged.map_err(|error| failed("release events".to_owned(), error))?;
        Ok(())
    }

    /// The stream with its state; it is made if there is none.
    async fn found(&self) -> Result<stream::Stream, BusError> {
        self.check_here()?;
        let found = self.jetstream.get_or_create_stream(self.config.clone()).await;
        found.map_err(|error| failed("find the stream of events".to_owned(), error))
    }

    fn check_here(&self) -> Result<(), BusError> {
        match self.connection.is_connected() {
            true => Ok(()),
            false => Err(BusError::Away),
        }
    }
}

fn incarnation(info: &stream::Info) -> LogIncarnation {
    LogIncarnation(info.created.unix_timestamp_nanos().to_string())
}

impl LogIncarnation {
    /// Of what [`Display`](fmt::Display) has shown.
    pub fn of(shown: &str) -> Self {
        Self(shown.to_owned())
    }
}

impl fmt::Display for LogIncarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventLog({})", self.subject)
    }
}
