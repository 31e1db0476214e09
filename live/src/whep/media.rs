//! The UDP sockets of all viewers: one port on each address of this machine. A viewer is found by the ICE user name of a check, and then by
//! their address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rotunda_client::own_addresses;
use str0m::ice::StunMessage;
use str0m::net::Transmit;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Datagrams of one viewer that wait to be read; more are lost, as on the network.
const QUEUE: usize = 64;
const LONGEST: usize = 2048;
/// Addresses of one viewer, at most.
const MOST_SOURCES: usize = 16;

/// A datagram that came.
#[derive(Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    /// Where, as the viewer sees it.
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// See the [module](self). Dropping it closes the sockets.
pub struct Media {
    sockets: Vec<Socket>,
    routes: Arc<Mutex<Routes>>,
    _readers: JoinSet<()>,
}

struct Socket {
    /// Its addresses as viewers see them.
    told: Vec<SocketAddr>,
    socket: Arc<UdpSocket>,
}

#[derive(Default)]
struct Routes {
    viewers: HashMap<String, Route>,
    by_address: HashMap<SocketAddr, String>,
}

struct Route {
    datagrams: mpsc::Sender<Datagram>,
    addresses: Vec<SocketAddr>,
}

/// The datagrams of one viewer, until it is dropped.
pub struct Datagrams {
    user_name: String,
    routes: Arc<Mutex<Routes>>,
    arrived: mpsc::Receiver<Datagram>,
}

impl Media {
    /// `port`: 0: any. `advertise`: told to viewers in place of this machine's own addresses.
    pub async fn bind(port: u16, advertise: &[IpAddr]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        if advertise.is_empty() {
            let (mut port, mut failed) = (port, None);
            for address in own_addresses() {
                match UdpSocket::bind(SocketAddr::new(address, port)).await {
                    Ok(socket) => {
                        let local = socket.local_addr()?;
                        // The same port on all addresses.
                        port = local.port();
                        sockets.push(Socket {
                            told: vec![local],
                            socket: Arc::new(socket),
                        });
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed.filter(|_| sockets.is_empty()) {
                return Err(error);
            }
        } else {
            let socket = UdpSocket::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).await?;
            let port = socket.local_addr()?.port();
            sockets.push(Socket {
                told: advertise
                    .iter()
                    .map(|address| SocketAddr::new(*address, port))
                    .collect(),
                socket: Arc::new(socket),
            });
        }
        Ok(Self::over(sockets))
    }

    fn over(sockets: Vec<Socket>) -> Self {
        let routes = Arc::default();
        let mut readers = JoinSet::new();
        for Socket { told, socket } in &sockets {
            if let Some(to) = told.first() {
                readers.spawn(read(socket.clone(), *to, Arc::clone(&routes)));
            }
        }
        Self {
            sockets,
            routes,
            _readers: readers,
        }
    }

    /// Addresses for the answers to viewers.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().flat_map(|socket| &socket.told).copied().collect()
    }

    /// The datagrams for the session with this ICE user name; None: another session has it.
    pub fn register(&self, user_name: &str) -> Option<Datagrams> {
        let (datagrams, arrived) = mpsc::channel(QUEUE);
        let mut routes = lock(&self.routes);
        if routes.viewers.contains_key(user_name) {
            return None;
        }
        let route = Route {
            datagrams,
            addresses: Vec::new(),
        };
        routes.viewers.insert(user_name.to_owned(), route);
        Some(Datagrams {
            user_name: user_name.to_owned(),
            routes: self.routes.clone(),
            arrived,
        })
    }

    /// A datagram that cannot be sent now is lost.
    pub fn send(&self, transmit: &Transmit) {
        let socket = self
            .sockets
            .iter()
            .find(|socket| socket.told.contains(&transmit.source));
        if let Some(Socket { socket, .. }) = socket {
            let _lost = socket.try_send_to(&transmit.contents, transmit.destination);
        }
    }
}

impl Datagrams {
    /// The next datagram. Cancel-safe.
    pub async fn receive(&mut self) -> Datagram {
        match self.arrived.recv().await {
            Some(datagram) => datagram,
            // Not so as long as the route is there.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        lock(&self.routes).remove(&self.user_name);
    }
}

impl Routes {
    fn handle(&mut self, datagram: Datagram) {
        // A check decides anew whose address it is.
        if let Some(user_name) = checked(&datagram.bytes) {
            self.learn(&user_name, datagram.from);
        }
        let user_name = self.by_address.get(&datagram.from);
        if let Some(route) = user_name.and_then(|name| self.viewers.get(name)) {
            let _full = route.datagrams.try_send(datagram);
        }
    }

    fn learn(&mut self, user_name: &str, from: SocketAddr) {
        if self.by_address.get(&from).is_some_and(|known| known == user_name) {
            return;
        }
        let Some(route) = self.viewers.get_mut(user_name) else {
            return;
        };
        if route.addresses.len() >= MOST_SOURCES {
            let oldest = route.addresses.remove(0);
            self.by_address.remove(&oldest);
        }
        route.addresses.push(from);
        self.by_address.insert(from, user_name.to_owned());
    }

    fn remove(&mut self, user_name: &str) {
        self.viewers.remove(user_name);
        self.by_address.retain(|_, known| known != user_name);
    }
}

/// The user name that a STUN request is for (RFC 8445 §7.2.2): that of our side comes first.
fn checked(bytes: &[u8]) -> Option<String> {
    // RFC 7983: STUN.
    if bytes.first().is_none_or(|first| *first > 3) {
        return None;
    }
    let message = StunMessage::parse(bytes).ok()?;
    let (ours, _) = message.split_username().filter(|_| message.is_binding_request())?;
    Some(ours.to_owned())
}

/// Datagrams of strangers reach nobody, and a viewer keeps few addresses.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz(data: &[u8]) {
    let mut routes = Routes::default();
    let (datagrams, mut arrived) = mpsc::channel(QUEUE);
    let route = Route {
        datagrams,
        addresses: Vec::new(),
    };
    routes.viewers.insert("ours".to_owned(), route);
    for port in 1..100 {
        let from = SocketAddr::from(([127, 0, 0, 1], port));
        let bytes = data.to_vec();
        routes.handle(Datagram { from, to: from, bytes });
    }
    assert!(routes.by_address.len() <= MOST_SOURCES);
    if checked(data).is_none_or(|user_name| user_name != "ours") {
        assert!(arrived.try_recv().is_err(), "a stranger's datagram");
    }
}

async fn read(socket: Arc<UdpSocket>, to: SocketAddr, routes: Arc<Mutex<Routes>>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // An error is an ICMP message about an earlier packet.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let bytes = buffer[..length].to_vec();
        lock(&routes).handle(Datagram { from, to, bytes });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
