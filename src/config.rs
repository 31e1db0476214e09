//! The configuration: one typed struct, defaults < file < environment, every mistake found before anything starts.

pub mod applications;
pub mod console;

use std::path::{Path, PathBuf};

use axum::http::Uri;
use axum::http::uri::Authority;
use rotunda_listen::{Limits, TlsFiles, TrustedProxies};
use rotunda_proto::config::{Application, ConfigMistake, Secret};
use rotunda_proto::ids::NodeId;
use rotunda_proto::location::Location;
use rotunda_proto::outbound::{AllowedNetworks, Network};
use rotunda_store::SealKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::{Table, Value};

use crate::cli::Role;

/// Prefix of environment variables; section and key follow, joined by two underscores.
const ENV_PREFIX: &str = "ROTUNDA__";

/// All settings. `deploy/config.sample.toml` lists them with their defaults.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Config {
    pub server: Server,
    /// How the nodes of a cluster reach one another.
    pub bus: rotunda_bus::NatsConfig,
    pub signaling: rotunda_signaling::Config,
    pub sfu: rotunda_sfu::Config,
    pub mcu: rotunda_mcu::Config,
    pub recorder: rotunda_recorder::Config,
    pub live: rotunda_live::Config,
    /// Programs between the nodes of a cluster.
    pub programs: rotunda_programs::Config,
    pub avatar: rotunda_avatar::Config,
    pub console: console::Console,
    /// Tenants. Without any, the first start generates one with random keys and keeps it in `<data>/secrets.toml`.
    pub applications: Vec<Application>,
}

/// Settings of the whole process.
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
    /// Names that clients use for this server, when they differ from the received `Host` header, as "host" or
    /// "host:port". A signature that covers the `Host` header is also checked with each of them. Needed behind a
    /// proxy that changes `Host`. Default none.
    pub public_names: Vec<String>,
    /// Address that clients use for this server, when a proxy serves it below a path or under another name:
    /// "https://media.example.com/rtc". WHIP and WHEP write it into `Location`. Empty: the address of the request.
    /// Default "".
    pub public_url: String,
    /// Networks (for example "10.0.0.0/8") that callback and push URLs may reach besides public addresses. Other
    /// loopback, private and link-local addresses are refused. Default none.
    pub outbound_networks: AllowedNetworks,
    /// Database URL; empty: SQLite in the data folder. Default "".
    pub database: String,
    /// Key with which secrets of applications are sealed in the database, 64 hexadecimal digits (`openssl rand -hex 32`); the same on
    /// every node. Empty: it follows from the cluster's secret in `<data>/secrets.toml`. Default "".
    pub seal_key: Secret,
    /// File with that key, instead of the key itself. Default "".
    pub seal_key_file: String,
    /// Seconds that an orderly shutdown may take before the process ends anyway. Default 20.
    pub shutdown_seconds: u64,
    /// Seconds before that in which a signaling node takes no new members, and asks those that it has to enter again, at another node;
    /// and an sfu node takes no new sessions, and moves those that it has to other nodes. 0: they do not; right for a single node. Default 0.
    pub drain_seconds: u64,
    /// Region and zone of this process, for example "eu-west" and "b": rooms that begin here come to the nearest sfu nodes with capacity,
    /// those of the zone first, then those of the region. Default "": not known.
    pub region: String,
    pub zone: String,
    /// Log filter, in the syntax of `tracing`'s EnvFilter. Default "info".
    pub log: String,
    /// Log lines as JSON. Default false.
    pub log_json: bool,
    /// Networks of your own proxies: the server trusts their forwarded headers, and counts their connections for
    /// the clients that they forward. Default this machine: 127.0.0.0/8 and ::1.
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
            public_names: Vec::new(),
            public_url: String::new(),
            outbound_networks: AllowedNetworks::default(),
            database: String::new(),
            seal_key: Secret::default(),
            seal_key_file: String::new(),
            shutdown_seconds: 20,
            drain_seconds: 0,
            region: String::new(),
            zone: String::new(),
            log: "info".to_owned(),
            log_json: false,
            trusted_proxies: TrustedProxies::this_machine(),
            proxy_protocol: false,
            tls: TlsFiles::default(),
            limits: Limits::default(),
        }
    }
}

impl Server {
    /// Where this process is.
    pub fn location(&self) -> Location {
        Location {
            region: self.region.clone(),
            zone: self.zone.clone(),
        }
    }

