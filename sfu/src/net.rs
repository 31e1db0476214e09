//! A worker's sockets: one UDP socket with batched receive and segmented send, and ICE-TCP on the same port.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use metrics::counter;
use quinn_udp::{RecvMeta, UdpSocketState};
use str0m::net::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::egress::Path;

/// Datagrams read in one system call, and the room for each (with GRO a read can hold many).
const BATCH: usize = 16;
const READ_SIZE: usize = 65_536;
/// Kernel buffers of the media socket, bytes: a key frame to a few hundred viewers.
const KERNEL_BUFFER: usize = 4 * 1024 * 1024;
/// Frames waiting for one TCP peer; a peer beyond it loses frames, as on UDP.
const TCP_QUEUE: usize = 512;
/// ICE-TCP connections of one worker, whoever they are from: descriptors are for members.
const TCP_PEERS: usize = 4096;
/// A connection without a frame for so long is closed: checks of consent come every few seconds (RFC 7675 §5.1).
const TCP_SILENCE: Duration = Duration::from_secs(30);

/// What came from the network.
pub struct Datagram<'a> {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub proto: Protocol,
    pub bytes: &'a [u8],
}

pub struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: [Vec<u8>; BATCH],
    /// Our address as clients know it, for those that arrive at one that was not advertised (behind NAT).
    advertised: Vec<SocketAddr>,
    local: SocketAddr,
}

impl Udp {
    pub fn bind(address: SocketAddr, advertised: Vec<SocketAddr>) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        // As much as the system permits; less is no reason not to start.
        let _permitted = state.set_send_buffer_size((&socket).into(), KERNEL_BUFFER);
        let _permitted = state.set_recv_buffer_size((&socket).into(), KERNEL_BUFFER);
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let local = socket.local_addr()?;
        let buffers = std::array::from_fn(|_| vec![0; READ_SIZE]);
        Ok(Self {
            socket,
            state,
            buffers,
            advertised,
            local,
        })
    }

    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Reads one batch and hands each datagram to `take`. Answers how many reads the batch held: 0, there was none.
    pub fn receive(&mut self, mut take: impl FnMut(Datagram<'_>)) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices = self.buffers.each_mut().map(|buffer| io::IoSliceMut::new(buffer));
        let received = self.socket.try_io(Interest::READABLE, || {
            self.state.recv((&self.socket).into(), &mut slices, &mut metas)
        });
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas.iter().zip(&self.buffers).take(count) {
            let to = destination(meta.dst_ip, self.local, &self.advertised);
            for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                take(Datagram {
                    from: meta.addr,
                    to,
                    proto: Protocol::Udp,
                    bytes,
                });
            }
        }
        Ok(count)
    }

    /// Sends `bytes` as datagrams of `segment` bytes, of which the last may be shorter. What the kernel has no room for is
    /// dropped, as the network would.
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
        // An advertised address that is not ours (NAT) cannot be a source.
        let src_ip =
            Some(path.from.ip()).filter(|ip| self.local.ip().is_unspecified() && local_addresses().contains(ip));
        let send = quinn_udp::Transmit {
            destination: path.to,
            ecn: None,
            contents,
            segment_size,
            src_ip,
        };
        let sent = self
            .socket
            .try_io(Interest::WRITABLE, || self.state.try_send((&self.socket).into(), &send));
        if sent.is_err() {
            let lost = contents.len().div_ceil(segment_size.unwrap_or(contents.len()).max(1));
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "send").increment(lost as u64);
        }
    }
}

/// The addresses of all interfaces, IPv4 first. Read once: interfaces of a server do not come and go.
pub fn local_addresses() -> &'static [IpAddr] {
    static ADDRESSES: std::sync::OnceLock<Vec<IpAddr>> = std::sync::OnceLock::new();
    ADDRESSES.get_or_init(|| {
        let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
            .unwrap_or_default()
            .iter()
            .map(if_addrs::Interface::ip)
            .filter(|ip| match ip {
                IpAddr::V4(_) => true,
                // Link-local addresses need a scope, which candidates cannot carry.
                IpAddr::V6(ip) => !ip.is_unicast_link_local(),
            })
            .collect();
        addresses.sort_by_key(|ip| (ip.is_ipv6(), ip.is_loopback(), *ip));
        addresses.dedup();
        addresses
    })
}

