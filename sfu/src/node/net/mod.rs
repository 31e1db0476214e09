//! A worker's sockets, and the addresses under which clients reach them.

mod connections;
mod tcp;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

pub use connections::{Connections, within_descriptors};
pub use tcp::{Peer, TcpFrame, accept};
pub use udp::Udp;

/// The addresses of all interfaces, IPv4 first. Read once: interfaces of a server do not come and go.
pub fn local_addresses() -> &'static [IpAddr] {
    static ADDRESSES: OnceLock<Vec<IpAddr>> = OnceLock::new();
    ADDRESSES.get_or_init(|| {
        let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
            .unwrap_or_default()
            .iter()
            .map(if_addrs::Interface::ip)
            .filter(|ip| match ip {
                IpAddr::V4(_) => true,
                // Link-local addresses need a scope, which candidates cannot carry.
                IpAddr::V6(ip) => !ip.is_unicast_link_local(),
            })
            .collect();
        addresses.sort_by_key(|ip| (ip.is_ipv6(), ip.is_loopback(), *ip));
        addresses.dedup();
        addresses
    })
}

/// This side of a datagram, as an advertised candidate: `str0m` takes only those.
fn destination(arrived_at: Option<IpAddr>, local: SocketAddr, advertised: &[SocketAddr]) -> SocketAddr {
    let at = SocketAddr::new(arrived_at.unwrap_or(local.ip()), local.port());
    if advertised.contains(&at) {
        return at;
    }
    advertised
        .iter()
        .find(|candidate| candidate.is_ipv4() == at.is_ipv4())
        .copied()
        .unwrap_or(at)
}
