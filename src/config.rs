//! The configuration: one typed struct, defaults < file < environment, every mistake found before anything starts.

use std::path::{Path, PathBuf};

use rotunda_listen::{Limits, TlsFiles, TrustedProxies};
use rotunda_proto::config::{Application, ConfigMistake};
use rotunda_proto::ids::NodeId;
use rotunda_proto::outbound::Network;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::{Table, Value};

/// Prefix of environment overrides; then section and key, joined by two underscores.
const ENV_PREFIX: &str = "ROTUNDA__";

/// Everything that can be set. `deploy/config.sample.toml` shows it all with its defaults.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Config {
    pub server: Server,
    pub signaling: rotunda_signaling::Config,
    pub sfu: rotunda_sfu::Config,
    pub mcu: rotunda_mcu::Config,
    pub recorder: rotunda_recorder::Config,
    pub live: rotunda_live::Config,
    /// Tenants. None: one is made at the first start, with random keys, and kept in `<data>/secrets.toml`.
    pub applications: Vec<Application>,
}

/// What concerns the process as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Name of this process in the cluster: letters, digits, `_` and `-`. Default "node-1".
    pub node: NodeId,
    /// Folder for the database and generated keys. Default "./data".
    pub data: PathBuf,
    /// Address that HTTP and WebSocket listen on. Default "0.0.0.0".
    pub bind: std::net::IpAddr,
    /// Port of HTTP and WebSocket. Default 8080.
    pub port: u16,
    /// Database URL; empty: SQLite in the data folder. Default "".
    pub database: String,
    /// Seconds that an orderly shutdown may take before the process ends anyway. Default 20.
    pub shutdown_seconds: u64,
    /// What is logged, in the syntax of `tracing`'s EnvFilter. Default "info".
    pub log: String,
    /// Log lines as JSON. Default false.
    pub log_json: bool,
    /// Addresses of own proxies, as networks: their forwarded headers are believed, and their connections count for the clients
    /// that they forward. Default this machine: 127.0.0.0/8 and ::1.
    pub trusted_proxies: Vec<Network>,
    /// Trusted proxies begin each connection (HTTP, gRPC, RTMP) with a PROXY protocol header, version 1 or 2. Default false.
    pub proxy_protocol: bool,
    pub tls: TlsFiles,
    pub limits: Limits,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            #[expect(clippy::expect_used, reason = "a literal that obeys the rule of ids")]
            node: "node-1".parse().expect("a valid node id"),
            data: "./data".into(),
            bind: std::net::Ipv4Addr::UNSPECIFIED.into(),
            port: 8080,
            database: String::new(),
            shutdown_seconds: 20,
            log: "info".to_owned(),
            log_json: false,
            trusted_proxies: TrustedProxies::this_machine(),
            proxy_protocol: false,
            tls: TlsFiles::default(),
            limits: Limits::default(),
        }
    }
}

/// All that is wrong with a configuration.
#[derive(Debug, Error)]
#[error("the configuration has {} mistake(s):\n{}", .0.len(), list(.0))]
pub struct ConfigError(pub Vec<ConfigMistake>);

fn list(mistakes: &[ConfigMistake]) -> String {
    mistakes
        .iter()
        .map(|mistake| format!("  - {mistake}"))
        .collect::<Vec<_>>()
        .join("\n")
}

impl Config {
    /// Reads the file (if any) and the environment over the defaults.
    ///
    /// Errors: [`ConfigError`] with every unknown key, value of the wrong type and value out of range.
    pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut mistakes = Vec::new();
        let mut settings = Table::new();
        if let Some(path) = file {
            match read(path) {
                Ok(table) => settings = table,
                Err(mistake) => mistakes.push(mistake),
            }
        }
        for (name, text) in env {
            if let Some(path) = name.strip_prefix(ENV_PREFIX) {
                overlay(&mut settings, path, &text, &mut mistakes);
            }
        }
        let config = Self {
            server: section(&mut settings, "server", &mut mistakes),
            signaling: section(&mut settings, "signaling", &mut mistakes),
            sfu: section(&mut settings, "sfu", &mut mistakes),
            mcu: section(&mut settings, "mcu", &mut mistakes),
            recorder: section(&mut settings, "recorder", &mut mistakes),
            live: section(&mut settings, "live", &mut mistakes),
            applications: applications(&mut settings, &mut mistakes),
        };
        mistakes.extend(
            settings
                .keys()
                .map(|key| ConfigMistake::new(key.clone(), "there is no such section")),
        );
        mistakes.extend(config.validate());
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(mistakes))
        }
    }

    fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        mistakes.extend(self.server.limits.validate());
        mistakes.extend(self.signaling.validate());
        mistakes.extend(self.sfu.validate());
        mistakes.extend(self.mcu.validate());
        mistakes.extend(self.recorder.validate());
        mistakes.extend(self.live.validate());
        let mut ids: Vec<_> = self.applications.iter().map(|app| app.sdk_app_id).collect();
        ids.sort();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            mistakes.push(ConfigMistake::new("applications", "two have the same sdk_app_id"));
        }
        mistakes
    }

    /// SQLite in the data folder unless a database is configured.
    pub fn database_url(&self) -> String {
        if self.server.database.is_empty() {
            format!("sqlite://{}?mode=rwc", self.server.data.join("rotunda.db").display())
        } else {
            self.server.database.clone()
        }
    }
}

