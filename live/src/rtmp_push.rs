//! RTMP push of a program to another server, with back-off, for as long as the program runs.

use std::io;
use std::time::Duration;

use metrics::counter;
use rand::Rng;
use rml_rtmp::handshake::{Handshake, HandshakeError, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionError, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};
use rml_rtmp::time::RtmpTimestamp;
use rotunda_media::mux::flv;
use rotunda_media::program::{Frame, ProgramReader, ReadError, Track};
use rotunda_proto::clock::Clock;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::rtmp_guard::{Guard, GuardError};
use crate::rtmp_play::metadata;
use crate::timeline::{Step, Timeline};

/// Connecting, and any single write: a peer that takes longer is dead.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// The orderly end of a stream.
const GOODBYE_WITHIN: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where to push: `rtmp://host[:port]/app[/instance]/key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub app: String,
    pub key: String,
}

/// Why a push failed.
#[derive(Debug, Error)]
pub enum PushError {
    #[error("the address is no rtmp://host/app/key")]
    Address,
    #[error("rtmps:// is not supported yet; use rtmp://")]
    Tls,
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
    #[error("the server sent what no server sends")]
    Malformed(#[from] GuardError),
}

/// A session that is given only what a server may send.
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

impl Target {
    pub fn parse(url: &str) -> Result<Self, PushError> {
        let parsed = url::Url::parse(url).map_err(|_| PushError::Address)?;
        match parsed.scheme() {
            "rtmp" => {}
            "rtmps" => return Err(PushError::Tls),
            _ => return Err(PushError::Address),
        }
        let host = parsed
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(PushError::Address)?
            .to_owned();
        let path = parsed.path().trim_start_matches('/');
        let (app, key) = path.rsplit_once('/').ok_or(PushError::Address)?;
        if app.is_empty() || key.is_empty() {
            return Err(PushError::Address);
        }
        // Stream keys often carry a signature as their query.
        let key = match parsed.query() {
            Some(query) => format!("{key}?{query}"),
            None => key.to_owned(),
        };
        Ok(Self {
            host,
            port: parsed.port().unwrap_or(1935),
            app: app.to_owned(),
            key,
        })
    }
}

/// How the attempt went.
enum End {
    ProgramOver,
    Broken(PushError),
}

/// Pushes until the program ends or `stop`.
pub async fn push(target: Target, mut reader: ProgramReader, stop: CancellationToken) {
    let clock = Clock;
    let mut timeline = Timeline::new();
    let mut pause = FIRST_PAUSE;
    loop {
        timeline.reconnect();
        let began = clock.now();
        let error = match attempt(&target, &mut reader, &mut timeline, &stop).await {
            End::ProgramOver => {
                info!(host = target.host, "push ended");
                return;
            }
            End::Broken(error) => error,
        };
        // The key is a secret: it is not logged.
        warn!(
            host = target.host,
            app = target.app,
            error = &error as &dyn std::error::Error,
            "push broke"
        );
        counter!("rotunda_live_push_failures_total").increment(1);
        if clock.now().saturating_duration_since(began) > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        let jitter = rand::rng().random_range(0.75..1.25);
        let again = clock.now() + pause.mul_f64(jitter);
        pause = (pause * 2).min(LONGEST_PAUSE);
        // The program goes on meanwhile; what it makes is read and dropped.
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
    target: &Target,
    reader: &mut ProgramReader,
    timeline: &mut Timeline,
    stop: &CancellationToken,
) -> End {
    let connected = tokio::select! {
        () = stop.cancelled() => return End::ProgramOver,
        connected = timeout(CONNECT_WITHIN, connect(target)) => connected.unwrap_or(Err(PushError::Timeout)),
    };
    let (socket, session) = match connected {
        Ok(connected) => connected,
        Err(error) => return End::Broken(error),
    };
    info!(host = target.host, app = target.app, "pushing");
    match send(socket, session, reader, timeline, stop).await {
        Ok(()) => End::ProgramOver,
        Err(error) => End::Broken(error),
    }
}

/// TCP, handshake, connect, publish.
async fn connect(target: &Target) -> Result<(TcpStream, Session), PushError> {
    let mut socket = TcpStream::connect((target.host.as_str(), target.port)).await?;
    socket.set_nodelay(true)?;
    let mut handshake = Handshake::new(PeerType::Client);
    socket
        .write_all(&handshake.generate_outbound_p0_and_p1().map_err(PushError::Handshake)?)
        .await?;
    let mut buffer = vec![0; 4096];
    let rest = loop {
        let length = read(&mut socket, &mut buffer).await?;
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
    config.tc_url = Some(format!("rtmp://{}:{}/{}", target.host, target.port, target.app));
    let (inner, mut results) = ClientSession::new(config)?;
    let guard = Guard::default();
    let mut session = Session { inner, guard };
    results.extend(session.handle_input(&rest)?);
    results.push(session.inner.request_connection(target.app.clone())?);
    loop {
        for result in std::mem::take(&mut results) {
            match result {
                ClientSessionResult::OutboundResponse(packet) => socket.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(event) => match event {
                    ClientSessionEvent::ConnectionRequestAccepted => {
                        results.push(
                            session
                                .inner
                                .request_publishing(target.key.clone(), PublishRequestType::Live)?,
                        );
                    }
                    ClientSessionEvent::PublishRequestAccepted => return Ok((socket, session)),
                    ClientSessionEvent::ConnectionRequestRejected { description } => {
                        return Err(PushError::Refused(description));
                    }
                    ClientSessionEvent::UnhandleableOnStatusCode { code } => return Err(PushError::Refused(code)),
                    _ => {}
                },
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        if results.is_empty() {
            let length = read(&mut socket, &mut buffer).await?;
            results = session.handle_input(&buffer[..length])?;
        }
    }
}

async fn send(
    mut socket: TcpStream,
    mut session: Session,
    reader: &mut ProgramReader,
    timeline: &mut Timeline,
    stop: &CancellationToken,
) -> Result<(), PushError> {
    let mut buffer = vec![0; 4096];
    let (mut input, mut output) = socket.split();
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

async fn read(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match socket.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_app_and_key_with_its_query() {
        let target = Target::parse("rtmp://a.example:1936/live/inst/key?txSecret=1").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("a.example", 1936));
        assert_eq!(
            (target.app.as_str(), target.key.as_str()),
            ("live/inst", "key?txSecret=1")
        );
        assert!(matches!(Target::parse("rtmps://a/live/k"), Err(PushError::Tls)));
        for bad in ["rtmp://a/live", "http://a/live/k", "rtmp:///live/k", "nonsense"] {
            assert!(matches!(Target::parse(bad), Err(PushError::Address)), "{bad}");
        }
    }
}
