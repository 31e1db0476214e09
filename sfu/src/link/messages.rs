//! The stream of messages of a link: all of them arrive, in order, each whole.
//!
//! What is not confirmed in time is sent again from the first byte that is missing. The messages are few and small, so the window is
//! fixed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Bytes of messages in one frame.
const CHUNK: usize = 1000;
/// Bytes on their way at most.
const WINDOW: u64 = 64 * 1024;
/// Bytes that wait for the other end at most. More means that it does not keep up, and the link is given up.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// Longest message.
pub const MOST_MESSAGE: usize = 64 * 1024;
const LENGTH: usize = 4;
const LEAST_TIMEOUT: Duration = Duration::from_millis(30);
const MOST_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the stream cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Too much waits for the other end.
    Overflow,
    /// The other end has written what cannot be.
    Malformed,
}

/// This side's messages.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Not confirmed, from `confirmed` on.
    bytes: VecDeque<u8>,
    confirmed: u64,
    /// What was sent last ends here.
    sent: u64,
    /// When the bytes on their way are sent again.
    again_at: Option<Instant>,
    /// Times that they were, in a row.
    tries: u32,
}

impl Outgoing {
    /// `message`: at most [`MOST_MESSAGE`] bytes.
    pub fn push(&mut self, message: &[u8]) -> Result<(), Broken> {
        if message.len() > MOST_MESSAGE || self.bytes.len() + LENGTH + message.len() > MOST_WAITING {
            return Err(Broken::Overflow);
        }
        self.bytes.extend((message.len() as u32).to_be_bytes());
        self.bytes.extend(message);
        Ok(())
    }

    /// The next part to send; None: nothing may be sent now. `round_trip`: of the link.
    pub fn next_chunk(&mut self, now: Instant, round_trip: Duration) -> Option<(u64, Vec<u8>)> {
        if self.again_at.is_some_and(|at| at <= now) {
            self.sent = self.confirmed;
            self.tries += 1;
            self.again_at = None;
        }
        let on_way = self.sent - self.confirmed;
        let left = self.bytes.len() as u64 - on_way;
        let length = left.min(CHUNK as u64).min(WINDOW.saturating_sub(on_way)) as usize;
        if length == 0 {
            return None;
        }
        let offset = self.sent;
        let bytes = self.bytes.iter().skip(on_way as usize).take(length).copied().collect();
        self.sent += length as u64;
        let timeout = (round_trip * 2 + Duration::from_millis(10)).max(LEAST_TIMEOUT) * (1 << self.tries.min(5));
        self.again_at.get_or_insert(now + timeout.min(MOST_TIMEOUT));
        Some((offset, bytes))
    }

    /// The other end has everything before `offset`.
    pub fn handle_received(&mut self, now: Instant, offset: u64, round_trip: Duration) {
        let confirmed = offset.min(self.confirmed + self.bytes.len() as u64);
        let Some(more) = confirmed.checked_sub(self.confirmed).filter(|more| *more > 0) else {
            return;
        };
        self.bytes.drain(..more as usize);
        self.confirmed = confirmed;
        self.sent = self.sent.max(confirmed);
        self.tries = 0;
        let timeout = (round_trip * 2 + Duration::from_millis(10)).max(LEAST_TIMEOUT);
        self.again_at = (self.sent > confirmed).then(|| now + timeout);
    }

    /// When unconfirmed bytes are sent again.
    pub fn due(&self) -> Option<Instant> {
        self.again_at
    }
}

/// The other end's messages.
#[derive(Debug, Default)]
pub struct Incoming {
    /// Begins of a message that is not complete.
    bytes: Vec<u8>,
    received: u64,
    /// Parts that came before their time, by offset; within the window.
    early: BTreeMap<u64, Vec<u8>>,
}

