//! Decides which addresses the server may connect to when a customer names them: callback and push URLs.
//!
//! A customer must not reach the operator's own network through the server. Public addresses are allowed; all
//! others are refused unless the operator allows their network (`server.outbound_networks`). A host name is
//! resolved first, and each of its addresses is checked. Callers must connect only to the addresses that
//! [`AllowedNetworks::resolve`] returns: a second DNS query could return another address.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use url::Host;

/// A network in CIDR notation: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("write a network like \"10.0.0.0/8\" or \"fd00::/8\", or one address, not {0:?}")]
pub struct NetworkError(String);

/// Networks that are allowed besides public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllowedNetworks(Vec<Network>);

/// The address belongs to a network that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{address} is {kind}; to allow it, add its network to server.outbound_networks")]
pub struct Refused {
    pub address: IpAddr,
    kind: Kind,
}

/// Why no connection may be made to a host.
#[derive(Debug, Error)]
pub enum ResolveError {
    #[error("the host is refused")]
    Refused(#[from] Refused),
    #[error("resolve the host's name")]
    Lookup(#[source] io::Error),
    #[error("the host's name has no address")]
    NoAddress,
}

/// The purpose of an address that is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unspecified,
    Loopback,
    Private,
    LinkLocal,
    UniqueLocal,
    SharedByProvider,
    Multicast,
    Reserved,
}

impl AllowedNetworks {
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Errors: [`Refused`] for an address that is not public and in none of the allowed networks.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let carried = carried(address);
        let Some(kind) = kind(carried) else { return Ok(()) };
        let allowed = |network: &Network| network.contains(address) || network.contains(carried);
        if self.0.iter().any(allowed) {
            return Ok(());
        }
        Err(Refused { address, kind })
    }

    pub fn is_refused(&self, address: IpAddr) -> bool {
        self.check(address).is_err()
    }

    /// Checks a URL's host as far as possible without DNS: addresses and `localhost`.
    pub fn check_host<S: AsRef<str>>(&self, host: &Host<S>) -> Result<(), Refused> {
        match host {
            Host::Ipv4(address) => self.check((*address).into()),
            Host::Ipv6(address) => self.check((*address).into()),
            Host::Domain(name) => {
                let name = name.as_ref().trim_end_matches('.');
                // RFC 6761 §6.3: these names are always loopback.
                let is_local =
                    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
                match is_local {
                    true => self.check(Ipv4Addr::LOCALHOST.into()),
                    false => Ok(()),
                }
            }
        }
    }

    /// The addresses of a host to which a connection may be made. `host`: a name or an address, IPv6 without
    /// brackets.
    ///
    /// Errors: [`ResolveError::Refused`] if any address of the host is refused: a customer's DNS server could
    /// otherwise hide one among others.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let addresses = tokio::net::lookup_host((host, port)).await;
        self.filter(addresses.map_err(ResolveError::Lookup)?.collect())
    }

    fn filter(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
        for address in &addresses {
            self.check(address.ip())?;
        }
        match addresses.is_empty() {
            true => Err(ResolveError::NoAddress),
            false => Ok(addresses),
        }
    }
}

impl Network {
    /// Whether the address is in the network. An IPv4 address from an IPv6 socket (`::ffff:10.0.0.1`) counts as
    /// IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.has(address) || self.has(address.to_canonical())
    }

    fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_prefix(network.to_bits().into(), address.to_bits().into(), self.prefix, 32)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_prefix(network.to_bits(), address.to_bits(), self.prefix, 128)
            }
            _ => false,
        }
    }
}

fn same_prefix(one: u128, other: u128, prefix: u8, width: u8) -> bool {
    let ignored = u32::from(width - prefix);
    (one ^ other).checked_shr(ignored).unwrap_or(0) == 0
}

/// The IPv4 address inside an IPv6 address, if a host or gateway on the path would use it; otherwise the address.
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let octets = six.octets();
    let four = |from: usize| Ipv4Addr::from_bits((six.to_bits() >> (8 * (12 - from))) as u32);
    let is_v4 = match octets {
        // RFC 4291 §2.5.5: mapped and compatible. `::` and `::1` are separate addresses.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..] => Some(four(12)),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, _] if (a, b, c) != (0, 0, 0) => Some(four(12)),
        // RFC 6052 §2.1: the well-known prefix of NAT64.
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..] => Some(four(12)),
        // RFC 3056 §2: 6to4.
        [0x20, 0x02, ..] => Some(four(2)),
        // RFC 4380 §4: Teredo keeps the client's address inverted.
        [0x20, 0x01, 0, 0, ..] => Some(Ipv4Addr::from_bits(!four(12).to_bits())),
        _ => None,
    };
    is_v4.map_or(address, IpAddr::V4)
}

