//! The sockets of a session: UDP on one or several addresses, TCP to the server (RFC 4571 framing) where UDP does not get through, and
//! addresses at TURN servers.

mod stun;
mod turn;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use str0m::net::{Protocol, Transmit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use self::stun::Binding;
use self::turn::Turn;

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
    turn: Vec<Turn>,
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
/// A STUN server that has not answered is asked again after this, and after twice this.
const STUN_PAUSE: Duration = Duration::from_millis(250);
const STUN_ATTEMPTS: u32 = 3;

impl Transport {
    pub fn new() -> Self {
        let (arrival, arrived) = mpsc::channel(QUEUE);
        Self {
            udp: Vec::new(),
            tcp: None,
            turn: Vec::new(),
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

    /// Asks a STUN server which address a NAT gives our socket. Before the session begins: other packets are lost meanwhile.
    pub async fn reflexive(&mut self, local: SocketAddr, server: SocketAddr) -> std::io::Result<SocketAddr> {
        let socket = self.udp.iter().find(|(address, _)| *address == local);
        let socket = socket.map(|(_, socket)| socket.clone());
        let socket = socket.ok_or_else(|| std::io::Error::other("there is no such socket"))?;
        let binding = Binding::new();
        for attempt in 1..=STUN_ATTEMPTS {
            socket.send_to(binding.request(), server).await?;
            let answer = async {
                loop {
                    let datagram = self.receive().await;
                    if datagram.from == server
                        && let Some(address) = binding.read(&datagram.bytes)
                    {
                        return address;
                    }
                }
            };
            if let Ok(address) = tokio::time::timeout(attempt * STUN_PAUSE, answer).await {
                return Ok(address);
            }
        }
        Err(std::io::ErrorKind::TimedOut.into())
    }

    /// Gets an address of a TURN server; answers with it, and with our end of the way to the server.
    pub async fn add_turn(
        &mut self,
        server: SocketAddr,
        username: &str,
        password: &str,
    ) -> std::io::Result<(SocketAddr, SocketAddr)> {
        let turn = Turn::allocate(server, username, password, self.arrival.clone()).await?;
        let addresses = (turn.relayed(), turn.local());
        self.turn.push(turn);
        Ok(addresses)
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
            let turn = self.turn.iter().find(|turn| turn.relayed() == transmit.source);
            if let Some((_, socket)) = socket {
                let _lost = socket.try_send_to(&transmit.contents, transmit.destination);
            } else if let Some(turn) = turn {
                turn.send(transmit.destination, &transmit.contents);
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
