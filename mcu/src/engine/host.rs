//! The host's side of an engine: feeds it, takes its program, and starts another one when it has ended or does not answer. The
//! program goes on then, with its time; only what the dead engine would have encoded meanwhile is missing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use rotunda_media::program::{Frame, ProgramWriter, Track};
use rotunda_media::program_messages::ProgramReceiver;
use rotunda_media::time::MediaTime;
use rotunda_proto::clock::Clock;
use rotunda_proto::framing::{self, FramingError};
use rotunda_proto::ids::Source;
use rotunda_proto::mix::{Health, MixSpec, PictureId};
use rotunda_receiver::Sample;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::ends::{self, Ends};
use super::launcher::{Engine, Launcher};
use super::messages::{Delay, FromEngine, SampleHead, ToEngine};
use crate::layout::Scene;
use crate::timeline::Micros;
use crate::worker::{Order, Report};

/// An engine that says nothing for this long hangs: it says something with each frame of audio.
const SILENT_AFTER: Duration = Duration::from_millis(1200);
/// To load the program and the font, on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(10);
/// Between the end of its socket and that of its process.
const EXIT_WITHIN: Duration = Duration::from_millis(100);
/// For the frames that are still in the encoders when a mix ends.
const END_WITHIN: Duration = Duration::from_secs(2);
/// Bytes that wait for the engine to read them; beyond these no more samples are taken, and the session drops them.
const MAX_UNSENT: usize = 1 << 20;
/// Samples for one system call.
const BATCH: usize = 32;

/// A mix's engine, as the node keeps it running.
pub struct Host {
    pub launcher: Launcher,
    pub spec: MixSpec,
    pub scene: Scene,
    /// The files of the pictures that layouts have named; another engine gets them again.
    pub pictures: HashMap<PictureId, Vec<u8>>,
    pub delay: Delay,
    /// The mix clock's 0.
    pub origin: Instant,
    pub writer: ProgramWriter,
    pub samples: mpsc::Receiver<Sample>,
    /// The mix ends when this is closed.
    pub orders: mpsc::Receiver<Order>,
    pub reports: mpsc::Sender<Report>,
}

/// Why an engine does not start.
#[derive(Debug, Error)]
pub enum LaunchError {
    #[error("start the mix engine")]
    Start(#[from] std::io::Error),
    #[error("{reason}")]
    Refused { reason: String },
    #[error("the mix engine said nothing within {} s", START_WITHIN.as_secs())]
    Silent,
    #[error("the mix engine has ended at its start")]
    Ended,
    #[error("a message of the mix engine")]
    Framing(#[from] FramingError),
}

/// A running engine.
pub struct Link {
    engine: Engine,
    socket: UnixStream,
    read: BytesMut,
    unsent: BytesMut,
    program: ProgramReceiver,
    heard_at: Instant,
    /// The number of the frame that it was decoding when it had been silent for half of [`SILENT_AFTER`].
    stuck_at: Option<u32>,
    /// Specs that the engine has not answered, in order.
    asked: VecDeque<Asked>,
}

struct Asked {
    spec: Box<MixSpec>,
    scene: Scene,
    done: oneshot::Sender<Result<(), String>>,
}

/// Why the host does no more with an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The mix is to end.
    Over,
    Exited,
    Silent,
    /// It said something that cannot be.
    Protocol,
}

/// The state that the program has reached.
#[derive(Default)]
struct Written {
    has_begun: bool,
    /// The last frame of each track: video, audio.
    last: [Option<MediaTime>; 2],
}

impl Host {
    /// Starts an engine with the current spec and scene.
    ///
    /// Errors: [`LaunchError`].
    pub async fn launch(&self) -> Result<Link, LaunchError> {
        let launched = tokio::time::timeout(START_WITHIN, self.try_launch()).await;
        launched.map_err(|_| LaunchError::Silent)?
    }

