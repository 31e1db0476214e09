//! The way of this process's services to its own signaling: RTMP publishers and avatars are members of rooms by the public protocol.
//!
//! It is a listener of its own on the loopback interface, so that it needs no certificate of that name, no header of a proxy, and no share of
//! the connections that one address may have.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rotunda_listen::{Binding, Listener, Listeners, Policy, Security, TrustedProxies};

use crate::cli::Role;
use crate::config::Config;

/// Its listener, if this process has signaling and services that need it.
pub async fn bind(config: &Config, roles: &[Role], policy: Policy) -> io::Result<Option<Listener>> {
    let has = |role| roles.contains(&role);
    if !has(Role::Signaling) || !(has(Role::Live) || has(Role::Avatar)) {
        return Ok(None);
    }
    let policy = Policy {
        trusted: TrustedProxies::new(Vec::new()),
        proxy_protocol: false,
        per_address: usize::MAX,
        ..policy
    };
    let open = config.server.limits.rtmp_connections;
    let binding = Binding {
        name: "own",
        address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
        open,
        plain: open,
        security: Security::Plain,
    };
    Listeners::new(policy, None).bind(binding).await.map(Some)
}

/// The URL of signaling by this listener; without one, by the usual port.
pub fn url(listener: Option<&Listener>, config: &Config) -> io::Result<String> {
    let address = match listener {
        Some(listener) => return Ok(format!("ws://{}/ws", listener.local_addr()?)),
        None => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), config.server.port),
    };
    let scheme = if config.server.tls.is_on() { "wss" } else { "ws" };
    Ok(format!("{scheme}://{address}/ws"))
}
