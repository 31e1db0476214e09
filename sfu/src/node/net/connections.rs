//! How many ICE-TCP connections a node keeps, in all and of one address. Shared by its workers' listeners; no packet comes past it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::gauge;

/// Of the file descriptors that the process may open, ICE-TCP takes at most this share: the rest is for WebSockets, files and rooms.
const SHARE_OF_DESCRIPTORS: u64 = 4;

#[derive(Debug)]
pub struct Connections {
    most: usize,
    most_of_address: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The node has enough of them.
    Full,
    /// The client's address has enough of them.
    AddressFull,
}

impl Refused {
    /// As a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AddressFull => "address_full",
        }
    }
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    pub fn new(most: usize, most_of_address: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_address,
            open: Mutex::default(),
        })
    }

    pub fn admit(self: &Arc<Self>, from: IpAddr) -> Result<Place, Refused> {
        let address = network_of(from);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        if all >= self.most {
            return Err(Refused::Full);
        }
        let own = open.entry(address).or_default();
        if *own >= self.most_of_address {
            return Err(Refused::AddressFull);
        }
        *own += 1;
        gauge!("rotunda_sfu_tcp_connections").set((all + 1) as f64);
        Ok(Place {
            connections: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.address) {
            *own -= 1;
        }
        open.retain(|_, own| *own > 0);
        gauge!("rotunda_sfu_tcp_connections").set(open.values().sum::<usize>() as f64);
    }
}

/// The most connections of which none takes a descriptor that something else needs. `wanted`: by configuration. `descriptors`: that
/// the process may open; None: no limit.
pub fn within_descriptors(wanted: usize, descriptors: Option<u64>) -> usize {
    let share = descriptors.map_or(u64::MAX, |all| all / SHARE_OF_DESCRIPTORS);
    wanted.min(usize::try_from(share).unwrap_or(usize::MAX))
}

/// One client's addresses: an IPv6 client has a whole /64 (RFC 6177).
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_limit_and_so_have_all_together() {
        let connections = Connections::new(3, 2);
        let admit = |from| connections.admit(ip(from)).map_err(Refused::name);
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("192.0.2.1").unwrap();
        assert_eq!(admit("192.0.2.1").unwrap_err(), "address_full");
        let _third = admit("192.0.2.2").unwrap();
        assert_eq!(admit("192.0.2.3").unwrap_err(), "full");
        drop(first);
        assert!(admit("192.0.2.3").is_ok());
        assert_eq!(
            connections.open.lock().unwrap().len(),
            2,
            "an address without connections is forgotten"
        );
    }

    #[test]
    fn one_ipv6_network_and_one_mapped_address_are_one_client() {
        let connections = Connections::new(10, 1);
        let _place = connections.admit(ip("2001:db8:0:1::1")).unwrap();
        assert!(connections.admit(ip("2001:db8:0:1:ffff::2")).is_err());
        assert!(connections.admit(ip("2001:db8:0:2::1")).is_ok());
        let _place = connections.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert!(connections.admit(ip("192.0.2.1")).is_err());
    }

    #[test]
    fn descriptors_are_kept_back() {
        assert_eq!(within_descriptors(4096, None), 4096);
        assert_eq!(within_descriptors(4096, Some(1024)), 256);
        assert_eq!(within_descriptors(100, Some(1024)), 100);
    }
}
