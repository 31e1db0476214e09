//! A member's custom messages: the data channels, what waits until they are open, and how many messages may be sent. Pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::custom_message::{ORDERED, PER_SECOND, Refused, UNORDERED, read};
use str0m::channel::ChannelId;

/// Refusals are told no more often: a flood of messages is not answered with a flood.
const REFUSALS: Duration = Duration::from_secs(1);

/// Messages for a client whose data channels are about to open; with more, the oldest are dropped. The channels open within a few
/// round trips after the connection.
const WAITING: usize = 64;

/// How a message is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Reliable and in order.
    Ordered,
    Unordered,
}

impl Delivery {
    /// Of a channel with this label; None: it is for something else.
    pub fn of(label: &str) -> Option<Self> {
        match label {
            ORDERED => Some(Self::Ordered),
            UNORDERED => Some(Self::Unordered),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub struct CustomMessages {
    ordered: Option<ChannelId>,
    unordered: Option<ChannelId>,
    waiting: Waiting,
    /// Messages that may be sent now (a token bucket).
    tokens: f64,
    filled_at: Instant,
    count: u32,
    refused_at: Option<Instant>,
}

/// Messages for a client whose first data channel is not open yet. They are kept from the moment when the session is connected:
/// nobody else gives them to the client.
#[derive(Debug)]
enum Waiting {
    /// The session is not connected, or its client opens no channels.
    No,
    ForChannel(VecDeque<Arc<[u8]>>),
}

/// How a message gets to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    By(ChannelId),
    /// It waits for the channel: see [`CustomMessages::keep`].
    Waits,
}

/// A message for the others in the room.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted<'a> {
    pub command: u8,
    /// Counts the messages of this sender, from 1.
    pub count: u32,
    pub data: &'a [u8],
}

impl CustomMessages {
    pub fn new(now: Instant) -> Self {
        Self {
            ordered: None,
            unordered: None,
            waiting: Waiting::No,
            tokens: f64::from(PER_SECOND),
            filled_at: now,
            count: 0,
            refused_at: None,
        }
    }

    /// The session is connected, and its client will open channels.
    pub fn expect_channel(&mut self) {
        if self.way(Delivery::Ordered).is_none() {
            self.waiting = Waiting::ForChannel(VecDeque::new());
        }
    }

    /// The newest channel of a label counts. Answers the messages that have waited for it, oldest first.
    pub fn handle_open(&mut self, channel: ChannelId, label: &str) -> VecDeque<Arc<[u8]>> {
        match Delivery::of(label) {
            Some(Delivery::Ordered) => self.ordered = Some(channel),
            Some(Delivery::Unordered) => self.unordered = Some(channel),
            None => return VecDeque::new(),
        }
        match std::mem::replace(&mut self.waiting, Waiting::No) {
            Waiting::ForChannel(messages) => messages,
            Waiting::No => VecDeque::new(),
        }
    }

    pub fn handle_close(&mut self, channel: ChannelId) {
        for known in [&mut self.ordered, &mut self.unordered] {
            *known = known.filter(|known| *known != channel);
        }
    }

    /// How a message is carried on: as it came. None: the channel is for something else.
    pub fn delivery(&self, channel: ChannelId) -> Option<Delivery> {
        if self.ordered == Some(channel) {
            Some(Delivery::Ordered)
        } else {
            (self.unordered == Some(channel)).then_some(Delivery::Unordered)
        }
    }

    /// The way of a message to the client; None: it gets none from here. A client that has opened one channel gets everything on it.
    pub fn way(&self, delivery: Delivery) -> Option<Way> {
        let channel = match delivery {
            Delivery::Ordered => self.ordered.or(self.unordered),
            Delivery::Unordered => self.unordered.or(self.ordered),
        };
        match (channel, &self.waiting) {
            (Some(channel), _) => Some(Way::By(channel)),
            (None, Waiting::ForChannel(_)) => Some(Way::Waits),
            (None, Waiting::No) => None,
        }
    }

