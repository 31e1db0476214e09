//! Keys with their values and watchers, in memory: the store of the in-process bus, and a node's copy of NATS.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::subject::{covers, prefixes};
use crate::watch::WatchQueue;
use crate::{Change, Entry, Incarnation, Revision, Watch};

/// Abandoned watchers are removed when there are this many, and then at twice the remaining number.
const PRUNE_AT: usize = 256;

#[derive(Debug)]
pub(crate) struct Table {
    values: BTreeMap<String, Held>,
    watchers: HashMap<String, Vec<Arc<WatchQueue>>>,
    registered: usize,
    prune_at: usize,
    /// Whether this is the complete state. Watchers get their synced mark when it is.
    complete: bool,
    /// The highest revision so far.
    revision: Revision,
}

/// A value and the incarnation of a node that it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub entry: Entry,
    pub lease: Option<Incarnation>,
}

impl Table {
    pub(crate) fn new(complete: bool) -> Self {
        Self {
            values: BTreeMap::new(),
            watchers: HashMap::new(),
            registered: 0,
            prune_at: PRUNE_AT,
            complete,
            revision: Revision(0),
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Held> {
        self.values.get(key)
    }

    /// Gives `key` a value with the next revision.
    pub(crate) fn write(&mut self, key: &str, value: Bytes, lease: Option<Incarnation>) -> Revision {
        let revision = Revision(self.revision.0 + 1);
        let entry = Entry { value, revision };
        self.put(key, Held { entry, lease });
        revision
    }

    pub(crate) fn put(&mut self, key: &str, held: Held) {
        let entry = held.entry.clone();
        self.revision = self.revision.max(entry.revision);
        self.values.insert(key.to_owned(), held);
        self.tell(&Change::put(key, entry));
    }

    pub(crate) fn delete(&mut self, key: &str, revision: Revision) {
        self.revision = self.revision.max(revision);
        if self.values.remove(key).is_some() {
            self.tell(&Change::deleted(key, revision));
        }
    }

    pub(crate) fn list(&self, prefix: &str) -> Vec<(String, Entry)> {
        self.under(prefix)
            .map(|(key, held)| (key.clone(), held.entry.clone()))
            .collect()
    }

    pub(crate) fn bound(&self, lease: &Incarnation) -> Vec<(String, Revision)> {
        let bound = self
            .values
            .iter()
            .filter(|(_, held)| held.lease.as_ref() == Some(lease));
        bound.map(|(key, held)| (key.clone(), held.entry.revision)).collect()
    }

    pub(crate) fn watch(&mut self, prefix: &str) -> Watch {
        let (watch, queue) = Watch::new();
        for (key, held) in self.under(prefix) {
            queue.push(Change::put(key.clone(), held.entry.clone()));
        }
        if self.complete {
            queue.synced();
        }
        self.registered += 1;
        if self.registered >= self.prune_at {
            self.prune();
        }
        self.watchers.entry(prefix.to_owned()).or_default().push(queue);
        watch
    }

    /// Marks the state as incomplete: changes may have been missed.
    pub(crate) fn interrupted(&mut self) {
        self.complete = false;
    }

    /// Sets the state as of `at`: sends the differences to the watchers, then the synced mark. `anew`: it is
    /// another store than before, whose revisions have restarted.
    pub(crate) fn replace(&mut self, values: BTreeMap<String, Held>, at: Revision, anew: bool) {
        if anew {
            self.revision = Revision(0);
            for queue in self.watchers.values().flatten() {
                queue.restart_revisions();
            }
        }
        let gone: Vec<String> = self
            .values
            .keys()
            .filter(|key| !values.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            self.delete(&key, at);
        }
        for (key, held) in values {
            let same = self.values.get(&key) == Some(&held);
            if anew || !same {
                self.put(&key, held);
            }
        }
        self.revision = self.revision.max(at);
        self.complete = true;
        for queue in self.watchers.values().flatten() {
            queue.synced();
        }
    }

    fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Held)> {
        let from = self.values.range(prefix.to_owned()..);
        from.take_while(move |(key, _)| key.starts_with(prefix))
            .filter(move |(key, _)| covers(prefix, key))
    }

    fn tell(&mut self, change: &Change) {
        for prefix in prefixes(&change.key) {
            let Some(queues) = self.watchers.get_mut(prefix) else {
                continue;
            };
            queues.retain(|queue| !queue.is_abandoned());
            for queue in queues.iter() {
                queue.push(change.clone());
            }
            if queues.is_empty() {
                self.watchers.remove(prefix);
            }
        }
    }

    fn prune(&mut self) {
        self.watchers.retain(|_, queues| {
            queues.retain(|queue| !queue.is_abandoned());
            !queues.is_empty()
        });
        self.registered = self.watchers.values().map(Vec::len).sum();
        self.prune_at = PRUNE_AT.max(2 * self.registered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WatchEvent;

    fn held(value: &'static str, revision: u64) -> Held {
        let entry = Entry {
            value: value.into(),
            revision: Revision(revision),
        };
        Held { entry, lease: None }
    }

    fn keys(watch: &mut Watch) -> Vec<String> {
        std::iter::from_fn(|| watch.try_next())
            .map(|event| match event {
                WatchEvent::Synced => "synced".to_owned(),
                WatchEvent::Change(Change { key, entry: None, .. }) => format!("-{key}"),
                WatchEvent::Change(Change { key, .. }) => key,
            })
            .collect()
    }

    #[test]
    fn a_copy_that_was_cut_off_reports_the_changes_meanwhile() {
        let mut table = Table::new(false);
        let mut watch = table.watch("a.");
        assert_eq!(keys(&mut watch), Vec::<String>::new());
        table.replace(
            [
                ("a.1".into(), held("x", 1)),
                ("a.2".into(), held("x", 2)),
                ("b".into(), held("x", 3)),
            ]
            .into(),
            Revision(3),
            false,
        );
        assert_eq!(keys(&mut watch), ["a.1", "a.2", "synced"]);
        table.interrupted();
        table.replace(
            [("a.2".into(), held("x", 2)), ("a.3".into(), held("x", 6))].into(),
            Revision(7),
            false,
        );
        assert_eq!(keys(&mut watch), ["-a.1", "a.3", "synced"]);
        assert_eq!(table.revision(), Revision(7));
    }

    #[test]
    fn another_store_in_its_place_is_reported_completely() {
        let mut table = Table::new(true);
        table.put("a.1", held("old", 50));
        table.put("a.2", held("old", 51));
        let mut watch = table.watch("a.");
        assert_eq!(keys(&mut watch), ["a.1", "a.2", "synced"]);
        table.replace([("a.1".into(), held("new", 1))].into(), Revision(1), true);
        assert_eq!(keys(&mut watch), ["-a.2", "a.1", "synced"]);
        assert_eq!(table.revision(), Revision(1));
        table.replace(BTreeMap::new(), Revision(0), true);
        assert_eq!(keys(&mut watch), ["-a.1", "synced"]);
    }

    #[test]
    fn abandoned_watchers_are_removed() {
        let mut table = Table::new(true);
        for number in 0..10 * PRUNE_AT {
            drop(table.watch(&format!("rooms.{number}.")));
        }
        let left: usize = table.watchers.values().map(Vec::len).sum();
        assert!(left <= PRUNE_AT, "{left}");
    }
}
