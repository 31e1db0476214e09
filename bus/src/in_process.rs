//! The bus of one process: maps behind one short lock, and bounded queues to the receivers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::mailbox::{Mailbox, Message};
use crate::request::QUEUE;
use crate::subject::{check_name, check_pattern, check_prefix, check_size, is_pattern, matches};
use crate::table::Table;
use crate::{Bus, BusError, Entry, Incarnation, Presence, Request, Requests, Revision, Subscription, Watch};

/// The minimum of `State::prune_at`.
const PRUNE_AT: usize = 256;

/// The embedded default. Clone the `Arc` that contains it, not the bus.
pub struct InProcess {
    state: Mutex<State>,
    presence: watch::Sender<Presence>,
}

struct State {
    table: Table,
    servers: HashMap<String, Servers>,
    /// The subscribers of subjects without wildcards.
    subscribers: HashMap<String, Vec<Arc<Mailbox>>>,
    /// Subjects without a subscriber are removed when there are this many.
    prune_at: usize,
    /// The subscribers with wildcards.
    patterns: Vec<(String, Arc<Mailbox>)>,
}

/// The servers of one subject; the next request goes to the first, which then becomes the last.
#[derive(Default)]
struct Servers(std::collections::VecDeque<mpsc::Sender<Request>>);

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl InProcess {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                table: Table::new(true),
                servers: HashMap::new(),
                subscribers: HashMap::new(),
                prune_at: PRUNE_AT,
                patterns: Vec::new(),
            }),
            presence: watch::Sender::new(Presence::Here),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers {
    fn next(&mut self) -> Option<mpsc::Sender<Request>> {
        while let Some(server) = self.0.pop_front() {
            if !server.is_closed() {
                self.0.push_back(server.clone());
                return Some(server);
            }
        }
        None
    }
}

impl State {
    fn check(&self, key: &str, expected: Option<Revision>) -> Result<(), BusError> {
        let actual = self.table.get(key).map(|held| held.entry.revision);
        if actual == expected {
            Ok(())
        } else {
            Err(BusError::Conflict(key.to_owned()))
        }
    }

    fn prune(&mut self) {
        self.subscribers.retain(|_, mailboxes| {
            mailboxes.retain(|mailbox| !is_abandoned(mailbox));
            !mailboxes.is_empty()
        });
        self.prune_at = PRUNE_AT.max(2 * self.subscribers.len());
    }

    /// A server of the subject; a subject without servers is removed.
    fn server(&mut self, subject: &str) -> Option<mpsc::Sender<Request>> {
        let server = self.servers.get_mut(subject)?.next();
        if server.is_none() {
            self.servers.remove(subject);
        }
        server
    }
}

/// The subscriber is gone: only the bus holds its mailbox.
fn is_abandoned(mailbox: &Arc<Mailbox>) -> bool {
    Arc::strong_count(mailbox) == 1
}

#[async_trait]
impl Bus for InProcess {
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError> {
        check_name(subject)?;
        check_size(subject, payload.len())?;
        let nobody = || BusError::NoResponder(subject.to_owned());
        let server = self.state().server(subject).ok_or_else(nobody)?;
        let (reply, answer) = oneshot::channel();
        let request = Request::new(
            payload,
            Box::new(move |bytes| {
                let _caller_gave_up = reply.send(bytes);
            }),
        );
        let exchange = async {
            server.send(request).await.map_err(|_| nobody())?;
            let reply = answer.await.ok().flatten();
            reply.ok_or_else(|| BusError::Unanswered(subject.to_owned()))
        };
        timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(BusError::Timeout(subject.to_owned())))
    }

    async fn serve(&self, subject: &str) -> Result<Requests, BusError> {
        check_name(subject)?;
        let (requests, receiver) = mpsc::channel(QUEUE);
        let mut state = self.state();
        let servers = state.servers.entry(subject.to_owned()).or_default();
        servers.0.retain(|server| !server.is_closed());
        servers.0.push_back(requests);
        Ok(Requests::new(receiver))
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        check_name(subject)?;
        check_size(subject, payload.len())?;
        let message = || Message {
            subject: subject.to_owned(),
            payload: payload.clone(),
        };
        let mut state = self.state();
        if let Some(subscribers) = state.subscribers.get_mut(subject) {
            subscribers.retain(|mailbox| !is_abandoned(mailbox));
            for mailbox in subscribers.iter() {
                mailbox.push(message());
            }
            if subscribers.is_empty() {
                state.subscribers.remove(subject);
            }
        }
        state.patterns.retain(|(_, mailbox)| !is_abandoned(mailbox));
        for (pattern, mailbox) in &state.patterns {
            if matches(pattern, subject) {
                mailbox.push(message());
            }
        }
        Ok(())
    }

    async fn subscribe(&self, pattern: &str) -> Result<Subscription, BusError> {
        check_pattern(pattern)?;
        let (subscription, mailbox) = Subscription::new();
        let mut state = self.state();
        if is_pattern(pattern) {
            state.patterns.push((pattern.to_owned(), mailbox));
        } else {
            if state.subscribers.len() >= state.prune_at {
                state.prune();
            }
            state.subscribers.entry(pattern.to_owned()).or_default().push(mailbox);
        }
        Ok(subscription)
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        check_name(key)?;
        Ok(self.state().table.get(key).map(|held| held.entry.clone()))
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
        let mut state = self.state();
        state.check(key, expected)?;
        Ok(state.table.write(key, value, lease.cloned()))
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, BusError> {
        check_name(key)?;
        let mut state = self.state();
        state.check(key, Some(expected))?;
        let revision = Revision(state.table.revision().0 + 1);
        state.table.delete(key, revision);
        Ok(revision)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, BusError> {
        check_prefix(prefix)?;
        Ok(self.state().table.list(prefix))
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, BusError> {
        check_prefix(prefix)?;
        Ok(self.state().table.watch(prefix))
    }

    async fn bound(&self, lease: &Incarnation) -> Result<Vec<(String, Revision)>, BusError> {
        Ok(self.state().table.bound(lease))
    }

    fn presence(&self) -> watch::Receiver<Presence> {
        self.presence.subscribe()
    }
}
