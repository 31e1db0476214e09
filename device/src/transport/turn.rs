//! An allocation at a TURN server (RFC 8656): an address of the server whose packets come here.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use str0m::net::Protocol;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use turn_client_proto::api::{Transmit, TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::stun::Instant as TurnInstant;
use turn_client_proto::types::{TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use super::{Datagram, LONGEST, QUEUE};

/// Packets for peers whose permission the server has not given yet; more are lost, as on the network.
const WAITING: usize = 16;
/// The client is not asked more often than this when it has nothing to do.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// An allocation; dropping it gives the address back.
pub struct Turn {
    relayed: SocketAddr,
    local: SocketAddr,
    packets: mpsc::Sender<(SocketAddr, Vec<u8>)>,
}

impl Turn {
    /// Asks the server for an address. Errors: the server cannot be reached, or refuses.
    pub async fn allocate(
        server: SocketAddr,
        username: &str,
        password: &str,
        arrival: mpsc::Sender<Datagram>,
    ) -> std::io::Result<Self> {
        let any: SocketAddr = match server.is_ipv4() {
            true => ([0, 0, 0, 0], 0).into(),
            false => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        let local = socket.local_addr()?;
        let credentials = TurnCredentials::new(username, password);
        let client = TurnClientUdp::allocate(local, server, TurnConfig::new(credentials));
        let (packets, waiting) = mpsc::channel(QUEUE);
        let (created, creation) = oneshot::channel();
        let allocation = Allocation {
            client,
            socket,
            start: Clock.now(),
            relayed: None,
            created: Some(created),
            waiting: VecDeque::new(),
            arrival,
        };
        spawn_local(allocation.run(waiting));
        let relayed = creation.await.ok();
        let relayed = relayed.ok_or_else(|| std::io::Error::other("the TURN server has refused the allocation"))?;
        Ok(Self {
            relayed,
            local,
            packets,
        })
    }

    /// The server's address: a relayed candidate.
    pub fn relayed(&self) -> SocketAddr {
        self.relayed
    }

    /// Our end of the way to the server.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// A packet that cannot be sent now is lost.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let _lost = self.packets.try_send((to, bytes.to_vec()));
    }
}

struct Allocation {
    client: TurnClientUdp,
    socket: UdpSocket,
    start: Instant,
    relayed: Option<SocketAddr>,
    created: Option<oneshot::Sender<SocketAddr>>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    arrival: mpsc::Sender<Datagram>,
}

/// Whether an allocation goes on.
#[derive(PartialEq, Eq)]
enum Goes {
    On,
    Over,
}

impl Allocation {
    async fn run(mut self, mut packets: mpsc::Receiver<(SocketAddr, Vec<u8>)>) {
        let clock = Clock;
        let mut buffer = vec![0; LONGEST];
        loop {
            let now = clock.now();
            let TurnPollRet::WaitUntil(until) = self.client.poll(self.turn_time(now)) else {
                return;
            };
            if self.handle_events(now) == Goes::Over {
                return;
            }
            self.flush(now);
            let wait = self.start + Duration::from_nanos(until.as_nanos().unsigned_abs());
            tokio::select! {
                received = self.socket.recv(&mut buffer) => {
                    // An error is an ICMP message about an earlier packet.
                    if let Ok(length) = received {
                        self.receive(clock.now(), buffer[..length].to_vec());
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
                packet = packets.recv() => match packet {
                    Some((to, bytes)) => self.send(clock.now(), to, bytes),
                    None => break,
                },
                () = clock.sleep_until(wait.max(now + SHORTEST_WAIT)) => {}
            }
        }
        let now = clock.now();
        // The server forgets it in time by itself.
        let _gives_up = self.client.delete(self.turn_time(now));
        self.flush(now);
    }

    fn turn_time(&self, now: Instant) -> TurnInstant {
        let nanoseconds = now.saturating_duration_since(self.start).as_nanos();
        TurnInstant::from_nanos(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
    }

    fn handle_events(&mut self, now: Instant) -> Goes {
        while let Some(event) = self.client.poll_event() {
            match event {
                TurnEvent::AllocationCreated(_, address) => {
                    self.relayed = Some(address);
                    if let Some(created) = self.created.take() {
                        let _gone = created.send(address);
                    }
                }
                TurnEvent::AllocationCreateFailed(_) => return Goes::Over,
                TurnEvent::PermissionCreated(_, peer) => {
                    let (ready, rest) = self.waiting.drain(..).partition(|(to, _)| to.ip() == peer);
                    self.waiting = rest;
                    let ready: VecDeque<(SocketAddr, Vec<u8>)> = ready;
                    for (to, bytes) in ready {
                        self.send(now, to, bytes);
                    }
                }
                _ => {}
            }
        }
        Goes::On
    }

    fn send(&mut self, now: Instant, to: SocketAddr, bytes: Vec<u8>) {
        let at = self.turn_time(now);
        if !self.client.have_permission(TransportType::Udp, to.ip()) {
            // It fails where it is asked for already.
            let _asked = self.client.create_permission(TransportType::Udp, to.ip(), at);
            if self.waiting.len() == WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back((to, bytes));
            return;
        }
        if let Ok(Some(transmit)) = self.client.send_to(TransportType::Udp, to, bytes, at) {
            let _lost = self.socket.try_send(&transmit.build().data);
        }
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) {
        let (from, to) = (self.client.remote_addr(), self.client.local_addr());
        let transmit = Transmit::new(bytes, TransportType::Udp, from, to);
        let at = self.turn_time(now);
        if let TurnRecvRet::PeerData(data) = self.client.recv(transmit, at)
            && let Some(relayed) = self.relayed
        {
            let datagram = Datagram {
                protocol: Protocol::Udp,
                from: data.peer,
                local: relayed,
                bytes: data.data().to_vec(),
            };
            let _lost = self.arrival.try_send(datagram);
        }
    }

    fn flush(&mut self, now: Instant) {
        let at = self.turn_time(now);
        while let Some(transmit) = self.client.poll_transmit(at) {
            let _lost = self.socket.try_send(&transmit.data);
        }
    }
}
