//! Drives one worker on a thread of its own: waits for the socket, letters and time, and sends what comes out.
//!
//! The thread does not wake for each datagram: after a read it looks at the socket again when [`read_interval`] has passed,
//! and only when nothing came it waits for more. Feedback of many viewers is so handled in few wake-ups.
//!
//! [`read_interval`]: Shell::new

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rotunda_proto::clock::Clock;
use rotunda_proto::sfu::{ControlError, Reply};
use str0m::net::Protocol;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::control::{Order, Task};
use crate::inbox::Letter;
use crate::load::Load;
use crate::net::{Peer, Udp};
use crate::worker::{RoomEvent, Worker};

pub const LETTERS: Token = Token(0);
const SOCKET: Token = Token(1);
/// Reads in a row before what they gave is sent.
const READS: usize = 4;

pub struct Shell {
    worker: Worker,
    poll: Poll,
    udp: Udp,
    tcp: HashMap<SocketAddr, Peer>,
    letters: mpsc::Receiver<Letter>,
    events: mpsc::Sender<RoomEvent>,
    read_interval: Duration,
    load: Load,
    buffer: Vec<u8>,
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
    /// `poll`: letters wake it with [`LETTERS`]. `read_interval`: least time between two looks at the socket while
    /// datagrams come in.
    pub fn new(
        worker: Worker,
        poll: Poll,
        udp: Udp,
        letters: mpsc::Receiver<Letter>,
        events: mpsc::Sender<RoomEvent>,
        read_interval: Duration,
        load: Load,
    ) -> io::Result<Self> {
        udp.register(poll.registry(), SOCKET)?;
        Ok(Self {
            worker,
            poll,
            udp,
            tcp: HashMap::new(),
            letters,
            events,
            read_interval,
            load,
            buffer: Vec::with_capacity(65_536),
        })
    }

    /// Runs until `shutdown`, for which somebody has to wake the poll.
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
                (read, socket) = self.receive()?;
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
        let due = self.worker.poll_timeout();
        let timeout = due.map(|due| due.saturating_duration_since(Clock.now()));
        match self.poll.poll(wakes, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Answers how many reads brought something, at most [`READS`].
    fn receive(&mut self) -> io::Result<(usize, Socket)> {
        for read in 0..READS {
            let (now, worker) = (Clock.now(), &mut self.worker);
            let count = self.udp.receive(|arrived| {
                worker.handle_datagram(now, arrived.from, arrived.to, Protocol::Udp, arrived.bytes);
            })?;
            if count == 0 {
                return Ok((read, Socket::Drained));
            }
        }
        Ok((READS, Socket::Unread))
    }

    fn handle_letters(&mut self, now: Instant) {
        while let Ok(letter) = self.letters.try_recv() {
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
                _ => self.send_tcp(datagram.path.to, &datagram.bytes),
            }
        }
        // The time of each send is what the viewer's feedback is compared with.
        while let Some((path, segment)) = self.worker.poll_media(Clock.now(), &mut self.buffer) {
            match path.proto {
                Protocol::Udp => self.udp.send(&path, &self.buffer, segment),
                _ => self.send_tcp(path.to, &self.buffer),
            }
        }
        while let Some(event) = self.worker.poll_event() {
            if self.events.try_send(event).is_err() {
                metrics::counter!("rotunda_sfu_events_dropped_total").increment(1);
            }
        }
    }

    fn send_tcp(&self, to: SocketAddr, bytes: &[u8]) {
        if let Some(peer) = self.tcp.get(&to) {
            peer.send(bytes);
        }
    }
}
