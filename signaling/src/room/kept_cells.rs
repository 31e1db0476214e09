//! Decides when the cells that mixes keep for absent publishers are removed. Pure.

use std::time::{Duration, Instant};

use rotunda_proto::room::Seats;

/// After this time the bus is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Every signaling node of the room removes expired cells, as the node that kept them may be gone.
#[derive(Debug, Default)]
pub struct KeptCells {
    next: Option<Expiry>,
}

#[derive(Debug, Clone, Copy)]
struct Expiry {
    unix_ms: u64,
    at: Instant,
}

impl KeptCells {
    /// `unix`: the same moment as `now`.
    pub fn handle_seats(&mut self, now: Instant, unix: Duration, seats: &Seats) {
        let next = seats.kept.iter().map(|cell| cell.until_unix_ms).min();
        if next == self.next.map(|expiry| expiry.unix_ms) {
            return;
        }
        self.next = next.map(|unix_ms| Expiry {
            unix_ms,
            at: now + Duration::from_millis(unix_ms).saturating_sub(unix),
        });
    }

    pub fn due_at(&self) -> Option<Instant> {
        self.next.map(|expiry| expiry.at)
    }

    /// Tiles up to this time are to be removed now. It is due again after a while, unless the seats show that they were removed.
    pub fn poll_expired(&mut self, now: Instant) -> Option<u64> {
        let expiry = self.next.as_mut().filter(|expiry| expiry.at <= now)?;
        expiry.at = now + TRY_AGAIN;
        Some(expiry.unix_ms)
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;
    use rotunda_proto::ids::MembershipId;
    use rotunda_proto::incarnation::Incarnation;
    use rotunda_proto::room::{Holder, KeptCell};

    use super::*;

    #[test]
    fn the_earliest_cell_is_removed_first_and_again_until_the_seats_show_it() {
        let (start, unix) = (Clock.now(), Duration::from_secs(1_700_000_000));
        let at = |seconds| start + Duration::from_secs(seconds);
        let until = |seconds| (unix + Duration::from_secs(seconds)).as_millis() as u64;
        let cell = |user: &str, seconds| KeptCell {
            user: user.parse().unwrap(),
            holder: Holder {
                membership: MembershipId(1),
                node: Incarnation::new("node-1".parse().unwrap(), 1),
            },
            sources: Default::default(),
            entered_unix_ms: 0,
            index: 0,
            until_unix_ms: until(seconds),
        };
        let seats = |kept| Seats {
            publishers: Vec::new(),
            kept,
        };
        let mut cells = KeptCells::default();
        cells.handle_seats(start, unix, &seats(vec![cell("ann", 30), cell("bob", 10)]));
        assert_eq!(cells.due_at(), Some(at(10)));
        assert_eq!(cells.poll_expired(at(9)), None);
        assert_eq!(cells.poll_expired(at(10)), Some(until(10)));
        assert_eq!(cells.due_at(), Some(at(11)), "the bus may have failed");
        cells.handle_seats(at(10), unix + Duration::from_secs(10), &seats(vec![cell("ann", 30)]));
        assert_eq!(cells.due_at(), Some(at(30)));
        cells.handle_seats(at(20), unix + Duration::from_secs(20), &seats(Vec::new()));
        assert_eq!(cells.due_at(), None);
    }
}
