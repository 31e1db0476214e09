//! The addresses of this machine: whether the public can reach the server without encryption, and where other nodes reach it.

use std::net::IpAddr;

use rotunda_listen::TrustedProxies;
use rotunda_proto::outbound::AllowedNetworks;
use tracing::warn;

use crate::config::Config;

/// Logs one clear warning when tickets and keys would cross the internet as plain text.
pub fn warn_without_tls(config: &Config) {
    let is_behind_proxy = TrustedProxies::new(config.server.trusted_proxies.clone()).has_others();
    if config.server.tls.is_on() || is_behind_proxy {
        return;
    }
    let own = if_addrs::get_if_addrs().unwrap_or_default();
    let own: Vec<IpAddr> = own.iter().map(|interface| interface.ip()).collect();
    let bound = [config.server.bind, config.signaling.api.bind];
    if let Some(address) = bound.into_iter().find_map(|bound| public(bound, &own)) {
        warn!(
            %address,
            "HTTP, WebSocket and gRPC are served on a public address without TLS: tickets and keys can be read on the way, and \
             browsers give no camera. Set server.tls, or put a proxy in front and name it in server.trusted_proxies"
        );
    }
}

/// Where other nodes reach this one. Of its own addresses those of this machine alone come last.
pub fn hosts_for_nodes(programs: &rotunda_programs::Config) -> Vec<String> {
    if !programs.advertise.is_empty() {
        return programs.advertise.clone();
    }
    if !programs.bind.is_unspecified() {
        return vec![programs.bind.to_string()];
    }
    let own = if_addrs::get_if_addrs().unwrap_or_default();
    hosts(own.iter().map(|interface| interface.ip()).collect(), programs.bind)
}

fn hosts(mut own: Vec<IpAddr>, bind: IpAddr) -> Vec<String> {
    // Link-local addresses need the name of an interface.
    own.retain(|address| match address {
        IpAddr::V4(address) => !address.is_link_local(),
        IpAddr::V6(address) => bind.is_ipv6() && !address.is_unicast_link_local(),
    });
    own.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    own.iter().map(IpAddr::to_string).collect()
}

/// The public address of a listener that is bound to `bound`.
fn public(bound: IpAddr, own: &[IpAddr]) -> Option<IpAddr> {
    let is_public = |address: &IpAddr| !AllowedNetworks::default().is_refused(*address);
    match bound.is_unspecified() {
        true => own.iter().copied().find(is_public),
        false => Some(bound).filter(is_public),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_try_the_addresses_of_networks_first_and_none_that_the_listener_does_not_take() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let own = ["127.0.0.1", "fe80::1", "fd00::7", "10.0.0.7", "169.254.1.1"].map(address);
        assert_eq!(hosts(own.to_vec(), address("::")), ["10.0.0.7", "fd00::7", "127.0.0.1"]);
        assert_eq!(hosts(own.to_vec(), address("0.0.0.0")), ["10.0.0.7", "127.0.0.1"]);
    }

    #[test]
    fn a_listener_is_public_by_its_own_address_or_by_that_of_an_interface() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let own = [address("127.0.0.1"), address("10.0.0.7"), address("8.8.8.8")];
        assert_eq!(public(address("0.0.0.0"), &own), Some(address("8.8.8.8")));
        assert_eq!(public(address("::"), &own[..2]), None);
        assert_eq!(public(address("10.0.0.7"), &own), None);
        assert_eq!(public(address("8.8.8.8"), &[]), Some(address("8.8.8.8")));
    }
}
