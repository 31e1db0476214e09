//! Limits the connections of a listener, per address and in total.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use thiserror::Error;

/// The maximum connections of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    pub open: usize,
    /// How many of them may be other than WebSocket.
    pub plain: usize,
    pub per_address: usize,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("the listener has reached its limit of connections")]
    Full,
    #[error("the remaining connections are reserved for rooms")]
    Plain,
    #[error("the address has reached its limit of connections")]
    Address,
}

/// Counts the connections of one listener.
#[derive(Debug)]
pub struct Admission {
    /// Label of the listener's metrics.
    name: &'static str,
    most: Most,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    upgraded: usize,
    addresses: HashMap<IpAddr, usize>,
}

impl Admission {
    pub fn new(name: &'static str, most: Most) -> Arc<Self> {
        gauge!("rotunda_listener_connections", "listener" => name).set(0.0);
        let counts = Mutex::default();
        Arc::new(Self { name, most, counts })
    }

    /// Takes a place for a connection, until it is dropped.
    pub fn enter(self: &Arc<Self>) -> Result<Place, Refusal> {
        let mut counts = self.counts();
        if counts.open >= self.most.open {
            return Err(Refusal::Full);
        }
        counts.open += 1;
        gauge!("rotunda_listener_connections", "listener" => self.name).increment(1.0);
        Ok(Place {
            admission: self.clone(),
            established: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            stall_ms: AtomicU64::new(0),
            addresses: Mutex::default(),
        })
    }

    /// Takes a place among those of an address, until it is dropped.
    pub fn enter_from(self: &Arc<Self>, address: IpAddr) -> Result<AddressPlace, Refusal> {
        let address = counted(address);
        let mut counts = self.counts();
        let of_address = counts.addresses.entry(address).or_default();
        if *of_address >= self.most.per_address {
            return Err(Refusal::Address);
        }
        *of_address += 1;
        Ok(AddressPlace {
            admission: self.clone(),
            address,
        })
    }

    /// Whether connections other than WebSocket use all their places.
    pub fn plain_is_over(&self) -> bool {
        let counts = self.counts();
        counts.open - counts.upgraded > self.most.plain
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attacker can use a whole /64 network of IPv6, so a /64 counts as one address (RFC 6177 §2).
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

/// One connection.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    /// The peer has sent its first request: from now on the idle limit applies.
    established: AtomicBool,
    upgraded: AtomicBool,
    /// Milliseconds; 0: no limit.
    stall_ms: AtomicU64,
    addresses: Mutex<Vec<AddressPlace>>,
}

impl Place {
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    pub fn establish(&self) {
        self.established.store(true, Ordering::Relaxed);
    }

    pub fn is_established(&self) -> bool {
        self.established.load(Ordering::Relaxed)
    }

    /// From now on the connection ends when its peer takes no byte for this time while bytes wait.
    pub fn limit_stall(&self, limit: Duration) {
        let ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.stall_ms.store(ms, Ordering::Relaxed);
    }

    /// How long the peer may take no byte while bytes wait.
    pub fn stall_limit(&self) -> Option<Duration> {
        let ms = self.stall_ms.load(Ordering::Relaxed);
        (ms > 0).then(|| Duration::from_millis(ms))
    }

    /// The connection has become a WebSocket.
    pub fn upgrade(&self) {
        if !self.upgraded.swap(true, Ordering::Relaxed) {
            self.admission.counts().upgraded += 1;
        }
    }

    /// Keeps the address's place as long as the connection's own.
    pub fn hold(&self, place: AddressPlace) {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(place);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.open -= 1;
        gauge!("rotunda_listener_connections", "listener" => self.admission.name).decrement(1.0);
        if *self.upgraded.get_mut() {
            counts.upgraded -= 1;
        }
    }
}

/// One connection, or request, of an address.
#[derive(Debug)]
pub struct AddressPlace {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        if let Some(count) = counts.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(open: usize, plain: usize, per_address: usize) -> Arc<Admission> {
        let most = Most {
            open,
            plain,
            per_address,
        };
        Admission::new("test", most)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_full_listener_accepts_the_next_connection_when_one_has_ended() {
        let admission = admission(2, 2, 9);
        let (one, _two) = (admission.enter().unwrap(), admission.enter().unwrap());
        assert_eq!(admission.enter().unwrap_err(), Refusal::Full);
        drop(one);
        assert!(admission.enter().is_ok());
    }

    #[test]
    fn one_address_cannot_take_the_places_of_others() {
        let admission = admission(9, 9, 2);
        let own = [(); 2].map(|()| admission.enter_from(address("192.0.2.1")).unwrap());
        assert_eq!(
            admission.enter_from(address("192.0.2.1")).unwrap_err(),
            Refusal::Address
        );
        assert_eq!(
            admission.enter_from(address("::ffff:192.0.2.1")).unwrap_err(),
            Refusal::Address
        );
        assert!(admission.enter_from(address("192.0.2.2")).is_ok());
        drop(own);
        assert!(admission.enter_from(address("192.0.2.1")).is_ok());
        assert!(
            admission.counts().addresses.is_empty(),
            "nothing remains of closed connections"
        );
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let admission = admission(9, 9, 1);
        let _one = admission.enter_from(address("2001:db8:0:1::1")).unwrap();
        assert!(admission.enter_from(address("2001:db8:0:1:ffff::2")).is_err());
        assert!(admission.enter_from(address("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn websockets_do_not_count_among_plain_connections() {
        let admission = admission(9, 1, 9);
        let websocket = admission.enter().unwrap();
        let _plain = admission.enter().unwrap();
        assert!(admission.plain_is_over());
        websocket.upgrade();
        websocket.upgrade();
        assert!(!admission.plain_is_over());
        drop(websocket);
        assert!(!admission.plain_is_over());
        let _another = admission.enter().unwrap();
        assert!(admission.plain_is_over());
    }
}
