//! A synthetic participant: joins a room over the public signaling and publishes a source.

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{OwnStreamId, RecordId, RoomId, SdkAppId, TrackSource, UserId};
use rotunda_proto::signaling::Reply;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::load::{JanusError, WhipError};
use crate::media_session::Received;
use crate::member::{Entry, Member};
use crate::peer::MediaError;
use crate::signaling_client::SignalingError;
use crate::source::{AudioContent, Source, SourceConfig, SourceError};

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
    member: Member,
    source: Source,
    frames: mpsc::Receiver<crate::source::Encoded>,
    statistics: watch::Sender<Statistics>,
}

impl Participant {
    /// Logs in, enters the room, connects and publishes what the source has: video, and audio unless it has none.
    pub async fn join(config: ParticipantConfig) -> Result<Self, JoinError> {
        let entry = Entry {
            url: config.url,
            app: config.app,
            user: config.user,
            user_sig: config.user_sig,
            room: config.room,
            private_map_key: None,
            record_id: config.record_id,
            stream_id: config.stream_id,
        };
        let mut member = Member::enter(entry).await?;
        if config.source.audio != AudioContent::None {
            member.publish(TrackSource::Audio).await?;
        }
        member.publish(TrackSource::Camera).await?;
        let (sink, frames) = mpsc::channel(QUEUE);
        let source = Source::start(config.source, sink)?;
        let statistics = watch::Sender::new(Statistics::default());
        Ok(Self {
            member,
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
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                frame = self.frames.recv() => if let Some(frame) = frame {
                    let bytes = frame.data.len() as u64;
                    self.member.send(Clock.now(), frame)?;
                    self.statistics.send_modify(|statistics| if statistics.connected {
                        statistics.frames_sent += 1;
                        statistics.bytes_sent += bytes;
                    });
                },
                received = self.member.next() => match received? {
                    Received::Connected => self.statistics.send_modify(|statistics| statistics.connected = true),
                    Received::KeyframeWanted => self.source.request_keyframe(),
                    Received::Frame { .. } => {
                        self.statistics
                            .send_modify(|statistics| statistics.frames_received += 1);
                    }
                    Received::Disconnected => return Err(JoinError::MediaLost),
                },
            }
        }
        self.member.leave().await;
        Ok(())
    }
}
