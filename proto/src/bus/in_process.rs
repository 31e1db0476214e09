//! The bus of one process: maps behind one short lock, and bounded channels to the receivers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Bus, BusError, Change, Entry, Request, Revision};

/// Requests, messages and changes that wait for one receiver, at most. A subscriber beyond it misses messages. A
/// watcher beyond it is closed and must watch again.
const QUEUE: usize = 4096;

/// See the [module](super). Clone the `Arc` that contains it, not the bus.
#[derive(Default)]
pub struct InProcess {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    servers: HashMap<String, mpsc::Sender<Request>>,
    subscribers: HashMap<String, Vec<mpsc::Sender<Bytes>>>,
    values: BTreeMap<String, Entry>,
    watchers: Vec<Watcher>,
    last_revision: u64,
}

struct Watcher {
    prefix: String,
    changes: mpsc::Sender<Change>,
}

impl InProcess {
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, key: &str, expected: Option<Revision>) -> Result<(), BusError> {
        let actual = self.values.get(key).map(|entry| entry.revision);
        if actual == expected {
            Ok(())
        } else {
            Err(BusError::Conflict(key.to_owned()))
        }
    }

    fn changed(&mut self, key: &str, entry: Option<Entry>) {
        // Closed watchers are removed with the next write of any key.
        self.watchers.retain(|watcher| {
            if watcher.changes.is_closed() {
                return false;
            }
            !key.starts_with(&watcher.prefix)
                || watcher
                    .changes
                    .try_send(Change {
                        key: key.to_owned(),
                        entry: entry.clone(),
                    })
                    .is_ok()
        });
    }
}

#[async_trait]
impl Bus for InProcess {
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError> {
        let server = self.state().servers.get(subject).cloned();
        let server = server.ok_or_else(|| BusError::NoResponder(subject.to_owned()))?;
        let (request, answer) = Request::new(payload);
        let exchange = async {
            server
                .send(request)
                .await
                .map_err(|_| BusError::NoResponder(subject.to_owned()))?;
            answer.await.map_err(|_| BusError::Timeout(subject.to_owned()))
        };
        timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(BusError::Timeout(subject.to_owned())))
    }

    async fn serve(&self, subject: &str) -> Result<mpsc::Receiver<Request>, BusError> {
        let (requests, receiver) = mpsc::channel(QUEUE);
        self.state().servers.insert(subject.to_owned(), requests);
        Ok(receiver)
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        let mut state = self.state();
        if let Some(subscribers) = state.subscribers.get_mut(subject) {
            subscribers.retain(|subscriber| {
                !matches!(
                    subscriber.try_send(payload.clone()),
                    Err(mpsc::error::TrySendError::Closed(_))
                )
            });
            if subscribers.is_empty() {
                state.subscribers.remove(subject);
            }
        }
        Ok(())
    }

    async fn subscribe(&self, subject: &str) -> Result<mpsc::Receiver<Bytes>, BusError> {
        let (messages, receiver) = mpsc::channel(QUEUE);
        self.state()
            .subscribers
            .entry(subject.to_owned())
            .or_default()
            .push(messages);
        Ok(receiver)
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        Ok(self.state().values.get(key).cloned())
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Revision, BusError> {
        let mut state = self.state();
        state.check(key, expected)?;
        state.last_revision += 1;
        let entry = Entry {
            value,
            revision: Revision(state.last_revision),
        };
        state.values.insert(key.to_owned(), entry.clone());
        state.changed(key, Some(entry.clone()));
        Ok(entry.revision)
    }

    async fn delete(&self, key: &str, expected: Option<Revision>) -> Result<(), BusError> {
        let mut state = self.state();
        if expected.is_some() {
            state.check(key, expected)?;
        }
        if state.values.remove(key).is_some() {
            state.changed(key, None);
        }
        Ok(())
    }

    async fn watch(&self, prefix: &str) -> Result<mpsc::Receiver<Change>, BusError> {
        let mut state = self.state();
        let present: Vec<Change> = state
            .values
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| Change {
                key: key.clone(),
                entry: Some(entry.clone()),
            })
            .collect();
        let (changes, receiver) = mpsc::channel(QUEUE + present.len());
        for change in present {
            // The channel has room for all of them.
            let _fits = changes.try_send(change);
        }
        state.watchers.push(Watcher {
            prefix: prefix.to_owned(),
            changes,
        });
        Ok(receiver)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bus::BusExt;

    #[tokio::test]
    async fn a_request_reaches_its_server_and_the_answer_its_caller() {
        let bus = Arc::new(InProcess::new());
        let mut requests = bus.serve("double").await.unwrap();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                let number: u32 = request.parse().unwrap();
                request.answer(&(number * 2));
            }
        });
        let doubled: u32 = bus.call("double", &21).await.unwrap();
        assert_eq!(doubled, 42);
        let nobody = bus.call::<_, u32>("triple", &1).await;
        assert!(matches!(nobody, Err(BusError::NoResponder(_))));
    }

    #[tokio::test]
    async fn of_two_writers_of_one_revision_one_is_refused() {
        let bus = InProcess::new();
        let first = bus.store("k", &1, None).await.unwrap();
        assert!(matches!(bus.store("k", &9, None).await, Err(BusError::Conflict(_))));
        bus.store("k", &2, Some(first)).await.unwrap();
        assert!(matches!(
            bus.store("k", &3, Some(first)).await,
            Err(BusError::Conflict(_))
        ));
        assert_eq!(bus.load::<i32>("k").await.unwrap().unwrap().0, 2);
    }

    #[tokio::test]
    async fn a_watcher_sees_what_is_there_and_then_every_change() {
        let bus = InProcess::new();
        bus.store("a.1", &1, None).await.unwrap();
        bus.store("b.1", &1, None).await.unwrap();
        let mut changes = bus.watch("a.").await.unwrap();
        bus.store("a.2", &2, None).await.unwrap();
        bus.delete("a.1", None).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let change = changes.recv().await.unwrap();
            seen.push((change.key.clone(), change.parse::<i32>()));
        }
        assert_eq!(
            seen,
            [("a.1".into(), Some(1)), ("a.2".into(), Some(2)), ("a.1".into(), None)]
        );
    }

    #[tokio::test]
    async fn concurrent_updates_all_count() {
        let bus = Arc::new(InProcess::new());
        let mut tasks = Vec::new();
        for _ in 0..50 {
            let bus = bus.clone();
            tasks.push(tokio::spawn(async move {
                bus.update("n", |n: Option<u32>| Ok::<_, ()>((Some(n.unwrap_or(0) + 1), ())))
                    .await
                    .unwrap()
                    .unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(bus.load::<u32>("n").await.unwrap().unwrap().0, 50);
    }
}
