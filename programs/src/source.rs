//! Serves the programs of this process to other nodes.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::Stream;
use metrics::{counter, gauge};
use rotunda_bus::{BusExt, ClusterNode};
use rotunda_media::program::{ProgramHub, ProgramReader, ReadError};
use rotunda_media::program_messages::ProgramSender;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::StreamKey;
use rotunda_proto::mix_layout::ShownLayout;
use rotunda_proto::program::{ProgramDescriptor, program_key};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use crate::grpc::Message;
use crate::grpc::programs_server::Programs;
use crate::messages::{self, FromSource, MessageError, Read, ToSource, VERSION};
use crate::window::{Item, Limits, Piece, Window};

/// For the first message of a reader.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// Messages on their way to one reader; what it does not take then waits in the window.
const QUEUE: usize = 32;
/// Readers that were interrupted at a program's end still get the rest of it.
const KEEP_ENDED: Duration = Duration::from_secs(10);
/// The newest layouts, which later readers are told.
const LAYOUTS: usize = 64;

/// See the [module](self).
#[derive(Clone)]
pub struct Source(Arc<Shared>);

struct Shared {
    node: ClusterNode,
    hub: ProgramHub,
    limits: Limits,
    feeds: Mutex<HashMap<Key, Arc<Feed>>>,
    stop: CancellationToken,
}

/// A program of this process: its stream, and when it began.
type Key = (StreamKey, u64);

/// A program that was asked for.
struct Feed {
    window: Mutex<Window>,
    /// Oldest first.
    layouts: Mutex<VecDeque<Arc<ShownLayout>>>,
    /// Changes with each item.
    state: watch::Sender<State>,
    /// When the program's time was 0, since 1970.
    zero: Mutex<Option<Duration>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    Over,
}

impl Source {
    pub fn new(node: ClusterNode, hub: ProgramHub, limits: Limits, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            node,
            hub,
            limits,
            feeds: Mutex::default(),
            stop,
        }))
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<Key, Arc<Feed>>> {
        self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program that a reader asks for.
    async fn feed(&self, read: &Read) -> Result<Arc<Feed>, Status> {
        let own = self.0.node.name();
        if read.version != VERSION {
            let message = format!(
                "node {own} speaks version {VERSION} of the frame protocol, not {}; all nodes of a cluster need one version",
                read.version
            );
            return Err(Status::failed_precondition(message));
        }
        if read.node != *own {
            return Err(Status::not_found(format!("this is node {own}, not {}", read.node)));
        }
        let key = (read.stream.clone(), read.started_unix_ms);
        if let Some(feed) = self.feeds().get(&key) {
            return Ok(feed.clone());
        }
        let document = program_key(&read.stream);
        let known = self.0.node.bus().load::<ProgramDescriptor>(&document).await;
        let known = known.map_err(|error| Status::unavailable(error.to_string()))?;
        let is_it = known.is_some_and(|(program, _)| program.started_unix_ms == read.started_unix_ms);
        let mut feeds = self.feeds();
        if let Some(feed) = feeds.get(&key) {
            return Ok(feed.clone());
        }
        let reader = self.0.hub.subscribe(&read.stream).filter(|_| is_it);
        let reader = reader.ok_or_else(|| Status::not_found(format!("stream {} does not run here", read.stream)))?;
        let feed = Arc::new(Feed {
            window: Mutex::new(Window::new(self.0.limits)),
            state: watch::channel(State::Runs).0,
            zero: Mutex::default(),
            layouts: Mutex::default(),
        });
        feeds.insert(key.clone(), feed.clone());
        drop(feeds);
        debug!(stream = %key.0, "a program is read by another node");
        let (source, running) = (self.clone(), feed.clone());
        tokio::spawn(async move {
            running.run(reader).await;
            tokio::select! {
                () = Clock.sleep_until(Clock.now() + KEEP_ENDED) => {}
                () = source.0.stop.cancelled() => {}
            }
            source.feeds().remove(&key);
        });
        Ok(feed)
    }
}

#[tonic::async_trait]
impl Programs for Source {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

