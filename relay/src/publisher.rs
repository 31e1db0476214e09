//! One publisher's stream: a session at the SFU, a worker thread, and the program's document. It waits for a publisher who was cut
//! off.

use std::time::Duration;

use rotunda_bus::{BusError, ClusterNode, Revision};
use rotunda_media::program::{ProgramExists, ProgramHub, ProgramWriter};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomKey, Source, StreamKey, TrackSource};
use rotunda_proto::mix::AudioEncode;
use rotunda_proto::program::{ProgramDescriptor, StreamKind, program_key};
use rotunda_proto::ticket::ClusterSecret;
use rotunda_receiver::{LineCounts, Sample, Session, WantedVideo, Wants};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::plan::{Sent, Wanted};
use crate::stream::StreamCore;
use crate::worker::{Order, SAMPLES, Worker};

const QUEUE: usize = 64;
/// As often as a stream's thread works.
const GATHER: Duration = Duration::from_millis(40);
/// A stream whose id is in use is tried again after this time.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Each session of a stream counts up to this before the next one begins, so that their RTP clocks differ.
const SESSIONS: u64 = 1 << 20;

/// The resources that all streams of a process share.
#[derive(Clone)]
pub struct Surroundings {
    pub node: ClusterNode,
    pub secret: ClusterSecret,
    pub hub: ProgramHub,
}

/// See the [module](self).
pub struct Publisher {
    pub surroundings: Surroundings,
    pub room: RoomKey,
    pub told: watch::Receiver<Told>,
    pub shutdown: CancellationToken,
}

/// The last word to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Run(Box<Wanted>),
    /// The publisher is away, and may come back.
    Away,
    /// Nobody wants it any more.
    Over,
}

impl Told {
    fn wanted(&self) -> Option<Wanted> {
        match self {
            Self::Run(wanted) => Some(wanted.as_ref().clone()),
            Self::Away | Self::Over => None,
        }
    }
}

