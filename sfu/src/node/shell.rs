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
use str0m::net::Protocol;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::driver::Driver;
use super::load::Load;
use super::net::{Peer, Udp};
use super::worker_message::{Inbox, WorkerEvent, WorkerMessage, WorkerMessages};
use crate::slab::WorkerIndex;
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

pub struct Shell {
    driver: Driver,
    poll: Poll,
    udp: Udp,
    tcp: HashMap<SocketAddr, Peer>,
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
            driver: Driver::new(parts.worker, parts.messages, workers, parts.index, events),
            poll: parts.poll,
            udp: parts.udp,
            tcp: HashMap::new(),
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
            self.driver.worker.handle_timeout(began);
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
        let due = self.driver.due(now);
        let timeout = due.map(|due| due.saturating_duration_since(now));
        match self.poll.poll(wakes, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Answers how many reads brought datagrams, at most [`READS`].
    fn receive(&mut self) -> (usize, Socket) {
        for read in 0..READS {
            let (now, worker) = (Clock.now(), &mut self.driver.worker);
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
        while let Some(message) = self.driver.next_message() {
            match message {
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
                    self.driver.worker.handle_datagram(now, arrival);
                }
                message => self.driver.handle_message(Clock.now(), message),
            }
        }
    }

    /// Ends the worker's turn and sends what has come out of it.
    fn finish_turn(&mut self) {
        // Answers to the input do not wait for the media.
        self.send_control();
        let Self { driver, udp, tcp, .. } = self;
        // The viewer's feedback is compared with the time of each send.
        driver.worker.send_media(
            || Clock.now(),
            |path, datagrams, segment| match path.proto {
                Protocol::Udp => udp.send(path, datagrams, segment),
                _ => send_tcp(tcp, path.to, datagrams),
            },
        );
        self.driver.worker.finish_turn(Clock.now());
        self.send_control();
        self.driver.hand_over();
    }

    fn send_control(&mut self) {
        while let Some(datagram) = self.driver.worker.poll_control() {
            match datagram.path.proto {
                Protocol::Udp => self.udp.send(&datagram.path, &datagram.bytes, datagram.bytes.len()),
                _ => send_tcp(&self.tcp, datagram.path.to, &datagram.bytes),
            }
        }
    }
}

fn send_tcp(peers: &HashMap<SocketAddr, Peer>, to: SocketAddr, bytes: &[u8]) {
    if let Some(peer) = peers.get(&to) {
        peer.send(bytes);
    }
}
