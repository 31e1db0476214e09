//! A member's media session with the server: the WebRTC session, its sockets, and TCP where UDP does not get through.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::time::{Duration, Instant};

use rotunda_proto::sfu::Lines;
use str0m::net::Protocol;
use tokio::net::{TcpStream, UdpSocket};

use super::Config;
use crate::access_unit::VideoCodec;
use crate::log::log;
use crate::pipe::Frame;
use crate::session::{Part, Session, SessionError, Told};
use crate::streams::chain;
use crate::transport::{Datagram, Transport};

/// How long media may take to get through before TCP is tried, and before it is begun anew.
const UDP_PATIENCE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a session that is not connected yet is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The next event.
pub enum Turn {
    Datagram(Datagram),
    Tcp(std::io::Result<TcpStream>),
}

/// How it goes with the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Fine,
    /// Nothing has got through in time.
    TooLate,
}

/// See the [module](self). Dropping it closes the sockets; [`close`](Self::close) tells the server.
pub struct Media {
    session: Session,
    transport: Transport,
    tcp_only: bool,
    since: Instant,
    tried_tcp: bool,
    /// The server's TCP candidates.
    tcp: Vec<SocketAddr>,
    connecting_tcp: Option<Pin<Box<dyn Future<Output = std::io::Result<TcpStream>>>>>,
}

impl Media {
    /// Opens the sockets, and answers with the offer for the server too.
    pub async fn begin(now: Instant, config: &Config, part: Part) -> Result<(Self, String, Lines), String> {
        let mut transport = Transport::new();
        let mut local = None;
        if !config.tcp_only {
            let bound = async {
                let ip = address_towards(&config.system.url).await?;
                transport.add_udp(ip, 0).await
            };
            local = Some(bound.await.map_err(|error: std::io::Error| error.to_string())?);
        }
        let (session, offer, lines) = Session::offer(now, config.mtu, local, part).map_err(|error| chain(&error))?;
        let media = Self {
            session,
            transport,
            tcp_only: config.tcp_only,
            since: now,
            tried_tcp: false,
            tcp: Vec::new(),
            connecting_tcp: None,
        };
        Ok((media, offer, lines))
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &str) -> Result<(), SessionError> {
        self.tcp = tcp_candidates(answer);
        self.session.handle_answer(now, answer)?;
        if self.tcp_only {
            self.try_tcp();
        }
        Ok(())
    }

    /// The next event. Cancel-safe.
    pub async fn next(&mut self) -> Turn {
        let Self {
            transport,
            connecting_tcp,
            ..
        } = self;
        let connected = async {
            match connecting_tcp {
                Some(connecting) => connecting.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            datagram = transport.receive() => Turn::Datagram(datagram),
            stream = connected => Turn::Tcp(stream),
        }
    }

    pub fn handle_turn(&mut self, now: Instant, turn: Turn) -> Result<(), SessionError> {
        match turn {
            Turn::Datagram(datagram) => {
                self.session
                    .handle_datagram(now, datagram.protocol, datagram.from, datagram.local, &datagram.bytes)
            }
            Turn::Tcp(stream) => {
                self.connecting_tcp = None;
                match stream.and_then(|stream| self.transport.add_tcp(stream)) {
                    Ok(local) => {
                        log!(Info, "media to the server goes over TCP");
                        if let Err(error) = self.session.add_tcp(now, local) {
                            log!(Warn, "TCP cannot be used: {}", chain(&error));
                        }
                    }
                    Err(error) => log!(Warn, "the server's TCP port cannot be reached: {error}"),
                }
                Ok(())
            }
        }
    }

    /// Tries TCP in time, and tells when it is time to give up.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Progress, SessionError> {
        if !self.session.is_connected() {
            let waited = now.saturating_duration_since(self.since);
            if waited > PATIENCE {
                return Ok(Progress::TooLate);
            }
            if !self.tried_tcp && waited > UDP_PATIENCE {
                self.try_tcp();
            }
        }
        self.session.handle_timeout(now)?;
        Ok(Progress::Fine)
    }

