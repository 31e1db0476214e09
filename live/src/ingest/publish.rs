//! RTMP publish into a room. See [`Address`] for the address.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{counter, gauge};
use rml_rtmp::sessions::{ServerSessionEvent, ServerSessionResult};
use rotunda_client::{Entry, JoinError, Member, SignalingError};
use rotunda_listen::Stream;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use super::Ingests;
use super::address::{Address, AddressError};
use super::core::{Core, MediaRefusal};
use super::seat::{Seat, enter};
use crate::rtmp_session::{Publish, RtmpError, Session, error_status};

/// The member must be in the room, and connected, within this time.
const ENTER_WITHIN: Duration = Duration::from_secs(10);
/// A publisher that is told why it is disconnected has this time to close the connection.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes of one read.
const BUFFER: usize = 16 * 1024;
/// Code of a publisher that is not admitted.
const NOT_ADMITTED: &str = "NetStream.Publish.BadName";
/// Code of a publisher that was admitted.
const ENDED: &str = "NetStream.Publish.Failed";

/// Why a publisher is refused or disconnected.
#[derive(Debug, Error)]
enum PublishError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("this user's media already comes in; end the other publisher first")]
    Busy,
    #[error("the room does not admit the publisher")]
    Enter(#[source] JoinError),
    #[error("the room did not answer in time")]
    NotEntered,
    #[error("the room ended the publisher's membership")]
    Room(#[source] JoinError),
    #[error("the server takes no such media")]
    Media(#[from] MediaRefusal),
    #[error("nothing came for {0} s")]
    Stalled(u64),
    #[error("the server stops")]
    Shutdown,
    #[error(transparent)]
    Rtmp(#[from] RtmpError),
}

impl PublishError {
    /// The value of the metric's label.
    fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Busy => "busy",
            Self::Enter(_) | Self::NotEntered => "not_admitted",
            Self::Room(_) => "room",
            Self::Media(MediaRefusal::BFrames) => "b_frames",
            Self::Media(MediaRefusal::Audio(_)) => "audio",
            Self::Media(MediaRefusal::Body(_)) => "codec",
            Self::Stalled(_) => "stalled",
            Self::Shutdown => "shutdown",
            Self::Rtmp(_) => "connection",
        }
    }

    /// As the publisher is told: with the causes.
    fn told(&self) -> String {
        // The refusal's own words are enough.
        if let Self::Enter(JoinError::Signaling(SignalingError::Refused(refusal))) = self {
            return refusal.message.clone();
        }
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// Serves one publisher until either side ends it.
pub async fn serve(
    mut stream: Stream,
    publish: Publish,
    ingests: Arc<Ingests>,
    stall: Duration,
    shutdown: CancellationToken,
) -> Result<(), RtmpError> {
    let Publish {
        session,
        request,
        app_name,
        stream_key,
    } = publish;
    let served = match Address::parse(&app_name, &stream_key) {
        Ok(address) => {
            let span = info_span!("ingest", app = %address.app, room = %address.room, user = %address.user);
            let publisher = Publisher {
                stream: &mut stream,
                session,
                stall,
                shutdown,
            };
            publisher.run(request, address, &ingests).instrument(span).await
        }
        Err(error) => Err(Ended::NotAdmitted(error.into())),
    };
    let (code, error) = match served {
        Ok(()) => {
            count("finished");
            return Ok(());
        }
        Err(Ended::NotAdmitted(error)) => (NOT_ADMITTED, error),
        Err(Ended::Later(error)) => (ENDED, error),
    };
    count(error.reason());
    match error {
        PublishError::Rtmp(error) => Err(error),
        error => {
            warn!(error = &error as &dyn Error, "an RTMP publisher is disconnected");
            let by = Clock.now() + LINGER;
            let told = tell(&mut stream, error_status(code, &error.told()));
            Ok(timeout_at(by.into(), told).await.unwrap_or(Ok(()))?)
        }
    }
}

/// Sends the last message. What still comes is read, because a connection that is closed before is reset, and then the message may be lost.
async fn tell(stream: &mut Stream, message: Bytes) -> std::io::Result<()> {
    stream.write_all(&message).await?;
    stream.shutdown().await?;
    let mut buffer = vec![0; BUFFER];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

fn count(reason: &'static str) {
    counter!("rotunda_live_ingests_ended_total", "reason" => reason).increment(1);
}

/// The end of a publisher with an error.
enum Ended {
    /// Before the answer to the request to publish.
    NotAdmitted(PublishError),
    Later(PublishError),
}

/// An admitted publisher counts while it is there.
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!("rotunda_live_ingests").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("rotunda_live_ingests").decrement(1.0);
    }
}

/// One publisher's connection.
struct Publisher<'a> {
    stream: &'a mut Stream,
    session: Session,
    stall: Duration,
    shutdown: CancellationToken,
}

impl Publisher<'_> {
    async fn run(mut self, request: u32, address: Address, ingests: &Arc<Ingests>) -> Result<(), Ended> {
        let running = ingests.begin(address.app, address.user.clone());
        let Some(_running) = running else {
            return Err(Ended::NotAdmitted(PublishError::Busy));
        };
        let by = Clock.now() + ENTER_WITHIN;
        let entered = timeout_at(by.into(), enter(entry(address, &ingests.signaling_url))).await;
        let mut member = match entered {
            Ok(Ok(member)) => member,
            Ok(Err(error)) => return Err(Ended::NotAdmitted(PublishError::Enter(error))),
            Err(_) => return Err(Ended::NotAdmitted(PublishError::NotEntered)),
        };
        info!("an RTMP publisher is in the room");
        let _counted = Counted::new();
        let ended = self.admit(request, &mut member).await;
        info!("the RTMP publisher leaves the room");
        member.leave().await;
        ended.map_err(Ended::Later)
    }

    async fn admit(&mut self, request: u32, member: &mut Member) -> Result<(), PublishError> {
        self.session.permit_media();
        let accepted = self.session.inner.accept_request(request).map_err(RtmpError::from)?;
        let mut publishing = Publishing {
            core: Core::new(Clock.now()),
            video: Seat::new(TrackSource::Camera),
            audio: Seat::new(TrackSource::Audio),
        };
        if publishing.handle(self, member, accepted).await? == Flow::Finished {
            return Ok(());
        }
        self.exchange(&mut publishing, member).await
    }

    async fn exchange(&mut self, publishing: &mut Publishing, member: &mut Member) -> Result<(), PublishError> {
        let clock = Clock;
        let mut buffer = vec![0; BUFFER];
        let mut read_at = clock.now();
        loop {
            let now = clock.now();
            publishing.send(now, member)?;
            let resume_at = publishing.core.resume_at(now);
            let stalled_at = read_at + self.stall;
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(PublishError::Shutdown),
                received = member.next() => {
                    // A publisher cannot be asked for a keyframe.
                    let _unused = received.map_err(PublishError::Room)?;
                }
                length = self.stream.read(&mut buffer), if resume_at.is_none() => {
                    let length = length.map_err(RtmpError::from)?;
                    if length == 0 {
                        return publishing.finish(member).await;
                    }
                    read_at = clock.now();
                    let results = self.session.handle_input(&buffer[..length])?;
                    if publishing.handle(self, member, results).await? == Flow::Finished {
                        return publishing.finish(member).await;
                    }
                }
                () = clock.until(publishing.core.due()) => {}
                () = clock.until(resume_at) => read_at = clock.now(),
                () = clock.sleep_until(stalled_at) => return Err(PublishError::Stalled(self.stall.as_secs())),
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), PublishError> {
        let by = Clock.now() + self.stall;
        match timeout_at(by.into(), self.stream.write_all(bytes)).await {
            Ok(written) => Ok(written.map_err(RtmpError::from)?),
            Err(_) => Err(PublishError::Stalled(self.stall.as_secs())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoesOn,
    /// The publisher has said so.
    Finished,
}

/// The media of an admitted publisher.
struct Publishing {
    core: Core,
    video: Seat,
    audio: Seat,
}

impl Publishing {
    async fn handle(
        &mut self,
        publisher: &mut Publisher<'_>,
        member: &mut Member,
        results: Vec<ServerSessionResult>,
    ) -> Result<Flow, PublishError> {
        for result in results {
            match result {
                ServerSessionResult::OutboundResponse(packet) => publisher.write(&packet.bytes).await?,
                ServerSessionResult::RaisedEvent(ServerSessionEvent::VideoDataReceived { data, timestamp, .. }) => {
                    self.video.take(member).await.map_err(PublishError::Room)?;
                    self.core.handle_video(Clock.now(), timestamp.value, &data)?;
                }
                ServerSessionResult::RaisedEvent(ServerSessionEvent::AudioDataReceived { data, timestamp, .. }) => {
                    self.audio.take(member).await.map_err(PublishError::Room)?;
                    self.core.handle_audio(Clock.now(), timestamp.value, &data)?;
                }
                ServerSessionResult::RaisedEvent(ServerSessionEvent::PublishStreamFinished { .. }) => {
                    return Ok(Flow::Finished);
                }
                ServerSessionResult::RaisedEvent(_) | ServerSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        Ok(Flow::GoesOn)
    }

    /// Sends the frames that are not due yet, in their time.
    async fn finish(&mut self, member: &mut Member) -> Result<(), PublishError> {
        while let Some(due) = self.core.due() {
            tokio::select! {
                received = member.next() => {
                    let _unused = received.map_err(PublishError::Room)?;
                }
                () = Clock.sleep_until(due) => {}
            }
            self.send(Clock.now(), member)?;
        }
        Ok(())
    }

    fn send(&mut self, now: Instant, member: &mut Member) -> Result<(), PublishError> {
        while let Some(frame) = self.core.poll_frame(now) {
            member.send(now, frame).map_err(PublishError::Room)?;
        }
        Ok(())
    }
}

fn entry(address: Address, signaling_url: &str) -> Entry {
    Entry {
        url: signaling_url.to_owned(),
        app: address.app,
        user: address.user,
        user_sig: address.user_sig,
        room: address.room,
        private_map_key: address.private_map_key,
        record_id: address.record_id,
        stream_id: address.stream_id,
    }
}
