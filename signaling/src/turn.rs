//! The ICE servers handed to clients, with names and passwords that expire.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rotunda_proto::ids::UserId;
use rotunda_proto::signaling::IceServer;
use sha1::Sha1;

use crate::config::Config;

/// The ICE servers for the client's `RTCPeerConnection`; empty where none is configured.
pub fn ice_servers(config: &Config, user: &UserId, unix_now: Duration) -> Vec<IceServer> {
    let mut servers = Vec::new();
    if !config.ice_urls.is_empty() {
        servers.push(IceServer {
            urls: config.ice_urls.clone(),
            username: None,
            credential: None,
        });
    }
    if !config.turn.urls.is_empty() {
        let username = format!("{}:{user}", unix_now.as_secs() + config.turn.ttl_seconds);
        servers.push(IceServer {
            urls: config.turn.urls.clone(),
            credential: Some(credential(config.turn.secret.reveal(), &username)),
            username: Some(username),
        });
    }
    servers
}

/// The password that a TURN server with the same secret accepts for a name that begins with its time of expiry.
/// Source: draft-uberti-behave-turn-rest-00 §2.2; coturn `use-auth-secret`.
fn credential(secret: &str, username: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any key length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use rotunda_proto::config::Secret;

    use super::*;
    use crate::config::Turn;

    /// `printf 1700003600:ann | openssl dgst -sha1 -hmac north -binary | base64`
    #[test]
    fn a_turn_password_is_the_hmac_of_its_expiry_and_user() {
        let config = Config {
            ice_urls: vec!["stun:stun.example.com".to_owned()],
            turn: Turn {
                urls: vec!["turn:turn.example.com".to_owned()],
                secret: Secret::new("north"),
                ttl_seconds: 3600,
            },
            ..Config::default()
        };
        let servers = ice_servers(&config, &"ann".parse().unwrap(), Duration::from_secs(1_700_000_000));
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].username, None);
        assert_eq!(servers[1].username.as_deref(), Some("1700003600:ann"));
        assert_eq!(servers[1].credential.as_deref(), Some("TwqKCcbzejRFa1sgGqGS7SEzCGg="));
    }

    #[test]
    fn without_configuration_there_are_none() {
        assert_eq!(
            ice_servers(&Config::default(), &"ann".parse().unwrap(), Duration::ZERO),
            []
        );
    }
}
