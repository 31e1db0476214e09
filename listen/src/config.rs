//! The settings of listeners.

use std::path::PathBuf;
use std::time::Duration;

use rotunda_proto::config::ConfigMistake;
use serde::{Deserialize, Serialize};

/// Limits of connections: section `[server.limits]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open files and sockets that no listener may use: they are reserved for media, recordings and the database.
    /// Default 2000.
    pub reserved_files: u64,
    /// HTTP and WebSocket connections; 0: as many as the limit of open files allows. Default 0.
    pub http_connections: usize,
    /// How many of them may be other than WebSocket: pages, files, live players, the API. The rest is reserved for
    /// rooms. A request over this limit gets 503. 0: a quarter. Default 0.
    pub plain_http_connections: usize,
    /// gRPC connections. Default 1000.
    pub grpc_connections: usize,
    /// RTMP connections. Default 2000.
    pub rtmp_connections: usize,
    /// Connections per address (IPv6: per /64 network) and listener. Connections of a trusted proxy count for the
    /// addresses that it forwards. Default 4096.
    pub connections_per_address: usize,
    /// Seconds in which TLS, the header of the PROXY protocol and the header of a request must be complete. Default 15.
    pub header_seconds: u64,
    /// Seconds in which the body of an HTTP request must be complete. Default 60.
    pub body_seconds: u64,
    /// Seconds without a byte in either direction after which a connection is closed. Default 75.
    pub idle_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reserved_files: 2000,
            http_connections: 0,
            plain_http_connections: 0,
            grpc_connections: 1000,
            rtmp_connections: 2000,
            connections_per_address: 4096,
            header_seconds: 15,
            body_seconds: 60,
            idle_seconds: 75,
        }
    }
}

impl Limits {
    pub fn header(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }

    pub fn body(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }

    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    /// HTTP connections if the process may open this many files; None: any number.
    pub fn http(&self, open_files: Option<u64>) -> usize {
        if self.http_connections > 0 {
            return self.http_connections;
        }
        let Some(open_files) = open_files else {
            return MOST_HTTP;
        };
        let others = self.reserved_files + self.grpc_connections as u64 + self.rtmp_connections as u64;
        // A machine with few open files shares them anyway: half is better than none.
        let left = open_files.saturating_sub(others).max(open_files / 2);
        usize::try_from(left).unwrap_or(MOST_HTTP).min(MOST_HTTP)
    }

    /// How many of them may be other than WebSocket.
    pub fn plain_http(&self, http: usize) -> usize {
        match self.plain_http_connections {
            0 => (http / 4).max(1),
            plain => plain.min(http),
        }
    }

    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        let mut check = |right: bool, key: &str, message: &str| {
            if !right {
                mistakes.push(ConfigMistake::new(format!("server.limits.{key}"), message));
            }
        };
        check(self.grpc_connections > 0, "grpc_connections", "write at least 1");
        check(self.rtmp_connections > 0, "rtmp_connections", "write at least 1");
        check(
            self.connections_per_address > 0,
            "connections_per_address",
            "write at least 1",
        );
        check(
            (1..=300).contains(&self.header_seconds),
            "header_seconds",
            "write 1 to 300",
        );
        check(
            (1..=3600).contains(&self.body_seconds),
            "body_seconds",
            "write 1 to 3600",
        );
        // The server pings a WebSocket every 15 s; a connection must survive two missed pings.
        check(
            (45..=3600).contains(&self.idle_seconds),
            "idle_seconds",
            "write 45 to 3600",
        );
        mistakes
    }
}

/// The number of connections without a limit of open files.
const MOST_HTTP: usize = 1_000_000;

/// The certificate: section `[server.tls]`. PEM files; both empty: no TLS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate, followed by those of its issuers. Read again when the file changes. Default "".
    pub certificate: PathBuf,
    /// The private key of the certificate. Default "".
    pub key: PathBuf,
}

impl TlsFiles {
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty() || !self.key.as_os_str().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_gets_the_rest_of_the_limit_of_open_files() {
        let limits = Limits::default();
        assert_eq!(limits.http(Some(100_000)), 95_000);
        assert_eq!(limits.http(Some(1024)), 512, "half of what is too little");
        assert_eq!(limits.http(None), MOST_HTTP);
        assert_eq!(limits.plain_http(95_000), 23_750);
        let set = Limits {
            http_connections: 10,
            plain_http_connections: 20,
            ..limits
        };
        assert_eq!((set.http(None), set.plain_http(10)), (10, 10));
    }

    #[test]
    fn every_limit_out_of_range_is_named() {
        let wrong = Limits {
            grpc_connections: 0,
            header_seconds: 0,
            idle_seconds: 10,
            ..Limits::default()
        };
        let keys: Vec<_> = wrong.validate().into_iter().map(|mistake| mistake.key).collect();
        assert_eq!(
            keys,
            [
                "server.limits.grpc_connections",
                "server.limits.header_seconds",
                "server.limits.idle_seconds"
            ]
        );
    }
}
