//! RTMP and RTMPS push of a program to another server, with back-off, as long as the program runs and the push is
//! wanted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use rand::Rng;
use rml_rtmp::handshake::{Handshake, HandshakeError, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionError, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};
use rml_rtmp::time::RtmpTimestamp;
use rotunda_media::mux::flv;
use rotunda_media::program::{Frame, ProgramReader, ReadError, Track};
use rotunda_proto::clock::Clock;
use rotunda_proto::outbound::{AllowedNetworks, ResolveError};
use rotunda_proto::push_address::{PushAddress, Scheme};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Host;

use crate::rtmp_guard::{Guard, GuardError};
use crate::rtmp_play::metadata;
use crate::timeline::{Step, Timeline};

/// Time limit for connecting and for any single write.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// Time limit for ending a stream in order.
const GOODBYE_WITHIN: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Characters of a server's message that are logged.
const MOST_SAID: usize = 200;

/// Why a push failed.
#[derive(Debug, Error)]
pub enum PushError {
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

/// A connection, with or without TLS.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// A session that gets only bytes that a server may send.
struct Session {
    inner: ClientSession,
    guard: Guard,
}

impl Session {
    fn handle_input(&mut self, bytes: &[u8]) -> Result<Vec<ClientSessionResult>, PushError> {
        self.guard.check(bytes)?;
        Ok(self.inner.handle_input(bytes)?)
    }
}

/// The result of an attempt.
enum End {
    ProgramOver,
    Broken(PushError),
}

/// The rules of all pushes.
#[derive(Clone)]
pub struct Outbound {
    /// The networks that pushes may connect to.
    pub networks: AllowedNetworks,
    /// The trust anchors for RTMPS servers.
    pub tls: Arc<ClientConfig>,
}

/// Pushes until the program ends or `stop`.
pub async fn push(address: PushAddress, outbound: Outbound, mut reader: ProgramReader, stop: CancellationToken) {
    let clock = Clock;
    let mut timeline = Timeline::new();
    let mut pause = FIRST_PAUSE;
    loop {
        timeline.reconnect();
        let began = clock.now();
        let error = match attempt(&address, &outbound, &mut reader, &mut timeline, &stop).await {
            End::ProgramOver => {
                info!(%address, "push ended");
                return;
            }
            End::Broken(error) => error,
        };
        warn!(%address, error = &error as &dyn std::error::Error, "push failed");
        counter!("rotunda_live_push_failures_total").increment(1);
        if clock.now().saturating_duration_since(began) > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        let jitter = rand::rng().random_range(0.75..1.25);
        let again = clock.now() + pause.mul_f64(jitter);
        pause = (pause * 2).min(LONGEST_PAUSE);
        // The program continues meanwhile; its frames are read and dropped.
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep_until(again) => break,
                frame = reader.next() => if matches!(frame, Err(ReadError::Ended)) {
                    return;
                },
            }
        }
    }
}

async fn attempt(
    address: &PushAddress,
    outbound: &Outbound,
    reader: &mut ProgramReader,
    timeline: &mut Timeline,
    stop: &CancellationToken,
) -> End {
    let connected = async {
        let mut socket = open(address, outbound).await?;
        let session = publish(&mut socket, address).await?;
        Ok((socket, session))
    };
    let connected = tokio::select! {
        () = stop.cancelled() => return End::ProgramOver,
        connected = timeout(CONNECT_WITHIN, connected) => connected.unwrap_or(Err(PushError::Timeout)),
    };
    let (socket, session) = match connected {
        Ok(connected) => connected,
        Err(error) => return End::Broken(error),
    };
    info!(%address, "pushing");
    gauge!("rotunda_live_pushes").increment(1.0);
    let sent = send(socket, session, reader, timeline, stop).await;
    gauge!("rotunda_live_pushes").decrement(1.0);
    match sent {
        Ok(()) => End::ProgramOver,
        Err(error) => End::Broken(error),
    }
}

