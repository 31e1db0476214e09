//! The JetStream stream that holds the documents: a key-value bucket with the format of NATS' own clients.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::{self, stream};
use bytes::Bytes;

use super::error::{failed, is_conflict, put_error};
use super::{ConnectError, NatsConfig};
use crate::{BusError, Revision};

/// The time limit of a JetStream call.
pub(super) const JETSTREAM_TIMEOUT: Duration = Duration::from_secs(3);

/// Header of a deletion, in the format of NATS' own key-value clients.
pub(super) const OPERATION: &str = "KV-Operation";
pub(super) const DELETED: &str = "DEL";

/// The names of this cluster's subjects and keys on the server.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    pub(super) fn stream(&self) -> String {
        format!("KV_{}", self.prefix)
    }

    pub(super) fn subject(&self, subject: &str) -> String {
        format!("{}.{subject}", self.prefix)
    }

    pub(super) fn key(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.prefix)
    }

    /// The subject without the cluster's prefix.
    pub(super) fn own_subject<'a>(&self, subject: &'a str) -> &'a str {
        subject.get(self.prefix.len() + 1..).unwrap_or_default()
    }

    /// The key of a message in the bucket.
    pub(super) fn own_key<'a>(&self, subject: &'a str) -> &'a str {
        subject.get("$KV.".len() + self.prefix.len() + 1..).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    jetstream: jetstream::Context,
    config: stream::Config,
    pub(super) names: Names,
    stream: stream::Stream<()>,
}

impl Bucket {
    /// Creates the bucket if it does not exist.
    pub(super) async fn open(client: async_nats::Client, config: &NatsConfig) -> Result<Self, ConnectError> {
        let mut jetstream = jetstream::new(client);
        jetstream.set_timeout(JETSTREAM_TIMEOUT);
        let names = Names::new(&config.prefix);
        let config = stream::Config {
            name: names.stream(),
            description: Some("Documents of Rotunda".to_owned()),
            subjects: vec![names.key(">")],
            max_messages_per_subject: 1,
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            num_replicas: config.replicas,
            storage: stream::StorageType::File,
            ..stream::Config::default()
        };
        let failed = |source: async_nats::Error| ConnectError::Bucket {
            name: names.stream(),
            source,
        };
        jetstream
            .get_or_create_stream(config.clone())
            .await
            .map_err(|error| failed(error.into()))?;
        let stream = jetstream
            .get_stream_no_info(names.stream())
            .await
            .map_err(|error| failed(error.into()))?;
        Ok(Self {
            jetstream,
            config,
            stream,
            names,
        })
    }

    /// The stream with its state; it is created again if it is gone.
    pub(super) async fn found(&self) -> Result<stream::Stream, async_nats::Error> {
        Ok(self.jetstream.get_or_create_stream(self.config.clone()).await?)
    }

    /// The last message of a key, which may be a deletion.
    pub(super) async fn last(&self, key: &str) -> Result<Option<StreamMessage>, BusError> {
        let subject = self.names.key(key);
        match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == stream::LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(format!("read {key}"), error)),
        }
    }

    /// Writes if the last message of the key has that sequence number; None: it has another one.
    pub(super) async fn write(
        &self,
        key: &str,
        value: Bytes,
        headers: HeaderMap,
        last: Revision,
    ) -> Result<Option<Revision>, BusError> {
        let publish = PublishMessage::build()
            .payload(value)
            .headers(headers)
            .expected_last_subject_sequence(last.0);
        let acknowledged = match self.jetstream.send_publish(self.names.key(key), publish).await {
            Ok(acknowledged) => acknowledged.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(acknowledged) => Ok(Some(Revision(acknowledged.sequence))),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(put_error(key, error)),
        }
    }

    /// Removes the key's messages up to that one permanently.
    pub(super) async fn purge(&self, key: &str, through: Revision) -> Result<(), BusError> {
        let purge = self.stream.purge().filter(self.names.key(key)).sequence(through.0 + 1);
        let purged = purge.await.map_err(|error| failed(format!("purge {key}"), error))?;
        tracing::trace!(key, purged = purged.purged, "purge");
        Ok(())
    }
}

pub(super) fn is_deletion(headers: &HeaderMap) -> bool {
    headers.get(OPERATION).is_some()
}
