//! What can be set.

use std::net::{IpAddr, Ipv4Addr};

use rotunda_proto::config::ConfigMistake;
use serde::{Deserialize, Serialize};

/// Section `[signaling]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds that a member stays in the room after the loss of its WebSocket. Default 30.
    pub resume_seconds: u32,
    /// Seconds in which a WebSocket must log in. Default 10.
    pub login_seconds: u64,
    /// Serves the demo room's own back end at `/demo/`, which gives anybody a ticket: off in production. Default true.
    pub demo: bool,
    /// `iceServers` handed to clients, for networks that need TURN: URLs. Default none.
    pub ice_urls: Vec<String>,
    pub api: Api,
}

/// The public API: section `[signaling.api]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Address that gRPC listens on. Default "0.0.0.0".
    pub bind: IpAddr,
    /// Port of gRPC. Default 9090.
    pub grpc_port: u16,
    /// Calls of StartMCUMixTranscode a second and application; more get RequestLimitExceeded. Default 20.
    pub mix_starts_per_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            resume_seconds: 30,
            login_seconds: 10,
            demo: true,
            ice_urls: Vec::new(),
            api: Api::default(),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED.into(),
            grpc_port: 9090,
            mix_starts_per_second: 20,
        }
    }
}

impl Config {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        if self.resume_seconds > 3600 {
            mistakes.push(ConfigMistake::new("signaling.resume_seconds", "write at most 3600"));
        }
        if self.login_seconds == 0 {
            mistakes.push(ConfigMistake::new("signaling.login_seconds", "write at least 1"));
        }
        if self.api.mix_starts_per_second == 0 {
            mistakes.push(ConfigMistake::new(
                "signaling.api.mix_starts_per_second",
                "write at least 1",
            ));
        }
        mistakes
    }
}
