//! RTMP play: `rtmp://host/live/<streamId>`. Publishing to this server is refused.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::body::Bytes;
use metrics::gauge;
use rml_rtmp::handshake::{Handshake, HandshakeError, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ServerSession, ServerSessionConfig, ServerSessionError, ServerSessionEvent, ServerSessionResult, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;
use rotunda_listen::{Connection, Incoming, OpenError, Stream};
use rotunda_media::mux::flv;
use rotunda_media::program::{Frame, ProgramHeader, ProgramReader, ReadError, Track};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::play_secret::PlayRefusal;
use crate::rtmp_guard::{Guard, GuardError};
use crate::streams::StreamName;
use crate::timeline::{Step, Timeline};

/// Handshake and commands must be complete within this time.
const SET_UP_WITHIN: Duration = Duration::from_secs(10);

/// Why a player was disconnected.
#[derive(Debug, Error)]
pub enum PlayError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("open the connection")]
    Open(#[from] OpenError),
    #[error("the RTMP handshake failed: {0:?}")]
    Handshake(HandshakeError),
    #[error("the RTMP session failed: {0}")]
    Session(#[from] ServerSessionError),
    #[error("the player sent a message that players do not send")]
    Refused(#[from] GuardError),
    #[error("the player did not request a stream in time")]
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

/// Serves one player until either side ends it.
pub async fn serve(
    incoming: Incoming,
    programs: &impl Programs,
    stall: Duration,
    shutdown: CancellationToken,
) -> Result<(), PlayError> {
    let Connection { mut stream, .. } = incoming.open().await?;
    let set_up = timeout(SET_UP_WITHIN, set_up(&mut stream, programs))
        .await
        .map_err(|_| PlayError::Slow)??;
    let Some(ready) = set_up else {
        return Ok(());
    };
    stream.establish();
    gauge!("rotunda_live_players", "protocol" => "rtmp").increment(1.0);
    let played = play(stream, ready, stall, shutdown).await;
    gauge!("rotunda_live_players", "protocol" => "rtmp").decrement(1.0);
    played
}

/// A player that receives the requested program.
struct Ready {
    session: Session,
    reader: ProgramReader,
    rtmp_stream: u32,
}

/// A session that gets only bytes that a player may send.
struct Session {
    inner: ServerSession,
    guard: Guard,
}

impl Session {
    fn handle_input(&mut self, bytes: &[u8]) -> Result<Vec<ServerSessionResult>, PlayError> {
        self.guard.check(bytes)?;
        Ok(self.inner.handle_input(bytes)?)
    }
}

trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket for S {}

/// Handshake, connect, play; None when the requested program is not available and the player was told so.
async fn set_up(socket: &mut impl Socket, programs: &impl Programs) -> Result<Option<Ready>, PlayError> {
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
                    ServerSessionEvent::PublishStreamRequested { request_id, .. } => {
                        let why = "this server only plays; publish into a room instead";
                        let refusal = session
                            .inner
                            .reject_request(request_id, "NetStream.Publish.BadName", why)?;
                        return refuse(socket, refusal).await;
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
                        return Ok(Some(Ready {
                            session,
                            reader,
                            rtmp_stream: stream_id,
                        }));
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

async fn refuse(socket: &mut impl Socket, refusal: Vec<ServerSessionResult>) -> Result<Option<Ready>, PlayError> {
    for result in refusal {
        if let ServerSessionResult::OutboundResponse(packet) = result {
            socket.write_all(&packet.bytes).await?;
        }
    }
    socket.shutdown().await?;
    Ok(None)
}

async fn handshake(socket: &mut impl Socket) -> Result<Vec<u8>, PlayError> {
    let mut handshake = Handshake::new(PeerType::Server);
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match handshake
            .process_bytes(&buffer[..length])
            .map_err(PlayError::Handshake)?
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

async fn play(stream: Stream, ready: Ready, stall: Duration, shutdown: CancellationToken) -> Result<(), PlayError> {
    let Ready {
        mut session,
        mut reader,
        rtmp_stream,
    } = ready;
    let (mut read, mut write) = tokio::io::split(stream);
    let mut timeline = Timeline::new();
    let mut buffer = vec![0; 4096];
    let mut out = Vec::new();
    loop {
        out.clear();
        tokio::select! {
            () = shutdown.cancelled() => break,
            frame = reader.next() => match frame {
                Ok(frame) => match timeline.step(&frame) {
                    Step::Skip => {}
                    Step::Begin { timestamp_ms } => {
                        let time = RtmpTimestamp::new(timestamp_ms);
                        out.extend(session.inner.send_metadata(rtmp_stream, &metadata(&frame.header))?.bytes);
                        if let Some(video) = &frame.header.video {
                            let body = flv::video_config_body(video);
                            out.extend(session.inner.send_video_data(rtmp_stream, body, time, false)?.bytes);
                        }
                        let body = flv::audio_config_body(&frame.header);
                        out.extend(session.inner.send_audio_data(rtmp_stream, body, time, false)?.bytes);
                        out.extend(message(&mut session.inner, rtmp_stream, &frame, timestamp_ms)?);
                    }
                    Step::Go { timestamp_ms } => out.extend(message(&mut session.inner, rtmp_stream, &frame, timestamp_ms)?),
                },
                Err(ReadError::Lagged(_)) => timeline.lose(),
                Err(ReadError::Ended) => break,
            },
            length = read.read(&mut buffer) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                for result in session.handle_input(&buffer[..length])? {
                    match result {
                        ServerSessionResult::OutboundResponse(packet) => out.extend(packet.bytes),
                        ServerSessionResult::RaisedEvent(ServerSessionEvent::PlayStreamFinished { .. }) => return Ok(()),
                        _ => {}
                    }
                }
            }
        }
        timeout(stall, write.write_all(&out))
            .await
            .map_err(|_| PlayError::Stalled)??;
    }
    let goodbye = session.inner.finish_playing(rtmp_stream)?;
    timeout(stall, write.write_all(&goodbye.bytes))
        .await
        .map_err(|_| PlayError::Stalled)??;
    write.shutdown().await?;
    Ok(())
}

fn message(
    session: &mut ServerSession,
    rtmp_stream: u32,
    frame: &Frame,
    timestamp_ms: u32,
) -> Result<Vec<u8>, ServerSessionError> {
    let (time, body): (_, Bytes) = (RtmpTimestamp::new(timestamp_ms), flv::frame_body(frame));
    let packet = match frame.track {
        Track::Video => session.send_video_data(rtmp_stream, body, time, false)?,
        Track::Audio => session.send_audio_data(rtmp_stream, body, time, false)?,
    };
    Ok(packet.bytes)
}

/// The RTMP metadata of a program, sent before its frames.
pub fn metadata(header: &ProgramHeader) -> StreamMetadata {
    let mut metadata = StreamMetadata::new();
    if let Some(video) = &header.video {
        metadata.video_width = Some(video.width.into());
        metadata.video_height = Some(video.height.into());
        metadata.video_codec_id = Some(7);
        metadata.video_frame_rate = Some(video.framerate.into());
        metadata.video_bitrate_kbps = Some(video.bitrate_kbps);
    }
    metadata.audio_codec_id = Some(10);
    metadata.audio_sample_rate = Some(header.audio.sample_rate);
    metadata.audio_bitrate_kbps = Some(header.audio.bitrate_kbps);
    metadata.audio_channels = Some(header.audio.channels.into());
    metadata.audio_is_stereo = Some(header.audio.channels == 2);
    metadata.encoder = Some("rotunda".to_owned());
    metadata
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
        assert!(matches!(ended, Err(PlayError::Refused(GuardError::Requests))));
    }
}
