//! The unseen changes of a watcher. Only the newest state of each key waits, so a slow watcher costs no more than
//! the keys that it watches, and misses no current state.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::{Entry, Revision};

/// The state of every key under a prefix, kept current.
///
/// First comes each key that has a value, then [`Synced`](WatchEvent::Synced), then changes. The revisions of one
/// key only grow. Changes of different keys may arrive in another order than they were made. States in between may
/// be left out: after a put and a deletion a watcher may see both, the last, or (if it has never seen the key)
/// nothing. After an interruption the differences come, and then `Synced` again.
#[derive(Debug)]
pub struct Watch(Arc<WatchQueue>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    Change(Change),
    /// Everything that existed when the watch began, or when the bus came back, has been sent.
    Synced,
}

/// The new state of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// None if deleted.
    pub entry: Option<Entry>,
    /// The revision of the write or deletion; a missed deletion has a later one.
    pub revision: Revision,
}

impl Change {
    pub fn put(key: impl Into<String>, entry: Entry) -> Self {
        Self {
            key: key.into(),
            revision: entry.revision,
            entry: Some(entry),
        }
    }

    pub fn deleted(key: impl Into<String>, revision: Revision) -> Self {
        Self {
            key: key.into(),
            entry: None,
            revision,
        }
    }

    /// The new value, parsed; None when the key was deleted or has another type.
    pub fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.entry.as_ref()?.value).ok()
    }
}

impl Watch {
    pub(crate) fn new() -> (Self, Arc<WatchQueue>) {
        let queue = Arc::new(WatchQueue::default());
        (Self(queue.clone()), queue)
    }

    /// The next step of the watch. Cancel-safe; waits for ever when the bus itself has ended.
    pub async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.0.pushed.notified().await;
        }
    }

    /// The next step that is already available.
    pub fn try_next(&mut self) -> Option<WatchEvent> {
        self.0.queue().pop()
    }

    /// Takes everything up to the synced mark.
    pub async fn snapshot(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        while let WatchEvent::Change(change) = self.next().await {
            changes.push(change);
        }
        changes
    }
}

#[derive(Debug, Default)]
pub(crate) struct WatchQueue {
    queue: Mutex<Queue>,
    pushed: Notify,
}

impl WatchQueue {
    pub(crate) fn push(&self, change: Change) {
        self.queue().push(change);
        self.pushed.notify_one();
    }

    pub(crate) fn synced(&self) {
        self.queue().synced();
        self.pushed.notify_one();
    }

    /// The store has restarted: earlier revisions are older than every new one.
    pub(crate) fn restart_revisions(&self) {
        self.queue().restart_revisions();
    }

    /// The watcher is gone; the caller holds the last reference.
    pub(crate) fn is_abandoned(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// The keys that have a value in the watcher's view. None: a revision of a store that is gone.
    told: HashMap<String, Option<Revision>>,
    waiting: BTreeMap<Turn, Waiting>,
    turns: HashMap<String, Turn>,
    synced: Option<Turn>,
    last_turn: Turn,
}

type Turn = u64;

#[derive(Debug)]
enum Waiting {
    Change {
        change: Change,
        /// From a store that is gone.
        old: bool,
    },
    Synced,
}

impl Queue {
    fn push(&mut self, change: Change) {
        if self.newest(&change.key).is_some_and(|newest| newest >= change.revision) {
            return;
        }
        let waiting = self.turns.remove(&change.key);
        if let Some(turn) = waiting {
            self.waiting.remove(&turn);
        }
        if change.entry.is_none() && !self.told.contains_key(&change.key) {
            return;
        }
        // A key that was to be told before the synced mark keeps its turn: otherwise the watcher would take it for one without a value.
        let turn = waiting.unwrap_or_else(|| self.next_turn());
        self.turns.insert(change.key.clone(), turn);
        self.waiting.insert(turn, Waiting::Change { change, old: false });
    }

    fn synced(&mut self) {
        if let Some(turn) = self.synced.take() {
            self.waiting.remove(&turn);
        }
        let turn = self.next_turn();
        self.synced = Some(turn);
        self.waiting.insert(turn, Waiting::Synced);
    }

    fn pop(&mut self) -> Option<WatchEvent> {
        let (_, waiting) = self.waiting.pop_first()?;
        match waiting {
            Waiting::Synced => {
                self.synced = None;
                Some(WatchEvent::Synced)
            }
            Waiting::Change { change, old } => {
                self.turns.remove(&change.key);
                match &change.entry {
                    Some(entry) => self.told.insert(change.key.clone(), (!old).then_some(entry.revision)),
                    None => self.told.remove(&change.key),
                };
                Some(WatchEvent::Change(change))
            }
        }
    }