    async fn try_launch(&self) -> Result<Link, LaunchError> {
        let (engine, socket) = self.launcher.launch().await?;
        let mut link = Link {
            engine,
            socket,
            read: BytesMut::new(),
            unsent: BytesMut::new(),
            program: ProgramReceiver::default(),
            heard_at: Clock.now(),
            stuck_at: None,
            asked: VecDeque::new(),
        };
        // Its clock begins when it reads the first message, so it must be reading.
        while link.next().await? != FromEngine::Ready {}
        let now = Clock.now().saturating_duration_since(self.origin).as_micros() as Micros;
        let begin = ToEngine::Begin {
            spec: Box::new(self.spec.clone()),
            scene: self.scene.clone(),
            delay: self.delay,
            now,
        };
        framing::write(&mut link.unsent, &begin, &[])?;
        for (id, file) in &self.pictures {
            framing::write(&mut link.unsent, &ToEngine::Picture(*id), file)?;
        }
        link.socket.write_all_buf(&mut link.unsent).await?;
        loop {
            match link.next().await? {
                FromEngine::SpecDone { refused: None } => break,
                FromEngine::SpecDone { refused: Some(reason) } => return Err(LaunchError::Refused { reason }),
                _ => {}
            }
        }
        link.heard_at = Clock.now();
        tracing::debug!(process = ?link.engine.id(), "a mix engine runs");
        Ok(link)
    }

    /// Keeps an engine running until the orders are closed. `link`: the first one.
    pub async fn run(mut self, mut link: Link) {
        let mut written = Written::default();
        let mut ends = Ends::default();
        let mut health = Health::default();
        loop {
            let cause = self.serve(&mut link, &ends, &mut written, &mut health).await;
            if cause == Cause::Over {
                self.finish(link, &mut written).await;
                return;
            }
            let reason = match cause {
                Cause::Silent => "silent",
                Cause::Exited | Cause::Over => "exited",
                Cause::Protocol => "protocol",
            };
            metrics::counter!("rotunda_mcu_engine_restarts_total", "reason" => reason).increment(1);
            let suspect = link.suspect(cause).await;
            tracing::warn!(
                room = %self.spec.room, stream = %self.spec.stream_id, process = ?link.engine.id(), reason, decoding = ?suspect,
                "a mix engine has failed, and another one carries its mix on"
            );
            if let Some(track) = ends.handle_end(Clock.now(), suspect) {
                self.bar(track).await;
            }
            for asked in link.asked.drain(..) {
                let _caller_gave_up = asked.done.send(Err("the mix engine failed on it".to_owned()));
            }
            drop(link);
            link = match self.relaunch(&mut ends).await {
                Ok(link) => link,
                Err(error) => {
                    let message = format!("the mix engine failed {} times in a row: {error}", ends::MOST);
                    let _task_is_gone = self.reports.send(Report::Failed(message)).await;
                    return;
                }
            };
            // Another engine counts from 0.
            health = Health::default();
        }
    }

    /// Errors: the last one, when engines fail again and again.
    async fn relaunch(&mut self, ends: &mut Ends) -> Result<Link, LaunchError> {
        let mut error = LaunchError::Ended;
        loop {
            let now = Clock.now();
            if ends.are_too_many(now) {
                return Err(error);
            }
            Clock.sleep_until(now + ends.back_off()).await;
            error = match self.launch().await {
                Ok(link) => return Ok(link),
                Err(error) => error,
            };
            tracing::warn!(error = &error as &dyn std::error::Error, "a mix engine did not start");
            ends.handle_end(Clock.now(), None);
        }
    }

    /// Leaves a track out that has ended engines.
    async fn bar(&self, track: Source) {
        metrics::counter!("rotunda_mcu_barred_tracks_total").increment(1);
        tracing::warn!(
            room = %self.spec.room, stream = %self.spec.stream_id, user = %track.user, source = ?track.track,
            "mix engines have failed on this track, and it is left out of the mix"
        );
        let _task_is_gone = self.reports.send(Report::Barred(track)).await;
    }

