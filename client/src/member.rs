//! A member of a room: signaling, one WebRTC session and its socket. [`crate::Participant`] adds a source. When the media server ends, it
//! moves to another one: there are two sessions until the new one is connected.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{OwnStreamId, RecordId, RoomId, SdkAppId, TrackSource, UserId};
use rotunda_proto::signaling::{Event, MediaState, Reply, Request, Role, ServerMessage};
use tokio::net::UdpSocket;

use crate::local_address::local_address;
use crate::media_session::{MediaSession, Received};
use crate::participant::JoinError;
use crate::signaling_client::SignalingClient;
use crate::source::Encoded;

/// A server that does not answer the goodbye in this time is gone.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// The room to enter, and the user who enters it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// For example `ws://127.0.0.1:8080/ws`.
    pub url: String,
    pub app: SdkAppId,
    pub user: UserId,
    pub user_sig: String,
    pub room: RoomId,
    pub private_map_key: Option<String>,
    /// Name of the recording of the member's own media.
    pub record_id: Option<RecordId>,
    /// Live stream of the member's own media.
    pub stream_id: Option<OwnStreamId>,
}

/// A member that has entered its room.
pub struct Member {
    signaling: SignalingClient,
    connection: Connection,
    /// The connection that takes the place of the present one when it is connected.
    next: Option<Next>,
}

/// A connection to another media server.
enum Next {
    /// Its offer went with the request of this id.
    Offered(u64, Connection),
    Answered(Connection),
}

/// A session and its socket.
struct Connection {
    session: MediaSession,
    socket: UdpSocket,
    buffer: Vec<u8>,
}

impl Member {
    /// Logs in, enters the room as an anchor and offers the media session.
    pub async fn enter(entry: Entry) -> Result<Self, JoinError> {
        let Entry {
            url,
            app,
            user,
            user_sig,
            room,
            private_map_key,
            record_id,
            stream_id,
        } = entry;
        let mut signaling = SignalingClient::connect(&url).await?;
        let login = Request::Login {
            sdk_app_id: app,
            user_id: user,
            user_sig,
            resume_token: None,
        };
        signaling.request(login).await?;
        let enter = Request::EnterRoom {
            room_id: room,
            role: Role::Anchor,
            user_define_record_id: record_id,
            stream_id,
            private_map_key,
            pass: None,
        };
        signaling.request(enter).await?;
        let connection = Connection::open(&mut signaling, &url).await?;
        Ok(Self {
            signaling,
            connection,
            next: None,
        })
    }

    /// Takes the seat of a source. Errors: [`JoinError::Signaling`], for example because all seats are taken.
    pub async fn publish(&mut self, source: TrackSource) -> Result<(), JoinError> {
        self.signaling
            .request(Request::Publish { source, muted: false })
            .await?;
        Ok(())
    }

    /// Asks for a video, which comes in one of the slots.
    pub async fn watch(&mut self, user_id: UserId, source: TrackSource) -> Result<(), JoinError> {
        let request = Request::RequestVideo {
            user_id,
            source,
            max_height: None,
        };
        self.signaling.request(request).await?;
        Ok(())
    }

    /// Sends a frame with the next call of [`next`](Self::next). It is dropped if the session is not connected yet.
    pub fn send(&mut self, now: Instant, frame: Encoded) -> Result<(), JoinError> {
        Ok(self.connection.session.send(now, frame)?)
    }

    /// Sends and receives until something happens. Cancel-safe, except that a datagram may count as lost.
    ///
    /// Errors: [`JoinError::Kicked`] and [`JoinError::MediaLost`] end the membership.
    pub async fn next(&mut self) -> Result<Received, JoinError> {
        loop {
            match self.connection.session.poll_received() {
                Some(Received::Disconnected) => return Err(JoinError::MediaLost),
                Some(received) => return Ok(received),
                None => {}
            }
            if self.has_moved() {
                // Viewers at the new server begin with a keyframe.
                return Ok(Received::KeyframeWanted);
            }
            tokio::select! {
                done = self.connection.work() => done?,
                done = work(&mut self.next) => if done.is_err() {
                    // The present one goes on, and the server asks again.
                    self.next = None;
                },
                message = self.signaling.next_message() => match message? {
                    ServerMessage::Event(Event::Kicked { reason }) => {
                        return Err(JoinError::Kicked(format!("{reason:?}")));
                    }
                    ServerMessage::Event(Event::MediaState { state: MediaState::Disconnected }) => {
                        return Err(JoinError::MediaLost);
                    }
                    ServerMessage::Event(Event::MoveMedia {}) => self.offer_elsewhere().await?,
                    ServerMessage::Event(_) => {}
                    ServerMessage::Ok { id, reply, .. } => self.handle_answer(id, Some(reply)),
                    ServerMessage::Failed { id, .. } => self.handle_answer(id.unwrap_or_default(), None),
                },
            }
        }
    }

