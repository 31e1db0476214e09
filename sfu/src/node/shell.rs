//! Drives one worker on a thread of its own: waits for the socket, messages and deadlines, and sends what comes out.
//!
//! The thread does not wake for each datagram: after a read it reads the socket again when [`read_interval`] has passed, and only
//! when nothing came it waits for more. The feedback of many viewers is handled in few wake-ups like this.
//!
//! [`read_interval`]: Parts::read_interval

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use metrics::counter;
use mio::{Events, Poll, Token};
use rotunda_proto::clock::Clock;
use rotunda_proto::sfu::{ControlError, Reply};
use str0m::net::Protocol;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::load::Load;
use super::net::{Peer, Udp};
use super::worker_message::{Command, Inbox, Task, WorkerEvent, WorkerMessage, WorkerMessages};
use crate::slab::{Index, WorkerIndex};
use crate::worker::Worker;
use crate::worker::demux::Arrival;

pub const MESSAGES: Token = Token(0);
const SOCKET: Token = Token(1);
/// Reads in a row before the turn is finished.
const READS: usize = 4;
/// After a socket error that is not of one datagram (no memory, the network is down) the socket rests for so long, and the error is
/// logged no more often.
const REST: Duration = Duration::from_millis(10);
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Events and relay messages for which there is no place are offered again after so long.
const OFFER_AGAIN: Duration = Duration::from_millis(10);

pub struct Shell {
    worker: Worker,
    poll: Poll,
    udp: Udp,
    tcp: HashMap<SocketAddr, Peer>,
    messages: WorkerMessages,
    /// Of all workers of the node, and which of them this is.
    workers: Vec<Inbox>,
    index: WorkerIndex,
    events: mpsc::Sender<WorkerEvent>,
    read_interval: Duration,
    load: Load,
    told_error_at: Option<Instant>,
}

/// The parts of a shell, before the workers know each other.
pub struct Parts {
    pub worker: Worker,
    pub index: WorkerIndex,
    /// WorkerMessages wake it with [`MESSAGES`].
    pub poll: Poll,
    pub udp: Udp,
    pub messages: WorkerMessages,
    /// Least time between two looks at the socket while datagrams come in.
    pub read_interval: Duration,
    pub load: Load,
}

/// The state of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    /// There may be datagrams.
    Unread,
    /// The last read found nothing: the poll wakes for more.
    Drained,
}

impl Shell {
    pub fn new(parts: Parts, workers: Vec<Inbox>, events: mpsc::Sender<WorkerEvent>) -> io::Result<Self> {
        parts.udp.register(parts.poll.registry(), SOCKET)?;
        Ok(Self {
            worker: parts.worker,
            poll: parts.poll,
            udp: parts.udp,
            tcp: HashMap::new(),
            messages: parts.messages,
            workers,
            index: parts.index,
            events,
            read_interval: parts.read_interval,
            load: parts.load,
            told_error_at: None,
        })
    }

    /// Runs until `shutdown`, for which somebody has to wake the poll. Only a poll that does not work is an error.
    pub fn run(mut self, shutdown: &CancellationToken) -> io::Result<()> {
        let clock = Clock;
        let mut wakes = Events::with_capacity(8);
        let mut socket = Socket::Unread;
        while !shutdown.is_cancelled() {
            if socket == Socket::Drained {
                self.poll(&mut wakes)?;
                if wakes.iter().any(|event| event.token() == SOCKET) {
                    socket = Socket::Unread;
                }
            }
            let began = clock.now();
            let mut read = 0;
            if socket == Socket::Unread {
                (read, socket) = self.receive();
            }
            self.handle_messages(began);
            self.worker.handle_timeout(began);
            self.finish_turn();
            self.load.handle_turn(began, clock.now());
            // After a full turn there is more to read now.
            if read > 0 && read < READS {
                socket = Socket::Unread;
                // Lets datagrams gather; what is due meanwhile can wait as long.
                clock.block_until(began + self.read_interval);
            }
        }
        Ok(())
    }

