//! A member's custom messages: the data channels, and how many messages may be sent. Pure.

use std::time::{Duration, Instant};

use rotunda_proto::custom_message::{ORDERED, PER_SECOND, Refused, UNORDERED, read};
use str0m::channel::ChannelId;

/// Refusals are told no more often: a flood of messages is not answered with a flood.
const REFUSALS: Duration = Duration::from_secs(1);

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
    /// Messages that may be sent now (a token bucket).
    tokens: f64,
    filled_at: Instant,
    count: u32,
    refused_at: Option<Instant>,
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
            tokens: f64::from(PER_SECOND),
            filled_at: now,
            count: 0,
            refused_at: None,
        }
    }

    /// The newest channel of a label counts.
    pub fn handle_open(&mut self, channel: ChannelId, label: &str) {
        match Delivery::of(label) {
            Some(Delivery::Ordered) => self.ordered = Some(channel),
            Some(Delivery::Unordered) => self.unordered = Some(channel),
            None => {}
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

    /// The channel to write to. A client that has opened one channel gets everything on it.
    pub fn channel(&self, delivery: Delivery) -> Option<ChannelId> {
        match delivery {
            Delivery::Ordered => self.ordered.or(self.unordered),
            Delivery::Unordered => self.unordered.or(self.ordered),
        }
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
}
