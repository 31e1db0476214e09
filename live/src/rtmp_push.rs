//! RTMP and RTMPS push of a program to another server, with back-off, as long as the program runs and the push is
//! wanted.

use std::io;
use std::time::Duration;

use metrics::{counter, gauge};
use rand::Rng;
use rml_rtmp::sessions::{ClientSession, ClientSessionResult};
use rml_rtmp::time::RtmpTimestamp;
use rotunda_events::{Facts, PushChange, What};
use rotunda_media::mux::flv;
use rotunda_media::program::{Frame, ProgramReader, ReadError, Track};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::RoomKey;
use rotunda_proto::media_task::TaskRef;
use rotunda_proto::push_address::PushAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::push_status::{PushStatus, Told};
use crate::rtmp_client::{Ask, ClientError, Outbound, Session, Socket, begin, open};
use crate::rtmp_play::metadata;
use crate::timeline::{Step, Timeline};

/// Time limit for connecting and for any single write.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// Time limit for ending a stream in order.
const GOODBYE_WITHIN: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The way of the states of a task's push into the stream of facts.
pub struct Teller {
    pub facts: Facts,
    pub room: RoomKey,
    pub task: TaskRef,
    /// The address as the application has given it.
    pub url: String,
}

impl Teller {
    fn tell(&self, told: Told) {
        let push = PushChange {
            task: self.task.clone(),
            url: self.url.clone(),
            state: told.state,
            error: told.error,
        };
        let what = What::PushChanged { push: Box::new(push) };
        self.facts.tell(&self.room, what);
    }
}

/// A program, and the address that it is pushed to.
pub struct Push {
    pub address: PushAddress,
    pub outbound: Outbound,
    pub reader: ProgramReader,
    /// Ends the push.
    pub stop: CancellationToken,
    /// None: the push is not of a task, and its states are not told.
    pub teller: Option<Teller>,
}

/// The result of an attempt.
enum End {
    ProgramOver,
    Broken(ClientError),
}

/// The states of a running push, and the way on which they are told.
struct Status {
    status: PushStatus,
    teller: Option<Teller>,
}

impl Status {
    fn new(teller: Option<Teller>) -> Self {
        let mut status = Self {
            status: PushStatus::new(Clock.now()),
            teller,
        };
        status.change(|_| {});
        status
    }

    fn change(&mut self, change: impl FnOnce(&mut PushStatus)) {
        change(&mut self.status);
        while let Some(told) = self.status.poll_told() {
            if let Some(teller) = &self.teller {
                teller.tell(told);
            }
        }
    }

    /// Resolves when the push has failed for too long. Cancel-safe.
    async fn timeout(&mut self) {
        Clock.until(self.status.poll_timeout()).await;
        self.change(|status| status.handle_timeout(Clock.now()));
    }
}

/// Pushes until the program ends or `push.stop`.
pub async fn push(mut push: Push) {
    let mut status = Status::new(push.teller.take());
    push.run(&mut status).await;
    status.change(PushStatus::handle_stopped);
}

impl Push {
    async fn run(&mut self, status: &mut Status) {
        let clock = Clock;
        let mut timeline = Timeline::new();
        let mut pause = FIRST_PAUSE;
        loop {
            timeline.reconnect();
            let began = clock.now();
            let error = match self.attempt(&mut timeline, status).await {
                End::ProgramOver => {
                    info!(address = %self.address, "push ended");
                    return;
                }
                End::Broken(error) => error,
            };
            warn!(address = %self.address, error = &error as &dyn std::error::Error, "push failed");
            counter!("rotunda_live_push_failures_total").increment(1);
            status.change(|status| status.handle_failed(clock.now(), error.told()));
            if clock.now().saturating_duration_since(began) > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            let jitter = rand::rng().random_range(0.75..1.25);
            let again = clock.now() + pause.mul_f64(jitter);
            pause = (pause * 2).min(LONGEST_PAUSE);
            // The program continues meanwhile; its frames are read and dropped.
            loop {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = clock.sleep_until(again) => break,
                    () = status.timeout() => {}
                    frame = self.reader.next() => if matches!(frame, Err(ReadError::Ended)) {
                        return;
                    },
                }
            }
        }
    }

    async fn attempt(&mut self, timeline: &mut Timeline, status: &mut Status) -> End {
        let Self {
            address,
            outbound,
            reader,
            stop,
            ..
        } = self;
        let connecting = async {
            let mut socket = open(address, outbound).await?;
            let begun = begin(&mut socket, address, Ask::Publish).await?;
            Ok((socket, begun.session))
        };
        let connecting = timeout(CONNECT_WITHIN, connecting);
        tokio::pin!(connecting);
        let connected = loop {
            tokio::select! {
                () = stop.cancelled() => return End::ProgramOver,
                () = status.timeout() => {}
                connected = &mut connecting => break connected.unwrap_or(Err(ClientError::Timeout)),
            }
        };
        let (socket, session) = match connected {
            Ok(connected) => connected,
            Err(error) => return End::Broken(error),
        };
        info!(%address, "pushing");
        status.change(PushStatus::handle_connected);
        gauge!("rotunda_live_pushes").increment(1.0);
        let sent = send(socket, session, reader, timeline, stop).await;
        gauge!("rotunda_live_pushes").decrement(1.0);
        match sent {
            Ok(()) => End::ProgramOver,
            // The other server did not wait for the goodbye.
            Err(_) if stop.is_cancelled() => End::ProgramOver,
            Err(error) => End::Broken(error),
        }
    }
}

async fn send(
    socket: Box<dyn Socket>,
    mut session: Session,
    reader: &mut ProgramReader,
    timeline: &mut Timeline,
    stop: &CancellationToken,
) -> Result<(), ClientError> {
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
                Err(ReadError::Lagged(_) | ReadError::Lost(_)) => timeline.lose(),
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
                written.map_err(|_| ClientError::Timeout)??;
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
    timeout(GOODBYE_WITHIN, said)
        .await
        .map_err(|_| ClientError::Timeout)??;
    Ok(())
}

fn message(session: &mut ClientSession, frame: &Frame, timestamp_ms: u32) -> Result<ClientSessionResult, ClientError> {
    let (time, body) = (RtmpTimestamp::new(timestamp_ms), flv::frame_body(frame));
    Ok(match frame.track {
        Track::Video => session.publish_video_data(body, time, false)?,
        Track::Audio => session.publish_audio_data(body, time, false)?,
    })
}

#[cfg(test)]
pub mod tests;
