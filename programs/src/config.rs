//! The settings of programs between nodes.

use std::net::{IpAddr, Ipv4Addr};

use rotunda_proto::config::ConfigMistake;
use serde::{Deserialize, Serialize};

/// Section `[programs]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address that other nodes' recorders and live origins reach this node's programs at. Default "0.0.0.0".
    pub bind: IpAddr,
    /// Port of that; 0: any free one. Default 9091.
    pub port: u16,
    /// Addresses or host names that other nodes reach this node by, tried in order. Default none: those of the interfaces.
    pub advertise: Vec<String>,
    /// Megabytes of a program's frames that are kept for readers on other nodes whose connection is interrupted. Default 16.
    pub kept_mb: usize,
    /// Seconds of frames that are kept for them at most. Default 30.
    pub kept_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED.into(),
            port: 9091,
            advertise: Vec::new(),
            kept_mb: 16,
            kept_seconds: 30,
        }
    }
}

impl Config {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        if !(1..=1024).contains(&self.kept_mb) {
            mistakes.push(ConfigMistake::new("programs.kept_mb", "write 1 to 1024"));
        }
        if !(5..=300).contains(&self.kept_seconds) {
            mistakes.push(ConfigMistake::new("programs.kept_seconds", "write 5 to 300"));
        }
        let is_host = |name: &String| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | ':'))
        };
        if let Some(wrong) = self.advertise.iter().find(|name| !is_host(name)) {
            let message = format!("write an address or a host name without a port, not {wrong:?}");
            mistakes.push(ConfigMistake::new("programs.advertise", message));
        }
        mistakes
    }
}
