//! The local addresses that a peer can see.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;

use crate::JoinError;

/// Addresses of this machine that are offered, at most.
const MOST_ADDRESSES: usize = 8;

/// The local address of the route to the server.
pub async fn local_address(url: &str) -> Result<IpAddr, JoinError> {
    let parsed = url::Url::parse(url).map_err(|_| JoinError::Url(url.to_owned()))?;
    let host = parsed.host_str().ok_or_else(|| JoinError::Url(url.to_owned()))?;
    let port = parsed.port_or_known_default().unwrap_or(80);
    let mut servers = tokio::net::lookup_host((host, port)).await.map_err(JoinError::Socket)?;
    // Media listens on IPv4 by default.
    let server = servers
        .find(SocketAddr::is_ipv4)
        .ok_or_else(|| JoinError::Url(url.to_owned()))?;
    // Connecting a UDP socket sends nothing; it only looks up the route.
    let probe = UdpSocket::bind("0.0.0.0:0").await.map_err(JoinError::Socket)?;
    probe.connect(server).await.map_err(JoinError::Socket)?;
    Ok(probe.local_addr().map_err(JoinError::Socket)?.ip())
}

/// The addresses of this machine, for a session that peers connect to.
pub fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut known = HashSet::new();
    let usable = interfaces.iter().map(if_addrs::Interface::ip).filter(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        // Link-local addresses have no meaning without their interface.
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 != 0xfe80,
    });
    usable.filter(|ip| known.insert(*ip)).take(MOST_ADDRESSES).collect()
}