/// Why a stream does not begin.
#[derive(Debug, Error)]
enum BeginError {
    #[error("the stream's id is in use in this process")]
    Exists(#[from] ProgramExists),
    #[error("write the program's document")]
    Bus(#[from] BusError),
    #[error("start the stream's thread")]
    Thread(#[from] std::io::Error),
}

/// How a stream's time with one session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The publisher is away.
    Away,
    /// Another stream id or recording: this program ends and another one begins.
    Another,
    /// Nobody wants it any more.
    Over,
    Shutdown,
}

/// A running program.
struct Program {
    orders: mpsc::Sender<Order>,
    samples: std::sync::mpsc::SyncSender<Sample>,
    ended: oneshot::Receiver<()>,
    key_requests: mpsc::Receiver<Source>,
    origin: std::time::Instant,
    descriptor: ProgramDescriptor,
    /// The document, as this program has written it.
    written: Revision,
}

impl Publisher {
    /// Runs until the publisher has ended and is not awaited any more.
    pub async fn run(mut self) {
        let mut is_told = false;
        loop {
            let Some(wanted) = self.told.borrow_and_update().wanted() else {
                return;
            };
            match self.begin(&wanted).await {
                Ok(program) => {
                    is_told = false;
                    metrics::gauge!("rotunda_relay_streams").increment(1.0);
                    let next = self.run_program(program, wanted).await;
                    metrics::gauge!("rotunda_relay_streams").decrement(1.0);
                    if next == Next::Shutdown {
                        return;
                    }
                }
                Err(error) => {
                    // Another node may have the stream: then it stays there.
                    if !std::mem::replace(&mut is_told, true)
                        && !matches!(&error, BeginError::Bus(BusError::Conflict(_)))
                    {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "a single stream does not begin yet"
                        );
                    }
                    tokio::select! {
                        () = self.shutdown.cancelled() => return,
                        changed = self.told.changed() => if changed.is_err() { return },
                        () = Clock.sleep_until(Clock.now() + TRY_AGAIN) => {}
                    }
                }
            }
        }
    }

    async fn begin(&self, wanted: &Wanted) -> Result<Program, BeginError> {
        let stream = StreamKey {
            app: self.room.app,
            id: wanted.stream_id.clone(),
        };
        let writer = self.surroundings.hub.open(&stream)?;
        let node = &self.surroundings.node;
        let descriptor = ProgramDescriptor {
            stream_id: wanted.stream_id.clone(),
            room: self.room.clone(),
            node: node.name().clone(),
            audio: AudioEncode {
                sample_rate: 48_000,
                bitrate_kbps: 96,
                channels: 2,
            },
            video: None,
            record: None,
            push_urls: wanted.push_urls.clone(),
            started_unix_ms: Clock.unix().as_millis() as u64,
            single: Some(wanted.single.clone()),
            task: wanted.task.clone(),
        };
        let document = serde_json::to_vec(&descriptor).map_err(BusError::Encode)?;
        // The document is the claim: one node has the stream.
        let lease = node.incarnation();
        let written = node
            .bus()
            .put(&program_key(&stream), document.into(), None, Some(&lease))
            .await?;
        tracing::info!(stream = %stream, "a single stream begins");
        Ok(self.start_worker(writer, descriptor, written, wanted)?)
    }

    fn start_worker(
        &self,
        writer: ProgramWriter,
        descriptor: ProgramDescriptor,
        written: Revision,
        wanted: &Wanted,
    ) -> std::io::Result<Program> {
        let origin = Clock.now();
        let (samples, received) = std::sync::mpsc::sync_channel(SAMPLES);
        let (orders, ordered) = mpsc::channel(QUEUE);
        let (ask, key_requests) = mpsc::channel(QUEUE);
        let (tell, ended) = oneshot::channel();
        let worker = Worker {
            core: StreamCore::new(wanted.single.kind, wanted.tracks),
            writer,
            origin,
            samples: received,
            orders: ordered,
            key_requests: ask,
            video: video(&self.room, wanted),
        };
        std::thread::Builder::new()
            .name(format!("stream {}", wanted.stream_id))
            .spawn(move || {
                worker.run();
                let _nobody_waits = tell.send(());
            })?;
        Ok(Program {
            orders,
            samples,
            ended,
            key_requests,
            origin,
            descriptor,
            written,
        })
    }

    async fn run_program(&mut self, mut program: Program, mut wanted: Wanted) -> Next {
        let mut sessions = 0;
        let next = loop {
            let next = self.receive(&mut program, &mut wanted, sessions).await;
            sessions += 1;
            if next != Next::Away || wanted.resume_seconds == 0 {
                break next;
            }
            let _told_or_ended = program.orders.send(Order::Leave).await;
            match self.wait_for_return(&wanted).await {
                Some(back) if is_same(&back, &wanted) => {
                    wanted = back;
                    self.push_to(&mut program, &wanted.push_urls).await;
                    let _told_or_ended = program.orders.send(Order::Return).await;
                    let _told_or_ended = program.orders.send(Order::Tracks(wanted.tracks)).await;
                }
                Some(_) => break Next::Another,
                None => break Next::Away,
            }
        };
        let stream = program.descriptor.stream();
        drop(program.orders);
        // Readers see the program's end before its document goes.
        let _ended_or_panicked = program.ended.await;
        self.withdraw(&stream, program.written).await;
        tracing::info!(stream = %stream, ?next, "a single stream has ended");
        next
    }

    /// Receives until something else is wanted.
    async fn receive(&mut self, program: &mut Program, wanted: &mut Wanted, sessions: u64) -> Next {
        let (wants, wanted_tracks) = watch::channel(wants(&self.room, wanted));
        let (request, key_requests) = mpsc::channel(QUEUE);
        // The session logs what it cannot receive.
        let (cannot_decode, _ignored) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let session = Session {
            room: self.room.clone(),
            bus: self.surroundings.node.bus().clone(),
            secret: self.surroundings.secret.clone(),
            lines: LineCounts::PUBLISHER,
            origin: program.origin,
            gather: Some(GATHER),
            wants: wanted_tracks,
            key_requests,
            samples: program.samples.clone(),
            undecodable: cannot_decode,
            opened: sessions * SESSIONS,
            barred: Vec::new(),
        };
        let session = tokio::spawn(session.run(stop.clone()));
        let mut own = self.surroundings.node.own();
        let next = loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break Next::Shutdown,
                changed = self.told.changed() => {
                    let now = self.told.borrow_and_update().clone();
                    match now.wanted().filter(|_| changed.is_ok()) {
                        Some(now) if is_same(&now, wanted) => {
                            *wanted = now;
                            self.push_to(program, &wanted.push_urls).await;
                            wants.send_replace(self::wants(&self.room, wanted));
                            let _told_or_ended = program.orders.send(Order::Tracks(wanted.tracks)).await;
                        }
                        Some(_) => break Next::Another,
                        None if now == Told::Over => break Next::Over,
                        None => break Next::Away,
                    }
                }
                Some(video) = program.key_requests.recv() => {
                    let _sent_or_repeated = request.try_send(video);
                }
                // The document vanished with the node's earlier incarnation.
                Ok(()) = own.changed() => self.announce(program).await,
            }
        };
        stop.cancel();
        if let Err(error) = session.await {
            tracing::error!(%error, "a session of a single stream failed");
        }
        next
    }

    /// The publisher within the resume time; None: they have not come back.
    async fn wait_for_return(&mut self, wanted: &Wanted) -> Option<Wanted> {
        let until = Clock.now() + Duration::from_secs(wanted.resume_seconds.into());
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = Clock.sleep_until(until) => return None,
                changed = self.told.changed() => {
                    changed.ok()?;
                    match self.told.borrow_and_update().clone() {
                        Told::Run(back) => return Some(*back),
                        Told::Over => return None,
                        Told::Away => {}
                    }
                }
            }
        }
    }

    /// The program goes on with other pushes.
    async fn push_to(&self, program: &mut Program, push_urls: &[String]) {
        if program.descriptor.push_urls != push_urls {
            program.descriptor.push_urls = push_urls.to_vec();
            self.announce(program).await;
        }
    }

    /// Writes the document again, unless another node has the stream meanwhile.
    async fn announce(&self, program: &mut Program) {
        let node = &self.surroundings.node;
        let key = program_key(&program.descriptor.stream());
        let Ok(document) = serde_json::to_vec(&program.descriptor) else {
            return;
        };
        let (document, lease) = (bytes::Bytes::from(document), node.incarnation());
        let own = node
            .bus()
            .put(&key, document.clone(), Some(program.written), Some(&lease))
            .await;
        let written = match own {
            // It has vanished; a document of another node is a conflict once more.
            Err(BusError::Conflict(_)) => node.bus().put(&key, document, None, Some(&lease)).await,
            done => done,
        };
        match written {
            Ok(revision) => program.written = revision,
            Err(error) => tracing::warn!(%error, "a program was not announced again"),
        }
    }

    /// Deletes the document as it was written here: another revision is that of a successor.
    async fn withdraw(&self, stream: &StreamKey, written: Revision) {
        match self.surroundings.node.bus().delete(&program_key(stream), written).await {
            Ok(_) | Err(BusError::Conflict(_)) => {}
            Err(error) => tracing::warn!(%stream, %error, "a program's document was not removed"),
        }
    }
}

/// Whether the running program may continue as this one.
fn is_same(one: &Wanted, other: &Wanted) -> bool {
    one.stream_id == other.stream_id && one.single == other.single
}

fn video(room: &RoomKey, wanted: &Wanted) -> Source {
    Source {
        room: room.clone(),
        user: wanted.single.user.clone(),
        track: match wanted.single.kind {
            StreamKind::Main => TrackSource::Camera,
            StreamKind::Aux => TrackSource::Screen,
        },
    }
}

fn wants(room: &RoomKey, wanted: &Wanted) -> Wants {
    let audio = (wanted.tracks.audio != Sent::No).then(|| Source {
        track: TrackSource::Audio,
        ..video(room, wanted)
    });
    let video = (wanted.tracks.video != Sent::No).then(|| WantedVideo {
        video: video(room, wanted),
        max_height: None,
    });
    Wants {
        audio: audio.into_iter().collect(),
        video: video.into_iter().collect(),
    }
}
