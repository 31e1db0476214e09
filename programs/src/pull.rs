//! Follows one program on another node and writes it into a hub of this process, for as long as somebody here reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use hyper_util::rt::TokioIo;
use metrics::{counter, gauge};
use rotunda_bus::{BusError, BusExt, ClusterNode};
use rotunda_media::program::ProgramWriter;
use rotunda_media::program_messages::ProgramReceiver;
use rotunda_proto::clock::Clock;
use rotunda_proto::framing::MAX_MESSAGE;
use rotunda_proto::program::{ProgramDescriptor, program_key};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tracing::{debug, info, warn};

use crate::grpc::Message;
use crate::grpc::programs_client::ProgramsClient;
use crate::messages::{self, FromSource, MessageError, Read, ReadFrom, ToSource, VERSION};
use crate::nodes::{ProgramNode, node_key};
use crate::tls::{ClusterTls, ClusterTlsError};

/// For TCP, TLS and HTTP/2 to one address.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// For the other node's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A connection on which not even an answer to a ping comes for this time is broken.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_WITHIN: Duration = Duration::from_secs(3);
/// Pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Without a reader for this time the program is no longer followed.
const RELEASE_AFTER: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A reader that catches up may be this many frames behind before more of them are taken from the other node.
const MOST_UNREAD: usize = 256;
/// Other readers may have stopped reading: then they lose frames rather than the reader that catches up.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(10);
const UNREAD_EVERY: Duration = Duration::from_millis(5);
/// How far the reader has written, on its way to the other node.
const WORDS: usize = 4;

/// Where the frames go. None: the pull has ended, and so has the program for its readers.
pub type Sink = Arc<Mutex<Option<ProgramWriter>>>;

/// See the [module](self).
pub struct Pull {
    pub node: ClusterNode,
    pub tls: ClusterTls,
    pub program: ProgramDescriptor,
    pub from: ReadFrom,
    pub sink: Sink,
    pub stop: CancellationToken,
}

