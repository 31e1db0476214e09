//! The bus over NATS: core messages, and one JetStream key-value bucket of which every node keeps a copy.
//!
//! The copy follows one ordered consumer, so that a thousand watches cost the server no more than one. Reads that
//! decide a compare-and-set go to the server; lists and watches read the copy. It works on nats-server 2.9 and
//! later.

mod bucket;
mod config;
mod connection;
mod copy;
mod error;
mod event_log;
mod janitor;

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use rotunda_proto::clock::Clock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::warn;

use crate::mailbox::{Mailbox, Message};
use crate::request::QUEUE;
use crate::subject::{check_name, check_pattern, check_prefix, check_size};
use crate::{Bus, BusError, Entry, Incarnation, Presence, Request, Requests, Revision, Subscription, Watch};

use bucket::{Bucket, DELETED, JETSTREAM_TIMEOUT, Names, OPERATION, is_deletion};
pub use config::NatsConfig;
use connection::{Connection, Link};
use copy::Copy;
pub use error::ConnectError;
use error::{ask_error, failed};
pub use event_log::{EventLog, LogIncarnation, Logged};

/// Attempts of compare-and-set per put: the key's last deletion may be purged or not.
const TRIES: usize = 4;

/// Header with the incarnation that a key is bound to.
const LEASE: &str = "Rotunda-Lease";
/// Header of a reply: the serving node dropped the request.
const UNANSWERED: &str = "Rotunda-Unanswered";

/// A connection to NATS. Clone the `Arc` that contains it, not the bus.
pub struct Nats {
    connection: Connection,
    config: NatsConfig,
    bucket: Bucket,
    copy: Arc<Copy>,
    _tasks: JoinSet<()>,
}

impl Nats {
    /// Connects, creates the bucket if it does not exist, and reads it.
    pub async fn connect(config: &NatsConfig, node: &str) -> Result<Self, ConnectError> {
        let connection = Connection::open(config, node).await?;
        let bucket = Bucket::open(connection.client().clone(), config).await?;
        let copy = Arc::new(Copy::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(copy::follow(copy.clone(), connection.clone(), bucket.clone()));
        tasks.spawn(janitor::purge_deletions(copy.clone(), bucket.clone()));
        let synced = tokio::time::timeout(config.connect_timeout(), copy.synced()).await;
        synced.map_err(|_| ConnectError::Read {
            name: bucket.names.stream(),
        })?;
        Ok(Self {
            connection,
            config: config.clone(),
            bucket,
            copy,
            _tasks: tasks,
        })
    }

    /// Refuses at once what cannot reach the server.
    fn check_here(&self) -> Result<(), BusError> {
        match self.presence().borrow().is_away() {
            true => Err(BusError::Away),
            false => Ok(()),
        }
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        headers: HeaderMap,
        last: Revision,
    ) -> Result<Option<Revision>, BusError> {
        let written = self.bucket.write(key, value, headers, last).await?;
        if let Some(revision) = written {
            self.copy.wrote(revision);
        }
        Ok(written)
    }
}

#[async_trait]
impl Bus for Nats {
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError> {
        check_name(subject)?;
        check_size(subject, payload.len())?;
        self.check_here()?;
        let request = async_nats::Request::new().payload(payload).timeout(Some(limit));
        let sent = self
            .connection
            .client()
            .send_request(self.bucket.names.subject(subject), request);
        let reply = sent.await.map_err(|error| ask_error(subject, error))?;
        match reply.headers.is_some_and(|headers| headers.get(UNANSWERED).is_some()) {
            true => Err(BusError::Unanswered(subject.to_owned())),
            false => Ok(reply.payload),
        }
    }

