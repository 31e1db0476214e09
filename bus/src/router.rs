//! One subscription for many readers, each of which wants the messages of one subject.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio_util::task::AbortOnDropHandle;

use crate::mailbox::Mailbox;
use crate::{Bus, BusError, Heard, Subscription};

/// Entries of readers that are gone are removed when there are twice as many as after the last removal, and at least so many.
const LEAST_ENTRIES: usize = 64;

/// Reads a pattern of subjects, and hands each message to the reader of its subject.
///
/// A process with 60,000 sessions needs one subscription with this, where it would need 60,000. A message that no reader wants is
/// dropped. When the subscription loses messages, every reader hears [`Heard::Lost`].
pub struct Router {
    readers: Arc<Readers>,
    _task: AbortOnDropHandle<()>,
}

impl Router {
    /// Subscribes to `pattern`, see [`Bus::subscribe`].
    pub async fn open(bus: &dyn Bus, pattern: &str) -> Result<Self, BusError> {
        let mut messages = bus.subscribe(pattern).await?;
        let readers = Arc::new(Readers::default());
        let theirs = readers.clone();
        let route = async move {
            loop {
                theirs.hand_on(messages.next().await);
            }
        };
        Ok(Self {
            readers,
            _task: AbortOnDropHandle::new(tokio::spawn(route)),
        })
    }

    /// The messages of `subject` from now on. A second reader of a subject takes the place of the first.
    pub fn subscribe(&self, subject: &str) -> Subscription {
        let (subscription, mailbox) = Subscription::new();
        self.readers.insert(subject, &mailbox);
        subscription
    }
}

#[derive(Default)]
struct Readers(Mutex<Table>);

#[derive(Default)]
struct Table {
    mailboxes: HashMap<Box<str>, Weak<Mailbox>>,
    /// Entries after the last removal.
    kept: usize,
}

impl Readers {
    fn insert(&self, subject: &str, mailbox: &Arc<Mailbox>) {
        let mut table = self.table();
        if table.mailboxes.len() >= LEAST_ENTRIES.max(2 * table.kept) {
            table.mailboxes.retain(|_, mailbox| mailbox.strong_count() > 0);
            table.kept = table.mailboxes.len();
        }
        table.mailboxes.insert(subject.into(), Arc::downgrade(mailbox));
    }

    fn hand_on(&self, heard: Heard) {
        let table = self.table();
        match heard {
            Heard::Message(message) => {
                let reader = table.mailboxes.get(message.subject.as_str());
                if let Some(mailbox) = reader.and_then(Weak::upgrade) {
                    mailbox.push(message);
                }
            }
            Heard::Lost => {
                for mailbox in table.mailboxes.values().filter_map(Weak::upgrade) {
                    mailbox.lost();
                }
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_that_are_gone_do_not_stay_in_the_table() {
        let readers = Readers::default();
        let (_stays, mailbox) = Subscription::new();
        readers.insert("stays", &mailbox);
        for number in 0..10_000 {
            let (_goes, mailbox) = Subscription::new();
            readers.insert(&number.to_string(), &mailbox);
        }
        assert!(readers.table().mailboxes.len() <= LEAST_ENTRIES);
        assert!(readers.table().mailboxes.contains_key("stays"));
    }
}
