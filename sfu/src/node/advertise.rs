//! The addresses that clients are told: from the configuration, an interface, the environment or a file (the Kubernetes downward
//! API), or as a STUN server sees this machine.

mod reflexive;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use metrics::counter;
use rotunda_proto::clock::Clock;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::net::local_addresses;
use crate::config::Config;

/// STUN servers are asked again after so long: the address of a home or a cloud gateway changes.
pub const ASK_AGAIN: Duration = Duration::from_secs(300);

/// One entry of `sfu.advertise`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// `203.0.113.7`.
    Address(IpAddr),
    /// `interfaces`: those of all interfaces, loopback included.
    Interfaces,
    /// `interface:eth0`.
    Interface(String),
    /// `env:HOST_IP`: a variable that holds addresses.
    Variable(String),
    /// `file:/etc/pod/ip`: a file that holds addresses.
    File(PathBuf),
    /// `stun:stun.example.com:3478`: the server is asked at the start and [again](ASK_AGAIN); further ones only while none has
    /// answered.
    Stun(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no address source; write an address, \"interfaces\", \"interface:NAME\", \"env:VARIABLE\", \"file:PATH\" or \
     \"stun:HOST:PORT\""
)]
pub struct SourceError(String);

/// Why there is nothing to advertise.
#[derive(Debug, Error)]
pub enum AdvertiseError {
    #[error("sfu.advertise: interface {name:?} is not here or has no address that sfu.bind takes; there are {}", list(.known))]
    NoInterface { name: String, known: Vec<String> },
    #[error(
        "sfu.advertise: the environment has no {name}; in Kubernetes give it to the container by `valueFrom.fieldRef` of \
         `status.hostIP`, else write an address"
    )]
    NoVariable { name: String },
    #[error("sfu.advertise: read {path}; mount it, or write an address", path = .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("sfu.advertise: {from} holds {text:?}; it must be addresses, separated by commas or spaces")]
    NotAddresses { from: String, text: String },
    #[error("there is no address to advertise: write the server's address into sfu.advertise")]
    Nothing,
}

/// The interfaces and variables of the machine.
struct Surroundings<'a> {
    interfaces: Vec<(String, IpAddr)>,
    variable: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

/// The addresses of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertised {
    /// The addresses that clients are told, in the order of `sfu.advertise`, each once.
    pub addresses: Vec<IpAddr>,
    /// The addresses of the start: datagrams to an unknown address (NAT) count as arrived there, whatever is told since.
    pub first: Vec<IpAddr>,
}

impl Advertised {
    /// The addresses to tell from now on, if they are new. `found`: just now; None: no STUN server has answered, and the address is
    /// not known.
    pub fn renewed(&self, found: Option<Vec<IpAddr>>) -> Option<Self> {
        let addresses = found.filter(|found| *found != self.addresses)?;
        Some(Self {
            addresses,
            first: self.first.clone(),
        })
    }
}

/// The addresses to tell clients. STUN servers may take some seconds.
///
/// Errors: [`AdvertiseError`] for a named source that is not there. A silent STUN server is a warning; without any other address,
/// the addresses of the interfaces are taken.
pub async fn addresses(config: &Config) -> Result<Advertised, AdvertiseError> {
    let (addresses, _) = gather(config, config.port).await?;
    Ok(Advertised {
        first: addresses.clone(),
        addresses,
    })
}

/// The same while the media ports are in use, for as long as it is polled. New addresses go to `changed`.
pub async fn follow(config: Config, mut known: Advertised, changed: watch::Sender<Advertised>) {
    if !config.advertise.iter().any(|source| matches!(source, Source::Stun(_))) {
        return;
    }
    loop {
        Clock.sleep_until(Clock.now() + ASK_AGAIN).await;
        let found = match gather(&config, 0).await {
            Ok((addresses, Answered::Yes)) => Some(addresses),
            Ok((_, Answered::No)) => None,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "the public address was not found out again"
                );
                None
            }
        };
        if let Some(renewed) = known.renewed(found) {
            info!(before = ?known.addresses, now = ?renewed.addresses, "the public address has changed: new sessions are told the new one");
            counter!("rotunda_sfu_address_changes_total").increment(1);
            changed.send_replace(renewed.clone());
            known = renewed;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Yes,
    No,
}

