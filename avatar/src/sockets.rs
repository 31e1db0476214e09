//! The UDP sockets of one WebRTC session: one for each address of this machine, or one for the addresses that are advertised.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use rand::seq::SliceRandom;
use rotunda_client::own_addresses;
use str0m::net::Transmit;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Datagrams that wait to be read; more are lost, as on the network.
const QUEUE: usize = 256;
const LONGEST: usize = 2048;

/// A datagram that came.
pub struct Datagram {
    pub from: SocketAddr,
    /// Where, as the peer sees it.
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// Where sessions listen.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Told to peers in place of this machine's own.
    pub advertise: Vec<IpAddr>,
    /// None: any port.
    pub ports: Option<RangeInclusive<u16>>,
}

/// See the [module](self). Dropping it closes everything.
pub struct Sockets {
    sockets: Vec<(Vec<SocketAddr>, Arc<UdpSocket>)>,
    arrived: mpsc::Receiver<Datagram>,
    arrival: mpsc::Sender<Datagram>,
    readers: JoinSet<()>,
}

impl Sockets {
    pub async fn bind(addresses: &Addresses) -> io::Result<Self> {
        let mut sockets = Self::none();
        if addresses.advertise.is_empty() {
            let mut failed = None;
            for address in own_addresses() {
                match bind(address, addresses.ports.clone()).await {
                    Ok(socket) => {
                        let local = socket.local_addr()?;
                        sockets.add(vec![local], socket);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed.filter(|_| sockets.sockets.is_empty()) {
                return Err(error);
            }
        } else {
            let socket = bind(Ipv4Addr::UNSPECIFIED.into(), addresses.ports.clone()).await?;
            let port = socket.local_addr()?.port();
            let told = addresses.advertise.iter().map(|ip| SocketAddr::new(*ip, port));
            sockets.add(told.collect(), socket);
        }
        Ok(sockets)
    }

    /// One socket, on this address.
    pub async fn on(address: IpAddr) -> io::Result<Self> {
        let mut sockets = Self::none();
        let socket = UdpSocket::bind(SocketAddr::new(address, 0)).await?;
        let local = socket.local_addr()?;
        sockets.add(vec![local], socket);
        Ok(sockets)
    }

    /// Addresses for the peers' answers.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().flat_map(|(told, _)| told).copied().collect()
    }

    /// The next datagram. Cancel-safe.
    pub async fn receive(&mut self) -> Datagram {
        match self.arrived.recv().await {
            Some(datagram) => datagram,
            // Not so as long as `self.arrival` is there.
            None => std::future::pending().await,
        }
    }

    /// A datagram that cannot be sent now is lost.
    pub fn send(&self, transmit: &Transmit) {
        let socket = self.sockets.iter().find(|(told, _)| told.contains(&transmit.source));
        if let Some((_, socket)) = socket {
            let _lost = socket.try_send_to(&transmit.contents, transmit.destination);
        }
    }

    fn none() -> Self {
        let (arrival, arrived) = mpsc::channel(QUEUE);
        Self {
            sockets: Vec::new(),
            arrived,
            arrival,
            readers: JoinSet::new(),
        }
    }

    fn add(&mut self, told: Vec<SocketAddr>, socket: UdpSocket) {
        let Some(to) = told.first().copied() else { return };
        let socket = Arc::new(socket);
        let (reading, arrival) = (socket.clone(), self.arrival.clone());
        self.readers.spawn(async move {
            let mut buffer = vec![0; LONGEST];
            loop {
                // An error is an ICMP message about an earlier packet.
                let Ok((length, from)) = reading.recv_from(&mut buffer).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let bytes = buffer[..length].to_vec();
                if arrival.send(Datagram { from, to, bytes }).await.is_err() {
                    return;
                }
            }
        });
        self.sockets.push((told, socket));
    }
}

async fn bind(address: IpAddr, ports: Option<RangeInclusive<u16>>) -> io::Result<UdpSocket> {
    let Some(ports) = ports else {
        return UdpSocket::bind(SocketAddr::new(address, 0)).await;
    };
    let mut ports: Vec<u16> = ports.collect();
    ports.shuffle(&mut rand::rng());
    for port in ports {
        match UdpSocket::bind(SocketAddr::new(address, port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "all ports from avatar.media_port_min to avatar.media_port_max are taken",
    ))
}