/// None: the address is public.
fn kind(address: IpAddr) -> Option<Kind> {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

/// The registry of RFC 6890, for the networks that matter here.
fn kind_v4(address: Ipv4Addr) -> Option<Kind> {
    match address.octets() {
        [0, ..] => Some(Kind::Unspecified),
        [127, ..] => Some(Kind::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Kind::Private),
        [169, 254, ..] => Some(Kind::LinkLocal),
        [100, 64..=127, ..] => Some(Kind::SharedByProvider),
        [224..=239, ..] => Some(Kind::Multicast),
        [192, 0, 0, _] | [198, 18..=19, ..] | [240..=255, ..] => Some(Kind::Reserved),
        _ => None,
    }
}

fn kind_v6(address: Ipv6Addr) -> Option<Kind> {
    if address.is_unspecified() {
        return Some(Kind::Unspecified);
    }
    if address.is_loopback() {
        return Some(Kind::Loopback);
    }
    match address.octets() {
        [0xfc..=0xfd, ..] => Some(Kind::UniqueLocal),
        [0xfe, 0x80..=0xbf, ..] => Some(Kind::LinkLocal),
        // RFC 3879: site-local, deprecated and still private.
        [0xfe, 0xc0..=0xff, ..] => Some(Kind::Private),
        [0xff, ..] => Some(Kind::Multicast),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..] => Some(Kind::Reserved),
        // RFC 8215: NAT64 within a network. RFC 6666: discard-only.
        [0, 0x64, 0xff, 0x9b, 0, 1, ..] | [1, 0, 0, 0, 0, 0, 0, 0, ..] => Some(Kind::Reserved),
        _ => None,
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "not an address of a host",
            Self::Loopback => "a loopback address",
            Self::Private => "an address of a private network",
            Self::LinkLocal => "a link-local address",
            Self::UniqueLocal => "a unique local address",
            Self::SharedByProvider => "an address of a provider's internal network",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.chars().take(64).collect());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
            None => width,
        };
        if prefix > width {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(allowed: &[&str], address: &str) -> bool {
        let networks = allowed.iter().map(|network| network.parse().unwrap()).collect();
        AllowedNetworks::new(networks).is_refused(address.parse().unwrap())
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_in_every_way_of_writing_them() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.170",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:0a00:0001::1",
            "2001:0:1234::80ff:fffe",
            "100::1",
            "::5",
        ] {
            assert!(refused(&[], address), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "192.167.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(!refused(&[], address), "{address}");
        }
    }

    #[test]
    fn an_allowed_network_covers_its_own_addresses_only() {
        assert!(!refused(&["10.0.0.0/8"], "10.255.0.1"));
        assert!(!refused(&["10.0.0.0/8"], "::ffff:10.255.0.1"));
        assert!(refused(&["10.0.0.0/8"], "192.168.0.1"));
        assert!(!refused(&["192.168.0.7"], "192.168.0.7"));
        assert!(refused(&["192.168.0.7"], "192.168.0.8"));
        assert!(!refused(&["::1", "fd00::/8"], "fd01::1"));
        assert!(refused(&["fd00::/8"], "fc00::1"));
        assert!(!refused(&["::ffff:0:0/96"], "::ffff:10.0.0.1"));
        assert!(!refused(&["0.0.0.0/0"], "127.0.0.1"));
        assert!(!refused(&["::/0"], "::1"));
        assert!(refused(&["0.0.0.0/0"], "::1"));
    }

    #[test]
    fn names_of_the_local_host_are_refused_without_dns() {
        let none = AllowedNetworks::default();
        for host in ["localhost", "LOCALHOST", "localhost.", "a.localhost", "127.1", "[::1]"] {
            let host = Host::parse(host).unwrap();
            assert!(none.check_host(&host).is_err(), "{host}");
        }
        assert_eq!(none.check_host(&Host::parse("example.com").unwrap()), Ok(()));
    }

    #[test]
    fn one_refused_address_refuses_the_whole_host() {
        let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
        let none = AllowedNetworks::default();
        let public = vec![socket("1.1.1.1:80"), socket("[2606:4700::1111]:80")];
        assert_eq!(none.filter(public.clone()).unwrap(), public);
        let mixed = vec![socket("1.1.1.1:80"), socket("127.0.0.1:80")];
        assert!(matches!(none.filter(mixed), Err(ResolveError::Refused(_))));
        assert!(matches!(none.filter(Vec::new()), Err(ResolveError::NoAddress)));
    }

    #[test]
    fn an_invalid_network_is_named() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "example.com",
            "10.0.0.0/x",
            "/8",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError(wrong.to_owned())));
        }
        let network: Network = "10.0.0.0/8".parse().unwrap();
        assert_eq!(serde_json::to_string(&network).unwrap(), "\"10.0.0.0/8\"");
    }
}