fn read(path: &Path) -> Result<Table, ConfigMistake> {
    let key = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigMistake::new(key.clone(), error.to_string()))?;
    text.parse()
        .map_err(|error: toml::de::Error| ConfigMistake::new(key, error.to_string()))
}

/// Sets `SECTION__KEY` in the table. The text is taken as TOML where it is that (numbers, booleans, lists), else as text.
fn overlay(settings: &mut Table, path: &str, text: &str, mistakes: &mut Vec<ConfigMistake>) {
    let path = path.to_lowercase();
    let Some((section, key)) = path.split_once("__") else {
        mistakes.push(ConfigMistake::new(
            format!("{ENV_PREFIX}{path}"),
            "write ROTUNDA__SECTION__KEY",
        ));
        return;
    };
    let value = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    match settings.entry(section).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(table) => {
            table.insert(key.to_owned(), value);
        }
        _ => mistakes.push(ConfigMistake::new(path, "cannot be set from the environment")),
    }
}

/// Takes a section out of the table. Each key is tried alone, so that every wrong one is named and not just the first.
fn section<T: DeserializeOwned + Default>(settings: &mut Table, name: &str, mistakes: &mut Vec<ConfigMistake>) -> T {
    let mut good = match settings.remove(name) {
        None => return T::default(),
        Some(Value::Table(table)) => table,
        Some(_) => {
            mistakes.push(ConfigMistake::new(name, format!("write a section: [{name}]")));
            return T::default();
        }
    };
    good.retain(|key, value| {
        let alone = Table::from_iter([(key.to_owned(), value.clone())]);
        match Value::Table(alone).try_into::<T>() {
            Ok(_) => true,
            Err(error) => {
                mistakes.push(ConfigMistake::new(format!("{name}.{key}"), error.message().to_owned()));
                false
            }
        }
    });
    Value::Table(good).try_into().unwrap_or_default()
}

fn applications(settings: &mut Table, mistakes: &mut Vec<ConfigMistake>) -> Vec<Application> {
    let entries = match settings.remove("applications") {
        None => return Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            mistakes.push(ConfigMistake::new("applications", "write [[applications]]"));
            return Vec::new();
        }
    };
    let mut applications = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        match entry.try_into() {
            Ok(application) => applications.push(application),
            Err(error) => {
                mistakes.push(ConfigMistake::new(
                    format!("applications[{index}]"),
                    error.message().to_owned(),
                ));
            }
        }
    }
    applications
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        owned.into_iter()
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rotunda.toml");
        std::fs::write(&file, "[server]\nport = 1000\nnode = \"a\"\n").unwrap();
        let config = Config::load(Some(&file), env(&[("ROTUNDA__SERVER__PORT", "2000")])).unwrap();
        assert_eq!(config.server.port, 2000);
        assert_eq!(config.server.node.as_str(), "a");
        assert_eq!(config.server.log, "info");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rotunda.toml");
        std::fs::write(&file, "[server]\nport = \"x\"\nprot = 1\n[sfoo]\na = 1\n").unwrap();
        let ConfigError(mistakes) = Config::load(Some(&file), env(&[("ROTUNDA__SFU__PORT", "70000")])).unwrap_err();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["server.port", "server.prot", "sfu.port", "sfoo"]);
    }

    #[test]
    fn the_sample_is_complete_and_equal_to_the_defaults() {
        let sample = include_str!("../deploy/config.sample.toml");
        let uncommented: Table = sample.parse().unwrap();
        let defaults = Table::try_from(Config::default()).unwrap();
        assert_eq!(
            uncommented, defaults,
            "regenerate with `rotunda config`, and keep the comments"
        );
    }
}