impl Incoming {
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes a part. Complete messages are appended to `out`.
    pub fn handle_chunk(&mut self, offset: u64, bytes: &[u8], out: &mut Vec<Vec<u8>>) -> Result<(), Broken> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Broken::Malformed)?;
        if end <= self.received {
            return Ok(());
        }
        if end - self.received > WINDOW {
            return Err(Broken::Malformed);
        }
        if offset > self.received {
            let waiting: usize = self.early.values().map(Vec::len).sum();
            if waiting + bytes.len() > WINDOW as usize {
                // It is sent again.
                return Ok(());
            }
            let known = self.early.entry(offset).or_default();
            if known.len() < bytes.len() {
                *known = bytes.to_vec();
            }
            return Ok(());
        }
        self.append(offset, bytes);
        while let Some((offset, bytes)) = self.early.pop_first() {
            if offset > self.received {
                self.early.insert(offset, bytes);
                break;
            }
            self.append(offset, &bytes);
        }
        while let Some(length) = self.bytes.first_chunk::<LENGTH>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > MOST_MESSAGE {
                return Err(Broken::Malformed);
            }
            let Some(message) = self.bytes.get(LENGTH..LENGTH + length) else {
                break;
            };
            out.push(message.to_vec());
            self.bytes.drain(..LENGTH + length);
        }
        Ok(())
    }

    /// A part that begins at or before what has been received.
    fn append(&mut self, offset: u64, bytes: &[u8]) {
        let known = (self.received - offset) as usize;
        if let Some(new) = bytes.get(known..) {
            self.bytes.extend_from_slice(new);
            self.received += new.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(20);

    proptest! {
        /// Whatever is lost, doubled or overtaken, every message arrives once, in order.
        #[test]
        fn messages_arrive_in_order_whatever_is_lost(
            lengths in proptest::collection::vec(0usize..4000, 1..40),
            fates in proptest::collection::vec(0u8..4, 1..200),
        ) {
            let mut now = rotunda_proto::clock::Clock.now();
            let messages: Vec<Vec<u8>> =
                lengths.iter().enumerate().map(|(index, length)| vec![index as u8; *length]).collect();
            let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::default());
            for message in &messages {
                outgoing.push(message).unwrap();
            }
            let mut fates = fates.into_iter();
            let mut got = Vec::new();
            for _ in 0..10_000 {
                let mut flying = Vec::new();
                while let Some(chunk) = outgoing.next_chunk(now, ROUND_TRIP) {
                    match fates.next().unwrap_or(0) {
                        0 => flying.push(chunk),
                        1 => {}
                        2 => flying.insert(0, chunk),
                        _ => flying.extend([chunk.clone(), chunk]),
                    }
                }
                for (offset, bytes) in flying {
                    incoming.handle_chunk(offset, &bytes, &mut got).unwrap();
                }
                if fates.next().unwrap_or(0) != 1 {
                    outgoing.handle_received(now, incoming.received(), ROUND_TRIP);
                }
                if got.len() == messages.len() && outgoing.due().is_none() {
                    break;
                }
                now += Duration::from_millis(10);
            }
            prop_assert_eq!(got, messages);
            prop_assert_eq!(outgoing.due(), None);
        }

        #[test]
        fn no_bytes_of_the_network_fill_the_memory(
            parts in proptest::collection::vec((0u64..200_000, proptest::collection::vec(any::<u8>(), 0..64)), 0..60)
        ) {
            let mut incoming = Incoming::default();
            for (offset, bytes) in parts {
                let _refused = incoming.handle_chunk(offset, &bytes, &mut Vec::new());
                prop_assert!(incoming.bytes.len() <= MOST_MESSAGE + LENGTH + WINDOW as usize);
                prop_assert!(incoming.early.values().map(Vec::len).sum::<usize>() <= 64 * 60);
            }
        }
    }

    #[test]
    fn a_message_that_is_too_long_breaks_the_stream_on_both_sides() {
        assert_eq!(
            Outgoing::default().push(&vec![0; MOST_MESSAGE + 1]),
            Err(Broken::Overflow)
        );
        let mut incoming = Incoming::default();
        let huge = (MOST_MESSAGE as u32 + 1).to_be_bytes();
        assert_eq!(incoming.handle_chunk(0, &huge, &mut Vec::new()), Err(Broken::Malformed));
        let far = Incoming::default().handle_chunk(WINDOW + 1, b"x", &mut Vec::new());
        assert_eq!(far, Err(Broken::Malformed));
    }

    #[test]
    fn more_than_the_other_end_takes_breaks_the_stream() {
        let mut outgoing = Outgoing::default();
        let full = (0..1000).find_map(|_| outgoing.push(&vec![0; MOST_MESSAGE]).err());
        assert_eq!(full, Some(Broken::Overflow));
    }
}
