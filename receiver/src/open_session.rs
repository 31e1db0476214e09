//! The shell of a [`Receiver`] at an SFU node: how it is opened, its socket, and its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rotunda_bus::{BusError, BusExt, SharedBus, Subscription};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{NodeId, RoomKey, SessionId, Source};
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_proto::sfu::{Command, ControlError, Identity, Moved, Reply, control_subject, session_subject};
use rotunda_proto::ticket::ClusterSecret;
use thiserror::Error;
use tokio::time::timeout;

use crate::receiver::{LineCounts, Polled, Receiver, ReceiverError, first_address};
use crate::sample::Sample;
use crate::socket::Socket;
use crate::wants::Wants;

/// A session that is to take over connects within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// It takes over with its first frame, or after this time: perhaps nobody sends anything.
const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
pub enum SessionError {
    #[error("the room has no SFU node")]
    NoRoom,
    #[error("the bus")]
    Bus(#[from] BusError),
    #[error("the SFU refused")]
    Refused(#[from] ControlError),
    #[error("the SFU gave a reply of the wrong kind")]
    WrongReply,
    #[error("the socket")]
    Socket(#[from] std::io::Error),
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    #[error("the connection is lost")]
    Lost,
    #[error("the connection was not made in time")]
    NotConnected,
    #[error("the video of {} was malformed and filled the memory", video.user)]
    Hoarded { video: Source },
}

/// What sessions of a service in a room are opened with.
pub struct Opener {
    pub room: RoomKey,
    pub bus: SharedBus,
    pub secret: ClusterSecret,
    pub lines: LineCounts,
    pub origin: Instant,
    pub gather: Option<Duration>,
}

/// A session that is open at an SFU node.
pub struct OpenSession {
    pub connection: Connection,
    pub session: SessionId,
    pub node: NodeId,
    pub subject: String,
    /// Events of the SFU for this session alone.
    pub events: Subscription,
    /// The frame with which it takes over.
    pub first: Option<Sample>,
}

/// A receiver and its socket.
pub struct Connection {
    pub receiver: Receiver,
    socket: Socket,
    /// When the socket was last read.
    read_at: Instant,
    gather: Option<Duration>,
}

impl Opener {
    /// `number`: no earlier session of the service had it.
    pub async fn open(&self, number: u64) -> Result<OpenSession, SessionError> {
        let (info, _) = self
            .bus
            .load::<RoomInfo>(&info_key(&self.room))
            .await?
            .ok_or(SessionError::NoRoom)?;
        let (mut receiver, offer, lines) = Receiver::new(Clock.now(), self.origin, number, self.lines)?;
        let session = SessionId(rand::random());
        let events = self.bus.subscribe(&session_subject(session)).await?;
        let ticket = self.secret.issue_ticket(&self.room, Clock.unix());
        let command = Command::Open {
            session,
            room: self.room.clone(),
            identity: Identity::Service { ticket },
            offer,
            lines,
            nodes: info.sfu_nodes().cloned().collect(),
        };
        let (node, answer) = self.open_at_any(&info, &command).await?;
        let socket = Socket::bind(local_ip_towards(first_address(&answer)?)?)?;
        receiver.handle_answer(&answer, socket.local_addr()?)?;
        Ok(OpenSession {
            connection: Connection {
                receiver,
                socket,
                read_at: Clock.now(),
                gather: self.gather,
            },
            session,
            subject: control_subject(&node),
            node,
            events,
            first: None,
        })
    }

    /// Opens the session at the first of the room's nodes that takes it: all have the room's media. Answers the node and its SDP.
    async fn open_at_any(&self, info: &RoomInfo, command: &Command) -> Result<(NodeId, String), SessionError> {
        let mut refused = SessionError::NoRoom;
        for node in info.sfu_nodes() {
            match self.bus.call::<_, Reply>(&control_subject(node), command).await {
                Ok(Reply::Opened { answer }) => return Ok((node.clone(), answer)),
                Ok(Reply::Refused {
                    error: ControlError::NodeFull,
                }) => refused = ControlError::NodeFull.into(),
                Ok(Reply::Refused { error }) => return Err(error.into()),
                Ok(_) => return Err(SessionError::WrongReply),
                // Dead, or not started again yet.
                Err(error @ BusError::NoResponder(_)) => refused = error.into(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused)
    }

    /// Opens a session that takes over from another one: it has its first frame.
    pub async fn prepare(self, number: u64, wants: Wants) -> Result<OpenSession, SessionError> {
        let mut open = self.open(number).await?;
        let ready = open.get_ready(&self.bus, &wants).await;
        if ready.is_err() {
            open.close(&self.bus, None).await;
        }
        ready.map(|()| open)
    }
}

impl OpenSession {
    async fn get_ready(&mut self, bus: &SharedBus, wants: &Wants) -> Result<(), SessionError> {
        timeout(CONNECT_WITHIN, self.connect())
            .await
            .map_err(|_| SessionError::NotConnected)??;
        // Slots that are taken for now are asked for again when it has taken over.
        let receiver = &mut self.connection.receiver;
        let _waits = receiver.handle_wants(Clock.now(), wants);
        let set = Command::SetSlots {
            session: self.session,
            slots: receiver.slot_map(wants),
        };
        if let Reply::Refused { error } = bus.call::<_, Reply>(&self.subject, &set).await? {
            return Err(error.into());
        }
        let first = timeout(FIRST_FRAME_WITHIN, self.first_frame()).await;
        self.first = first.unwrap_or(Ok(None))?;
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), SessionError> {
        loop {
            match self.connection.next().await? {
                Polled::Connected => return Ok(()),
                Polled::Lost => return Err(SessionError::Lost),
                Polled::Hoarded(video) => return Err(SessionError::Hoarded { video }),
                Polled::Sample(_) | Polled::Transmit(_) | Polled::Timeout(_) => {}
            }
        }
    }

    async fn first_frame(&mut self) -> Result<Option<Sample>, SessionError> {
        loop {
            match self.connection.next().await? {
                Polled::Sample(sample) => return Ok(Some(sample)),
                Polled::Lost => return Err(SessionError::Lost),
                Polled::Hoarded(video) => return Err(SessionError::Hoarded { video }),
                Polled::Connected | Polled::Transmit(_) | Polled::Timeout(_) => {}
            }
        }
    }

    /// `moved`: where the service goes on.
    pub async fn close(&self, bus: &SharedBus, moved: Option<Moved>) {
        let close = Command::Close {
            session: self.session,
            moved,
        };
        // The SFU forgets a session by itself when it hears no more of it.
        let _closed_or_gone: Result<Reply, BusError> = bus.call(&self.subject, &close).await;
    }
}

impl Connection {
    /// Sends and receives until something happens that is neither a datagram nor a timeout. Cancel-safe.
    pub async fn next(&mut self) -> Result<Polled, SessionError> {
        loop {
            let due = match self.receiver.poll()? {
                Polled::Timeout(due) => due,
                Polled::Transmit(transmit) => {
                    self.socket.send(&transmit);
                    continue;
                }
                Polled::Connected => {
                    if let Some(interval) = self.gather {
                        self.socket.gather(interval);
                    }
                    return Ok(Polled::Connected);
                }
                polled => return Ok(polled),
            };
            if let Some(datagram) = self.socket.next_datagram() {
                self.receiver
                    .handle_datagram(datagram.arrived, datagram.from, &datagram.bytes)?;
                continue;
            }
            // After what came before that time.
            if due < self.read_at {
                self.receiver.handle_timeout(self.read_at)?;
                continue;
            }
            tokio::select! {
                readable = self.socket.readable() => readable?,
                () = Clock.sleep_until(due) => {}
            }
            self.read_at = Clock.now();
            self.socket.receive(self.read_at)?;
        }
    }
}

/// The own address that packets to `remote` leave from.
fn local_ip_towards(remote: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let probe = UdpSocket::bind(any)?;
    probe.connect(remote)?;
    Ok(probe.local_addr()?.ip())
}
