//! The engine's side: runs a worker on what the host says, and ends when the host is gone.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rotunda_media::draw::Font;
use rotunda_media::program::{ProgramExists, ProgramHub, ProgramReader, ReadError};
use rotunda_media::program_messages::ProgramSender;
use rotunda_proto::clock::Clock;
use rotunda_proto::framing::{self, FramingError};
use rotunda_receiver::Sample;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::confine::{confine, is_out_of_memory};
use super::messages::{Delay, FromEngine, ToEngine};
use super::suspect::Suspect;
use crate::core::MixCore;
use crate::worker::{Order, Report, Worker};

/// Coded frames that wait for the worker. When it has no more place, the host's socket fills, and the host drops frames.
const SAMPLES: usize = 1024;
const QUEUE: usize = 256;
/// The worker takes samples at every tick.
const PLACE_AGAIN: Duration = Duration::from_millis(5);
const MEMORY_EVERY: Duration = Duration::from_millis(200);
/// Bytes that wait for the host to read them; beyond these the program loses frames.
const MAX_UNSENT: usize = 8 << 20;

/// Why an engine ends early.
#[derive(Debug, Error)]
pub enum EngineError {
    #[error("the socket to the host")]
    Socket(#[from] std::io::Error),
    #[error("a message of the host")]
    Framing(#[from] FramingError),
    #[error("the host began with another message")]
    Order,
    #[error(transparent)]
    Program(#[from] ProgramExists),
    #[error("the engine has all the memory that mcu.engine_memory_mb permits")]
    Memory,
}

/// The running worker of an engine.
struct Running {
    samples: SyncSender<Sample>,
    /// The worker ends when this is closed.
    orders: Option<mpsc::Sender<Order>>,
    reports: mpsc::Receiver<Report>,
    program: ProgramReader,
    messages: ProgramSender,
}

/// Where an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Process,
    Thread,
}

/// Runs the engine on this thread until the host ends it, or is gone. `suspect`: where it names what it decodes.
///
/// Errors: [`EngineError`].
pub fn run(host: StdUnixStream, suspect: Suspect, place: Place) -> Result<(), EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // A service manager sends it to every process of the service, and the host ends its mixes in order.
        let _caught = match place {
            Place::Process => Some(signal(SignalKind::terminate())?),
            Place::Thread => None,
        };
        host.set_nonblocking(true)?;
        Engine {
            place,
            host: UnixStream::from_std(host)?,
            read: BytesMut::new(),
            unsent: BytesMut::new(),
        }
        .run(suspect)
        .await
    });
    runtime.shutdown_background();
    ended
}

