//! Limits retransmissions that a viewer asks for by NACK: no more than it is sent, and nothing that is on its way already.

use std::time::{Duration, Instant};

use crate::slab::SlotIndex;

/// Retransmissions that a viewer can ask for: at first, saved up at most, and more with each packet that it is sent. A few bytes of
/// feedback can ask for thousands, and must not cost more than watching.
const FIRST: u32 = 256;
const MOST: u32 = 4096;
const A_PACKET: u32 = 4;
/// Requests that are remembered. Requests for neighbouring numbers never displace one another.
const REMEMBERED: usize = 128;

#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    slot: SlotIndex,
    seq: u16,
}

#[derive(Debug)]
pub struct NackLimiter {
    /// Retransmissions that are permitted now.
    left: u32,
    /// The newest requests; empty before the first.
    asked: Vec<Option<Asked>>,
}

impl Default for NackLimiter {
    fn default() -> Self {
        Self {
            left: FIRST,
            asked: Vec::new(),
        }
    }
}

impl NackLimiter {
    /// A packet is sent for the first time.
    pub fn handle_packet(&mut self) {
        self.left = (self.left + A_PACKET).min(MOST);
    }

    /// Whether one more packet may be retransmitted.
    pub fn take(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether this request is new. A packet that was asked for less than a round trip ago is on its way, and another copy would only
    /// fill a slow link.
    pub fn handle_request(&mut self, now: Instant, round_trip: Duration, slot: SlotIndex, seq: u16) -> bool {
        if self.asked.is_empty() {
            self.asked = vec![None; REMEMBERED];
        }
        let known = &mut self.asked[usize::from(seq) % REMEMBERED];
        let is_same = |asked: &Asked| (asked.slot, asked.seq) == (slot, seq) && asked.at + round_trip > now;
        let is_new = !known.as_ref().is_some_and(is_same);
        if is_new {
            *known = Some(Asked { at: now, slot, seq });
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;
    use crate::slab::Index;

    #[test]
    fn a_packet_that_is_asked_for_twice_in_a_round_trip_is_sent_once() {
        let start = Clock.now();
        let mut nack_limiter = NackLimiter::default();
        let mut ask = |ms, slot, seq| {
            let now = start + Duration::from_millis(ms);
            nack_limiter.handle_request(now, Duration::from_millis(100), SlotIndex::at(slot), seq)
        };
        assert!(ask(0, 1, 7));
        assert!(ask(0, 1, 8) && ask(0, 2, 9), "other packets");
        assert!(!ask(99, 1, 7));
        assert!(ask(100, 1, 7), "the answer was lost");
        assert!(!ask(150, 1, 7));
    }

    #[test]
    fn a_viewer_gets_no_more_retransmissions_than_are_saved_up() {
        let mut nack_limiter = NackLimiter::default();
        let taken = (0..10_000).filter(|_| nack_limiter.take()).count();
        assert_eq!(taken, FIRST as usize);
        nack_limiter.handle_packet();
        assert_eq!((0..10).filter(|_| nack_limiter.take()).count(), A_PACKET as usize);
    }
}