    /// Waits until something has come or is due.
    fn poll(&mut self, wakes: &mut Events) -> io::Result<()> {
        let now = Clock.now();
        let has_events = self.worker.has_events() || self.worker.has_link_events();
        let unsent = has_events || self.other_workers().any(|to| self.worker.has_relay_messages(to));
        let offer = unsent.then_some(now + OFFER_AGAIN);
        let due = self.worker.poll_timeout().into_iter().chain(offer).min();
        let timeout = due.map(|due| due.saturating_duration_since(now));
        match self.poll.poll(wakes, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Answers how many reads brought datagrams, at most [`READS`].
    fn receive(&mut self) -> (usize, Socket) {
        for read in 0..READS {
            let (now, worker) = (Clock.now(), &mut self.worker);
            let count = self.udp.receive(|arrived| {
                worker.handle_datagram(now, arrived);
            });
            match count {
                Ok(0) => return (read, Socket::Drained),
                Ok(_) => {}
                Err(error) => {
                    self.handle_socket_error(now, &error);
                    return (read, Socket::Unread);
                }
            }
        }
        (READS, Socket::Unread)
    }

    /// The rooms outlive the error: the network comes back, and members with it.
    fn handle_socket_error(&mut self, now: Instant, error: &io::Error) {
        counter!("rotunda_sfu_socket_errors_total").increment(1);
        if self.told_error_at.is_none_or(|at| now - at >= TELL_EVERY) {
            self.told_error_at = Some(now);
            warn!(%error, "the media socket cannot be read; trying again");
        }
        Clock.block_until(now + REST);
    }

    fn handle_messages(&mut self, now: Instant) {
        while let Some(message) = self.messages.next() {
            match message {
                WorkerMessage::Command(Command { task, reply }) => {
                    let _caller_gave_up = reply.send(self.carry_out(task));
                }
                WorkerMessage::TcpPeer { from, peer } => {
                    self.tcp.retain(|_, peer| !peer.is_gone());
                    self.tcp.insert(from, peer);
                }
                WorkerMessage::TcpFrame(frame) => {
                    let arrival = Arrival {
                        proto: Protocol::Tcp,
                        from: frame.from,
                        to: frame.to,
                        bytes: &frame.bytes,
                    };
                    self.worker.handle_datagram(now, arrival);
                }
                WorkerMessage::Neighbours { room, neighbours } => self.worker.set_neighbours(now, &room, &neighbours),
                WorkerMessage::Link {
                    peer,
                    number,
                    node,
                    link,
                } => self.worker.open_link(peer, number, node, *link),
                WorkerMessage::CustomMessage { room, bytes } => self.worker.carry_message(now, &room, bytes),
                WorkerMessage::Relayed { from, messages } => {
                    for message in messages {
                        self.worker.handle_relay_message(now, from, message);
                    }
                }
            }
        }
    }

    fn carry_out(&mut self, task: Task) -> Reply {
        let now = Clock.now();
        let done = |result: Result<(), ControlError>| match result {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Refused { error },
        };
        match task {
            Task::Adopt { session, answer } => match self.worker.adopt(now, *session) {
                Ok(()) => Reply::Opened { answer },
                Err(error) => Reply::Refused { error },
            },
            Task::Restart { session, offer } => match self.worker.restart(now, session, &offer) {
                Ok(answer) => Reply::Opened { answer },
                Err(error) => Reply::Refused { error },
            },
            Task::SetIngress { session, sources } => done(self.worker.set_ingress(now, session, sources)),
            Task::SetSlots { session, slots } => done(self.worker.set_slots(now, session, &slots)),
            Task::Statistics { room, user } => match self.worker.statistics(&room, &user) {
                Ok(statistics) => Reply::Statistics {
                    statistics: Box::new(statistics),
                },
                Err(error) => Reply::Refused { error },
            },
            Task::Close { session } => {
                self.worker.close(now, session);
                Reply::Done
            }
        }
    }

    /// Ends the worker's turn and sends what has come out of it.
    fn finish_turn(&mut self) {
        // Answers to the input do not wait for the media.
        self.send_control();
        let Self { worker, udp, tcp, .. } = self;
        // The viewer's feedback is compared with the time of each send.
        worker.send_media(
            || Clock.now(),
            |path, datagrams, segment| match path.proto {
                Protocol::Udp => udp.send(path, datagrams, segment),
                _ => send_tcp(tcp, path.to, datagrams),
            },
        );
        self.worker.finish_turn(Clock.now());
        self.send_control();
        self.relay();
        while self.worker.has_events()
            && let Ok(place) = self.events.try_reserve()
            && let Some(event) = self.worker.poll_event()
        {
            place.send(WorkerEvent::Room(event));
        }
        while self.worker.has_link_events()
            && let Ok(place) = self.events.try_reserve()
            && let Some(event) = self.worker.poll_link_event()
        {
            let worker = self.index;
            place.send(WorkerEvent::Link { worker, event });
        }
    }

    fn other_workers(&self) -> impl Iterator<Item = WorkerIndex> {
        (0..self.workers.len()).map(WorkerIndex::at)
    }

    fn send_control(&mut self) {
        while let Some(datagram) = self.worker.poll_control() {
            match datagram.path.proto {
                Protocol::Udp => self.udp.send(&datagram.path, &datagram.bytes, datagram.bytes.len()),
                _ => send_tcp(&self.tcp, datagram.path.to, &datagram.bytes),
            }
        }
    }

    /// Messages that find no place stay with the worker for the next time.
    fn relay(&mut self) {
        for (to, inbox) in self.workers.iter().enumerate() {
            let to = WorkerIndex::at(to);
            if self.worker.has_relay_messages(to) {
                let worker = &mut self.worker;
                let _full = inbox.try_send_made(|| WorkerMessage::Relayed {
                    from: self.index,
                    messages: worker.take_relay_messages(to),
                });
            }
        }
    }
}

fn send_tcp(peers: &HashMap<SocketAddr, Peer>, to: SocketAddr, bytes: &[u8]) {
    if let Some(peer) = peers.get(&to) {
        peer.send(bytes);
    }
}
