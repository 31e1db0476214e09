//! The media socket: batched receive (recvmmsg, GRO) and segmented send (GSO).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use metrics::counter;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, UdpSocketState};
use str0m::net::Protocol;

use super::{destination, local_addresses};
use crate::downlink::egress::Path;
use crate::worker::demux::Arrival;

/// Datagrams read in one system call, and the room for each (with GRO a read can hold many).
const BATCH: usize = 16;
const READ_SIZE: usize = 65_536;
/// Kernel buffers of the media socket, bytes: a keyframe for a few hundred viewers.
const KERNEL_BUFFER: usize = 4 * 1024 * 1024;

pub struct Udp {
    socket: std::net::UdpSocket,
    state: UdpSocketState,
    buffers: [Vec<u8>; BATCH],
    /// This side's addresses as clients know them, for datagrams that arrive at one that was not advertised (behind NAT).
    advertised: Vec<SocketAddr>,
    local: SocketAddr,
}

impl Udp {
    pub fn bind(address: SocketAddr, advertised: Vec<SocketAddr>) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        // As much as the system permits; the server starts with less, too.
        let _permitted = state.set_send_buffer_size((&socket).into(), KERNEL_BUFFER);
        let _permitted = state.set_recv_buffer_size((&socket).into(), KERNEL_BUFFER);
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self {
            socket,
            state,
            buffers: std::array::from_fn(|_| vec![0; READ_SIZE]),
            advertised,
            local,
        })
    }

    /// From now on the poll wakes when datagrams have come, once until [`receive`](Self::receive) has answered 0.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.socket.as_raw_fd()), token, Interest::READABLE)
    }

    /// Reads one batch and hands each datagram to `take`. Answers the number of reads in the batch; 0: there was nothing.
    pub fn receive(&mut self, mut take: impl FnMut(Arrival<'_>)) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices = self.buffers.each_mut().map(|buffer| io::IoSliceMut::new(buffer));
        let count = match self.state.recv((&self.socket).into(), &mut slices, &mut metas) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas.iter().zip(&self.buffers).take(count) {
            let to = destination(meta.dst_ip, self.local, &self.advertised);
            for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                take(Arrival {
                    proto: Protocol::Udp,
                    from: meta.addr,
                    to,
                    bytes,
                });
            }
        }
        Ok(count)
    }

    /// Sends `bytes` as datagrams of `segment` bytes, of which the last may be shorter. Datagrams for which the kernel has no room
    /// are dropped, as the network would.
    pub fn send(&mut self, path: &Path, bytes: &[u8], segment: usize) {
        if self.state.max_gso_segments() <= 1 && bytes.len() > segment {
            for datagram in bytes.chunks(segment.max(1)) {
                self.send_once(path, datagram, None);
            }
        } else {
            self.send_once(path, bytes, (bytes.len() > segment).then_some(segment));
        }
    }

    fn send_once(&self, path: &Path, contents: &[u8], segment_size: Option<usize>) {
        // An advertised address that is not this machine's (NAT) cannot be a source.
        let src_ip =
            Some(path.from.ip()).filter(|ip| self.local.ip().is_unspecified() && local_addresses().contains(ip));
        let send = quinn_udp::Transmit {
            destination: path.to,
            ecn: None,
            contents,
            segment_size,
            src_ip,
        };
        if self.state.try_send((&self.socket).into(), &send).is_err() {
            let lost = contents.len().div_ceil(segment_size.unwrap_or(contents.len()).max(1));
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "send").increment(lost as u64);
        }
    }
}