    fn restart_revisions(&mut self) {
        for revision in self.told.values_mut() {
            *revision = None;
        }
        for waiting in self.waiting.values_mut() {
            if let Waiting::Change { old, .. } = waiting {
                *old = true;
            }
        }
    }

    /// The newest state of the key that the watcher knows or will get.
    fn newest(&self, key: &str) -> Option<Revision> {
        match self.turns.get(key).and_then(|turn| self.waiting.get(turn)) {
            Some(Waiting::Change { change, old }) => (!old).then_some(change.revision),
            _ => self.told.get(key).copied().flatten(),
        }
    }

    fn next_turn(&mut self) -> Turn {
        self.last_turn += 1;
        self.last_turn
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(key: &str, revision: u64) -> Change {
        let entry = Entry {
            value: format!("{revision}").into(),
            revision: Revision(revision),
        };
        Change::put(key, entry)
    }

    #[test]
    fn of_a_key_that_changes_often_a_slow_watcher_sees_the_newest_state_and_before_the_synced_mark() {
        let (mut watch, queue) = Watch::new();
        queue.push(put("a", 1));
        queue.push(put("b", 2));
        queue.synced();
        queue.push(put("a", 3));
        queue.push(put("a", 4));
        let events: Vec<_> = std::iter::from_fn(|| watch.try_next()).collect();
        assert_eq!(
            events,
            [
                WatchEvent::Change(put("a", 4)),
                WatchEvent::Change(put("b", 2)),
                WatchEvent::Synced
            ]
        );
    }

    #[test]
    fn a_key_that_came_and_went_unseen_is_not_reported_and_a_seen_one_is() {
        let (mut watch, queue) = Watch::new();
        queue.push(put("seen", 1));
        assert!(watch.try_next().is_some());
        queue.push(put("unseen", 2));
        queue.push(Change::deleted("unseen", Revision(3)));
        queue.push(Change::deleted("seen", Revision(4)));
        let event = WatchEvent::Change(Change::deleted("seen", Revision(4)));
        assert_eq!(watch.try_next(), Some(event));
        assert_eq!(watch.try_next(), None);
    }

    #[test]
    fn after_a_store_restart_smaller_revisions_are_new() {
        let (mut watch, queue) = Watch::new();
        queue.push(put("a", 100));
        assert!(watch.try_next().is_some());
        queue.push(put("a", 3));
        assert_eq!(watch.try_next(), None);
        queue.restart_revisions();
        queue.push(put("a", 3));
        assert_eq!(watch.try_next(), Some(WatchEvent::Change(put("a", 3))));
    }

    proptest! {
        /// For any writes and any times of reading: the watcher finally knows the current state, revisions of a key
        /// only grow, and no more changes wait than there are keys.
        #[test]
        fn a_watcher_ends_up_with_the_current_state(steps in prop::collection::vec((0..5_u8, 0..4_u8), 1..200)) {
            let (mut watch, queue) = Watch::new();
            let mut there: BTreeMap<String, Revision> = BTreeMap::new();
            let mut seen: BTreeMap<String, Revision> = BTreeMap::new();
            let mut last: BTreeMap<String, Revision> = BTreeMap::new();
            let mut read = |watch: &mut Watch, most: usize, seen: &mut BTreeMap<String, Revision>| {
                for _ in 0..most {
                    let Some(WatchEvent::Change(change)) = watch.try_next() else { break };
                    let before = last.insert(change.key.clone(), change.revision);
                    assert!(before.is_none_or(|before| before < change.revision));
                    match change.entry {
                        Some(entry) => seen.insert(change.key, entry.revision),
                        None => seen.remove(&change.key),
                    };
                }
            };
            for (number, (key, what)) in steps.into_iter().enumerate() {
                let (key, revision) = (format!("k{key}"), Revision(number as u64 + 1));
                match what {
                    0 => read(&mut watch, 2, &mut seen),
                    1 => {
                        if there.remove(&key).is_some() {
                            queue.push(Change::deleted(key, revision));
                        }
                    }
                    _ => {
                        there.insert(key.clone(), revision);
                        queue.push(put(&key, revision.0));
                    }
                }
                prop_assert!(queue.queue().waiting.len() <= 5);
            }
            read(&mut watch, usize::MAX, &mut seen);
            prop_assert_eq!(seen, there);
        }
    }
}