/// TCP, and TLS if the address requires it.
async fn open(address: &PushAddress, outbound: &Outbound) -> Result<Box<dyn Socket>, PushError> {
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

/// Handshake, connect, publish.
async fn publish(socket: &mut impl Socket, address: &PushAddress) -> Result<Session, PushError> {
    let mut handshake = Handshake::new(PeerType::Client);
    socket
        .write_all(&handshake.generate_outbound_p0_and_p1().map_err(PushError::Handshake)?)
        .await?;
    let mut buffer = vec![0; 4096];
    let rest = loop {
        let length = read(socket, &mut buffer).await?;
        match handshake
            .process_bytes(&buffer[..length])
            .map_err(PushError::Handshake)?
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
    let guard = Guard::default();
    let mut session = Session { inner, guard };
    results.extend(session.handle_input(&rest)?);
    results.push(session.inner.request_connection(address.app().to_owned())?);
    loop {
        for result in std::mem::take(&mut results) {
            match result {
                ClientSessionResult::OutboundResponse(packet) => socket.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(event) => match event {
                    ClientSessionEvent::ConnectionRequestAccepted => {
                        let stream = address.stream().to_owned();
                        results.push(session.inner.request_publishing(stream, PublishRequestType::Live)?);
                    }
                    ClientSessionEvent::PublishRequestAccepted => return Ok(session),
                    ClientSessionEvent::ConnectionRequestRejected { description } => {
                        return Err(PushError::Refused(without_key(&description, address)));
                    }
                    ClientSessionEvent::UnhandleableOnStatusCode { code } => {
                        return Err(PushError::Refused(without_key(&code, address)));
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

/// A server's refusal without the key, for the log: some servers repeat the key.
fn without_key(said: &str, address: &PushAddress) -> String {
    let name = address.stream().split('?').next().unwrap_or_default();
    let mut said = said.replace(address.stream(), "***");
    if !name.is_empty() {
        said = said.replace(name, "***");
    }
    said.chars().take(MOST_SAID).collect()
}

async fn send(
    socket: Box<dyn Socket>,
    mut session: Session,
    reader: &mut ProgramReader,
    timeline: &mut Timeline,
    stop: &CancellationToken,
) -> Result<(), PushError> {
    let mut buffer = vec![0; 4096];
    let (mut input, mut output) = tokio::io::split(socket);
    loop {
        let mut results = Vec::new();
        tokio::select! {
            () = stop.cancelled() => break,
            frame = reader.next() => match frame {
                Ok(frame) => match timeline.step(&frame) {
                    Step::Skip => {}
                    Step::Begin { timestamp_ms } => {
                        let time = RtmpTimestamp::new(timestamp_ms);
                        results.push(session.inner.publish_metadata(&metadata(&frame.header))?);
                        if let Some(video) = &frame.header.video {
                            results.push(session.inner.publish_video_data(flv::video_config_body(video), time, false)?);
                        }
                        let config = flv::audio_config_body(&frame.header);
                        results.push(session.inner.publish_audio_data(config, time, false)?);
                        results.push(message(&mut session.inner, &frame, timestamp_ms)?);
                    }
                    Step::Go { timestamp_ms } => results.push(message(&mut session.inner, &frame, timestamp_ms)?),
                },
                Err(ReadError::Lagged(_)) => timeline.lose(),
                Err(ReadError::Ended) => break,
            },
            length = input.read(&mut buffer) => {
                let length = length?;
                if length == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                results = session.handle_input(&buffer[..length])?;
            }
        }
        for result in results {
            if let ClientSessionResult::OutboundResponse(packet) = result {
                let written = timeout(DEAD_AFTER, output.write_all(&packet.bytes)).await;
                written.map_err(|_| PushError::Timeout)??;
                counter!("rotunda_live_push_bytes_total").increment(packet.bytes.len() as u64);
            }
        }
    }
    let mut goodbye = Vec::new();
    for result in session.inner.stop_publishing()? {
        if let ClientSessionResult::OutboundResponse(packet) = result {
            goodbye.extend(packet.bytes);
        }
    }
    let said = async {
        output.write_all(&goodbye).await?;
        output.shutdown().await
    };
    timeout(GOODBYE_WITHIN, said).await.map_err(|_| PushError::Timeout)??;
    Ok(())
}

fn message(session: &mut ClientSession, frame: &Frame, timestamp_ms: u32) -> Result<ClientSessionResult, PushError> {
    let (time, body) = (RtmpTimestamp::new(timestamp_ms), flv::frame_body(frame));
    Ok(match frame.track {
        Track::Video => session.publish_video_data(body, time, false)?,
        Track::Audio => session.publish_audio_data(body, time, false)?,
    })
}

async fn read(socket: &mut impl Socket, buffer: &mut [u8]) -> io::Result<usize> {
    match socket.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(length),
    }
}

#[cfg(test)]
pub mod tests;
