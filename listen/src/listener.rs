//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::clock::Clock;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout_at;
use tracing::{debug, warn};

use crate::admission::{Admission, Most, Place, Refusal};
use crate::proxy_protocol::{self, Parsed, ProxyHeaderError};
use crate::stream::{Patience, Stream};
use crate::tls::Tls;
use crate::trusted::TrustedProxies;

/// Pause after a failed accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// The shortest time between two log lines about a reached limit.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The rules that all listeners of the process share.
#[derive(Debug, Clone)]
pub struct Policy {
    pub trusted: TrustedProxies,
    /// Trusted proxies begin each connection with a PROXY protocol header.
    pub proxy_protocol: bool,
    pub per_address: usize,
    pub header: Duration,
    pub body: Duration,
    pub idle: Duration,
}

/// Binds listeners.
#[derive(Clone)]
pub struct Listeners {
    policy: Arc<Policy>,
    tls: Option<Tls>,
}

/// The name, address and limits of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Label of its metrics.
    pub name: &'static str,
    pub address: SocketAddr,
    /// Maximum concurrent connections.
    pub open: usize,
    /// How many of them may be other than WebSocket.
    pub plain: usize,
    pub security: Security,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS if it is configured.
    Tls,
    Plain,
}

/// A listener of the process.
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    tls: Option<Tls>,
    policy: Arc<Policy>,
    admission: Arc<Admission>,
    warned_at: Option<Instant>,
}

/// An admitted connection whose first bytes have not been read yet.
pub struct Incoming {
    name: &'static str,
    socket: TcpStream,
    tls: Option<Tls>,
    peer: SocketAddr,
    place: Arc<Place>,
    policy: Arc<Policy>,
    accepted_at: Instant,
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    /// The client, or the nearest proxy that does not name the client.
    pub peer: SocketAddr,
    /// The peer is a trusted proxy, so its forwarded headers are trusted.
    pub is_proxy: bool,
}

/// Why a connection could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the client did not send its first bytes in time")]
    Slow,
    #[error("the proxy's header is refused")]
    ProxyHeader(#[from] ProxyHeaderError),
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("the client is refused")]
    Refused(#[from] Refusal),
}

impl Listeners {
    pub fn new(policy: Policy, tls: Option<Tls>) -> Self {
        let policy = Arc::new(policy);
        Self { policy, tls }
    }

    pub async fn bind(&self, binding: Binding) -> io::Result<Listener> {
        let socket = TcpListener::bind(binding.address).await?;
        let most = Most {
            open: binding.open,
            plain: binding.plain,
            per_address: self.policy.per_address,
        };
        Ok(Listener {
            name: binding.name,
            socket,
            tls: self.tls.clone().filter(|_| binding.security == Security::Tls),
            policy: self.policy.clone(),
            admission: Admission::new(binding.name, most),
            warned_at: None,
        })
    }
}

impl Listener {
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The next admitted connection; refused ones are closed at once. Cancel-safe.
    pub async fn accept(&mut self) -> Incoming {
        let listener = self.name;
        loop {
            let (socket, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_connection(&error) => continue,
                Err(error) => {
                    // Usually the process has no file descriptor left: the next attempt would fail at once too.
                    self.warn(
                        Clock.now(),
                        || warn!(%error, listener, "a connection could not be accepted"),
                    );
                    Clock.sleep_until(Clock.now() + ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let admitted = self.admission.enter().and_then(|place| {
                if !self.policy.trusted.contains(peer.ip()) {
                    place.hold(self.admission.enter_from(peer.ip())?);
                }
                Ok(place)
            });
            match admitted {
                Ok(place) => {
                    // Signaling consists of small messages that a client waits for: none may wait for the next one.
                    let _works_slower = socket.set_nodelay(true);
                    return Incoming {
                        name: self.name,
                        socket,
                        tls: self.tls.clone(),
                        peer,
                        place: Arc::new(place),
                        policy: self.policy.clone(),
                        accepted_at: Clock.now(),
                    };
                }
                Err(refusal) => {
                    count(self.name, refusal);
                    let hint = match refusal {
                        Refusal::Full | Refusal::Plain => "raise server.limits, or check the clients that connect",
                        Refusal::Address => {
                            "one address has many connections: add it to server.trusted_proxies if it is your own proxy"
                        }
                    };
                    self.warn(
                        Clock.now(),
                        || warn!(listener, %peer, %refusal, hint, "a connection is refused"),
                    );
                }
            }
        }
    }

    fn warn(&mut self, now: Instant, write: impl FnOnce()) {
        let due = self
            .warned_at
            .is_none_or(|at| now.saturating_duration_since(at) >= WARN_EVERY);
        if due {
            write();
            self.warned_at = Some(now);
        }
    }
}

impl Incoming {
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Reads the proxy's header, if one is expected, and does the TLS handshake.
    pub async fn open(self) -> Result<Connection, OpenError> {
        let name = self.name;
        let opened = self.try_open().await;
        if let Err(error) = &opened {
            let reason = match error {
                OpenError::Io(_) => "broken",
                OpenError::Slow => "slow",
                OpenError::ProxyHeader(_) => "proxy_header",
                OpenError::Tls(_) => "tls",
                OpenError::Refused(_) => "address",
            };
            counter!("rotunda_listener_refused_total", "listener" => name, "reason" => reason).increment(1);
            debug!(
                listener = name,
                error = error as &dyn std::error::Error,
                "a connection could not be opened"
            );
        }
        opened
    }

    async fn try_open(self) -> Result<Connection, OpenError> {
        let Self {
            name,
            mut socket,
            tls,
            mut peer,
            place,
            policy,
            accepted_at,
        } = self;
        let by = accepted_at + policy.header;
        if policy.proxy_protocol && policy.trusted.contains(peer.ip()) {
            let header = timeout_at(by.into(), proxy_header(&mut socket));
            if let Some(client) = header.await.map_err(|_| OpenError::Slow)?? {
                peer = client;
                if !policy.trusted.contains(peer.ip()) {
                    place.hold(place.admission().enter_from(peer.ip())?);
                }
            }
        }
        let is_proxy = policy.trusted.contains(peer.ip());
        // A proxy may open connections before it has requests for them.
        let patience = Patience {
            established_by: if is_proxy { accepted_at + policy.idle } else { by },
            idle: policy.idle,
        };
        let stream = match tls {
            None => Stream::plain(socket, place, name, patience),
            Some(tls) => {
                let handshake = timeout_at(by.into(), tls.acceptor().accept(socket));
                let socket = handshake.await.map_err(|_| OpenError::Slow)?.map_err(OpenError::Tls)?;
                Stream::tls(socket, place, name, patience)
            }
        };
        Ok(Connection { stream, peer, is_proxy })
    }
}

/// Counts a refusal of a connection or request.
pub(crate) fn count(name: &'static str, refusal: Refusal) {
    let reason = match refusal {
        Refusal::Full => "full",
        Refusal::Plain => "plain",
        Refusal::Address => "address",
    };
    counter!("rotunda_listener_refused_total", "listener" => name, "reason" => reason).increment(1);
}

async fn proxy_header(socket: &mut TcpStream) -> Result<Option<SocketAddr>, OpenError> {
    let mut header = Vec::new();
    loop {
        match proxy_protocol::parse(&header)? {
            Parsed::Needs(more) => {
                let end = header.len();
                header.resize(end + more, 0);
                socket.read_exact(&mut header[end..]).await?;
            }
            Parsed::Done(client) => return Ok(client),
        }
    }
}

/// Errors of one connection that ended while it waited, not of the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
