//! The unread messages of a subscriber: a bounded queue that marks lost messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use metrics::counter;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

/// Maximum messages that wait for one subscriber; further ones are lost.
const QUEUE: usize = 4096;

/// Messages that match a pattern. After a drop no more are kept.
#[derive(Debug)]
pub struct Subscription(Arc<Mailbox>);

/// A delivery to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Message(Message),
    /// Some messages are missing here. Read the affected documents again.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub subject: String,
    pub payload: Bytes,
}

impl Message {
    /// The payload, parsed; None when it has another type.
    pub fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.payload).ok()
    }
}

impl Subscription {
    pub(crate) fn new() -> (Self, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::default());
        (Self(mailbox.clone()), mailbox)
    }

    /// The next message, or a mark that some were lost. Cancel-safe; waits for ever when the bus itself has ended.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.try_next() {
                return heard;
            }
            self.0.pushed.notified().await;
        }
    }

    /// The next delivery that is already available.
    pub fn try_next(&mut self) -> Option<Heard> {
        self.0.queue().pop_front()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.0.dropped.notify_one();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queue: Mutex<VecDeque<Heard>>,
    pushed: Notify,
    /// The subscriber is gone.
    dropped: Notify,
}

impl Mailbox {
    pub(crate) fn push(&self, message: Message) {
        {
            let mut queue = self.queue();
            if queue.len() < QUEUE {
                queue.push_back(Heard::Message(message));
            } else {
                lose(&mut queue);
            }
        }
        self.pushed.notify_one();
    }

    /// Marks that messages are missing here.
    pub(crate) fn lost(&self) {
        lose(&mut self.queue());
        self.pushed.notify_one();
    }

    /// Resolves when the subscriber is gone.
    pub(crate) async fn dropped(&self) {
        self.dropped.notified().await;
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Heard>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mark has a place of its own beyond the bound, and one mark stands for several in a row.
fn lose(queue: &mut VecDeque<Heard>) {
    counter!("rotunda_bus_lost_total").increment(1);
    if queue.back() != Some(&Heard::Lost) {
        queue.push_back(Heard::Lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_subscriber_learns_where_messages_are_missing() {
        let (mut subscription, mailbox) = Subscription::new();
        let message = |number: usize| Message {
            subject: "s".to_owned(),
            payload: number.to_string().into(),
        };
        for number in 0..QUEUE + 10 {
            mailbox.push(message(number));
        }
        for number in 0..QUEUE {
            assert_eq!(subscription.next().await, Heard::Message(message(number)));
        }
        mailbox.push(message(1_000_000));
        assert_eq!(subscription.next().await, Heard::Lost);
        assert_eq!(subscription.next().await, Heard::Message(message(1_000_000)));
    }
}
