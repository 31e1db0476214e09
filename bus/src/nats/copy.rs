//! This node's copy of the bucket, and whether it is current.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::OrderedConfig;
use bytes::Bytes;
use futures::StreamExt;
use metrics::gauge;
use rotunda_proto::clock::Clock;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::LEASE;
use super::bucket::{Bucket, Names, is_deletion};
use super::connection::Connection;
use crate::table::{Held, Table};
use crate::{Entry, Presence, Revision};

/// The interval of checks whether JetStream still answers; a cluster without a majority does not.
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// The pause before the copy is read again.
const TRY_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Copy {
    table: Mutex<Table>,
    deleted: Mutex<HashMap<String, Deletion>>,
    /// The revision up to which this process itself has written.
    wrote: AtomicU64,
    /// The revision up to which the copy is current.
    progress: watch::Sender<u64>,
    presence: watch::Sender<Presence>,
}

/// A deletion is a message that stays until it is purged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deletion {
    pub revision: Revision,
    pub seen: Instant,
}

impl Copy {
    pub(super) fn new() -> Self {
        let since = Clock.now();
        Self {
            table: Mutex::new(Table::new(false)),
            deleted: Mutex::default(),
            wrote: AtomicU64::new(0),
            progress: watch::Sender::new(0),
            presence: watch::Sender::new(Presence::Away { since }),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletions older than that, with their revisions; those that another node must have purged are dropped.
    pub(super) fn old_deletions(&self, now: Instant, than: Duration) -> Vec<(String, Revision)> {
        let mut deletions = self.deletions();
        deletions.retain(|_, deletion| now < deletion.seen + 4 * than);
        let old = deletions.iter().filter(|(_, deletion)| now >= deletion.seen + than);
        old.map(|(key, deletion)| (key.clone(), deletion.revision)).collect()
    }

    pub(super) fn forget_deletion(&self, key: &str, revision: Revision) {
        let mut deletions = self.deletions();
        if deletions.get(key).is_some_and(|deletion| deletion.revision == revision) {
            deletions.remove(key);
        }
    }

    fn deletions(&self) -> MutexGuard<'_, HashMap<String, Deletion>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of the key's last deletion, as far as this node knows.
    pub(super) fn deleted(&self, key: &str) -> Option<Revision> {
        self.deletions().get(key).map(|deletion| deletion.revision)
    }

    pub(super) fn presence(&self) -> watch::Receiver<Presence> {
        self.presence.subscribe()
    }

    pub(super) fn wrote(&self, revision: Revision) {
        self.wrote.fetch_max(revision.0, Ordering::SeqCst);
    }

    /// Resolves when the copy has everything that this process has written.
    pub(super) async fn caught_up(&self) {
        let wrote = self.wrote.load(Ordering::SeqCst);
        let mut progress = self.progress.subscribe();
        let _sender_lives = progress.wait_for(|at| *at >= wrote).await;
    }

    /// Resolves when the copy has been read.
    pub(super) async fn synced(&self) {
        let mut presence = self.presence.subscribe();
        let _sender_lives = presence.wait_for(|now| !now.is_away()).await;
    }

    fn here(&self) {
        gauge!("rotunda_bus_away").set(0.0);
        self.presence.send_if_modified(|presence| {
            let was_away = presence.is_away();
            *presence = Presence::Here;
            was_away
        });
    }

    fn away(&self) {
        self.table().interrupted();
        gauge!("rotunda_bus_away").set(1.0);
        let since = Clock.now();
        self.presence.send_if_modified(|presence| {
            let was_here = !presence.is_away();
            if was_here {
                *presence = Presence::Away { since };
            }
            was_here
        });
    }

    fn take(&self, change: Taken) {
        let revision = change.revision();
        match change {
            Taken::Put(key, held) => {
                self.deletions().remove(&key);
                self.table().put(&key, held);
            }
            Taken::Deletion(key, revision) => {
                self.table().delete(&key, revision);
                let seen = Clock.now();
                self.deletions().insert(key, Deletion { revision, seen });
            }
        }
        self.progress.send_replace(revision.0);
    }

    fn replace(&self, values: BTreeMap<String, Held>, deletions: HashMap<String, Deletion>, at: Revision, anew: bool) {
        if anew {
            self.wrote.store(0, Ordering::SeqCst);
        }
        *self.deletions() = deletions;
        let at = {
            let mut table = self.table();
            table.replace(values, at, anew);
            table.revision()
        };
        self.progress.send_replace(at.0);
    }
}

/// A message of the bucket.
enum Taken {
    Put(String, Held),
    Deletion(String, Revision),
}

impl Taken {
    fn revision(&self) -> Revision {
        match self {
            Self::Put(_, held) => held.entry.revision,
            Self::Deletion(_, revision) => *revision,
        }
    }
}

/// Why the copy is no longer current.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("the connection is lost")]
    Connection,
    #[error("JetStream does not answer")]
    Silent,
    #[error("the consumer of the bucket has ended")]
    Ended,
    #[error("{0}")]
    JetStream(&'static str, #[source] async_nats::Error),
}

/// Keeps the copy current for as long as the bus is used.
pub(super) async fn follow(copy: Arc<Copy>, connection: Connection, bucket: Bucket) {
    let clock = Clock;
    let mut made = None;
    loop {
        connection.connected().await;
        let Err(reason) = read_and_follow(&copy, &connection, &bucket, &mut made).await;
        copy.away();
        warn!(reason = &reason as &dyn std::error::Error, "the bus is not reachable");
        clock.sleep_until(clock.now() + TRY_EVERY).await;
    }
}

/// `made`: the creation time of the bucket that the copy belongs to.
async fn read_and_follow(
    copy: &Copy,
    connection: &Connection,
    bucket: &Bucket,
    made: &mut Option<String>,
) -> Result<Infallible, Interrupted> {
    let names = &bucket.names;
    let losses = connection.loss_count();
    let stream = timeout(PROBE_WITHIN, bucket.found())
        .await
        .map_err(|_| Interrupted::Silent)?
        .map_err(|error| Interrupted::JetStream("open the bucket", error))?;
    let info = stream.cached_info();
    let at = Revision(info.state.last_sequence);
    let before = made.replace(info.created.to_string());
    let anew = before.is_some() && before != *made;
    let consumer = stream.create_consumer(OrderedConfig {
        deliver_subject: connection.client().new_inbox(),
        description: Some("copy of the documents".to_owned()),
        filter_subject: names.key(">"),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..OrderedConfig::default()
    });
    let consumer = timeout(PROBE_WITHIN, consumer)
        .await
        .map_err(|_| Interrupted::Silent)?
        .map_err(|error| Interrupted::JetStream("follow the bucket", error.into()))?;
    let mut waiting = consumer.cached_info().num_pending;
    let mut messages = consumer
        .messages()
        .await
        .map_err(|error| Interrupted::JetStream("follow the bucket", error.into()))?;

    let clock = Clock;
    let (mut values, mut deletions) = (BTreeMap::new(), HashMap::new());
    let mut reading = true;
    let mut probe_at = clock.now() + PROBE_EVERY;
    let lost = connection.lost_since(losses);
    tokio::pin!(lost);
    loop {
        if reading && waiting == 0 {
            reading = false;
            copy.replace(std::mem::take(&mut values), std::mem::take(&mut deletions), at, anew);
            copy.here();
            info!("the bus is reachable");
        }
        tokio::select! {
            () = &mut lost => return Err(Interrupted::Connection),
            () = clock.sleep_until(probe_at) => {
                match timeout(PROBE_WITHIN, stream.get_info()).await {
                    Ok(Ok(_)) => probe_at = clock.now() + PROBE_EVERY,
                    Ok(Err(error)) => return Err(Interrupted::JetStream("ask JetStream", error.into())),
                    Err(_) => return Err(Interrupted::Silent),
                }
            }
            message = messages.next() => {
                let message = message
                    .ok_or(Interrupted::Ended)?
                    .map_err(|error| Interrupted::JetStream("follow the bucket", error.into()))?;
                let info = message.info().map_err(|error| Interrupted::JetStream("read a change", error))?;
                waiting = info.pending;
                let revision = Revision(info.stream_sequence);
                let taken = read(names, &message.subject, message.headers.as_ref(), &message.payload, revision);
                match taken {
                    taken if !reading => copy.take(taken),
                    Taken::Put(key, held) => {
                        deletions.remove(&key);
                        values.insert(key, held);
                    }
                    Taken::Deletion(key, revision) => {
                        values.remove(&key);
                        deletions.insert(key, Deletion { revision, seen: clock.now() });
                    }
                }
            }
        }
    }
}

fn read(
    names: &Names,
    subject: &str,
    headers: Option<&async_nats::HeaderMap>,
    payload: &Bytes,
    revision: Revision,
) -> Taken {
    let key = names.own_key(subject).to_owned();
    if headers.is_some_and(is_deletion) {
        return Taken::Deletion(key, revision);
    }
    let lease = headers.and_then(|headers| headers.get(LEASE)?.as_str().parse().ok());
    let entry = Entry {
        value: payload.clone(),
        revision,
    };
    Taken::Put(key, Held { entry, lease })
}
