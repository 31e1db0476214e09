//! How often an address may try to sign in. Pure: the time is an input.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Attempts without success within [`WINDOW`].
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(300);
/// Addresses that are remembered; the one that began first makes room.
const ADDRESSES: usize = 10_000;

#[derive(Debug, Default)]
pub struct Attempts(HashMap<IpAddr, Tried>);

#[derive(Debug)]
struct Tried {
    attempts: u32,
    since: Instant,
}

impl Attempts {
    /// Counts an attempt. Errors: how long the address has to wait.
    pub fn admit(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let address = network(address);
        if !self.0.contains_key(&address) && self.0.len() >= ADDRESSES {
            self.make_room(now);
        }
        let tried = self.0.entry(address).or_insert(Tried {
            attempts: 0,
            since: now,
        });
        let age = now.saturating_duration_since(tried.since);
        if age >= WINDOW {
            *tried = Tried {
                attempts: 0,
                since: now,
            };
        }
        if tried.attempts >= MOST {
            return Err(WINDOW.saturating_sub(age));
        }
        tried.attempts += 1;
        Ok(())
    }

    pub fn succeeded(&mut self, address: IpAddr) {
        self.0.remove(&network(address));
    }

    fn make_room(&mut self, now: Instant) {
        self.0
            .retain(|_, tried| now.saturating_duration_since(tried.since) < WINDOW);
        if self.0.len() >= ADDRESSES {
            let oldest = self.0.iter().min_by_key(|(_, tried)| tried.since);
            if let Some(address) = oldest.map(|(address, _)| *address) {
                self.0.remove(&address);
            }
        }
    }
}

/// One IPv6 host has a whole /64 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_eleventh_attempt_waits_for_the_end_of_the_window() {
        let (mut attempts, start) = (Attempts::default(), Clock.now());
        let one = address("2001:db8::1");
        for _ in 0..MOST {
            assert_eq!(attempts.admit(one, start), Ok(()));
        }
        let later = start + Duration::from_secs(100);
        let wait = Err(Duration::from_secs(200));
        assert_eq!(attempts.admit(one, later), wait);
        assert_eq!(attempts.admit(address("2001:db8::2"), later), wait, "the same network");
        assert_eq!(attempts.admit(address("2001:db8:0:1::1"), later), Ok(()));
        assert_eq!(attempts.admit(one, start + WINDOW), Ok(()));
    }

    #[test]
    fn success_forgets_the_attempts() {
        let (mut attempts, now) = (Attempts::default(), Clock.now());
        let one = address("192.0.2.1");
        for _ in 0..3 * MOST {
            assert_eq!(attempts.admit(one, now), Ok(()));
            attempts.succeeded(address("::ffff:192.0.2.1"));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (mut attempts, start) = (Attempts::default(), Clock.now());
        for number in 0..ADDRESSES as u32 + 5 {
            let at = start + Duration::from_millis(number.into());
            assert_eq!(attempts.admit(std::net::Ipv4Addr::from_bits(number).into(), at), Ok(()));
        }
        assert_eq!(attempts.0.len(), ADDRESSES);
        assert!(!attempts.0.contains_key(&address("0.0.0.0")));
    }
}