    async fn read(&self, request: Request<Streaming<Message>>) -> Result<Response<Self::ReadStream>, Status> {
        let mut asked = request.into_inner();
        let first = timeout(READ_WITHIN, asked.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("the reader did not say what it wants"))??;
        let first = first.ok_or_else(|| Status::invalid_argument("the reader did not say what it wants"))?;
        let read = match messages::read(first.framed).map_err(invalid)? {
            (ToSource::Read(read), _) => read,
            (ToSource::Written { .. }, _) => return Err(Status::invalid_argument("the first message must be `read`")),
        };
        let feed = self.feed(&read).await?;
        info!(stream = %read.stream, from = ?read.from, "another node reads a program");
        let (sender, receiver) = mpsc::channel(QUEUE);
        let gone = self.0.stop.child_token();
        tokio::spawn(feed.clone().hear(asked, gone.clone()));
        tokio::spawn(async move {
            gauge!("rotunda_programs_remote_readers").increment(1.0);
            if let Err(error) = feed.serve(&read, &sender, &gone).await {
                warn!(stream = %read.stream, error = &error as &dyn std::error::Error, "a reader on another node is given up");
                let _gone_already = sender.send(Err(Status::internal(error.to_string()))).await;
            }
            gone.cancel();
            gauge!("rotunda_programs_remote_readers").decrement(1.0);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn invalid(error: MessageError) -> Status {
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let message: Vec<String> = causes.map(ToString::to_string).collect();
    Status::invalid_argument(message.join(": "))
}

/// The reader is gone.
struct Gone;

impl Feed {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layouts(&self) -> MutexGuard<'_, VecDeque<Arc<ShownLayout>>> {
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The layouts after this revision.
    fn layouts_after(&self, revision: Option<u64>) -> Vec<Arc<ShownLayout>> {
        let is_new = |layout: &&Arc<ShownLayout>| revision.is_none_or(|revision| layout.revision > revision);
        self.layouts().iter().filter(is_new).cloned().collect()
    }

    /// Takes the program in until it ends.
    async fn run(&self, mut reader: ProgramReader) {
        loop {
            let read = reader.next().await;
            let item = match read {
                Ok(frame) => {
                    // Frames before have waited since their keyframe.
                    if reader.behind() == 0 {
                        let mut zero = self.zero.lock().unwrap_or_else(PoisonError::into_inner);
                        zero.get_or_insert_with(|| Clock.unix().saturating_sub(frame.pts.duration()));
                    }
                    Item::Frame(frame)
                }
                Err(ReadError::Lagged(frames) | ReadError::Lost(frames)) => {
                    counter!("rotunda_programs_lost_frames_total", "reason" => "process").increment(frames);
                    Item::Lost(frames)
                }
                Err(ReadError::Ended) => break,
            };
            self.window().push(item);
            while let Some(absence) = reader.take_absence() {
                self.window().push(Item::Absence(absence));
            }
            while let Some(layout) = reader.take_layout() {
                let mut layouts = self.layouts();
                if layouts.len() >= LAYOUTS {
                    layouts.pop_front();
                }
                layouts.push_back(layout);
            }
            self.state.send_replace(State::Runs);
        }
        self.state.send_replace(State::Over);
    }

    /// Hears how far the reader is, until it is gone.
    async fn hear(self: Arc<Self>, mut asked: Streaming<Message>, gone: CancellationToken) {
        loop {
            let message = tokio::select! {
                message = asked.message() => message,
                () = gone.cancelled() => return,
            };
            let Ok(Some(message)) = message else { break };
            match messages::read(message.framed) {
                Ok((ToSource::Written { until_us }, _)) => {
                    self.window().handle_written(Duration::from_micros(until_us));
                }
                Ok((ToSource::Read(_), _)) | Err(_) => break,
            }
        }
        gone.cancel();
    }

    /// Sends the program until it ends or the reader is gone.
    async fn serve(
        &self,
        read: &Read,
        sender: &mpsc::Sender<Result<Message, Status>>,
        gone: &CancellationToken,
    ) -> Result<(), MessageError> {
        let mut state = self.state.subscribe();
        let mut frames = ProgramSender::default();
        // The newest frame tells it, which may not have come yet.
        while self.zero().is_none() && *state.borrow_and_update() == State::Runs {
            tokio::select! {
                _ = state.changed() => {}
                () = gone.cancelled() => return Ok(()),
            }
        }
        let zero_unix_us = messages::micros(self.zero().unwrap_or_default());
        let begin = messages::write(&FromSource::Begin { zero_unix_us }, &[])?;
        if send(sender, begin, gone).await.is_err() {
            return Ok(());
        }
        let mut position = self.window().start(read.from);
        let mut is_live = false;
        let mut told_layout = None;
        loop {
            // Before the window is read: what comes in between wakes the next wait.
            let is_over = *state.borrow_and_update() == State::Over;
            let layouts = match read.takes_layouts {
                true => self.layouts_after(told_layout),
                false => Vec::new(),
            };
            for layout in layouts {
                told_layout = Some(layout.revision);
                let message = messages::write(&FromSource::Layout(ShownLayout::clone(&layout)), &[])?;
                if send(sender, message, gone).await.is_err() {
                    return Ok(());
                }
            }
            let piece = self.window().read(&mut position);
            let messages = match piece {
                Some(piece) => encode(&mut frames, piece)?,
                None if is_over => {
                    let end = messages::write(&FromSource::End, &[])?;
                    let _gone_already = send(sender, end, gone).await;
                    return Ok(());
                }
                None if !is_live => {
                    is_live = true;
                    vec![messages::write(&FromSource::Live, &[])?]
                }
                None => {
                    tokio::select! {
                        _ = state.changed() => {}
                        () = gone.cancelled() => return Ok(()),
                    }
                    continue;
                }
            };
            for message in messages {
                if send(sender, message, gone).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    fn zero(&self) -> Option<Duration> {
        *self.zero.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(
    sender: &mpsc::Sender<Result<Message, Status>>,
    framed: bytes::Bytes,
    gone: &CancellationToken,
) -> Result<(), Gone> {
    counter!("rotunda_programs_sent_bytes_total").increment(framed.len() as u64);
    tokio::select! {
        sent = sender.send(Ok(Message { framed })) => sent.map_err(|_| Gone),
        () = gone.cancelled() => Err(Gone),
    }
}

/// The messages of a step of the program.
fn encode(frames: &mut ProgramSender, piece: Piece) -> Result<Vec<bytes::Bytes>, MessageError> {
    let Piece { position, item } = piece;
    match item {
        Item::Frame(frame) => {
            let header = frames.header(&frame).map(|message| (message, &[][..]));
            let frame = (ProgramSender::frame(&frame), &frame.data[..]);
            let both = header.into_iter().chain([frame]);
            both.map(|(message, data)| messages::write(&FromSource::Program { position, message }, data))
                .collect()
        }
        Item::Absence(absence) => Ok(vec![messages::write(&FromSource::absence(position, absence), &[])?]),
        Item::Lost(lost) => {
            counter!("rotunda_programs_lost_frames_total", "reason" => "bytes").increment(lost);
            Ok(vec![messages::write(
                &FromSource::Lost { position, frames: lost },
                &[],
            )?])
        }
    }
}