/// Why the process of an engine does not run.
#[derive(Debug, Error)]
pub enum ProcessError {
    #[error("limit the memory, and end with the parent")]
    Confine(#[source] std::io::Error),
    #[error("the standard input and output are not those that a host gives")]
    Socket(#[source] std::io::Error),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Runs the engine as this process, which the [`Launcher`](super::launcher::Launcher) of a host has started. `memory_mb`: the most that
/// it may take, MiB.
///
/// Errors: [`ProcessError`].
pub fn run_process(memory_mb: u64) -> Result<(), ProcessError> {
    confine(memory_mb).map_err(ProcessError::Confine)?;
    let socket = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(ProcessError::Socket)?;
    let suspect = std::io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(ProcessError::Socket)?;
    run(
        StdUnixStream::from(socket),
        Suspect::from_descriptor(suspect),
        Place::Process,
    )?;
    Ok(())
}

struct Engine {
    place: Place,
    host: UnixStream,
    read: BytesMut,
    unsent: BytesMut,
}

impl Engine {
    async fn run(mut self, mut suspect: Suspect) -> Result<(), EngineError> {
        self.say(&FromEngine::Ready, &[])?;
        self.flush().await?;
        let first = self.next().await?;
        let Some((
            ToEngine::Begin {
                spec,
                scene,
                delay,
                now,
            },
            _,
        )) = first
        else {
            return match first {
                None => Ok(()),
                Some(_) => Err(EngineError::Order),
            };
        };
        let origin = Clock.now();
        let origin = origin
            .checked_sub(Duration::from_micros(now.max(0) as u64))
            .unwrap_or(origin);
        let mut core = match MixCore::starting_at(&spec, delay.most(), Font::system(), now) {
            Ok(core) => core,
            Err(error) => {
                let refused = Some(error.to_string());
                self.say(&FromEngine::SpecDone { refused }, &[])?;
                return self.flush().await;
            }
        };
        if let Delay::Adaptive(most) = delay {
            core.adapt_play_out(most);
        }
        core.watch_decoders(Box::new(move |track| suspect.set(track)));
        core.handle_scene(scene);
        self.say(&FromEngine::SpecDone { refused: None }, &[])?;

        let hub = ProgramHub::new();
        let writer = hub.open(&spec.stream())?;
        let Some(program) = hub.subscribe(&spec.stream()) else {
            return Ok(());
        };
        let (samples, received) = sync_channel(SAMPLES);
        let (orders, ordered) = mpsc::channel(QUEUE);
        let (reports, reported) = mpsc::channel(QUEUE);
        let worker = Worker {
            core,
            writer,
            origin,
            samples: received,
            orders: ordered,
            reports,
        };
        std::thread::Builder::new()
            .name(format!("mix {}", spec.stream_id))
            .spawn(move || worker.run())?;
        let running = Running {
            samples,
            orders: Some(orders),
            reports: reported,
            program,
            messages: ProgramSender::default(),
        };
        self.serve(running).await
    }

    /// Carries messages between the host and the worker until the program has ended.
    async fn serve(mut self, mut running: Running) -> Result<(), EngineError> {
        // At most one waits: nothing more is read meanwhile.
        let mut waiting: Option<Sample> = None;
        let (done, mut dones) = mpsc::channel(QUEUE);
        let mut reports_end = false;
        let mut memory_at = Clock.now() + MEMORY_EVERY;
        loop {
            let is_reading = running.orders.is_some() && waiting.is_none();
            tokio::select! {
                written = self.host.writable(), if !self.unsent.is_empty() => {
                    written?;
                    self.write_some()?;
                }
                readable = self.host.readable(), if is_reading => {
                    readable?;
                    if !self.read_some()? {
                        // The host has ended the mix, or is gone.
                        running.orders = None;
                    }
                }
                () = Clock.sleep_until(Clock.now() + PLACE_AGAIN), if waiting.is_some() => {}
                () = Clock.sleep_until(memory_at), if self.place == Place::Process => {
                    if is_out_of_memory() {
                        return Err(EngineError::Memory);
                    }
                    memory_at = Clock.now() + MEMORY_EVERY;
                }
                frame = running.program.next(), if self.unsent.len() < MAX_UNSENT => match frame {
                    Ok(frame) => {
                        if let Some(header) = running.messages.header(&frame) {
                            self.say(&FromEngine::Program(header), &[])?;
                        }
                        self.say(&FromEngine::Program(ProgramSender::frame(&frame)), &frame.data)?;
                    }
                    Err(ReadError::Lagged(frames) | ReadError::Lost(frames)) => tracing::warn!(frames, "the mix engine lost frames of its program"),
                    Err(ReadError::Ended) => break,
                },
                report = running.reports.recv(), if !reports_end => match report {
                    Some(report) => self.tell(report)?,
                    None => reports_end = true,
                },
                Some(refused) = dones.recv() => self.say(&FromEngine::SpecDone { refused }, &[])?,
            }
            if let Some(sample) = waiting.take() {
                waiting = hand_over(&running.samples, sample);
            }
            while waiting.is_none()
                && let Some(orders) = &running.orders
                && let Some((message, payload)) = framing::read(&mut self.read)?
            {
                let order = match message {
                    ToEngine::Begin { .. } => return Err(EngineError::Order),
                    ToEngine::Sample(head) => {
                        waiting = hand_over(&running.samples, head.into_sample(&payload));
                        continue;
                    }
                    ToEngine::Scene(scene) => Order::Scene(scene),
                    ToEngine::Picture(id) => Order::Picture {
                        id,
                        file: payload.to_vec(),
                    },
                    ToEngine::Spec { spec, scene } => {
                        let (answer, answered) = tokio::sync::oneshot::channel();
                        let done = done.clone();
                        tokio::spawn(async move {
                            let result = answered.await.unwrap_or_else(|_| Err("the mix has ended".to_owned()));
                            let _engine_ends = done.send(result.err()).await;
                        });
                        Order::Spec {
                            spec,
                            scene,
                            done: answer,
                        }
                    }
                };
                // A worker that has ended is seen at its program.
                let _taken_or_ended = orders.send(order).await;
            }
        }
        while let Ok(report) = running.reports.try_recv() {
            self.tell(report)?;
        }
        self.flush().await
    }

    fn tell(&mut self, report: Report) -> Result<(), EngineError> {
        let message = match report {
            // The host sees its first frame, and bars tracks.
            Report::Begun | Report::Barred(_) => return Ok(()),
            Report::NeedsKey(video) => FromEngine::NeedsKey(video),
            Report::Shape(video, shape) => FromEngine::Shape(video, shape),
            Report::Loudest(user) => FromEngine::Loudest(user),
            Report::Layout(layout) => FromEngine::Layout(layout),
            Report::Health(health) => FromEngine::Health(health),
            Report::Failed(reason) => FromEngine::Failed { reason },
        };
        self.say(&message, &[])
    }

    fn say(&mut self, message: &FromEngine, payload: &[u8]) -> Result<(), EngineError> {
        Ok(framing::write(&mut self.unsent, message, payload)?)
    }

    async fn next(&mut self) -> Result<Option<(ToEngine, Bytes)>, EngineError> {
        loop {
            if let Some(message) = framing::read(&mut self.read)? {
                return Ok(Some(message));
            }
            if self.host.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Answers whether the host still writes.
    fn read_some(&mut self) -> Result<bool, EngineError> {
        match self.host.try_read_buf(&mut self.read) {
            Ok(read) => Ok(read > 0),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn write_some(&mut self) -> Result<(), EngineError> {
        match self.host.try_write(&self.unsent) {
            Ok(written) => {
                self.unsent.advance(written);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn flush(&mut self) -> Result<(), EngineError> {
        let Self { host, unsent, .. } = self;
        host.write_all_buf(unsent).await?;
        Ok(())
    }
}

/// Answers the sample if the worker has no place for it. One that comes after the worker's end is of no use.
fn hand_over(samples: &SyncSender<Sample>, sample: Sample) -> Option<Sample> {
    match samples.try_send(sample) {
        Err(TrySendError::Full(sample)) => Some(sample),
        Ok(()) | Err(TrySendError::Disconnected(_)) => None,
    }
}