    async fn serve(&mut self, link: &mut Link, ends: &Ends, written: &mut Written, health: &mut Health) -> Cause {
        loop {
            let has_place = link.unsent.len() < MAX_UNSENT;
            tokio::select! {
                // Before the deadline: on a busy machine the host may be the one that is late.
                biased;
                readable = link.socket.readable() => {
                    match readable.and_then(|()| link.read_some()) {
                        Ok(true) => {}
                        Ok(false) | Err(_) => return Cause::Exited,
                    }
                    loop {
                        match link.parse() {
                            Ok(Some((message, payload))) => {
                                if let Err(cause) = self.handle(link, message, payload, written, health).await {
                                    return cause;
                                }
                            }
                            Ok(None) => break,
                            Err(error) => {
                                tracing::warn!(%error, "a message of a mix engine was not understood");
                                return Cause::Protocol;
                            }
                        }
                    }
                }
                writable = link.socket.writable(), if !link.unsent.is_empty() => {
                    if writable.and_then(|()| link.write_some()).is_err() {
                        return Cause::Exited;
                    }
                }
                order = self.orders.recv(), if has_place => match order {
                    Some(order) => self.order(link, order),
                    None => return Cause::Over,
                },
                Some(sample) = self.samples.recv(), if has_place => {
                    let more = std::iter::from_fn(|| self.samples.try_recv().ok()).take(BATCH - 1);
                    for sample in std::iter::once(sample).chain(more) {
                        if !ends.bars(&sample.source) {
                            link.sample(&sample);
                        }
                    }
                }
                () = Clock.sleep_until(link.heard_at + SILENT_AFTER / 2), if link.stuck_at.is_none() => {
                    link.stuck_at = Some(link.engine.doing().number);
                }
                () = Clock.sleep_until(link.heard_at + SILENT_AFTER) => return Cause::Silent,
            }
        }
    }

    fn order(&mut self, link: &mut Link, order: Order) {
        match order {
            Order::Picture { id, file } => {
                link.say(&ToEngine::Picture(id), &file);
                self.pictures.insert(id, file);
            }
            Order::Scene(scene) => {
                link.say(&ToEngine::Scene(scene.clone()), &[]);
                self.scene = scene;
            }
            Order::Spec { spec, scene, done } => {
                let message = ToEngine::Spec {
                    spec: spec.clone(),
                    scene: scene.clone(),
                };
                link.say(&message, &[]);
                link.asked.push_back(Asked { spec, scene, done });
            }
        }
    }

    /// Errors: why the engine is of no more use.
    async fn handle(
        &mut self,
        link: &mut Link,
        message: FromEngine,
        payload: Bytes,
        written: &mut Written,
        health: &mut Health,
    ) -> Result<(), Cause> {
        match message {
            FromEngine::Ready => {}
            FromEngine::SpecDone { refused } => {
                if let Some(asked) = link.asked.pop_front() {
                    if refused.is_none() {
                        self.spec = *asked.spec;
                        self.scene = asked.scene;
                        let coming = link.asked.iter().flat_map(|asked| asked.spec.layout.pictures());
                        let named: Vec<PictureId> = self.spec.layout.pictures().chain(coming).collect();
                        self.pictures.retain(|id, _| named.contains(id));
                    }
                    let _caller_gave_up = asked.done.send(refused.map_or(Ok(()), Err));
                }
            }
            FromEngine::Program(message) => match link.program.handle(message, payload) {
                Ok(Some(frame)) => self.write(frame, written).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a mix engine sent no program");
                    return Err(Cause::Protocol);
                }
            },
            // A task that does not read loses reports; keyframes are asked for again, and health comes each second.
            FromEngine::NeedsKey(video) => drop(self.reports.try_send(Report::NeedsKey(video))),
            FromEngine::Shape(video, shape) => drop(self.reports.try_send(Report::Shape(video, shape))),
            // The next engine tells the speaker again, and the layout stays until somebody else speaks.
            FromEngine::Loudest(user) => drop(self.reports.try_send(Report::Loudest(user))),
            FromEngine::Layout(layout) => {
                self.writer.tell_layout(layout.clone());
                let _task_is_gone = self.reports.send(Report::Layout(layout)).await;
            }
            FromEngine::Health(now) => {
                count(health, &now);
                *health = now.clone();
                drop(self.reports.try_send(Report::Health(now)));
            }
            FromEngine::Failed { reason } => {
                let _task_is_gone = self.reports.send(Report::Failed(reason)).await;
            }
        }
        Ok(())
    }