    async fn serve(&self, subject: &str) -> Result<Requests, BusError> {
        check_name(subject)?;
        self.check_here()?;
        let client = self.connection.client().clone();
        let asked = client
            .queue_subscribe(self.bucket.names.subject(subject), "servers".to_owned())
            .await
            .map_err(|error| failed(format!("serve {subject}"), error))?;
        self.registered(subject).await?;
        let (requests, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(take_requests(client, asked, requests));
        Ok(Requests::new(receiver))
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        check_name(subject)?;
        check_size(subject, payload.len())?;
        self.check_here()?;
        let published = self
            .connection
            .client()
            .publish(self.bucket.names.subject(subject), payload);
        published
            .await
            .map_err(|error| failed(format!("publish on {subject}"), error))
    }

    async fn subscribe(&self, pattern: &str) -> Result<Subscription, BusError> {
        check_pattern(pattern)?;
        self.check_here()?;
        let losses = self.connection.losses();
        let messages = self
            .connection
            .client()
            .subscribe(self.bucket.names.subject(pattern))
            .await
            .map_err(|error| failed(format!("subscribe to {pattern}"), error))?;
        self.registered(pattern).await?;
        let (subscription, mailbox) = Subscription::new();
        let (connection, names) = (self.connection.clone(), self.bucket.names.clone());
        tokio::spawn(take_messages(connection, losses, names, messages, mailbox));
        Ok(subscription)
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        check_name(key)?;
        self.check_here()?;
        let last = self.bucket.last(key).await?;
        Ok(last
            .filter(|message| !is_deletion(&message.headers))
            .map(|message| Entry {
                value: message.payload,
                revision: Revision(message.sequence),
            }))
    }

    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        lease: Option<&Incarnation>,
    ) -> Result<Revision, BusError> {
        check_name(key)?;
        check_size(key, value.len())?;
        self.check_here()?;
        let conflict = || BusError::Conflict(key.to_owned());
        let mut headers = HeaderMap::new();
        if let Some(lease) = lease {
            headers.insert(LEASE, lease.to_string().as_str());
        }
        if let Some(expected) = expected {
            let written = self.write(key, value, headers, expected).await?;
            return written.ok_or_else(conflict);
        }
        // A key without a value was never written, was deleted, or its deletion was purged.
        let mut last = self.copy.deleted(key).unwrap_or(Revision(0));
        for _ in 0..TRIES {
            if let Some(revision) = self.write(key, value.clone(), headers.clone(), last).await? {
                return Ok(revision);
            }
            last = match self.bucket.last(key).await? {
                Some(message) if is_deletion(&message.headers) => Revision(message.sequence),
                Some(_) => return Err(conflict()),
                None => Revision(0),
            };
        }
        Err(conflict())
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, BusError> {
        check_name(key)?;
        self.check_here()?;
        let conflict = || BusError::Conflict(key.to_owned());
        // A deletion is a message too, and must not be deleted again.
        if expected == Revision(0) || self.copy.deleted(key) == Some(expected) {
            return Err(conflict());
        }
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, DELETED);
        let deleted = self.write(key, Bytes::new(), headers, expected).await?;
        deleted.ok_or_else(conflict)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, BusError> {
        check_prefix(prefix)?;
        self.check_here()?;
        self.caught_up(prefix).await?;
        Ok(self.copy.table().list(prefix))
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, BusError> {
        check_prefix(prefix)?;
        if self.check_here().is_ok() {
            self.caught_up(prefix).await?;
        }
        Ok(self.copy.table().watch(prefix))
    }

    async fn bound(&self, lease: &Incarnation) -> Result<Vec<(String, Revision)>, BusError> {
        self.check_here()?;
        self.caught_up(&lease.to_string()).await?;
        Ok(self.copy.table().bound(lease))
    }

    fn presence(&self) -> watch::Receiver<Presence> {
        self.copy.presence()
    }
}

impl Nats {
    /// Waits until the copy has everything that this process itself has written.
    async fn caught_up(&self, what: &str) -> Result<(), BusError> {
        let caught_up = tokio::time::timeout(JETSTREAM_TIMEOUT, self.copy.caught_up());
        caught_up.await.map_err(|_| BusError::Timeout(what.to_owned()))
    }

    /// Waits until the server knows the subscription, so that nothing sent from now on is missed.
    async fn registered(&self, subject: &str) -> Result<(), BusError> {
        let round_trip = tokio::time::timeout(JETSTREAM_TIMEOUT, self.connection.round_trip());
        match round_trip.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(BusError::Away),
            Err(_) => Err(BusError::Timeout(subject.to_owned())),
        }
    }
}

/// Forwards requests until the server drops its end.
async fn take_requests(client: async_nats::Client, mut asked: async_nats::Subscriber, requests: mpsc::Sender<Request>) {
    loop {
        let message = tokio::select! {
            message = asked.next() => message,
            () = requests.closed() => None,
        };
        let Some(message) = message else { break };
        let Some(caller) = message.reply else { continue };
        let client = client.clone();
        let runtime = tokio::runtime::Handle::current();
        let reply = move |bytes: Option<Bytes>| {
            runtime.spawn(async move {
                let sent = match bytes {
                    Some(bytes) => client.publish(caller, bytes).await,
                    None => {
                        let mut headers = HeaderMap::new();
                        headers.insert(UNANSWERED, "true");
                        client.publish_with_headers(caller, headers, Bytes::new()).await
                    }
                };
                if let Err(error) = sent {
                    warn!(error = &error as &dyn std::error::Error, "a reply could not be sent");
                }
            });
        };
        let request = Request::new(message.payload, Box::new(reply));
        if requests.send(request).await.is_err() {
            break;
        }
    }
    let _the_connection_has_ended = asked.unsubscribe().await;
}

/// Forwards messages, and marks possible losses, until the subscriber is gone.
async fn take_messages(
    connection: Connection,
    mut losses: watch::Receiver<Link>,
    names: Names,
    mut messages: async_nats::Subscriber,
    mailbox: Arc<Mailbox>,
) {
    loop {
        tokio::select! {
            biased;
            () = mailbox.dropped() => break,
            lost = losses.changed() => {
                if lost.is_err() {
                    break;
                }
                // Everything published from now on arrives: only now may the subscriber read what it has missed.
                connection.settled().await;
                losses.borrow_and_update();
                while let Some(message) = futures::FutureExt::now_or_never(messages.next()).flatten() {
                    mailbox.push(own(&names, message));
                }
                mailbox.lost();
            }
            message = messages.next() => match message {
                Some(message) => mailbox.push(own(&names, message)),
                None => {
                    // The subscription has ended, which the client does only when it is closed.
                    mailbox.lost();
                    Clock.until(None).await;
                }
            },
        }
    }
    let _the_connection_has_ended = messages.unsubscribe().await;
}

fn own(names: &Names, message: async_nats::Message) -> Message {
    Message {
        subject: names.own_subject(&message.subject).to_owned(),
        payload: message.payload,
    }
}
