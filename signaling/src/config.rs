//! The configuration of signaling.

use std::net::{IpAddr, Ipv4Addr};

use rotunda_proto::config::{ConfigMistake, Secret};
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::location::Location;
use rotunda_proto::outbound::{AllowedNetworks, Network};
use serde::{Deserialize, Serialize};

use crate::calls::Calls;
use crate::waiting_room::PassKey;

/// Section `[signaling]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds that a member stays in the room after the loss of its WebSocket. Default 30.
    pub resume_seconds: u32,
    /// Seconds in which a WebSocket must log in. Default 10.
    pub login_seconds: u64,
    /// Most members of this process, in all rooms together; further ones get the error `node_full`. One takes about 12 kB of memory
    /// and an open file. Default 60000.
    pub max_members: u64,
    /// Demo mode if no application is configured: the demo page's own back end at `/demo/` issues a UserSig to everybody, for a
    /// generated application. It never serves a configured application. Default true.
    pub demo: bool,
    /// STUN servers handed to clients: URLs. The server needs none, clients seldom. Default none.
    pub ice_urls: Vec<String>,
    pub turn: Turn,
    /// Whether a WHIP or WHEP client may send its token in the query (`?token=`), for clients that cannot set headers. Proxies
    /// and browsers keep such addresses in logs and histories. Default false.
    pub whip_query_tokens: bool,
    /// Days for which journal entries and delivered callbacks are kept: 1 to 3650. Default 30.
    pub journal_days: u32,
    /// Mixes that members of one room have started by `setMixTranscodingConfig`, 0 to 64, besides those of the server API; each member
    /// may have one of them. 0: members may start none. Default 4.
    pub member_mixes_per_room: usize,
    /// Pushes to other servers that members of one room have started by `startPublishCdnStream`, 0 to 20, besides those of the server API.
    /// Applications must permit them (`members_may_push`). 0: members may start none. Default 4.
    pub member_pushes_per_room: usize,
    /// Seconds for which a user waits to be admitted to a room, 60 to 86400. Default 3600.
    pub waiting_seconds: u64,
    pub api: Api,
    pub calls: Calls,
    #[serde(skip)]
    pub process: Process,
}

/// Settings of the whole process that signaling needs. They have no section of their own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Process {
    /// `server.public_names`: names that clients may have signed in place of the `Host` header that arrives.
    pub public_names: Vec<String>,
    /// `server.public_url`: where clients reach this server. Empty: where they sent their request.
    pub public_url: String,
    /// `server.trusted_proxies`: the proxies whose `X-Forwarded-Host` and `X-Forwarded-Prefix` are believed.
    pub trusted_proxies: Vec<Network>,
    /// `server.outbound_networks`: networks that callback and push URLs may reach besides public addresses.
    pub outbound: AllowedNetworks,
    /// `server.region` and `server.zone`: members of this process are near it.
    pub location: Location,
    /// The application that the demo back end serves; without one there is no demo back end.
    pub demo: Option<SdkAppId>,
    /// Signs the passes of admitted users, on all nodes alike. None: with a key of this process alone.
    pub pass_key: Option<PassKey>,
}

/// TURN servers handed to clients, for networks that block all other media: section `[signaling.turn]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turn {
    /// URLs, as in "turn:turn.example.com:3478?transport=udp". Default none.
    pub urls: Vec<String>,
    /// The secret shared with the TURN server (coturn: `use-auth-secret`, `static-auth-secret`). Default "".
    pub secret: Secret,
    /// Seconds that a client's name and password at the TURN server are good for. Default 86400.
    pub ttl_seconds: u64,
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
    /// Mixes in one room, 1 to 16. With 1, as in the contract, a start with another `StreamId` replaces the room's mix, and a mix of a
    /// member excludes one of the server API. With more, each `StreamId` is a mix of its own, and a stop ends all of the API. Default 1.
    pub mixes_per_room: usize,
    /// Pulls of URLs into rooms (`StartStreamIngest`) that an application may have at one time. Default 50.
    pub stream_ingests: usize,
    /// Seconds for which a removed member may not enter the room again. 0: they may at once. Default 60.
    pub removed_seconds: u64,
    /// Seconds for which nobody may enter a dismissed room. 0: they may at once. Default 10.
    pub dismissed_seconds: u64,
}

const MOST_BANNED_SECONDS: u64 = 31_536_000;

