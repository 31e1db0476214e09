//! Joins by the JSON API of Janus and its video room plugin, over WebSocket. Publishers send an offer. Viewers
//! watch the whole room and receive an offer. The room must exist.
//!
//! Source: Janus 1.x, "The Janus API (HTTP, WebSockets)" and "VideoRoom plugin documentation".

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use rotunda_proto::clock::Clock;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::Entry;
use crate::JoinError;
use crate::load::rtp_session::{Part, RtpSession};

/// Janus ends a session after 60 s without a message.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// The default of 128 KiB would be filled with zeros at every poll of the connection.
const READ_BUFFER: usize = 2048;

/// Why Janus refused a member or ended its session.
#[derive(Debug, Error)]
pub enum JanusError {
    #[error("reach Janus")]
    Socket(#[from] Box<tungstenite::Error>),
    #[error("Janus closed the connection")]
    Closed,
    #[error("Janus sent a message that is not part of its API")]
    Protocol(#[from] serde_json::Error),
    #[error("Janus refused: {0}")]
    Refused(String),
    #[error("{0} is missing in Janus's reply")]
    Missing(&'static str),
    #[error("Janus ended the session: {0}")]
    Ended(String),
}

/// One member's connection, with a session and a handle of the video room.
pub struct JanusClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    transactions: u64,
    session: u64,
    handle: u64,
}

pub async fn enter(entry: &Entry<'_>, url: &str, local: SocketAddr) -> Result<(JanusClient, RtpSession), JoinError> {
    let mut client = JanusClient::connect(url).await?;
    let session = match entry.part {
        Part::Publisher => publish(&mut client, entry, local).await?,
        Part::Viewer => watch(&mut client, entry, local).await?,
    };
    Ok((client, session))
}

async fn publish(client: &mut JanusClient, entry: &Entry<'_>, local: SocketAddr) -> Result<RtpSession, JoinError> {
    let clock = Clock;
    let (mut session, offer, _) = RtpSession::offer(clock.now(), local, Part::Publisher)?;
    let join = json!({
        "request": "joinandconfigure", "ptype": "publisher",
        "room": entry.member.room, "display": entry.member.user,
    });
    let reply = client.message(join, Some(("offer", offer))).await?;
    session.handle_answer(clock.now(), description(&reply)?)?;
    Ok(session)
}

async fn watch(client: &mut JanusClient, entry: &Entry<'_>, local: SocketAddr) -> Result<RtpSession, JoinError> {
    let room = &entry.member.room;
    let list = json!({ "request": "listparticipants", "room": room });
    let reply = client.message(list, None).await?;
    let participants = reply.pointer("/plugindata/data/participants").and_then(Value::as_array);
    let streams: Vec<Value> = participants
        .ok_or(JanusError::Missing("participants"))?
        .iter()
        .filter(|participant| participant["publisher"] == true)
        .map(|participant| json!({ "feed": participant["id"] }))
        .collect();
    let join = json!({ "request": "join", "ptype": "subscriber", "room": room, "streams": streams });
    let reply = client.message(join, None).await?;
    let (session, answer) = RtpSession::answer(Clock.now(), local, description(&reply)?)?;
    client
        .message(json!({ "request": "start" }), Some(("answer", answer)))
        .await?;
    Ok(session)
}

/// The session description in a message of Janus.
fn description(reply: &Value) -> Result<&str, JanusError> {
    let sdp = reply.pointer("/jsep/sdp").and_then(Value::as_str);
    sdp.ok_or(JanusError::Missing("jsep"))
}

impl JanusClient {
    async fn connect(url: &str) -> Result<Self, JanusError> {
        let mut request = url.into_client_request().map_err(Box::new)?;
        let protocol = HeaderValue::from_static("janus-protocol");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let connected = connect_async_with_config(request, Some(config), false).await;
        let (socket, _) = connected.map_err(Box::new)?;
        let mut client = Self {
            socket,
            transactions: 0,
            session: 0,
            handle: 0,
        };
        let id = |reply: Value| reply.pointer("/data/id").and_then(Value::as_u64);
        let created = client.request(json!({ "janus": "create" })).await?;
        client.session = id(created).ok_or(JanusError::Missing("id"))?;
        let attach = json!({
            "janus": "attach", "session_id": client.session, "plugin": "janus.plugin.videoroom",
        });
        let attached = client.request(attach).await?;
        client.handle = id(attached).ok_or(JanusError::Missing("id"))?;
        Ok(client)
    }

    /// Resolves when Janus ends the session; keeps the session alive until then.
    pub async fn lost(&mut self) -> JanusError {
        let mut due = Clock.now() + KEEP_ALIVE;
        loop {
            if let Err(error) = self.follow_until(due).await {
                return error;
            }
            due += KEEP_ALIVE;
            let keep_alive = json!({ "janus": "keepalive", "session_id": self.session });
            if let Err(error) = self.send(keep_alive).await {
                return error;
            }
        }
    }

    /// Says goodbye to Janus.
    pub async fn destroy(mut self) {
        let destroy = json!({ "janus": "destroy", "session_id": self.session });
        let _already_gone = self.request(destroy).await;
        let _already_gone = self.socket.close(None).await;
    }

    /// Sends a request to the plugin and waits for its event. `description`: its type and SDP.
    async fn message(&mut self, body: Value, description: Option<(&'static str, String)>) -> Result<Value, JanusError> {
        let mut message = json!({
            "janus": "message", "session_id": self.session, "handle_id": self.handle, "body": body,
        });
        if let Some((kind, sdp)) = description {
            // The SDP contains all local candidates.
            message["jsep"] = json!({ "type": kind, "sdp": sdp, "trickle": false });
        }
        let reply = self.request(message).await?;
        match reply.pointer("/plugindata/data/error").and_then(Value::as_str) {
            Some(error) => Err(JanusError::Refused(error.to_owned())),
            None => Ok(reply),
        }
    }

    async fn request(&mut self, message: Value) -> Result<Value, JanusError> {
        let transaction = self.send(message).await?;
        loop {
            let reply = self.receive().await?;
            // An acknowledgement means that the reply comes later.
            if reply["transaction"] != transaction.as_str() || reply["janus"] == "ack" {
                continue;
            }
            return match reply.pointer("/error/reason").and_then(Value::as_str) {
                Some(reason) => Err(JanusError::Refused(reason.to_owned())),
                None => Ok(reply),
            };
        }
    }

    /// Sends the message and returns its transaction id.
    async fn send(&mut self, mut message: Value) -> Result<String, JanusError> {
        self.transactions += 1;
        let transaction = self.transactions.to_string();
        message["transaction"] = Value::from(transaction.as_str());
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .map_err(Box::new)?;
        Ok(transaction)
    }

    async fn follow_until(&mut self, due: Instant) -> Result<(), JanusError> {
        loop {
            let message = tokio::select! {
                message = self.receive() => message?,
                () = Clock.sleep_until(due) => return Ok(()),
            };
            if let Some(word @ ("hangup" | "detached" | "timeout")) = message["janus"].as_str() {
                return Err(JanusError::Ended(word.to_owned()));
            }
        }
    }

    /// The next message. Cancel-safe.
    async fn receive(&mut self) -> Result<Value, JanusError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(text.as_str())?),
                Some(Ok(Message::Close(_))) | None => return Err(JanusError::Closed),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Box::new(error).into()),
            }
        }
    }
}