/// Why a connection to another node has ended.
#[derive(Debug, Error)]
pub enum PullError {
    #[error("ask the bus for the other node")]
    Bus(#[from] BusError),
    #[error(
        "the node has not said where its programs can be read; it may be starting, ending or of an earlier version"
    )]
    NoAddress,
    #[error("connect to {address}")]
    Connect {
        address: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("set up TLS")]
    Tls(#[from] ClusterTlsError),
    #[error("the other node refuses: {}", .0.message())]
    Refused(#[source] Box<Status>),
    #[error("the connection broke: {}", .0.message())]
    Broken(#[source] Box<Status>),
    #[error("the other node did not answer in time")]
    Silent,
    #[error("the connection ended before the program")]
    Cut,
    #[error("the other node said something that cannot be")]
    Message(#[from] MessageError),
}

impl PullError {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Bus(_) => "bus",
            Self::NoAddress => "no_address",
            Self::Connect { .. } | Self::Tls(_) => "connect",
            Self::Refused(_) => "refused",
            Self::Broken(_) | Self::Cut => "broken",
            Self::Silent => "silent",
            Self::Message(_) => "message",
        }
    }
}

/// How far the program has come here.
struct Progress {
    from: ReadFrom,
    has_begun: bool,
    frames: u64,
}

impl Pull {
    /// Follows the program until its end, or until `stop`, or until nobody reads it: `release` is to answer whether that is so, and if so to
    /// take the writer out of the sink.
    pub async fn run(self, release: impl Fn() -> bool) {
        gauge!("rotunda_programs_followed").increment(1.0);
        let stopped = tokio::select! {
            () = self.stop.cancelled() => "the process ends, or another program has its name",
            () = unused(&self.sink, release) => "nobody reads it here",
            () = self.follow() => "it is over",
        };
        // Readers see the program's end.
        self.sink().take();
        info!(stream = %self.program.stream(), node = %self.program.node, why = stopped, "a program on another node is no longer followed");
        gauge!("rotunda_programs_followed").decrement(1.0);
    }

    async fn follow(&self) {
        let mut progress = Progress {
            from: self.from,
            has_begun: false,
            frames: 0,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let before = progress.frames;
            let Err(error) = self.read(&mut progress).await else {
                return;
            };
            counter!("rotunda_programs_interruptions_total", "reason" => error.as_str()).increment(1);
            if progress.frames > before {
                pause = FIRST_PAUSE;
            }
            self.log(&error, progress.frames > before);
            drop(error);
            if self.is_over().await {
                return;
            }
            Clock.sleep_until(Clock.now() + pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn log(&self, error: &PullError, had_begun: bool) {
        let (stream, node) = (self.program.stream(), &self.program.node);
        let error = error as &dyn std::error::Error;
        match had_begun {
            true => {
                warn!(%stream, %node, error, "a program on another node is interrupted; it is read on when the node answers")
            }
            false => debug!(%stream, %node, error, "a program on another node is not readable yet"),
        }
    }

    /// Its document is gone, or is another program's. While the bus is away it may still run.
    async fn is_over(&self) -> bool {
        let key = program_key(&self.program.stream());
        match self.node.bus().load::<ProgramDescriptor>(&key).await {
            Ok(Some((program, _))) => program.started_unix_ms != self.program.started_unix_ms,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Reads until the program's end.
    async fn read(&self, progress: &mut Progress) -> Result<(), PullError> {
        let channel = self.connect().await?;
        let read = ToSource::Read(Read {
            version: VERSION,
            node: self.program.node.clone(),
            stream: self.program.stream(),
            started_unix_ms: self.program.started_unix_ms,
            from: progress.from,
            takes_layouts: true,
        });
        let (words, said) = mpsc::channel(WORDS);
        let framed = messages::write(&read, &[])?;
        let _has_place = words.try_send(Message { framed });
        let mut client = ProgramsClient::new(channel).max_decoding_message_size(MAX_MESSAGE + 64);
        let answer = tokio::time::timeout(ANSWER_WITHIN, client.read(ReceiverStream::new(said))).await;
        let answer = answer.map_err(|_| PullError::Silent)?;
        let mut answer = answer
            .map_err(|status| PullError::Refused(Box::new(status)))?
            .into_inner();
        let mut written = self.sink().as_ref().map(ProgramWriter::written);
        let mut frames = ProgramReceiver::default();
        let mut catches_up_until = Some(Clock.now() + CATCH_UP_WITHIN);
        loop {
            let message = tokio::select! {
                message = answer.message() => message.map_err(|status| PullError::Broken(Box::new(status)))?,
                until = next_written(&mut written) => {
                    let word = ToSource::Written { until_us: messages::micros(until) };
                    let framed = messages::write(&word, &[])?;
                    // The next one says more.
                    let _sent_or_full = words.try_send(Message { framed });
                    continue;
                }
            };
            let message = message.ok_or(PullError::Cut)?;
            counter!("rotunda_programs_received_bytes_total").increment(message.framed.len() as u64);
            let (message, payload) = messages::read::<FromSource>(message.framed)?;
            match message {
                FromSource::End => return Ok(()),
                FromSource::Live => catches_up_until = None,
                message => self.take(message, payload, &mut frames, progress)?,
            }
            if let Some(until) = catches_up_until {
                while self.unread() > MOST_UNREAD && Clock.now() < until {
                    Clock.sleep_until(Clock.now() + UNREAD_EVERY).await;
                }
            }
        }
    }

    /// Writes what has come for the readers of this process.
    fn take(
        &self,
        message: FromSource,
        payload: bytes::Bytes,
        frames: &mut ProgramReceiver,
        progress: &mut Progress,
    ) -> Result<(), PullError> {
        let sink = self.sink();
        let Some(writer) = sink.as_ref() else { return Ok(()) };
        match message {
            FromSource::Begin { zero_unix_us } => {
                writer.tell_zero(Duration::from_micros(zero_unix_us));
                if !std::mem::replace(&mut progress.has_begun, true) {
                    info!(stream = %self.program.stream(), node = %self.program.node, "a program on another node is followed");
                }
            }
            FromSource::Program { position, message } => {
                if let Some(frame) = frames.handle(message, payload).map_err(MessageError::from)? {
                    writer.write(frame);
                    progress.frames += 1;
                    progress.from = ReadFrom::After(position);
                }
            }
            FromSource::Absence { position, .. } => {
                if let Some(absence) = message.as_absence() {
                    writer.tell_absence(absence);
                }
                progress.from = ReadFrom::After(position);
            }
            FromSource::Layout(layout) => writer.tell_layout(layout),
            FromSource::Lost { position, frames } => {
                // Before the first frame nothing was promised.
                if progress.frames > 0 {
                    warn!(stream = %self.program.stream(), node = %self.program.node, frames, "frames of a program were lost between the nodes");
                    counter!("rotunda_programs_lost_frames_total", "reason" => "network").increment(frames);
                    writer.tell_loss(frames);
                }
                progress.from = ReadFrom::After(position);
            }
            FromSource::Live | FromSource::End => {}
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Channel, PullError> {
        let key = node_key(&self.program.node);
        let known = self.node.bus().load::<ProgramNode>(&key).await?;
        let mut failed = PullError::NoAddress;
        for address in known.map(|(node, _)| node.addresses).unwrap_or_default() {
            match connect_to(&self.tls, &address).await {
                Ok(channel) => return Ok(channel),
                Err(source) => failed = PullError::Connect { address, source },
            }
        }
        Err(failed)
    }

    fn unread(&self) -> usize {
        self.sink().as_ref().map_or(0, ProgramWriter::unread)
    }

    fn sink(&self) -> MutexGuard<'_, Option<ProgramWriter>> {
        lock(&self.sink)
    }
}

/// Resolves when nobody has read for a while and `release` agrees.
async fn unused(sink: &Sink, release: impl Fn() -> bool) {
    let mut since = None;
    loop {
        Clock.sleep_until(Clock.now() + LOOK_EVERY).await;
        let is_read = lock(sink).as_ref().is_some_and(|writer| writer.readers() > 0);
        if is_read {
            since = None;
            continue;
        }
        let since = *since.get_or_insert_with(|| Clock.now());
        if Clock.now().saturating_duration_since(since) >= RELEASE_AFTER && release() {
            return;
        }
    }
}

/// The next time until which the program is on a disk here.
async fn next_written(written: &mut Option<tokio::sync::watch::Receiver<Option<Duration>>>) -> Duration {
    if let Some(written) = written {
        while written.changed().await.is_ok() {
            if let Some(until) = *written.borrow_and_update() {
                return until;
            }
        }
    }
    std::future::pending().await
}

fn lock(sink: &Sink) -> MutexGuard<'_, Option<ProgramWriter>> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A channel to a node of this cluster.
pub async fn connect_to(tls: &ClusterTls, address: &str) -> Result<Channel, tonic::transport::Error> {
    let (tls, address) = (tls.connector(), address.to_owned());
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, address) = (tls.clone(), address.clone());
        async move {
            let socket = TcpStream::connect(&address).await?;
            socket.set_nodelay(true)?;
            let name = ClusterTls::name().map_err(std::io::Error::other)?;
            let socket = tls.connect(name, socket).await?;
            Ok::<_, std::io::Error>(TokioIo::new(socket))
        }
        .boxed()
    });
    Endpoint::from_static("http://node.rotunda.internal")
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true)
        .connect_with_connector(connector)
        .await
}