    fn validate(&self) -> Vec<ConfigMistake> {
        let wrong = self.public_names.iter().filter(|name| !is_public_name(name));
        let mistake = |name: &String| {
            let message = format!("write \"host\" or \"host:port\" as clients write it, not {name:?}");
            ConfigMistake::new("server.public_names", message)
        };
        let mut mistakes: Vec<ConfigMistake> = wrong.map(mistake).collect();
        if !self.public_url.is_empty() && !is_http_url(&self.public_url) {
            let message = format!("write \"https://host/path\" without a query, not {:?}", self.public_url);
            mistakes.push(ConfigMistake::new("server.public_url", message));
        }
        let seal_key = self.seal_key.reveal();
        if !seal_key.is_empty() && SealKey::from_hex(seal_key).is_err() {
            let message = "write 64 hexadecimal digits, as `openssl rand -hex 32` makes them";
            mistakes.push(ConfigMistake::new("server.seal_key", message));
        }
        if !seal_key.is_empty() && !self.seal_key_file.is_empty() {
            let message = "set server.seal_key or server.seal_key_file, not both";
            mistakes.push(ConfigMistake::new("server.seal_key_file", message));
        }
        mistakes
    }
}

fn is_http_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
}

/// `host` or `host:port`, like a `Host` header.
fn is_public_name(name: &str) -> bool {
    let Ok(authority) = name.parse::<Authority>() else {
        return false;
    };
    match name.strip_prefix(authority.host()) {
        Some("") => true,
        Some(port) => authority.port_u16().is_some_and(|number| port == format!(":{number}")),
        None => false,
    }
}