    /// Keeps a message until a channel is open. Answers whether an older one was dropped for it.
    pub fn keep(&mut self, bytes: Arc<[u8]>) -> bool {
        let Waiting::ForChannel(messages) = &mut self.waiting else {
            return true;
        };
        let is_full = messages.len() == WAITING;
        if is_full {
            messages.pop_front();
        }
        messages.push_back(bytes);
        is_full
    }

    pub fn admit<'a>(&mut self, now: Instant, bytes: &'a [u8]) -> Result<Admitted<'a>, Refused> {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let most = f64::from(PER_SECOND);
        self.tokens = (self.tokens + elapsed * most).min(most);
        self.filled_at = now;
        if self.tokens < 1.0 {
            return Err(Refused::TooMany);
        }
        // A malformed message costs as much as another one.
        self.tokens -= 1.0;
        let (command, data) = read(bytes)?;
        self.count = self.count.wrapping_add(1);
        Ok(Admitted {
            command,
            count: self.count,
            data,
        })
    }

    /// Whether to tell of a refusal now.
    pub fn may_tell(&mut self, now: Instant) -> bool {
        let may = self
            .refused_at
            .is_none_or(|at| now.saturating_duration_since(at) >= REFUSALS);
        if may {
            self.refused_at = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    #[test]
    fn thirty_messages_a_second_may_come_and_no_more() {
        let start = rotunda_proto::clock::Clock.now();
        let mut messages = CustomMessages::new(start);
        let taken = |messages: &mut CustomMessages, now| {
            let results = (0..100).map(|_| messages.admit(now, &[1, 2]));
            results.filter(Result::is_ok).count()
        };
        assert_eq!(taken(&mut messages, start), 30);
        assert_eq!(messages.admit(start, &[1]), Err(Refused::TooMany));
        assert_eq!(taken(&mut messages, start + Duration::from_millis(500)), 15);
        assert_eq!(taken(&mut messages, start + Duration::from_secs(60)), 30);
    }

    #[test]
    fn messages_are_counted_and_refused_ones_are_not() {
        let start = rotunda_proto::clock::Clock.now();
        let mut messages = CustomMessages::new(start);
        assert_eq!(
            messages.admit(start, &[3, 9]).map(|one| (one.command, one.count)),
            Ok((3, 1))
        );
        assert_eq!(messages.admit(start, &[1; 2000]), Err(Refused::TooLarge));
        assert_eq!(messages.admit(start, &[3]).map(|one| one.count), Ok(2));
    }

    #[test]
    fn a_flood_is_refused_once_a_second() {
        let start = rotunda_proto::clock::Clock.now();
        let mut messages = CustomMessages::new(start);
        assert!(messages.may_tell(start));
        assert!(!messages.may_tell(start + Duration::from_millis(900)));
        assert!(messages.may_tell(start + Duration::from_millis(1000)));
    }

    #[test]
    fn messages_wait_for_the_channel_of_a_connected_client_and_the_oldest_are_dropped() {
        let mut messages = CustomMessages::new(Clock.now());
        assert_eq!(
            messages.way(Delivery::Ordered),
            None,
            "signaling still gives the client everything"
        );
        messages.expect_channel();
        assert_eq!(messages.way(Delivery::Unordered), Some(Way::Waits));
        let dropped = (0..=WAITING as u8).filter(|number| messages.keep([*number].into()));
        assert_eq!(dropped.count(), 1);
        let channel = str0m::Rtc::new(Clock.now()).sdp_api().add_channel(ORDERED.to_owned());
        let waited = messages.handle_open(channel, ORDERED);
        assert_eq!(waited.len(), WAITING);
        assert_eq!(waited.front().map(|bytes| bytes[0]), Some(1));
        assert_eq!(messages.way(Delivery::Ordered), Some(Way::By(channel)));
        assert!(messages.handle_open(channel, ORDERED).is_empty(), "once");
    }
}
