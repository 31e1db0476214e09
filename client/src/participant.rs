//! A synthetic participant: joins a room over the public signaling and publishes a source.

use std::net::SocketAddr;
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{OwnStreamId, RecordId, RoomId, SdkAppId, TrackSource, UserId};
use rotunda_proto::signaling::{Event, MediaState, Reply, Request, Role};
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::load::{JanusError, WhipError};
use crate::local_address::local_address;
use crate::media_session::{MediaSession, Received};
use crate::peer::MediaError;
use crate::signaling_client::{SignalingClient, SignalingError};
use crate::source::{Source, SourceConfig, SourceError};

/// Frames of the source that wait to be sent: half a second.
const QUEUE: usize = 40;

#[derive(Debug, Clone)]
pub struct ParticipantConfig {
    /// For example `ws://127.0.0.1:8080/ws`.
    pub url: String,
    pub app: SdkAppId,
    pub user: UserId,
    pub user_sig: String,
    pub room: RoomId,
    /// Name of the recording of the participant's own media.
    pub record_id: Option<RecordId>,
    /// Live stream of the participant's own media.
    pub stream_id: Option<OwnStreamId>,
    pub source: SourceConfig,
}

/// The counters of a participant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    pub connected: bool,
    pub frames_sent: u64,
    pub bytes_sent: u64,
    pub frames_received: u64,
}

/// Why a participant could not join or had to leave.
#[derive(Debug, Error)]
pub enum JoinError {
    #[error("signaling")]
    Signaling(#[from] SignalingError),
    #[error("WHIP or WHEP")]
    Whip(#[from] WhipError),
    #[error("Janus")]
    Janus(#[from] JanusError),
    #[error("media")]
    Media(#[from] MediaError),
    #[error("source")]
    Source(#[from] SourceError),
    #[error("the server's address {0} is not valid")]
    Url(String),
    #[error("open a UDP socket")]
    Socket(#[source] std::io::Error),
    #[error("the server answered {0:?}, which does not fit the request")]
    Reply(Box<Reply>),
    #[error("the server ended the membership: {0}")]
    Kicked(String),
    #[error("the media session was lost")]
    MediaLost,
}

/// A participant that has entered its room.
pub struct Participant {
    signaling: SignalingClient,
    session: MediaSession,
    socket: UdpSocket,
    source: Source,
    frames: mpsc::Receiver<crate::source::Encoded>,
    statistics: watch::Sender<Statistics>,
}

impl Participant {
    /// Logs in, enters the room, connects and publishes audio and video.
    pub async fn join(config: ParticipantConfig) -> Result<Self, JoinError> {
        let clock = Clock;
        let mut signaling = SignalingClient::connect(&config.url).await?;
        let ParticipantConfig {
            app,
            user,
            user_sig,
            room,
            ..
        } = config;
        let login = Request::Login {
            sdk_app_id: app,
            user_id: user,
            user_sig,
            resume_token: None,
        };
        signaling.request(login).await?;
        let enter = Request::EnterRoom {
            room_id: room,
            role: Role::Anchor,
            user_define_record_id: config.record_id,
            stream_id: config.stream_id,
            private_map_key: None,
        };
        signaling.request(enter).await?;

        let socket = UdpSocket::bind(SocketAddr::new(local_address(&config.url).await?, 0))
            .await
            .map_err(JoinError::Socket)?;
        let local = socket.local_addr().map_err(JoinError::Socket)?;
        let (mut session, offer, lines) = MediaSession::offer(clock.now(), local)?;
        match signaling.request(Request::Connect { offer, lines }).await? {
            Reply::Connected { answer } => session.handle_answer(clock.now(), &answer)?,
            other => return Err(JoinError::Reply(Box::new(other))),
        }
        for source in [TrackSource::Audio, TrackSource::Camera] {
            signaling.request(Request::Publish { source, muted: false }).await?;
        }
        let (sink, frames) = mpsc::channel(QUEUE);
        let source = Source::start(config.source, sink)?;
        let statistics = watch::Sender::new(Statistics::default());
        Ok(Self {
            signaling,
            session,
            socket,
            source,
            frames,
            statistics,
        })
    }

    /// The participant's counters, updated while it runs.
    pub fn statistics(&self) -> watch::Receiver<Statistics> {
        self.statistics.subscribe()
    }

    /// Sends and receives until `stop`, then leaves the room.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), JoinError> {
        let clock = Clock;
        let mut buffer = vec![0; 2048];
        loop {
            self.flush().await;
            let due = self.session.poll_timeout();
            tokio::select! {
                () = stop.cancelled() => break,
                received = self.socket.recv_from(&mut buffer) => {
                    if let Ok((length, from)) = received {
                        self.session.handle_datagram(clock.now(), from, &buffer[..length])?;
                    }
                }
                frame = self.frames.recv() => if let Some(frame) = frame {
                    let bytes = frame.data.len() as u64;
                    self.session.send(clock.now(), frame)?;
                    self.statistics.send_modify(|statistics| if statistics.connected {
                        statistics.frames_sent += 1;
                        statistics.bytes_sent += bytes;
                    });
                },
                event = self.signaling.next_event() => match event? {
                    Event::Kicked { reason } => return Err(JoinError::Kicked(format!("{reason:?}"))),
                    Event::MediaState { state: MediaState::Disconnected } => return Err(JoinError::MediaLost),
                    _ => {}
                },
                () = clock.sleep_until(due) => self.session.handle_timeout(clock.now())?,
            }
            while let Some(received) = self.session.poll_received() {
                match received {
                    Received::Connected => self.statistics.send_modify(|statistics| statistics.connected = true),
                    Received::Disconnected => return Err(JoinError::MediaLost),
                    Received::KeyframeWanted => self.source.request_keyframe(),
                    Received::Frame { .. } => {
                        self.statistics
                            .send_modify(|statistics| statistics.frames_received += 1);
                    }
                }
            }
        }
        let goodbye = self.signaling.request(Request::ExitRoom {});
        // The server may be gone already.
        let _told = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
        self.session.close(clock.now());
        self.flush().await;
        self.signaling.close().await;
        Ok(())
    }

    async fn flush(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            // A datagram that cannot be sent counts as lost.
            let _lost = self.socket.send_to(&transmit.contents, transmit.destination).await;
        }
    }
}
