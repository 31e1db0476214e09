//! A session's UDP socket: reads batches of datagrams with the system's times of their arrival, so that a session may come late to them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use quinn_udp::{RecvMeta, UdpSocketState};
use rotunda_proto::clock::Clock;
use str0m::net::Transmit;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Reads per system call, and the buffer of each (with GRO a read can hold many datagrams).
const BATCH: usize = 4;
const READ_SIZE: usize = 65_536;
/// System calls in a turn: more than a keyframe needs.
const MOST_CALLS: usize = 64;
/// Sessions that gather wake together, at multiples of this.
const GRID: Duration = Duration::from_millis(10);
/// Kernel buffer of a session, bytes: a few keyframes.
const KERNEL_BUFFER: usize = 1024 * 1024;

thread_local! {
    /// Shared by the sessions of a thread: only one reads at a time.
    static BUFFERS: RefCell<[Vec<u8>; BATCH]> = RefCell::new(std::array::from_fn(|_| vec![0; READ_SIZE]));
}

pub struct Datagram {
    pub arrived: Instant,
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
}

pub struct Socket {
    socket: std::net::UdpSocket,
    state: UdpSocketState,
    waits: Waits,
    /// Read, and not taken yet.
    datagrams: VecDeque<Datagram>,
    /// Times of arrival never go back.
    latest: Instant,
}

enum Waits {
    /// For each datagram.
    Readable(UdpSocket),
    Until {
        next: Instant,
        interval: Duration,
    },
}

impl Waits {
    fn handle_drained(&mut self, now: Instant) {
        if let Self::Until { next, interval } = self
            && *next <= now
        {
            *next = Clock.shared_from((*next + *interval).max(now), GRID);
        }
    }
}

impl Socket {
    pub fn bind(address: IpAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(address, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        // As much as the system permits; less is not an error.
        let _permitted = state.set_recv_buffer_size((&socket).into(), KERNEL_BUFFER);
        socket.set_nonblocking(true)?;
        Ok(Self {
            waits: Waits::Readable(UdpSocket::from_std(socket.try_clone()?)?),
            socket,
            state,
            datagrams: VecDeque::new(),
            latest: Clock.now(),
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// From now on it is readable once in this time, whatever comes: the runtime is no longer woken by each datagram.
    pub fn gather(&mut self, interval: Duration) {
        let next = Clock.shared_from(Clock.now() + interval, GRID);
        self.waits = Waits::Until { next, interval };
    }

    /// Until datagrams are to be [`receive`](Self::receive)d, all of them. Cancel-safe.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.waits {
            Waits::Readable(socket) => socket.readable().await,
            Waits::Until { next, .. } => {
                Clock.sleep_until(*next).await;
                Ok(())
            }
        }
    }

    /// Reads what has come. What a flood leaves after that is read in the next turn, at once.
    pub fn receive(&mut self, now: Instant) -> io::Result<()> {
        let unix = Clock.unix();
        BUFFERS.with_borrow_mut(|buffers| {
            for _ in 0..MOST_CALLS {
                if !self.receive_batch(now, unix, buffers)? {
                    self.waits.handle_drained(now);
                    break;
                }
            }
            Ok(())
        })
    }

    /// Answers whether there may be more.
    fn receive_batch(&mut self, now: Instant, unix: Duration, buffers: &mut [Vec<u8>; BATCH]) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices = buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let mut recv = || self.state.recv((&self.socket).into(), &mut slices, &mut metas);
        let received = match &self.waits {
            Waits::Readable(socket) => socket.try_io(Interest::READABLE, recv),
            Waits::Until { .. } => recv(),
        };
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas.iter().zip(&*buffers).take(count) {
            let waited = meta.timestamp.map_or(Duration::ZERO, |at| unix.saturating_sub(at));
            self.latest = self.latest.max(now.checked_sub(waited).unwrap_or(now));
            let datagrams = buffer[..meta.len].chunks(meta.stride.max(1));
            self.datagrams.extend(datagrams.map(|bytes| Datagram {
                arrived: self.latest,
                from: meta.addr,
                bytes: bytes.to_vec(),
            }));
        }
        Ok(true)
    }

    pub fn next_datagram(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    /// A datagram that the system does not take is lost, as on any other hop.
    pub fn send(&self, transmit: &Transmit) {
        let send = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: None,
            contents: &transmit.contents,
            segment_size: None,
            src_ip: None,
        };
        let _sent_or_lost = self.state.try_send((&self.socket).into(), &send);
    }
}

#[cfg(test)]
mod tests;
