//! Custom messages of a room's members, for members without a data channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::custom_message::{CustomMessage, PER_SECOND, Refused, decode};
use rotunda_proto::ids::UserId;

/// Number of messages that are kept for groups of members that were not notified yet. A late group gets the newest ones.
const KEPT: usize = 64;

/// The newest custom messages of a room. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RoomMessages {
    /// Ever.
    count: u64,
    newest: Arc<VecDeque<Arc<CustomMessage>>>,
}

/// Limits the custom messages that one member sends by signaling: a token bucket.
#[derive(Debug)]
pub struct MessageLimiter {
    /// Messages that the member may send now.
    tokens: f64,
    filled_at: Instant,
    count: u32,
}

impl PartialEq for RoomMessages {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count
    }
}

impl RoomMessages {
    pub fn push(&mut self, message: CustomMessage) {
        let newest = Arc::make_mut(&mut self.newest);
        if newest.len() == KEPT {
            newest.pop_front();
        }
        newest.push_back(Arc::new(message));
        self.count += 1;
    }

    /// The messages after `before`, as far as they are kept.
    pub fn since(&self, before: &Self) -> impl Iterator<Item = &CustomMessage> {
        let new = usize::try_from(self.count.saturating_sub(before.count)).unwrap_or(KEPT);
        let skipped = self.newest.len().saturating_sub(new);
        self.newest.iter().skip(skipped).map(Arc::as_ref)
    }
}

impl MessageLimiter {
    pub fn new(now: Instant) -> Self {
        Self {
            tokens: f64::from(PER_SECOND),
            filled_at: now,
            count: 0,
        }
    }

    /// Errors: the message is malformed or too large, or there were more than thirty in a second.
    pub fn admit(&mut self, now: Instant, user: &UserId, command: u8, data: &str) -> Result<CustomMessage, Refused> {
        let elapsed: Duration = now.saturating_duration_since(self.filled_at);
        let most = f64::from(PER_SECOND);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * most).min(most);
        self.filled_at = now;
        if self.tokens < 1.0 {
            return Err(Refused::TooMany);
        }
        // A malformed message costs as much as any other.
        self.tokens -= 1.0;
        let data = decode(command, data)?;
        self.count = self.count.wrapping_add(1);
        Ok(CustomMessage::new(user, command, self.count, &data))
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    fn message(count: u32) -> CustomMessage {
        CustomMessage::new(&"ann".parse().unwrap(), 1, count, b"")
    }

    #[test]
    fn each_member_gets_the_new_messages_and_a_late_one_only_the_newest() {
        let nothing = RoomMessages::default();
        let mut messages = nothing.clone();
        (1..=3).for_each(|count| messages.push(message(count)));
        let before = messages.clone();
        (4..=5).for_each(|count| messages.push(message(count)));
        let counts = |since: &RoomMessages| messages.since(since).map(|message| message.count).collect::<Vec<_>>();
        assert_eq!(counts(&before), [4, 5]);
        assert_eq!(counts(&nothing), [1, 2, 3, 4, 5]);
        assert_eq!(counts(&messages), Vec::<u32>::new());
        let mut many = messages.clone();
        (6..=100).for_each(|count| many.push(message(count)));
        assert_eq!(many.since(&messages).count(), KEPT);
    }

    #[test]
    fn thirty_messages_a_second_are_admitted_and_refused_ones_are_not_counted() {
        let (start, ann) = (Clock.now(), "ann".parse().unwrap());
        let mut limiter = MessageLimiter::new(start);
        assert_eq!(limiter.admit(start, &ann, 0, ""), Err(Refused::Malformed));
        let taken = (0..100).filter_map(|_| limiter.admit(start, &ann, 1, "aGk=").ok());
        assert_eq!(
            taken.map(|message| message.count).collect::<Vec<_>>(),
            (1..=29).collect::<Vec<_>>()
        );
        assert_eq!(limiter.admit(start, &ann, 1, ""), Err(Refused::TooMany));
        assert!(limiter.admit(start + Duration::from_secs(1), &ann, 1, "").is_ok());
    }
}