/// Our side of a datagram as an advertised candidate: str0m takes only those.
fn destination(arrived_at: Option<IpAddr>, local: SocketAddr, advertised: &[SocketAddr]) -> SocketAddr {
    let at = SocketAddr::new(arrived_at.unwrap_or(local.ip()), local.port());
    if advertised.contains(&at) {
        return at;
    }
    advertised
        .iter()
        .find(|candidate| candidate.is_ipv4() == at.is_ipv4())
        .copied()
        .unwrap_or(at)
}

/// A frame from an ICE-TCP peer.
pub struct TcpFrame {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// ICE-TCP: two-byte length framing both ways (RFC 4571 §2).
pub struct Tcp {
    listener: TcpListener,
    advertised: Vec<SocketAddr>,
    peers: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>,
    frames: mpsc::Sender<TcpFrame>,
}

impl Tcp {
    pub fn bind(address: SocketAddr, advertised: Vec<SocketAddr>, frames: mpsc::Sender<TcpFrame>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            advertised,
            peers: HashMap::new(),
            frames,
        })
    }

    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.listener.accept().await
    }

    /// Serves an accepted connection on a task of its own, which ends with it. Beyond [`TCP_PEERS`] it is closed.
    pub fn serve(&mut self, stream: TcpStream, from: SocketAddr) {
        let to = match stream.local_addr() {
            Ok(local) => destination(Some(local.ip()), local, &self.advertised),
            Err(_) => return,
        };
        self.peers.retain(|_, sender| !sender.is_closed());
        if self.peers.len() >= TCP_PEERS {
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "tcp_peers").increment(1);
            return;
        }
        let _slow_start_only = stream.set_nodelay(true);
        let (sender, queue) = mpsc::channel::<Vec<u8>>(TCP_QUEUE);
        self.peers.insert(from, sender);
        let frames = self.frames.clone();
        tokio::spawn(async move {
            let (read, write) = stream.into_split();
            // Either end of it is the connection's end: nothing of it stays behind.
            tokio::select! {
                () = write_frames(write, queue) => {}
                () = read_frames(read, from, to, frames) => {}
            }
        });
    }

    /// Queues a frame; a peer whose queue is full loses it.
    pub fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        if let Some(peer) = self.peers.get(&to)
            && peer.try_send(bytes.to_vec()).is_err()
        {
            counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "tcp_queue").increment(1);
        }
    }
}

async fn write_frames(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        let Ok(length) = u16::try_from(bytes.len()) else {
            continue;
        };
        let framed = [&length.to_be_bytes(), bytes.as_slice()].concat();
        if write.write_all(&framed).await.is_err() {
            break;
        }
    }
}

async fn read_frames(mut read: OwnedReadHalf, from: SocketAddr, to: SocketAddr, frames: mpsc::Sender<TcpFrame>) {
    loop {
        let frame = async {
            let length = read.read_u16().await?;
            let mut bytes = vec![0; length.into()];
            read.read_exact(&mut bytes).await.map(|_| bytes)
        };
        let Ok(Ok(bytes)) = timeout(TCP_SILENCE, frame).await else {
            break;
        };
        if frames.send(TcpFrame { from, to, bytes }).await.is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resolves when nothing of the only connection is left.
    async fn ended(tcp: &Tcp) {
        let peer = tcp.peers.values().next().unwrap().clone();
        peer.closed().await;
    }

    async fn connected(tcp: &mut Tcp) -> TcpStream {
        let address = tcp.listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), tcp.accept());
        let (stream, from) = accepted.unwrap();
        tcp.serve(stream, from);
        client.unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_or_silent_leaves_nothing_behind() {
        let (frames, mut queue) = mpsc::channel(4);
        let mut tcp = Tcp::bind("127.0.0.1:0".parse().unwrap(), Vec::new(), frames).unwrap();
        let mut client = connected(&mut tcp).await;
        client.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
        assert_eq!(queue.recv().await.unwrap().bytes, [1, 2, 3]);
        drop(client);
        ended(&tcp).await;
        tcp.peers.clear();
        let silent = connected(&mut tcp).await;
        tokio::time::pause();
        ended(&tcp).await;
        drop(silent);
    }
}
