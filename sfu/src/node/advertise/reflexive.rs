//! The public address, as a STUN server sees it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use thiserror::Error;
use tokio::net::UdpSocket;

use crate::wire::stun::{Answer, TransactionId, binding_request, read_answer};

/// How long each request waits for its answer. RFC 8489 §6.2.1 has 500 ms, doubled each time, too; but it goes on for 40 s, which
/// is too long for a start.
const WAITS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
];
/// For the name of a server.
const LOOK_UP: Duration = Duration::from_secs(3);

/// Why a STUN server did not tell the public address.
#[derive(Debug, Error)]
pub enum ReflexiveError {
    #[error("find the address of the STUN server")]
    LookUp(#[source] io::Error),
    #[error("the STUN server's name was not resolved within {} s", LOOK_UP.as_secs())]
    LookUpTimeout,
    #[error("the STUN server has no address of a family that sfu.bind takes")]
    OtherFamily,
    #[error("ask the STUN server {server}")]
    Socket {
        server: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the STUN server {server} did not answer {} requests: is UDP to it let out?", WAITS.len())]
    Silent { server: SocketAddr },
    #[error("the STUN server {server} refused with error {code}: it has to answer without credentials")]
    Refused { server: SocketAddr, code: u16 },
}

/// A request that is repeated until it is answered or given up. Sans-IO.
#[derive(Debug)]
struct Query {
    id: TransactionId,
    sent: usize,
    due: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Send([u8; 20]),
    /// Until [`Query::due`].
    Wait,
    GiveUp,
}

impl Query {
    fn new(now: Instant, id: TransactionId) -> Self {
        Self { id, sent: 0, due: now }
    }

    fn poll(&mut self, now: Instant) -> Step {
        if now < self.due {
            return Step::Wait;
        }
        match WAITS.get(self.sent) {
            Some(wait) => {
                self.sent += 1;
                self.due = now + *wait;
                Step::Send(binding_request(&self.id))
            }
            None => Step::GiveUp,
        }
    }
}

/// Asks a server, `host:port`, from the media port, one family after the other. Answers one or two addresses.
///
/// Errors: the last one, when no family brought an answer.
pub async fn ask(server: &str, bind: IpAddr, port: u16) -> Result<Vec<SocketAddr>, ReflexiveError> {
    let found = tokio::select! {
        found = tokio::net::lookup_host(server) => found.map_err(ReflexiveError::LookUp)?,
        () = Clock.sleep_until(Clock.now() + LOOK_UP) => return Err(ReflexiveError::LookUpTimeout),
    };
    let found: Vec<SocketAddr> = found.collect();
    let mut seen = Vec::new();
    let mut last = ReflexiveError::OtherFamily;
    let families = [(bind.is_ipv4() || bind.is_unspecified(), false), (bind.is_ipv6(), true)];
    for (_, is_ipv6) in families.into_iter().filter(|(taken, _)| *taken) {
        let Some(server) = found.iter().find(|address| address.is_ipv6() == is_ipv6).copied() else {
            continue;
        };
        let from = if bind.is_ipv6() == is_ipv6 {
            bind
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        match ask_one(server, SocketAddr::new(from, port)).await {
            Ok(address) => seen.push(address),
            Err(error) => last = error,
        }
    }
    if seen.is_empty() { Err(last) } else { Ok(seen) }
}

async fn ask_one(server: SocketAddr, from: SocketAddr) -> Result<SocketAddr, ReflexiveError> {
    let failed = |source| ReflexiveError::Socket { server, source };
    let socket = UdpSocket::bind(from).await.map_err(failed)?;
    // Only this server is heard, and an unreachable port is an error.
    socket.connect(server).await.map_err(failed)?;
    let mut query = Query::new(Clock.now(), rand::random());
    let mut buffer = [0; 1500];
    loop {
        match query.poll(Clock.now()) {
            Step::Send(request) => {
                socket.send(&request).await.map_err(failed)?;
            }
            Step::Wait => tokio::select! {
                read = socket.recv(&mut buffer) => {
                    let length = read.map_err(failed)?;
                    match read_answer(&buffer[..length], &query.id) {
                        Some(Answer::Mapped(address)) => return Ok(address),
                        Some(Answer::Refused(code)) => return Err(ReflexiveError::Refused { server, code }),
                        None => {}
                    }
                }
                () = Clock.sleep_until(query.due) => {}
            },
            Step::GiveUp => return Err(ReflexiveError::Silent { server }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_silent_server_is_asked_three_times_in_three_and_a_half_seconds() {
        let began = Clock.now();
        let after = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut query = Query::new(began, [7; 12]);
        let mut sent = Vec::new();
        let mut now = began;
        while query.poll(now) != Step::GiveUp {
            sent.push(now);
            assert_eq!(query.poll(now), Step::Wait);
            now = query.due;
        }
        assert_eq!(sent, [after(0), after(500), after(1500)]);
        assert_eq!(now, after(3500));
    }

    /// A server that ignores the first request, then sends something else, then `answer`.
    async fn server(answer: impl FnOnce(&[u8], SocketAddr) -> Vec<u8> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            let (first, _) = socket.recv_from(&mut buffer).await.unwrap();
            let before = buffer[..first].to_vec();
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            assert_eq!(before, buffer[..length], "the same transaction");
            socket.send_to(b"not STUN", from).await.unwrap();
            let bytes = answer(&buffer[..length], from);
            socket.send_to(&bytes, from).await.unwrap();
        });
        address
    }

    /// A header of this type with the request's cookie and id, and one attribute.
    fn reply(kind: u16, request: &[u8], attribute: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend((value.len() as u16 + 4).to_be_bytes());
        bytes.extend(&request[4..20]);
        bytes.extend(attribute.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes
    }

    #[tokio::test]
    async fn a_lost_request_is_sent_again_and_the_address_that_the_server_tells_is_taken() {
        let server = server(|request, _| {
            let xored = [0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
            reply(0x0101, request, 0x0020, &xored)
        })
        .await;
        let seen = ask(&server.to_string(), LOCALHOST, 0).await.unwrap();
        assert_eq!(seen, ["192.0.2.1:32853".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_server_that_wants_credentials_is_named() {
        let server = server(|request, _| reply(0x0111, request, 0x0009, &[0, 0, 4, 1])).await;
        let error = ask(&server.to_string(), LOCALHOST, 0).await.unwrap_err();
        assert!(matches!(error, ReflexiveError::Refused { code: 401, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_server_of_the_other_family_is_not_asked() {
        let error = ask("[::1]:3478", LOCALHOST, 0).await.unwrap_err();
        assert!(matches!(error, ReflexiveError::OtherFamily), "{error}");
    }
}
