//! The STUN and TURN servers that the server names to its members, as the device uses them (RFC 7064, RFC 7065). Pure.

use rotunda_proto::signaling::IceServer;

/// A server that tells the device an address by which others reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatServer {
    /// Tells the address that a NAT gives the device.
    Stun { address: String },
    /// Gives an address of its own, and relays.
    Turn {
        address: String,
        username: String,
        password: String,
    },
}

const DEFAULT_PORT: u16 = 3478;
/// Servers that are asked; further ones are left out.
const MOST: usize = 4;

/// The servers that are reached by UDP. Where there is no UDP, ICE-TCP leads to the SFU, so that TURN over TCP has no use here.
pub fn usable(servers: &[IceServer]) -> Vec<NatServer> {
    let read = servers
        .iter()
        .flat_map(|server| server.urls.iter().filter_map(|url| read(server, url)));
    read.take(MOST).collect()
}

fn read(server: &IceServer, url: &str) -> Option<NatServer> {
    let (scheme, rest) = url.split_once(':')?;
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let address = with_port(authority)?;
    match scheme {
        "stun" => Some(NatServer::Stun { address }),
        "turn" if query.is_empty() || query == "transport=udp" => Some(NatServer::Turn {
            address,
            username: server.username.clone()?,
            password: server.credential.clone()?,
        }),
        _ => None,
    }
}

fn with_port(authority: &str) -> Option<String> {
    let host = match authority.rsplit_once(':') {
        // The colon of an IPv6 address without a port.
        Some(_) if authority.ends_with(']') => authority,
        Some((host, port)) => {
            port.parse::<u16>().ok()?;
            return (!host.is_empty()).then(|| authority.to_owned());
        }
        None => authority,
    };
    (!host.is_empty()).then(|| format!("{host}:{DEFAULT_PORT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> IceServer {
        IceServer {
            urls: vec![url.to_owned()],
            username: Some("ann".to_owned()),
            credential: Some("secret".to_owned()),
        }
    }

    fn address(url: &str) -> Option<String> {
        usable(&[server(url)]).pop().map(|server| match server {
            NatServer::Stun { address } | NatServer::Turn { address, .. } => address,
        })
    }

    #[test]
    fn servers_by_udp_are_used_and_others_are_left_out() {
        assert_eq!(
            address("stun:stun.example.com").as_deref(),
            Some("stun.example.com:3478")
        );
        assert_eq!(address("stun:192.0.2.1:19302").as_deref(), Some("192.0.2.1:19302"));
        assert_eq!(address("turn:[2001:db8::1]").as_deref(), Some("[2001:db8::1]:3478"));
        assert_eq!(
            address("turn:turn.example.com:80?transport=udp").as_deref(),
            Some("turn.example.com:80")
        );
        for other in [
            "turn:x?transport=tcp",
            "turns:x",
            "stuns:x",
            "stun:",
            "stun:x:port",
            "http://x",
            "x",
        ] {
            assert_eq!(address(other), None, "{other}");
        }
    }

    #[test]
    fn turn_needs_its_name_and_password() {
        let without = IceServer {
            credential: None,
            ..server("turn:x")
        };
        assert_eq!(usable(&[without]), []);
        let turn = NatServer::Turn {
            address: "x:3478".to_owned(),
            username: "ann".to_owned(),
            password: "secret".to_owned(),
        };
        assert_eq!(usable(&[server("turn:x")]), [turn]);
    }
}