impl Default for Config {
    fn default() -> Self {
        Self {
            resume_seconds: 30,
            login_seconds: 10,
            max_members: 60_000,
            demo: true,
            ice_urls: Vec::new(),
            turn: Turn::default(),
            whip_query_tokens: false,
            journal_days: 30,
            member_mixes_per_room: 4,
            member_pushes_per_room: 4,
            waiting_seconds: 3600,
            api: Api::default(),
            calls: Calls::default(),
            process: Process::default(),
        }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            secret: Secret::default(),
            ttl_seconds: 86_400,
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED.into(),
            grpc_port: 9090,
            mix_starts_per_second: 20,
            mixes_per_room: 1,
            stream_ingests: 50,
            removed_seconds: 60,
            dismissed_seconds: 10,
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
        if !(1..=3650).contains(&self.journal_days) {
            mistakes.push(ConfigMistake::new("signaling.journal_days", "write 1 to 3650"));
        }
        if self.member_mixes_per_room > 64 {
            mistakes.push(ConfigMistake::new("signaling.member_mixes_per_room", "write 0 to 64"));
        }
        if self.member_pushes_per_room > 20 {
            mistakes.push(ConfigMistake::new("signaling.member_pushes_per_room", "write 0 to 20"));
        }
        if !(60..=86_400).contains(&self.waiting_seconds) {
            mistakes.push(ConfigMistake::new(
                "signaling.waiting_seconds",
                "write 60 to 86400 (a day)",
            ));
        }
        if self.max_members == 0 {
            mistakes.push(ConfigMistake::new("signaling.max_members", "write at least 1"));
        }
        if !self.ice_urls.iter().all(|url| has_scheme(url, &["stun:", "stuns:"])) {
            mistakes.push(ConfigMistake::new(
                "signaling.ice_urls",
                "write stun: or stuns: URLs; TURN servers go into [signaling.turn]",
            ));
        }
        mistakes.extend(self.turn.validate());
        if self.api.mix_starts_per_second == 0 {
            mistakes.push(ConfigMistake::new(
                "signaling.api.mix_starts_per_second",
                "write at least 1",
            ));
        }
        if !(1..=16).contains(&self.api.mixes_per_room) {
            mistakes.push(ConfigMistake::new("signaling.api.mixes_per_room", "write 1 to 16"));
        }
        mistakes.extend(self.calls.validate());
        for (key, seconds) in [
            ("signaling.api.removed_seconds", self.api.removed_seconds),
            ("signaling.api.dismissed_seconds", self.api.dismissed_seconds),
        ] {
            if seconds > MOST_BANNED_SECONDS {
                let message = format!("write 0 to {MOST_BANNED_SECONDS} (a year)");
                mistakes.push(ConfigMistake::new(key, message));
            }
        }
        mistakes
    }
}

impl Turn {
    fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        if !self.urls.iter().all(|url| has_scheme(url, &["turn:", "turns:"])) {
            mistakes.push(ConfigMistake::new("signaling.turn.urls", "write turn: or turns: URLs"));
        }
        match (self.urls.is_empty(), self.secret.reveal().is_empty()) {
            (false, true) => mistakes.push(ConfigMistake::new(
                "signaling.turn.secret",
                "write the secret that the TURN server has (coturn: static-auth-secret)",
            )),
            (true, false) => mistakes.push(ConfigMistake::new(
                "signaling.turn.urls",
                "write the TURN server's URLs, or no secret",
            )),
            _ => {}
        }
        if !(60..=604_800).contains(&self.ttl_seconds) {
            mistakes.push(ConfigMistake::new(
                "signaling.turn.ttl_seconds",
                "write 60 to 604800 (a week)",
            ));
        }
        mistakes
    }
}

/// Whether a URL has one of these schemes and something after it. No quotes or brackets: it goes into HTTP headers.
fn has_scheme(url: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"\"<>".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turn_needs_urls_of_its_scheme_a_secret_and_a_sensible_time() {
        let wrong = Config {
            ice_urls: vec!["turn:no-password".to_owned()],
            turn: Turn {
                urls: vec!["stun:x".to_owned()],
                secret: Secret::default(),
                ttl_seconds: 1,
            },
            ..Config::default()
        };
        let mistakes = wrong.validate();
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "signaling.ice_urls",
                "signaling.turn.urls",
                "signaling.turn.secret",
                "signaling.turn.ttl_seconds"
            ]
        );
        let right = Turn {
            urls: vec!["turn:turn.example.com:3478?transport=udp".to_owned()],
            secret: Secret::new("s"),
            ..Turn::default()
        };
        assert_eq!(right.validate(), []);
    }
}
