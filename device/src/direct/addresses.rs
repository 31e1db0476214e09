//! The addresses at which a viewer may reach the device directly: its own, and those that STUN and TURN servers tell.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rotunda_proto::clock::Clock;

use crate::ice_servers::NatServer;
use crate::log::log;
use crate::session::Address;
use crate::settings::Avt;
use crate::transport::Transport;

/// How long all STUN and TURN servers together may take: the viewer waits for the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Interfaces that are listened on.
const MOST: usize = 8;

/// Opens the sockets.
pub async fn gather(avt: &Avt, servers: &[NatServer]) -> (Transport, Vec<Address>) {
    let mut transport = Transport::new();
    let mut own = Vec::new();
    for ip in own_addresses(avt) {
        match transport.add_udp(ip, avt.direct_port).await {
            Ok(address) => own.push(address),
            Err(error) => log!(Info, "no direct connections by {ip}: {error}"),
        }
    }
    let mut found: Vec<Address> = own.iter().copied().map(Address::Host).collect();
    let by = Clock.now() + PATIENCE;
    for server in servers {
        let left = by.saturating_duration_since(Clock.now());
        match tokio::time::timeout(left, ask(&mut transport, &own, server)).await {
            Ok(Ok(address)) => found.push(address),
            Ok(Err(error)) => log!(Info, "no address by {}: {error}", name(server)),
            Err(_late) => log!(Info, "{} does not answer", name(server)),
        }
    }
    (transport, found)
}

fn name(server: &NatServer) -> &str {
    match server {
        NatServer::Stun { address } | NatServer::Turn { address, .. } => address,
    }
}

async fn ask(transport: &mut Transport, own: &[SocketAddr], server: &NatServer) -> std::io::Result<Address> {
    let resolved: Vec<SocketAddr> = tokio::net::lookup_host(name(server)).await?.collect();
    // Media listens on IPv4 by default.
    let at = resolved.iter().find(|at| at.is_ipv4()).or(resolved.first()).copied();
    let at = at.ok_or_else(|| std::io::Error::other("its name has no address"))?;
    match server {
        NatServer::Stun { .. } => {
            let reaches =
                |own: &&SocketAddr| own.is_ipv4() == at.is_ipv4() && own.ip().is_loopback() == at.ip().is_loopback();
            let base = own.iter().find(reaches).copied();
            let base = base.ok_or_else(|| std::io::Error::other("no address of ours reaches it"))?;
            let address = transport.reflexive(base, at).await?;
            Ok(Address::Reflexive { address, base })
        }
        NatServer::Turn { username, password, .. } => {
            let (address, local) = transport.add_turn(at, username, password).await?;
            Ok(Address::Relayed { address, local })
        }
    }
}

fn own_addresses(avt: &Avt) -> Vec<IpAddr> {
    if let Some(address) = avt.direct_address {
        return vec![address];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let usable = interfaces.iter().map(if_addrs::Interface::ip).filter(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        // Link-local addresses have no meaning without their interface.
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 != 0xfe80,
    });
    usable.take(MOST).collect()
}
