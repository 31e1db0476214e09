//! Drives one worker on a thread of its own: waits for the socket, letters and time, and sends what comes out.
//!
//! The thread does not wake for each datagram: after a read it looks at the socket again when [`read_interval`] has passed,
//! and only when nothing came it waits for more. Feedback of many viewers is so handled in few wake-ups.
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

use crate::control::{Order, Task};
use crate::inbox::{Inbox, Letter, Letters};
use crate::load::Load;
use crate::net::{Peer, Udp};
use crate::worker::{RoomEvent, Worker};

pub const LETTERS: Token = Token(0);
const SOCKET: Token = Token(1);
/// Reads in a row before what they gave is sent.
const READS: usize = 4;
/// After a socket error that is not of a datagram (no memory, the network is down) the socket rests for so long, and the error is
/// told at most so often.
const REST: Duration = Duration::from_millis(10);
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Events and handovers that nobody has place for are offered again after so long.
const OFFER_AGAIN: Duration = Duration::from_millis(10);

pub struct Shell {
    worker: Worker,
    poll: Poll,
    udp: Udp,
    tcp: HashMap<SocketAddr, Peer>,
    letters: Letters,
    /// Of all workers of the node, and which of them this is.
    workers: Vec<Inbox>,
    index: usize,
    events: mpsc::Sender<RoomEvent>,
    read_interval: Duration,
    load: Load,
    told_error_at: Option<Instant>,
}

/// What a shell is made of before the workers know each other.
pub struct Parts {
    pub worker: Worker,
    /// Among the workers of the node.
    pub index: usize,
    /// Letters wake it with [`LETTERS`].
    pub poll: Poll,
    pub udp: Udp,
    pub letters: Letters,
    /// Least time between two looks at the socket while datagrams come in.
    pub read_interval: Duration,
    pub load: Load,
}

/// What the socket is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    /// There may be something.
    Unread,
    /// The last read found nothing: the poll tells of more.
    Drained,
}

impl Shell {
    pub fn new(parts: Parts, workers: Vec<Inbox>, events: mpsc::Sender<RoomEvent>) -> io::Result<Self> {
        parts.udp.register(parts.poll.registry(), SOCKET)?;
        Ok(Self {
            worker: parts.worker,
            poll: parts.poll,
            udp: parts.udp,
            tcp: HashMap::new(),
            letters: parts.letters,
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
            self.handle_letters(began);
            if self.worker.poll_timeout().is_some_and(|due| due <= began) {
                self.worker.handle_timeout(began);
            }
            self.flush();
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
        let unsent = self.worker.has_events() || (0..self.workers.len()).any(|to| self.worker.has_handovers(to));
        let offer = unsent.then_some(now + OFFER_AGAIN);
        let due = self.worker.poll_timeout().into_iter().chain(offer).min();
        let timeout = due.map(|due| due.saturating_duration_since(now));
        match self.poll.poll(wakes, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Answers how many reads brought something, at most [`READS`].
    fn receive(&mut self) -> (usize, Socket) {
        for read in 0..READS {
            let (now, worker) = (Clock.now(), &mut self.worker);
            let count = self.udp.receive(|arrived| {
                worker.handle_datagram(now, arrived.from, arrived.to, Protocol::Udp, arrived.bytes);
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

    /// The rooms outlive it: the network comes back, and members with it.
    fn handle_socket_error(&mut self, now: Instant, error: &io::Error) {
        counter!("rotunda_sfu_socket_errors_total").increment(1);
        if self.told_error_at.is_none_or(|at| now - at >= TELL_EVERY) {
            self.told_error_at = Some(now);
            warn!(%error, "the media socket cannot be read; trying again");
        }
        Clock.block_until(now + REST);
    }

    fn handle_letters(&mut self, now: Instant) {
        while let Some(letter) = self.letters.next() {
            match letter {
                Letter::Order(Order { task, reply }) => {
                    let _caller_gave_up = reply.send(self.carry_out(task));
                }
                Letter::TcpPeer { from, peer } => {
                    self.tcp.retain(|_, peer| !peer.is_gone());
                    self.tcp.insert(from, peer);
                }
                Letter::TcpFrame(frame) => {
                    self.worker
                        .handle_datagram(now, frame.from, frame.to, Protocol::Tcp, &frame.bytes);
                }
                Letter::Neighbours { room, workers } => self.worker.set_neighbours(now, &room, &workers),
                Letter::CustomMessage { room, bytes } => self.worker.carry_message(now, &room, bytes),
                Letter::Handovers { from, handovers } => {
                    for handover in handovers {
                        self.worker.handle_handover(now, from, handover);
                    }
                    self.worker.settle(now);
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

    /// Sends what the worker has made.
    fn flush(&mut self) {
        while let Some(datagram) = self.worker.poll_control() {
            match datagram.path.proto {
                Protocol::Udp => self.udp.send(&datagram.path, &datagram.bytes, datagram.bytes.len()),
                _ => send_tcp(&self.tcp, datagram.path.to, &datagram.bytes),
            }
        }
        let Self { worker, udp, tcp, .. } = self;
        // The time of each send is what the viewer's feedback is compared with.
        worker.send_media(
            || Clock.now(),
            |path, datagrams, segment| match path.proto {
                Protocol::Udp => udp.send(path, datagrams, segment),
                _ => send_tcp(tcp, path.to, datagrams),
            },
        );
        self.hand_over();
        while self.worker.has_events()
            && let Ok(place) = self.events.try_reserve()
            && let Some(event) = self.worker.poll_event()
        {
            place.send(event);
        }
    }

    /// What finds no place stays with the worker for the next time.
    fn hand_over(&mut self) {
        for (to, inbox) in self.workers.iter().enumerate() {
            if self.worker.has_handovers(to) {
                let worker = &mut self.worker;
                let _full = inbox.try_send_made(|| Letter::Handovers {
                    from: self.index,
                    handovers: worker.take_handovers(to),
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