    async fn write(&self, frame: Arc<Frame>, written: &mut Written) {
        let last = &mut written.last[usize::from(frame.track == Track::Audio)];
        // Two engines may have encoded the same moment.
        if last.is_some_and(|last| !last.is_before(frame.pts)) {
            return;
        }
        *last = Some(frame.pts);
        if frame.track == Track::Video {
            metrics::counter!("rotunda_mcu_frames_encoded_total").increment(1);
        }
        self.writer.write(frame);
        if !std::mem::replace(&mut written.has_begun, true) {
            let _task_is_gone = self.reports.send(Report::Begun).await;
        }
    }

    /// Takes what the engine's encoders still hold.
    async fn finish(&mut self, mut link: Link, written: &mut Written) {
        let rest = async {
            if link.socket.write_all_buf(&mut link.unsent).await.is_err() || link.socket.shutdown().await.is_err() {
                return;
            }
            while let Ok((message, payload)) = link.next_with_payload().await {
                if let FromEngine::Program(message) = message
                    && let Ok(Some(frame)) = link.program.handle(message, payload)
                {
                    self.write(frame, written).await;
                }
            }
        };
        if tokio::time::timeout(END_WITHIN, rest).await.is_err() {
            tracing::warn!(stream = %self.spec.stream_id, "a mix engine did not end in time and is killed");
        }
    }
}

impl Link {
    async fn next(&mut self) -> Result<FromEngine, LaunchError> {
        Ok(self.next_with_payload().await?.0)
    }

    async fn next_with_payload(&mut self) -> Result<(FromEngine, Bytes), LaunchError> {
        loop {
            if let Some(message) = self.parse()? {
                return Ok(message);
            }
            self.socket.readable().await?;
            if !self.read_some()? {
                return Err(LaunchError::Ended);
            }
        }
    }

    fn parse(&mut self) -> Result<Option<(FromEngine, Bytes)>, FramingError> {
        framing::read(&mut self.read)
    }

    /// The track whose frame has ended the engine, if one has.
    async fn suspect(&mut self, cause: Cause) -> Option<Source> {
        let doing = self.engine.doing();
        match cause {
            Cause::Exited => {
                let by = Clock.now() + EXIT_WITHIN;
                let was_killed = loop {
                    match self.engine.was_killed() {
                        None if Clock.now() < by => Clock.sleep_until(Clock.now() + EXIT_WITHIN / 20).await,
                        was_killed => break was_killed.unwrap_or(false),
                    }
                };
                doing.track.filter(|_| !was_killed)
            }
            // One that goes from frame to frame is slow, and so is every other one on this machine.
            Cause::Silent => doing.track.filter(|_| self.stuck_at == Some(doing.number)),
            Cause::Over | Cause::Protocol => None,
        }
    }

    /// Answers whether the engine still writes.
    fn read_some(&mut self) -> std::io::Result<bool> {
        match self.socket.try_read_buf(&mut self.read) {
            Ok(read) => {
                self.heard_at = Clock.now();
                self.stuck_at = None;
                Ok(read > 0)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn write_some(&mut self) -> std::io::Result<()> {
        match self.socket.try_write(&self.unsent) {
            Ok(written) => {
                self.unsent.advance(written);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn sample(&mut self, sample: &Sample) {
        self.say(&ToEngine::Sample(SampleHead::of(sample)), SampleHead::payload(sample));
    }

    fn say(&mut self, message: &ToEngine, payload: &[u8]) {
        if let Err(error) = framing::write(&mut self.unsent, message, payload) {
            tracing::warn!(%error, "a message to a mix engine is dropped");
        }
    }
}

/// Counts what has happened since the engine's last report.
fn count(before: &Health, now: &Health) {
    metrics::histogram!("rotunda_mcu_tick_seconds").record(f64::from(now.tick_ms_max) / 1000.0);
    metrics::counter!("rotunda_mcu_encoder_failures_total")
        .increment(now.encoder_failures.saturating_sub(before.encoder_failures));
    metrics::counter!("rotunda_mcu_shed_frames_total").increment(now.shed_frames.saturating_sub(before.shed_frames));
    metrics::counter!("rotunda_mcu_late_audio_packets_total")
        .increment(now.late_audio.saturating_sub(before.late_audio));
    metrics::counter!("rotunda_mcu_late_ticks_total").increment(now.late_ticks.saturating_sub(before.late_ticks));
}