    /// Asks for a connection to another media server. Cancel-safe: if the request does not go out, the server asks again.
    async fn offer_elsewhere(&mut self) -> Result<(), JoinError> {
        let local = self.connection.socket.local_addr().map_err(JoinError::Socket)?;
        let (connection, request) = Connection::offer(local.ip()).await?;
        self.next = Some(Next::Offered(self.signaling.next_id(), connection));
        self.signaling.send(request).await?;
        Ok(())
    }

    /// `reply`: to the request of this id. None: it is refused.
    fn handle_answer(&mut self, id: u64, reply: Option<Reply>) {
        match (self.next.take(), reply) {
            (Some(Next::Offered(of, mut connection)), Some(Reply::Connected { answer })) if of == id => {
                // The server asks again.
                let answered = connection.session.handle_answer(Clock.now(), &answer);
                self.next = answered.ok().map(|()| Next::Answered(connection));
            }
            // Likewise.
            (Some(Next::Offered(of, _)), _) if of == id => {}
            (next, _) => self.next = next,
        }
    }

    /// Goes on with the next connection, when that is there. The former one ends by the server.
    fn has_moved(&mut self) -> bool {
        match self.next.take() {
            Some(Next::Answered(mut next)) => match next.session.poll_received() {
                Some(Received::Connected) => {
                    self.connection = next;
                    return true;
                }
                // The server asks again.
                Some(Received::Disconnected) => {}
                Some(Received::KeyframeWanted | Received::Frame { .. }) | None => {
                    self.next = Some(Next::Answered(next));
                }
            },
            next => self.next = next,
        }
        false
    }

    /// Leaves the room.
    pub async fn leave(mut self) {
        let goodbye = self.signaling.request(Request::ExitRoom {});
        // The server may be gone already.
        let _told = tokio::time::timeout(GOODBYE_WITHIN, goodbye).await;
        self.connection.session.close(Clock.now());
        self.connection.flush().await;
        self.signaling.close().await;
    }
}

impl Connection {
    async fn open(signaling: &mut SignalingClient, url: &str) -> Result<Self, JoinError> {
        let (mut connection, request) = Self::offer(local_address(url).await?).await?;
        match signaling.request(request).await? {
            Reply::Connected { answer } => connection.session.handle_answer(Clock.now(), &answer)?,
            other => return Err(JoinError::Reply(Box::new(other))),
        }
        Ok(connection)
    }

    /// From this local address. Answers the request with its offer, too.
    async fn offer(local: IpAddr) -> Result<(Self, Request), JoinError> {
        let socket = UdpSocket::bind(SocketAddr::new(local, 0))
            .await
            .map_err(JoinError::Socket)?;
        let local = socket.local_addr().map_err(JoinError::Socket)?;
        let (session, offer, lines) = MediaSession::offer(Clock.now(), local)?;
        let connection = Self {
            session,
            socket,
            buffer: vec![0; 2048],
        };
        Ok((connection, Request::Connect { offer, lines }))
    }

    /// Sends what waits, and then takes one datagram or timeout. Cancel-safe, except that a datagram may count as lost.
    async fn work(&mut self) -> Result<(), JoinError> {
        self.flush().await;
        let due = self.session.poll_timeout();
        tokio::select! {
            received = self.socket.recv_from(&mut self.buffer) => {
                if let Ok((length, from)) = received {
                    self.session.handle_datagram(Clock.now(), from, &self.buffer[..length])?;
                }
            }
            () = Clock.sleep_until(due) => self.session.handle_timeout(Clock.now())?,
        }
        Ok(())
    }

    async fn flush(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            // A datagram that cannot be sent counts as lost.
            let _lost = self.socket.send_to(&transmit.contents, transmit.destination).await;
        }
    }
}

/// Never, without a connection that is answered.
async fn work(next: &mut Option<Next>) -> Result<(), JoinError> {
    match next {
        Some(Next::Answered(connection)) => connection.work().await,
        Some(Next::Offered(..)) | None => std::future::pending().await,
    }
}