/// `port`: from which STUN servers are asked; 0: any.
async fn gather(config: &Config, port: u16) -> Result<(Vec<IpAddr>, Answered), AdvertiseError> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let surroundings = Surroundings {
        interfaces: interfaces.into_iter().map(|one| (one.name.clone(), one.ip())).collect(),
        variable: &|name| std::env::var(name).ok(),
    };
    let mut addresses = Vec::new();
    let mut answered = false;
    let asks = config.advertise.iter().any(|source| matches!(source, Source::Stun(_)));
    for source in &config.advertise {
        match source {
            Source::Stun(_) if answered => {}
            Source::Stun(server) => {
                let seen = seen_by(server, config.bind, port).await;
                answered = !seen.is_empty();
                addresses.extend(seen);
            }
            other => addresses.extend(known(other, config, &surroundings)?),
        }
    }
    if addresses.is_empty() {
        if asks {
            warn!(
                "no STUN server told the public address: clients are told the addresses of the interfaces, which do not work behind NAT; \
                 write the public address into sfu.advertise, or let UDP to a STUN server out"
            );
        }
        addresses = if config.bind.is_unspecified() {
            of_family(config, local_addresses().iter().copied())
        } else {
            vec![config.bind]
        };
    }
    let mut once = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !once.contains(&address) {
            once.push(address);
        }
    }
    if once.is_empty() {
        return Err(AdvertiseError::Nothing);
    }
    let answered = if answered { Answered::Yes } else { Answered::No };
    Ok((once, answered))
}

/// Asks a STUN server; none when it does not tell.
async fn seen_by(server: &str, bind: IpAddr, port: u16) -> Vec<IpAddr> {
    match reflexive::ask(server, bind, port).await {
        Ok(seen) => {
            debug!(server, ?seen, "the STUN server tells the public address");
            if let Some(other) = seen.iter().find(|address| port > 0 && address.port() != port) {
                warn!(
                    port,
                    seen = other.port(),
                    "the NAT changes ports: forward the media ports, UDP and TCP, to this machine under the same numbers"
                );
            }
            seen.iter().map(SocketAddr::ip).collect()
        }
        Err(error) => {
            warn!(
                server,
                error = &error as &dyn std::error::Error,
                "the STUN server did not tell the public address"
            );
            Vec::new()
        }
    }
}

/// The addresses of a source other than a STUN server.
fn known(source: &Source, config: &Config, here: &Surroundings<'_>) -> Result<Vec<IpAddr>, AdvertiseError> {
    match source {
        Source::Address(address) => Ok(vec![*address]),
        Source::Interfaces => Ok(of_family(config, local_addresses().iter().copied())),
        Source::Interface(name) => {
            let named = here.interfaces.iter().filter(|(known, _)| known == name);
            let found = of_family(config, named.map(|(_, address)| *address));
            if found.is_empty() {
                let mut known: Vec<String> = here.interfaces.iter().map(|(name, _)| name.clone()).collect();
                known.dedup();
                return Err(AdvertiseError::NoInterface {
                    name: name.clone(),
                    known,
                });
            }
            Ok(found)
        }
        Source::Variable(name) => {
            let text = (here.variable)(name).filter(|text| !text.trim().is_empty());
            let text = text.ok_or_else(|| AdvertiseError::NoVariable { name: name.clone() })?;
            written(config, &text, format!("the variable {name}"))
        }
        Source::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| AdvertiseError::File {
                path: path.clone(),
                source,
            })?;
            written(config, &text, path.display().to_string())
        }
        Source::Stun(_) => Ok(Vec::new()),
    }
}

/// Addresses separated by commas or spaces, as the downward API writes `status.hostIPs`.
fn written(config: &Config, text: &str, from: String) -> Result<Vec<IpAddr>, AdvertiseError> {
    let words = text.split([',', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty());
    match words.map(IpAddr::from_str).collect::<Result<Vec<_>, _>>() {
        Ok(addresses) if !addresses.is_empty() => Ok(of_family(config, addresses.into_iter())),
        _ => {
            let text = text.trim().chars().take(80).collect();
            Err(AdvertiseError::NotAddresses { from, text })
        }
    }
}

/// The addresses that reach the sockets. Link-local addresses of IPv6 need a scope, which candidates cannot carry.
fn of_family(config: &Config, addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    addresses
        .filter(|ip| match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => config.bind.is_ipv6() && !ip.is_unicast_link_local(),
        })
        .collect()
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let wrong = || SourceError(text.to_owned());
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if text == "interfaces" {
            return Ok(Self::Interfaces);
        }
        let (scheme, rest) = text
            .split_once(':')
            .filter(|(_, rest)| !rest.is_empty())
            .ok_or_else(wrong)?;
        match scheme {
            "interface" => Ok(Self::Interface(rest.to_owned())),
            "env" => Ok(Self::Variable(rest.to_owned())),
            "file" => Ok(Self::File(rest.into())),
            "stun" => Ok(Self::Stun(with_port(rest).ok_or_else(wrong)?)),
            _ => Err(wrong()),
        }
    }
}

/// RFC 7064 §3.2: 3478 where none is written. An IPv6 address stands in brackets.
fn with_port(server: &str) -> Option<String> {
    let host_end = server.rfind(']').map_or(0, |at| at + 1);
    match server[host_end..].rsplit_once(':') {
        Some((_, port)) => port
            .parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .map(|_| server.to_owned()),
        None => Some(format!("{server}:3478")),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Interfaces => f.write_str("interfaces"),
            Self::Interface(name) => write!(f, "interface:{name}"),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Stun(server) => write!(f, "stun:{server}"),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = SourceError;

    fn try_from(text: String) -> Result<Self, SourceError> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

#[cfg(test)]
mod tests;
