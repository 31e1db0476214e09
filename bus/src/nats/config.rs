//! The settings of the connection to NATS.

use std::path::PathBuf;
use std::time::Duration;

use rotunda_proto::config::{ConfigMistake, Secret};
use serde::{Deserialize, Serialize};

/// `[bus]` of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// URLs of NATS servers of one cluster, for example "nats://nats:4222"; "tls://" requires TLS. None: the bus is
    /// inside this process, which is then the only node. Default none.
    pub urls: Vec<String>,
    /// First token of every subject, and name of the key-value bucket: letters, digits, `_` and `-`. Clusters that share
    /// a NATS account need different ones. Default "rotunda".
    pub prefix: String,
    /// File with NATS credentials (JWT and key). Default "".
    pub credentials_file: String,
    /// User name, if the server requires one. Default "".
    pub user: String,
    /// The user's password. Default "".
    pub password: Secret,
    /// Token, if the server requires one. Default "".
    pub token: Secret,
    /// File with the certificates of the authorities that signed the server's certificate. Default "": the
    /// system's.
    pub tls_ca: String,
    /// File with this node's certificate, if the server requires one. Default "".
    pub tls_cert: String,
    /// File with its private key. Default "".
    pub tls_key: String,
    /// Replicas of documents and events in a NATS cluster: 1, 3 or 5; used when they are first created. Default 1.
    pub replicas: usize,
    /// Seconds after the last renewal until a dead node's seats, members and keys have vanished: 2 to 600. Default
    /// 5.
    pub lease_seconds: u64,
    /// Seconds that the first connection may take at the start. Default 30.
    pub connect_seconds: u64,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            prefix: "rotunda".to_owned(),
            credentials_file: String::new(),
            user: String::new(),
            password: Secret::default(),
            token: Secret::default(),
            tls_ca: String::new(),
            tls_cert: String::new(),
            tls_key: String::new(),
            replicas: 1,
            lease_seconds: 5,
            connect_seconds: 30,
        }
    }
}

impl NatsConfig {
    /// Whether the bus is on a server, and not inside this process.
    pub fn is_remote(&self) -> bool {
        !self.urls.is_empty()
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_seconds)
    }

    pub fn lease_times(&self) -> crate::lease::LeaseTimes {
        crate::lease::LeaseTimes {
            lease: Duration::from_secs(self.lease_seconds),
        }
    }

    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        let mut check = |right: bool, key: &str, message: &str| {
            if !right {
                mistakes.push(ConfigMistake::new(format!("bus.{key}"), message));
            }
        };
        let valid_url = |url: &String| {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme);
            matches!(scheme, Some("nats" | "tls"))
        };
        check(
            self.urls.iter().all(valid_url),
            "urls",
            "write nats://host:4222, or tls://host:4222 if the server requires TLS",
        );
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        check(
            !self.prefix.is_empty() && self.prefix.len() <= 64 && self.prefix.bytes().all(word),
            "prefix",
            "write 1 to 64 letters, digits, `_` and `-`",
        );
        check(matches!(self.replicas, 1 | 3 | 5), "replicas", "write 1, 3 or 5");
        check(
            (2..=600).contains(&self.lease_seconds),
            "lease_seconds",
            "write 2 to 600 seconds",
        );
        check(
            (1..=3600).contains(&self.connect_seconds),
            "connect_seconds",
            "write 1 to 3600 seconds",
        );
        check(
            self.user.is_empty() == self.password.reveal().is_empty(),
            "password",
            "set both user and password, or neither",
        );
        check(
            self.tls_cert.is_empty() == self.tls_key.is_empty(),
            "tls_key",
            "set both tls_cert and tls_key, or neither",
        );
        let ways = [
            !self.credentials_file.is_empty(),
            !self.user.is_empty(),
            !self.token.reveal().is_empty(),
        ];
        check(
            ways.iter().filter(|way| **way).count() <= 1,
            "credentials_file",
            "set one of credentials_file, user with password, and token",
        );
        mistakes
    }
}

impl NatsConfig {
    pub(super) async fn options(&self) -> std::io::Result<async_nats::ConnectOptions> {
        let mut options = async_nats::ConnectOptions::new();
        if !self.credentials_file.is_empty() {
            options = options.credentials_file(&self.credentials_file).await?;
        }
        if !self.user.is_empty() {
            options = options.user_and_password(self.user.clone(), self.password.reveal().to_owned());
        }
        if !self.token.reveal().is_empty() {
            options = options.token(self.token.reveal().to_owned());
        }
        if !self.tls_ca.is_empty() {
            options = options.add_root_certificates(PathBuf::from(&self.tls_ca));
        }
        if !self.tls_cert.is_empty() {
            options = options.add_client_certificate(PathBuf::from(&self.tls_cert), PathBuf::from(&self.tls_key));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_named_with_what_to_write() {
        assert_eq!(NatsConfig::default().validate(), []);
        let wrong = NatsConfig {
            urls: vec!["nats:4222".to_owned()],
            prefix: "a.b".to_owned(),
            replicas: 2,
            lease_seconds: 1,
            user: "rotunda".to_owned(),
            token: Secret::new("t"),
            tls_key: "key.pem".to_owned(),
            ..NatsConfig::default()
        };
        let keys: Vec<_> = wrong.validate().into_iter().map(|mistake| mistake.key).collect();
        let expected = [
            "urls",
            "prefix",
            "replicas",
            "lease_seconds",
            "password",
            "tls_key",
            "credentials_file",
        ];
        assert_eq!(keys, expected.map(|key| format!("bus.{key}")));
    }
}
