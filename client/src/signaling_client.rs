//! The WebSocket half: requests with their replies, and events.

use std::collections::VecDeque;

use futures::{SinkExt, StreamExt};
use rotunda_proto::signaling::{ErrorBody, Event, Reply, Request, RequestEnvelope, ServerMessage};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Why signaling did not do it.
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
    #[error("the server sent what is no message of the protocol")]
    Protocol(#[source] serde_json::Error),
    #[error("refused ({code:?}): {message}", code = .0.code, message = .0.message)]
    Refused(ErrorBody),
}

/// One connection to `/ws`.
pub struct SignalingClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    events: VecDeque<Event>,
}

impl SignalingClient {
    /// `url`: as in `ws://127.0.0.1:8080/ws`.
    pub async fn connect(url: &str) -> Result<Self, SignalingError> {
        let connected = connect_async(url).await;
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

    /// Sends a request and waits for its reply; events that come before it are kept for [`next_event`](Self::next_event).
    pub async fn request(&mut self, request: Request) -> Result<Reply, SignalingError> {
        let wanted = self.next_id;
        self.next_id += 1;
        let json = serde_json::to_string(&RequestEnvelope { id: wanted, request }).map_err(SignalingError::Protocol)?;
        self.socket
            .send(Message::text(json))
            .await
            .map_err(|error| SignalingError::Socket(Box::new(error)))?;
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

    /// Says goodbye to the server.
    pub async fn close(mut self) {
        let _already_gone = self.socket.close(None).await;
    }

    async fn receive(&mut self) -> Result<ServerMessage, SignalingError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(text.as_str()).map_err(SignalingError::Protocol);
                }
                Some(Ok(Message::Close(_))) | None => return Err(SignalingError::Closed),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(SignalingError::Socket(Box::new(error))),
            }
        }
    }
}
