//! The WebSocket half: requests with their replies, and events.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use futures::{SinkExt, StreamExt};
use rotunda_proto::signaling::{ErrorBody, Event, Reply, Request, RequestEnvelope, ServerMessage};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_with_config, connect_async_with_config};

/// The read buffer of a connection. The default of 128 KiB would be kept per connection and filled with zeros at
/// every poll.
const READ_BUFFER: usize = 2048;

/// Why a signaling operation failed.
#[derive(Debug, Error)]
pub enum SignalingError {
    #[error("reach {url}")]
    Connect {
        url: String,
        #[source]
        source: Box<tungstenite::Error>,
    },
    #[error("the connection broke")]
    Socket(#[source] Box<tungstenite::Error>),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server sent a message that is not part of the protocol")]
    Protocol(#[source] serde_json::Error),
    #[error("refused ({code:?}): {message}", code = .0.code, message = .0.message)]
    Refused(ErrorBody),
}

/// A received WebSocket frame.
#[derive(Debug)]
pub struct Frame {
    /// Header included.
    pub bytes: usize,
    /// None for a ping or pong.
    pub message: Option<ServerMessage>,
}

/// One connection to `/ws`, over TCP unless stated otherwise.
pub struct SignalingClient<S = MaybeTlsStream<TcpStream>> {
    socket: WebSocketStream<S>,
    next_id: u64,
    events: VecDeque<Event>,
}

impl SignalingClient {
    /// `url`: for example `ws://127.0.0.1:8080/ws`.
    pub async fn connect(url: &str) -> Result<Self, SignalingError> {
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let connected = connect_async_with_config(url, Some(config), false).await;
        let (socket, _) = connected.map_err(|source| SignalingError::Connect {
            url: url.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self {
            socket,
            next_id: 1,
            events: VecDeque::new(),
        })
    }

    /// Like [`connect`](Self::connect), from this local address and with small buffers: for thousands of members.
    pub async fn connect_from(url: &str, source: IpAddr) -> Result<Self, SignalingError> {
        let stream = tcp_from(url, source).await.map_err(|source| SignalingError::Connect {
            url: url.to_owned(),
            source: Box::new(source),
        })?;
        Self::over(MaybeTlsStream::Plain(stream), url).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SignalingClient<S> {
    /// Over a stream that leads to the server of `url`, with small buffers: for thousands of members.
    pub async fn over(stream: S, url: &str) -> Result<Self, SignalingError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0);
        let upgraded = client_async_with_config(url, stream, Some(config)).await;
        let (socket, _) = upgraded.map_err(|source| SignalingError::Connect {
            url: url.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self {
            socket,
            next_id: 1,
            events: VecDeque::new(),
        })
    }

    /// Sends a request and returns its id, without waiting: its reply is one of the
    /// [`next_frame`](Self::next_frame)s.
    pub async fn send(&mut self, request: Request) -> Result<u64, SignalingError> {
        let id = self.next_id;
        self.next_id += 1;
        let json = serde_json::to_string(&RequestEnvelope { id, request }).map_err(SignalingError::Protocol)?;
        self.socket
            .send(Message::text(json))
            .await
            .map_err(|error| SignalingError::Socket(Box::new(error)))?;
        Ok(id)
    }

    /// An event that arrived during [`request`](Self::request).
    pub fn kept_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sends a request and waits for its reply; events that arrive before it are kept for
    /// [`next_event`](Self::next_event).
    pub async fn request(&mut self, request: Request) -> Result<Reply, SignalingError> {
        let wanted = self.send(request).await?;
        loop {
            match self.receive().await? {
                ServerMessage::Ok { id, reply, .. } if id == wanted => return Ok(reply),
                ServerMessage::Failed { id, error } if id == Some(wanted) || id.is_none() => {
                    return Err(SignalingError::Refused(error));
                }
                ServerMessage::Event(event) => self.events.push_back(event),
                ServerMessage::Ok { .. } | ServerMessage::Failed { .. } => {}
            }
        }
    }

    /// The next event. Cancel-safe.
    pub async fn next_event(&mut self) -> Result<Event, SignalingError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if let ServerMessage::Event(event) = self.receive().await? {
                self.events.push_back(event);
            }
        }
    }

    /// The next event, or reply to a request that was only [sent](Self::send). Cancel-safe.
    pub async fn next_message(&mut self) -> Result<ServerMessage, SignalingError> {
        match self.events.pop_front() {
            Some(event) => Ok(ServerMessage::Event(event)),
            None => self.receive().await,
        }
    }

    /// The id of the next request.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Says goodbye to the server.
    pub async fn close(mut self) {
        let _already_gone = self.socket.close(None).await;
    }

    /// The next frame of any kind, without the events that [`request`](Self::request) has kept. Cancel-safe.
    pub async fn next_frame(&mut self) -> Result<Frame, SignalingError> {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(Frame {
                bytes: frame_bytes(text.len()),
                message: Some(serde_json::from_str(text.as_str()).map_err(SignalingError::Protocol)?),
            }),
            Some(Ok(Message::Close(_))) | None => Err(SignalingError::Closed),
            Some(Ok(other)) => Ok(Frame {
                bytes: frame_bytes(other.len()),
                message: None,
            }),
            Some(Err(error)) => Err(SignalingError::Socket(Box::new(error))),
        }
    }

    async fn receive(&mut self) -> Result<ServerMessage, SignalingError> {
        loop {
            if let Some(message) = self.next_frame().await?.message {
                return Ok(message);
            }
        }
    }
}

/// With the header of an unmasked frame (RFC 6455 §5.2).
fn frame_bytes(payload: usize) -> usize {
    let header = match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    header + payload
}

async fn tcp_from(url: &str, source: IpAddr) -> Result<TcpStream, tungstenite::Error> {
    let request = url.into_client_request()?;
    if request.uri().scheme_str() != Some("ws") {
        return Err(UrlError::TlsFeatureNotEnabled.into());
    }
    let host = request.uri().host().ok_or(UrlError::NoHostName)?.to_owned();
    let port = request.uri().port_u16().unwrap_or(80);
    let mut servers = tokio::net::lookup_host((host, port)).await?;
    let server = servers.find(|server| server.is_ipv4() == source.is_ipv4());
    let server = server.ok_or_else(|| UrlError::UnableToConnect(url.to_owned()))?;
    let socket = if source.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.bind(SocketAddr::new(source, 0))?;
    // A request must not wait for the acknowledgement of the previous one.
    socket.set_nodelay(true)?;
    Ok(socket.connect(server).await?)
}
