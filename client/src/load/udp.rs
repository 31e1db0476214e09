//! A member's UDP socket: reads batches of datagrams, which the kernel may have coalesced (GRO).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use quinn_udp::{RecvMeta, UdpSocketState};
use str0m::net::Transmit;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Reads per system call, and the buffer of each (with GRO a read can hold many datagrams).
const BATCH: usize = 4;
const READ_SIZE: usize = 65_536;
/// Kernel buffer of a member, bytes: a few keyframes, so that a delayed thread does not cause loss.
const KERNEL_BUFFER: usize = 1024 * 1024;

/// Shared by the members of a thread: only one reads at a time.
pub struct ReadBuffers([Vec<u8>; BATCH]);

impl Default for ReadBuffers {
    fn default() -> Self {
        Self(std::array::from_fn(|_| vec![0; READ_SIZE]))
    }
}

/// Whether there may be more to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    Some,
    Drained,
}

pub struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    pub fn bind(address: IpAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(address, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        // As much as the system permits; less is not an error.
        let _permitted = state.set_recv_buffer_size((&socket).into(), KERNEL_BUFFER);
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self { socket, state })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Cancel-safe.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Reads one batch and passes each datagram to `take`, with the time for which it has waited in the kernel
    /// until `unix`, the current time. So the delay of a busy thread does not count for the server.
    pub fn read(
        &self,
        unix: Duration,
        buffers: &mut ReadBuffers,
        mut take: impl FnMut(SocketAddr, Duration, &[u8]),
    ) -> io::Result<Read> {
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices = buffers.0.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let received = self.socket.try_io(Interest::READABLE, || {
            self.state.recv((&self.socket).into(), &mut slices, &mut metas)
        });
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Read::Drained),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas.iter().zip(&buffers.0).take(count) {
            let waited = meta
                .timestamp
                .map_or(Duration::ZERO, |arrived| unix.saturating_sub(arrived));
            for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                take(meta.addr, waited, bytes);
            }
        }
        Ok(Read::Some)
    }

    /// A datagram for which the kernel has no buffer is lost, as in the network.
    pub fn send(&self, transmit: &Transmit) {
        let send = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: None,
            contents: &transmit.contents,
            segment_size: None,
            src_ip: None,
        };
        let _lost = self
            .socket
            .try_io(Interest::WRITABLE, || self.state.try_send((&self.socket).into(), &send));
    }
}