    pub fn is_connected(&self) -> bool {
        self.session.is_connected()
    }

    pub fn send(&mut self, now: Instant, codec: VideoCodec, frame: &Frame) -> Result<(), SessionError> {
        let sent = self.session.send(now, 0, codec, frame);
        self.flush();
        sent.map(|_is_of_the_offer| ())
    }

    /// Sends on the data channel; false: there is none, or no room.
    pub fn send_data(&mut self, now: Instant, bytes: &[u8]) -> bool {
        let sent = self.session.has_channel() && matches!(self.session.send_data(now, bytes), Ok(true));
        self.flush();
        sent
    }

    pub fn poll_told(&mut self) -> Option<Told> {
        self.session.poll_told()
    }

    pub fn due(&self, now: Instant) -> Instant {
        let due = self.session.poll_timeout();
        if self.is_connected() { due } else { due.min(now + LOOK) }
    }

    /// Sends what the session has for the network.
    pub fn flush(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            self.transport.send(&transmit);
        }
    }

    pub fn close(mut self, now: Instant) {
        self.session.close(now);
        self.flush();
    }

    fn try_tcp(&mut self) {
        self.tried_tcp = true;
        if let Some(address) = self.tcp.first().copied() {
            self.connecting_tcp = Some(Box::pin(TcpStream::connect(address)));
        }
    }
}

/// The server's passive TCP candidates in its SDP (RFC 6544 §4.5).
fn tcp_candidates(sdp: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:")) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, protocol, _, ip, port, ..] = fields.as_slice()
            && protocol.eq_ignore_ascii_case(&Protocol::Tcp.to_string())
            && let (Ok(ip), Ok(port)) = (ip.parse(), port.parse())
        {
            let address = SocketAddr::new(ip, port);
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    found
}

/// Our address on the way to the server.
async fn address_towards(url: &str) -> std::io::Result<IpAddr> {
    let servers: Vec<SocketAddr> = tokio::net::lookup_host(host_and_port(url)).await?.collect();
    // Media listens on IPv4 by default.
    let server = servers.iter().find(|server| server.is_ipv4()).or(servers.first());
    let server = server.ok_or_else(|| std::io::Error::other("the server's name has no address"))?;
    let any: IpAddr = match server.is_ipv4() {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = UdpSocket::bind((any, 0)).await?;
    // Connecting a UDP socket sends nothing; it only looks the route up.
    probe.connect(server).await?;
    Ok(probe.local_addr()?.ip())
}

fn host_and_port(url: &str) -> String {
    let authority = url.split("://").nth(1).unwrap_or(url);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => authority.to_owned(),
        _ if url.starts_with("wss") => format!("{authority}:443"),
        _ => format!("{authority}:80"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_address_has_the_port_of_its_scheme() {
        assert_eq!(host_and_port("ws://server.example:8080/ws"), "server.example:8080");
        assert_eq!(host_and_port("wss://server.example/ws"), "server.example:443");
        assert_eq!(host_and_port("ws://192.0.2.1?x"), "192.0.2.1:80");
        assert_eq!(host_and_port("wss://[2001:db8::1]/ws"), "[2001:db8::1]:443");
        assert_eq!(host_and_port("wss://[2001:db8::1]:8443/ws"), "[2001:db8::1]:8443");
    }

    #[test]
    fn each_passive_tcp_candidate_is_found_once() {
        let sdp = "v=0\r\na=candidate:1 1 udp 2130706175 192.0.2.1 7000 typ host\r\n\
            a=candidate:2 1 tcp 2128609279 192.0.2.1 7000 typ host tcptype passive\r\n\
            a=candidate:2 1 TCP 2128609279 192.0.2.1 7000 typ host tcptype passive\r\n\
            a=candidate:3 1 tcp nonsense\r\n";
        assert_eq!(tcp_candidates(sdp), ["192.0.2.1:7000".parse().unwrap()]);
    }
}
