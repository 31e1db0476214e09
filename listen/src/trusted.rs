//! The networks of trusted proxies.

use std::net::IpAddr;

use rotunda_proto::outbound::Network;

/// Networks whose PROXY protocol headers and forwarded headers are trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// The default: a proxy beside the server works without configuration.
    pub fn this_machine() -> Vec<Network> {
        ["127.0.0.0/8", "::1/128"]
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether there are trusted networks besides this machine.
    pub fn has_others(&self) -> bool {
        self.0.iter().any(|network| !Self::this_machine().contains(network))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_trusted_by_default_and_nobody_else() {
        let trusted = TrustedProxies::new(TrustedProxies::this_machine());
        for (address, is) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::2", false),
        ] {
            assert_eq!(trusted.contains(address.parse().unwrap()), is, "{address}");
        }
        assert!(!trusted.has_others());
        assert!(TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]).has_others());
    }
}