/// All mistakes of a configuration.
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
            bus: section(&mut settings, "bus", &mut mistakes),
            signaling: section(&mut settings, "signaling", &mut mistakes),
            sfu: section(&mut settings, "sfu", &mut mistakes),
            mcu: section(&mut settings, "mcu", &mut mistakes),
            recorder: section(&mut settings, "recorder", &mut mistakes),
            live: section(&mut settings, "live", &mut mistakes),
            programs: section(&mut settings, "programs", &mut mistakes),
            avatar: section(&mut settings, "avatar", &mut mistakes),
            console: section(&mut settings, "console", &mut mistakes),
            applications: applications::take(&mut settings, &mut mistakes),
        };
        mistakes.extend(
            settings
                .keys()
                .map(|key| ConfigMistake::new(key.clone(), "this section does not exist")),
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
        mistakes.extend(self.bus.validate());
        mistakes.extend(self.server.limits.validate());
        mistakes.extend(self.console.validate());
        mistakes.extend(self.signaling.validate());
        mistakes.extend(self.sfu.validate());
        mistakes.extend(self.mcu.validate());
        mistakes.extend(self.recorder.validate());
        mistakes.extend(self.live.validate());
        if self.live.rtmps_port > 0 && !self.server.tls.is_on() {
            let message = "RTMPS needs a certificate; set server.tls.certificate and server.tls.key";
            mistakes.push(ConfigMistake::new("live.rtmps_port", message));
        }
        mistakes.extend(self.programs.validate());
        mistakes.extend(self.avatar.validate());
        mistakes.extend(self.server.validate());
        mistakes.extend(applications::validate(
            &self.applications,
            &self.server.outbound_networks,
        ));
        mistakes
    }

    /// Whether a process with these roles has programs for other nodes, or reads theirs.
    pub fn makes_or_reads_programs(&self, roles: &[Role]) -> bool {
        let has_some = [Role::Mcu, Role::Recorder, Role::Live]
            .iter()
            .any(|role| roles.contains(role));
        has_some && self.bus.is_remote()
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

/// Sets `SECTION__KEY` in the table. The text is parsed as TOML if possible (numbers, booleans, lists), otherwise
/// it is a string.
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

/// Removes a section from the table and reads it. Each key is tried separately, so that every wrong one is named
/// and not only the first.
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

    fn mistakes(text: &str) -> Vec<ConfigMistake> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rotunda.toml");
        std::fs::write(&file, text).unwrap();
        match Config::load(Some(&file), env(&[])) {
            Ok(_) => Vec::new(),
            Err(ConfigError(mistakes)) => mistakes,
        }
    }

    fn wrong_keys(text: &str) -> Vec<String> {
        mistakes(text).into_iter().map(|mistake| mistake.key).collect()
    }

    const GOOD: &str = "[[applications]]\nsdk_app_id = 1\nsecret_key = \"a\"\nsecret_id = \"b\"\napi_secret = \"c\"\n";

    #[test]
    fn an_application_needs_all_its_secrets() {
        assert_eq!(wrong_keys(GOOD), [] as [&str; 0]);
        let empty = "[[applications]]\nsdk_app_id = 1\nsecret_key = \"\"\nsecret_id = \" \"\napi_secret = \"\"\n";
        let keys = [
            "applications[0].secret_key",
            "applications[0].secret_id",
            "applications[0].api_secret",
        ];
        assert_eq!(wrong_keys(empty), keys);
        assert_eq!(wrong_keys("[[applications]]\nsdk_app_id = 1\n"), keys);
    }

    #[test]
    fn no_two_applications_share_an_id() {
        let found = mistakes(&format!("{GOOD}{}", GOOD.replace("\"a\"", "\"d\"")));
        let keys: Vec<_> = found.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["applications[1].sdk_app_id", "applications[1].secret_id"]);
        assert_eq!(
            found[1].message,
            "applications[0] has the same value; each application needs its own"
        );
    }

    #[test]
    fn every_mistake_of_every_application_is_named_at_once() {
        let text = format!(
            "{GOOD}callback_url = \"ftp://example.com\"\ncallback_key = \"not valid!\"\nmax_microphones = 5\n\
             [[applications]]\nsdk_app_id = 0\nsecret_key = 7\nsecret_id = \"x\"\napi_secret = \"y\"\nname = \"z\"\n"
        );
        let keys = [
            "applications[0].max_microphones",
            "applications[1].name",
            "applications[1].sdk_app_id",
            "applications[1].secret_key",
            "applications[0].callback_url",
            "applications[0].callback_key",
        ];
        assert_eq!(wrong_keys(&text), keys);
    }

    #[test]
    fn a_callback_url_reaches_an_inner_network_only_where_that_is_allowed() {
        let with = |url: &str| format!("{GOOD}callback_url = \"{url}\"\n");
        for url in [
            "http://127.0.0.1:9000/x",
            "https://[::1]/",
            "http://localhost/",
            "http://10.0.0.1/",
        ] {
            assert_eq!(wrong_keys(&with(url)), ["applications[0].callback_url"], "{url}");
        }
        let allowed = format!(
            "[server]\noutbound_networks = [\"127.0.0.0/8\"]\n{}",
            with("http://127.0.0.1/")
        );
        assert_eq!(wrong_keys(&allowed), [] as [&str; 0]);
        assert_eq!(wrong_keys(&with("https://example.com/files")), [] as [&str; 0]);
    }

    #[test]
    fn networks_and_public_names_are_checked() {
        let text = "[server]\npublic_names = [\"a.example\", \"b.example:8443\", \"[::1]:80\", \"http://c\", \"d:x\", \"\"]\n\
                    trusted_proxies = [\"10.0.0.0/99\"]\noutbound_networks = [\"x\"]\n";
        assert_eq!(
            wrong_keys(text),
            [
                "server.outbound_networks",
                "server.trusted_proxies",
                "server.public_names",
                "server.public_names",
                "server.public_names"
            ]
        );
    }

    #[test]
    fn an_openid_provider_needs_a_client_and_rules() {
        let issuer = "[console]\noidc_issuer = \"https://id.example.com\"\n";
        let rule = "oidc_access = [{ claim = \"groups\", value = \"ops\" }]\n";
        assert_eq!(wrong_keys(issuer), ["console.oidc_client_id", "console.oidc_access"]);
        let whole = format!("{issuer}oidc_client_id = \"rotunda\"\n{rule}");
        assert_eq!(wrong_keys(&whole), [""; 0]);
        let scope = whole.replace(" }]", ", scopes = [\"root\"] }]");
        assert_eq!(wrong_keys(&scope), ["console.oidc_access.0"]);
        let address = whole.replace("https://id.example.com", "id.example.com");
        assert_eq!(wrong_keys(&address), ["console.oidc_issuer"]);
        let redirect = format!("{whole}oidc_redirect_url = \"https://a.example.com/\"\n");
        assert_eq!(wrong_keys(&redirect), ["console.oidc_redirect_url"]);
    }

    #[test]
    fn a_public_url_is_an_http_address_without_a_query() {
        for url in ["media.example.com", "ftp://a.example", "https://a.example/?x=1", "/rtc"] {
            assert_eq!(
                wrong_keys(&format!("[server]\npublic_url = {url:?}\n")),
                ["server.public_url"],
                "{url}"
            );
        }
        for url in ["https://a.example", "http://a.example:8080/rtc/"] {
            assert_eq!(
                wrong_keys(&format!("[server]\npublic_url = {url:?}\n")),
                [] as [&str; 0],
                "{url}"
            );
        }
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
