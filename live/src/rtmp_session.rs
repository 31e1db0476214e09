//! The beginning of an RTMP connection: handshake, `connect`, and the request to play or to publish.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rml_rtmp::handshake::{Handshake, HandshakeError, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ServerSession, ServerSessionConfig, ServerSessionError, ServerSessionEvent, ServerSessionResult,
};
use rotunda_listen::{Connection, Incoming, OpenError, Stream};
use rotunda_media::program::ProgramReader;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::debug;

use crate::play_secret::PlayRefusal;
use crate::rtmp_guard::{Guard, GuardError};
use crate::streams::StreamName;

/// Handshake and commands must be complete within this time.
const SET_UP_WITHIN: Duration = Duration::from_secs(10);
/// A chunk stream that the session does not use.
const STATUS_CHUNK_STREAM: u8 = 8;
/// Longest description in a status, in characters: the whole message fits into one chunk.
const MOST_DESCRIPTION: usize = 250;

/// Why a connection was ended.
#[derive(Debug, Error)]
pub enum RtmpError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("open the connection")]
    Open(#[from] OpenError),
    #[error("the RTMP handshake failed: {0:?}")]
    Handshake(HandshakeError),
    #[error("the RTMP session failed: {0}")]
    Session(#[from] ServerSessionError),
    #[error("the peer sent a message that is refused")]
    Refused(#[from] GuardError),
    #[error("the peer requested no stream in time")]
    Slow,
    #[error("the player is too slow")]
    Stalled,
}

/// The programs that players can play.
pub trait Programs {
    /// The program of this name, for a player whose address has this query.
    fn play(&self, name: &StreamName, query: &str) -> Result<ProgramReader, NotPlayed>;
}

/// Told to players of an address that is not clear.
pub const NOT_UNIQUE: &str = "streams of several applications have this name; play live/<sdkAppId>/<streamId>";

/// Why a player gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPlayed {
    NoSuchStream,
    /// Streams of several applications have that name.
    NotUnique,
    Refused(PlayRefusal),
}

/// The request of a peer.
pub enum Wanted {
    Play(Ready),
    Publish(Publish),
}

/// Reads a connection up to the request; None when it was refused, and the peer was told so, or when the peer has gone.
pub async fn open(incoming: Incoming, programs: &impl Programs) -> Result<Option<(Stream, Wanted)>, RtmpError> {
    let Connection { mut stream, .. } = incoming.open().await?;
    let set_up = timeout(SET_UP_WITHIN, set_up(&mut stream, programs))
        .await
        .map_err(|_| RtmpError::Slow)??;
    stream.establish();
    Ok(set_up.map(|wanted| (stream, wanted)))
}

/// A player that receives the requested program.
pub struct Ready {
    pub session: Session,
    pub reader: ProgramReader,
    pub rtmp_stream: u32,
}

/// A peer that wants to publish, and waits for the answer.
pub struct Publish {
    pub session: Session,
    pub request: u32,
    pub app_name: String,
    pub stream_key: String,
}

/// A session that gets only bytes that its peer may send.
pub struct Session {
    pub inner: ServerSession,
    guard: Guard,
}

impl Session {
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<Vec<ServerSessionResult>, RtmpError> {
        self.guard.check(bytes)?;
        Ok(self.inner.handle_input(bytes)?)
    }

    /// From now on the peer may send audio and video.
    pub fn permit_media(&mut self) {
        self.guard.permit_media();
    }
}

trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket for S {}

/// Handshake, connect, play or publish; None when the requested program is not available and the player was told so.
async fn set_up(socket: &mut impl Socket, programs: &impl Programs) -> Result<Option<Wanted>, RtmpError> {
    let rest = handshake(socket).await?;
    let (inner, first) = ServerSession::new(ServerSessionConfig::new())?;
    let guard = Guard::default();
    let mut session = Session { inner, guard };
    let mut results: VecDeque<ServerSessionResult> = first.into();
    results.extend(session.handle_input(&rest)?);
    let mut buffer = vec![0; 4096];
    loop {
        while let Some(result) = results.pop_front() {
            match result {
                ServerSessionResult::OutboundResponse(packet) => socket.write_all(&packet.bytes).await?,
                ServerSessionResult::RaisedEvent(event) => match event {
                    ServerSessionEvent::ConnectionRequested { request_id, .. }
                    | ServerSessionEvent::ReleaseStreamRequested { request_id, .. } => {
                        results.extend(session.inner.accept_request(request_id)?);
                    }
                    ServerSessionEvent::PublishStreamRequested {
                        request_id,
                        app_name,
                        stream_key,
                        ..
                    } => {
                        return Ok(Some(Wanted::Publish(Publish {
                            session,
                            request: request_id,
                            app_name,
                            stream_key,
                        })));
                    }
                    ServerSessionEvent::PlayStreamRequested {
                        request_id,
                        app_name,
                        stream_key,
                        stream_id,
                        ..
                    } => {
                        let (id, query) = stream_key.split_once('?').unwrap_or((stream_key.as_str(), ""));
                        let found = name_of(&app_name, id).ok_or(NotPlayed::NoSuchStream);
                        let reader = match found.and_then(|name| programs.play(&name, query)) {
                            Ok(reader) => reader,
                            Err(why) => {
                                let (code, why) = match why {
                                    NotPlayed::NoSuchStream => (
                                        "NetStream.Play.StreamNotFound",
                                        "no stream with that name is running".to_owned(),
                                    ),
                                    NotPlayed::NotUnique => ("NetStream.Play.Failed", NOT_UNIQUE.to_owned()),
                                    NotPlayed::Refused(refusal) => ("NetStream.Play.Failed", refusal.to_string()),
                                };
                                let refusal = session.inner.reject_request(request_id, code, &why)?;
                                return refuse(socket, refusal).await;
                            }
                        };
                        for result in session.inner.accept_request(request_id)? {
                            if let ServerSessionResult::OutboundResponse(packet) = result {
                                socket.write_all(&packet.bytes).await?;
                            }
                        }
                        return Ok(Some(Wanted::Play(Ready {
                            session,
                            reader,
                            rtmp_stream: stream_id,
                        })));
                    }
                    // Not printed: the stream's name may be followed by a secret.
                    _ => debug!("an event is ignored"),
                },
                ServerSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        let length = socket.read(&mut buffer).await?;
        if length == 0 {
            return Ok(None);
        }
        results.extend(session.handle_input(&buffer[..length])?);
    }
}

/// Of `live` and `<streamId>`, or with an `<sdkAppId>` between them, which players take to either side.
fn name_of(app_name: &str, stream_key: &str) -> Option<StreamName> {
    match app_name.strip_prefix("live")? {
        "" => StreamName::parse(stream_key),
        app => StreamName::parse(&format!("{}/{stream_key}", app.strip_prefix('/')?)),
    }
}

async fn refuse(socket: &mut impl Socket, refusal: Vec<ServerSessionResult>) -> Result<Option<Wanted>, RtmpError> {
    for result in refusal {
        if let ServerSessionResult::OutboundResponse(packet) = result {
            socket.write_all(&packet.bytes).await?;
        }
    }
    socket.shutdown().await?;
    Ok(None)
}

async fn handshake(socket: &mut impl Socket) -> Result<Vec<u8>, RtmpError> {
    let mut handshake = Handshake::new(PeerType::Server);
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match handshake
            .process_bytes(&buffer[..length])
            .map_err(RtmpError::Handshake)?
        {
            HandshakeProcessResult::InProgress { response_bytes } => socket.write_all(&response_bytes).await?,
            HandshakeProcessResult::Completed {
                response_bytes,
                remaining_bytes,
            } => {
                socket.write_all(&response_bytes).await?;
                return Ok(remaining_bytes);
            }
        }
    }
}

/// An `onStatus` of level `error`, for the peer's first stream: `rml_rtmp` has none for a stream that was accepted.
pub fn error_status(code: &str, description: &str) -> Bytes {
    let description = match description.char_indices().nth(MOST_DESCRIPTION) {
        Some((cut, _)) => &description[..cut],
        None => description,
    };
    let mut body = BytesMut::new();
    put_string(&mut body, "onStatus");
    // Transaction 0, and no command object.
    body.put_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 3]);
    for (name, value) in [("level", "error"), ("code", code), ("description", description)] {
        body.put_u16(name.len() as u16);
        body.put_slice(name.as_bytes());
        put_string(&mut body, value);
    }
    body.put_slice(&[0, 0, 9]);
    let mut chunk = BytesMut::new();
    chunk.put_slice(&[STATUS_CHUNK_STREAM, 0, 0, 0]);
    chunk.put_uint(body.len() as u64, 3);
    chunk.put_u8(20);
    chunk.put_u32_le(1);
    chunk.unsplit(body);
    chunk.freeze()
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_u8(2);
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

/// A source without programs.
#[cfg(any(test, feature = "fuzzing"))]
struct Nothing;

#[cfg(any(test, feature = "fuzzing"))]
impl Programs for Nothing {
    fn play(&self, _name: &StreamName, _query: &str) -> Result<ProgramReader, NotPlayed> {
        Err(NotPlayed::NoSuchStream)
    }
}

/// A peer's bytes, first in one piece and then in small pieces, up to the point where a program would be sent.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz(bytes: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    for piece in [bytes.len().max(1), 13] {
        runtime.block_on(async {
            let (mut ours, theirs) = tokio::io::duplex(1 << 20);
            let (mut read, mut write) = tokio::io::split(theirs);
            let player = async {
                for piece in bytes.chunks(piece) {
                    if write.write_all(piece).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                let _gone = write.shutdown().await;
            };
            let mut nowhere = tokio::io::sink();
            let listener = tokio::io::copy(&mut read, &mut nowhere);
            let server = async {
                let _refused = set_up(&mut ours, &Nothing).await;
                drop(ours);
            };
            let _ended = tokio::join!(server, player, async { drop(listener.await) });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of stream 3, in one chunk.
    fn command(name: &str, after: &[u8]) -> Vec<u8> {
        let mut message = vec![2, 0, name.len() as u8];
        message.extend(name.bytes());
        message.extend(b"\0\0\0\0\0\0\0\0\0");
        message.extend(after);
        let mut chunk = vec![3, 0, 0, 0, 0, 0, message.len() as u8, 20, 0, 0, 0, 0];
        chunk.extend(message);
        chunk
    }

    #[tokio::test]
    async fn a_player_that_repeats_a_request_for_ever_is_let_go() {
        let connect = command("connect", b"\x03\0\x03app\x02\0\x04live\0\0\x09");
        let endless = command("createStream", b"\x05");
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        let player = async {
            // C0, C1 and C2 of the simple handshake.
            let mut bytes = vec![0; 1 + 2 * 1536];
            bytes[0] = 3;
            theirs.write_all(&bytes).await.unwrap();
            theirs.write_all(&connect).await.unwrap();
            while theirs.write_all(&endless).await.is_ok() {}
        };
        let server = async {
            let ended = set_up(&mut ours, &Nothing).await;
            drop(ours);
            ended
        };
        let (ended, ()) = tokio::join!(server, player);
        assert!(matches!(ended, Err(RtmpError::Refused(GuardError::Requests))));
    }
}
