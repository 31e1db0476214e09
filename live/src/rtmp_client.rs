//! The client's side of RTMP: the connection to a server, up to the begin of a stream in either direction.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use rml_rtmp::handshake::{Handshake, HandshakeError, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionError, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};
use rotunda_events::{PushError, PushErrorKind};
use rotunda_proto::outbound::{AllowedNetworks, ResolveError};
use rotunda_proto::push_address::{PushAddress, Scheme};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use url::Host;

use crate::rtmp_guard::{Guard, GuardError};

/// Characters of a server's message that are logged, and of an error that is told.
const MOST_SAID: usize = 200;

/// Why a connection or its stream failed.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("the server's name cannot be resolved or is refused")]
    Address(#[from] ResolveError),
    #[error("the server's name is not valid for TLS")]
    ServerName(#[from] InvalidDnsNameError),
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the peer did not answer in time")]
    Timeout,
    #[error("the RTMP handshake failed: {0:?}")]
    Handshake(HandshakeError),
    #[error("the RTMP session failed: {0}")]
    Session(#[from] ClientSessionError),
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("the server sent a message that servers do not send")]
    Malformed(#[from] GuardError),
}

impl ClientError {
    /// The error as an application is told of it.
    pub fn told(&self) -> PushError {
        let kind = match self {
            Self::Address(_) | Self::ServerName(_) => PushErrorKind::Address,
            Self::Io(_) => PushErrorKind::Connection,
            Self::Timeout => PushErrorKind::Timeout,
            Self::Refused(_) => PushErrorKind::Refused,
            Self::Handshake(_) | Self::Session(_) | Self::Malformed(_) => PushErrorKind::Protocol,
        };
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        PushError {
            kind,
            message: message.chars().take(MOST_SAID).collect(),
        }
    }
}

/// A connection, with or without TLS.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// A session that gets only bytes that a server may send.
pub struct Session {
    pub inner: ClientSession,
    guard: Guard,
}

impl Session {
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<Vec<ClientSessionResult>, ClientError> {
        self.guard.check(bytes)?;
        Ok(self.inner.handle_input(bytes)?)
    }
}

/// The rules of all connections.
#[derive(Clone)]
pub struct Outbound {
    /// The networks that connections may reach.
    pub networks: AllowedNetworks,
    /// The trust anchors for RTMPS servers.
    pub tls: Arc<ClientConfig>,
}

/// TCP, and TLS if the address requires it.
pub async fn open(address: &PushAddress, outbound: &Outbound) -> Result<Box<dyn Socket>, ClientError> {
    let host = match address.host() {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let addresses = outbound.networks.resolve(&host, address.port()).await?;
    let socket = TcpStream::connect(addresses.as_slice()).await?;
    socket.set_nodelay(true)?;
    match address.scheme() {
        Scheme::Rtmp => Ok(Box::new(socket)),
        Scheme::Rtmps => {
            let connector = TlsConnector::from(outbound.tls.clone());
            Ok(Box::new(connector.connect(ServerName::try_from(host)?, socket).await?))
        }
    }
}

/// The stream that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Publish,
    Play,
}

/// A stream that the server has accepted.
pub struct Begun {
    pub session: Session,
    /// The results that came with the acceptance.
    pub results: Vec<ClientSessionResult>,
}

/// Handshake, connect, publish or play.
pub async fn begin(socket: &mut impl Socket, address: &PushAddress, ask: Ask) -> Result<Begun, ClientError> {
    let mut handshake = Handshake::new(PeerType::Client);
    socket
        .write_all(
            &handshake
                .generate_outbound_p0_and_p1()
                .map_err(ClientError::Handshake)?,
        )
        .await?;
    let mut buffer = vec![0; 4096];
    let rest = loop {
        let length = read(socket, &mut buffer).await?;
        match handshake
            .process_bytes(&buffer[..length])
            .map_err(ClientError::Handshake)?
        {
            HandshakeProcessResult::InProgress { response_bytes } => socket.write_all(&response_bytes).await?,
            HandshakeProcessResult::Completed {
                response_bytes,
                remaining_bytes,
            } => {
                socket.write_all(&response_bytes).await?;
                break remaining_bytes;
            }
        }
    };
    let mut config = ClientSessionConfig::new();
    config.tc_url = Some(address.tc_url());
    let (inner, mut results) = ClientSession::new(config)?;
    let mut guard = Guard::default();
    if ask == Ask::Play {
        guard.permit_media();
    }
    let mut session = Session { inner, guard };
    results.extend(session.handle_input(&rest)?);
    results.push(session.inner.request_connection(address.app().to_owned())?);
    loop {
        let mut batch = std::mem::take(&mut results).into_iter();
        while let Some(result) = batch.next() {
            match result {
                ClientSessionResult::OutboundResponse(packet) => socket.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(event) => match event {
                    ClientSessionEvent::ConnectionRequestAccepted => {
                        let stream = address.stream().to_owned();
                        results.push(match ask {
                            Ask::Publish => session.inner.request_publishing(stream, PublishRequestType::Live)?,
                            Ask::Play => session.inner.request_playback(stream)?,
                        });
                    }
                    ClientSessionEvent::PublishRequestAccepted | ClientSessionEvent::PlaybackRequestAccepted => {
                        let results = batch.collect();
                        return Ok(Begun { session, results });
                    }
                    ClientSessionEvent::ConnectionRequestRejected { description } => {
                        return Err(ClientError::Refused(without_key(&description, address)));
                    }
                    ClientSessionEvent::UnhandleableOnStatusCode { code } if ask == Ask::Publish || is_end(&code) => {
                        return Err(ClientError::Refused(without_key(&code, address)));
                    }
                    _ => {}
                },
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        if results.is_empty() {
            let length = read(socket, &mut buffer).await?;
            results = session.handle_input(&buffer[..length])?;
        }
    }
}

/// Whether a status ends the play of a stream: servers send others before its begin, too.
pub fn is_end(code: &str) -> bool {
    let ends = [
        "NotFound",
        "Failed",
        "Rejected",
        "Denied",
        "BadName",
        "Stop",
        "Complete",
        "UnpublishNotify",
    ];
    ends.iter().any(|end| code.contains(end))
}

/// A server's refusal without the key, for the log: some servers repeat the key.
fn without_key(said: &str, address: &PushAddress) -> String {
    let name = address.stream().split('?').next().unwrap_or_default();
    let mut said = said.replace(address.stream(), "***");
    if !name.is_empty() {
        said = said.replace(name, "***");
    }
    said.chars().take(MOST_SAID).collect()
}

pub async fn read(socket: &mut impl Socket, buffer: &mut [u8]) -> io::Result<usize> {
    match socket.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_server_is_logged_without_the_key() {
        let address: PushAddress = "rtmp://h/live/SECRET?sign=SECRET2".parse().unwrap();
        for said in ["no SECRET?sign=SECRET2 here", "BadName: SECRET"] {
            let logged = without_key(said, &address);
            assert!(!logged.contains("SECRET"), "{logged}");
        }
        assert!(without_key(&"x".repeat(10_000), &address).len() <= MOST_SAID);
    }

    #[test]
    fn an_error_is_told_with_its_cause() {
        let refused = ClientError::Io(io::Error::other("the cause"));
        let told = refused.told();
        assert_eq!(told.kind, PushErrorKind::Connection);
        assert_eq!(told.message, "the connection broke: the cause");
        assert_eq!(ClientError::Timeout.told().kind, PushErrorKind::Timeout);
    }
}
