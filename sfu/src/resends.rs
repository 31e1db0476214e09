//! What a viewer may be sent again: not more than he is sent, and nothing that is on its way already.

use std::time::{Duration, Instant};

/// Resends that a viewer can ask for: so many at first and at most saved up, and so many more with each packet. A few bytes of
/// feedback ask for thousands, and must not cost more than watching.
const FIRST: u32 = 256;
const MOST: u32 = 4096;
const A_PACKET: u32 = 4;
/// Requests that are remembered: those of neighbours in number never displace one another.
const REMEMBERED: usize = 128;

#[derive(Debug)]
pub struct Resends {
    /// Permitted now.
    left: u32,
    /// The newest requests: when, slot and number; nothing before the first.
    asked: Vec<Option<(Instant, usize, u16)>>,
}

impl Default for Resends {
    fn default() -> Self {
        Self {
            left: FIRST,
            asked: Vec::new(),
        }
    }
}

impl Resends {
    /// A packet is sent for the first time.
    pub fn handle_packet(&mut self) {
        self.left = (self.left + A_PACKET).min(MOST);
    }

    /// Whether the viewer may have one more packet again.
    pub fn take(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether this request is news. What was asked for less than a round trip ago is on its way; who asks sooner would fill a
    /// slow link with copies.
    pub fn handle_request(&mut self, now: Instant, round_trip: Duration, slot: usize, seq: u16) -> bool {
        if self.asked.is_empty() {
            self.asked = vec![None; REMEMBERED];
        }
        let known = &mut self.asked[usize::from(seq) % REMEMBERED];
        let is_same =
            |(at, of, number): &(Instant, usize, u16)| (*of, *number) == (slot, seq) && *at + round_trip > now;
        let is_new = !known.as_ref().is_some_and(is_same);
        if is_new {
            *known = Some((now, slot, seq));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    #[test]
    fn what_is_asked_for_twice_in_a_round_trip_is_sent_once() {
        let start = Clock.now();
        let mut resends = Resends::default();
        let mut ask = |ms, slot, seq| {
            let now = start + Duration::from_millis(ms);
            resends.handle_request(now, Duration::from_millis(100), slot, seq)
        };
        assert!(ask(0, 1, 7));
        assert!(ask(0, 1, 8) && ask(0, 2, 9), "others");
        assert!(!ask(99, 1, 7));
        assert!(ask(100, 1, 7), "the answer was lost");
        assert!(!ask(150, 1, 7));
    }

    #[test]
    fn a_viewer_has_no_more_again_than_is_saved_up() {
        let mut resends = Resends::default();
        let taken = (0..10_000).filter(|_| resends.take()).count();
        assert_eq!(taken, FIRST as usize);
        resends.handle_packet();
        assert_eq!((0..10).filter(|_| resends.take()).count(), A_PACKET as usize);
    }
}
