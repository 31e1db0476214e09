//! The sockets of a session: UDP on one or several addresses, and TCP to the server (RFC 4571 framing) where UDP does not get through.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use str0m::net::{Protocol, Transmit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

/// A packet that came.
pub struct Datagram {
    pub protocol: Protocol,
    pub from: SocketAddr,
    pub local: SocketAddr,
    pub bytes: Vec<u8>,
}

/// See the [module](self). Dropping it closes everything.
pub struct Transport {
    udp: Vec<(SocketAddr, Rc<UdpSocket>)>,
    tcp: Option<Tcp>,
    readers: Vec<JoinHandle<()>>,
    arrived: mpsc::Receiver<Datagram>,
    arrival: mpsc::Sender<Datagram>,
}

struct Tcp {
    peer: SocketAddr,
    packets: mpsc::Sender<Vec<u8>>,
}

/// Packets between the sockets and the session, either way; more are lost, as on the network.
const QUEUE: usize = 256;
const LONGEST: usize = 2048;

impl Transport {
    pub fn new() -> Self {
        let (arrival, arrived) = mpsc::channel(QUEUE);
        Self {
            udp: Vec::new(),
            tcp: None,
            readers: Vec::new(),
            arrived,
            arrival,
        }
    }

    /// Listens on this address, on `port` if it is free; answers with the port.
    pub async fn add_udp(&mut self, ip: IpAddr, port: u16) -> std::io::Result<SocketAddr> {
        let socket = match UdpSocket::bind(SocketAddr::new(ip, port)).await {
            Err(_) if port != 0 => UdpSocket::bind(SocketAddr::new(ip, 0)).await?,
            bound => bound?,
        };
        let local = socket.local_addr()?;
        let socket = Rc::new(socket);
        let (reading, arrival) = (socket.clone(), self.arrival.clone());
        self.readers.push(spawn_local(async move {
            let mut buffer = vec![0; LONGEST];
            loop {
                // An error is an ICMP message about an earlier packet.
                let Ok((length, from)) = reading.recv_from(&mut buffer).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let datagram = Datagram {
                    protocol: Protocol::Udp,
                    from,
                    local,
                    bytes: buffer[..length].to_vec(),
                };
                if arrival.send(datagram).await.is_err() {
                    return;
                }
            }
        }));
        self.udp.push((local, socket));
        Ok(local)
    }

    /// Takes a connection to the server's TCP candidate; answers with our end's address.
    pub fn add_tcp(&mut self, stream: TcpStream) -> std::io::Result<SocketAddr> {
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        stream.set_nodelay(true)?;
        let (mut read, mut write) = stream.into_split();
        let (packets, mut waiting) = mpsc::channel::<Vec<u8>>(QUEUE);
        let arrival = self.arrival.clone();
        self.readers.push(spawn_local(async move {
            while let Ok(length) = read.read_u16().await {
                let mut bytes = vec![0; usize::from(length)];
                if read.read_exact(&mut bytes).await.is_err() {
                    return;
                }
                let datagram = Datagram {
                    protocol: Protocol::Tcp,
                    from: peer,
                    local,
                    bytes,
                };
                if arrival.send(datagram).await.is_err() {
                    return;
                }
            }
        }));
        self.readers.push(spawn_local(async move {
            while let Some(packet) = waiting.recv().await {
                if write.write_all(&packet).await.is_err() {
                    return;
                }
            }
        }));
        self.tcp = Some(Tcp { peer, packets });
        Ok(local)
    }

    /// The next packet. Cancel-safe.
    pub async fn receive(&mut self) -> Datagram {
        match self.arrived.recv().await {
            Some(datagram) => datagram,
            // Not so as long as `self.arrival` is there.
            None => std::future::pending().await,
        }
    }

    /// A datagram that cannot be sent now is lost.
    pub fn send(&self, transmit: &Transmit) {
        if transmit.proto == Protocol::Udp {
            let socket = self.udp.iter().find(|(local, _)| *local == transmit.source);
            if let Some((_, socket)) = socket {
                let _lost = socket.try_send_to(&transmit.contents, transmit.destination);
            }
        } else if let Some(tcp) = self.tcp.as_ref().filter(|tcp| tcp.peer == transmit.destination) {
            let contents: &[u8] = &transmit.contents;
            if let Ok(length) = u16::try_from(contents.len()) {
                let packet = [length.to_be_bytes().as_slice(), contents].concat();
                let _lost = tcp.packets.try_send(packet);
            }
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}
