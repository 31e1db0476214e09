//! Processes of a cluster on NATS, and a client of its WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rotunda_bus::testing::NatsServer;
use rotunda_proto::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::Server;

/// A process with one role.
pub fn start(name: &str, role: &str, nats: &NatsServer, first: Option<&Server>) -> Server {
    start_with(name, role, nats, first, &[])
}

/// `more`: settings.
pub fn start_with(name: &str, role: &str, nats: &NatsServer, first: Option<&Server>, more: &[(&str, &str)]) -> Server {
    let urls = format!("[\"{}\"]", nats.url());
    let settings = [
        ("ROTUNDA__SERVER__NODE", name),
        ("ROTUNDA__BUS__URLS", urls.as_str()),
        ("ROTUNDA__BUS__LEASE_SECONDS", "5"),
    ];
    Server::start_role(&["--roles", role], first, &[&settings, more].concat())
}

pub fn user_sig(node: &Server, user: &str) -> String {
    let output = node.run(&["user-sig", user, "--life", "600"]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn app(node: &Server) -> u64 {
    node.secret("sdk_app_id").parse().unwrap()
}

/// A client's WebSocket.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub events: Vec<Value>,
    last_id: u64,
    /// With which the login is resumed.
    pub token: String,
}

impl Client {
    async fn open(node: &Server) -> Self {
        let url = format!("ws://127.0.0.1:{}/ws", node.http);
        Self {
            socket: connect_async(url).await.unwrap().0,
            events: Vec::new(),
            last_id: 0,
            token: String::new(),
        }
    }

    pub async fn log_in(node: &Server, user: &str) -> Self {
        let mut client = Self::open(node).await;
        let login = json!({"op": "login", "sdkAppId": app(node), "userId": user, "userSig": user_sig(node, user)});
        assert_eq!(client.ask(login).await, "");
        client
    }

    /// Goes on with a login whose WebSocket is lost, at any node.
    pub async fn resume(node: &Server, user: &str, token: &str) -> Self {
        let mut client = Self::open(node).await;
        let login = json!({
            "op": "login", "sdkAppId": app(node), "userId": user, "userSig": user_sig(node, user), "resumeToken": token
        });
        assert_eq!(client.ask(login).await, "");
        client
    }

    pub async fn enter(node: &Server, user: &str) -> Self {
        let mut client = Self::log_in(node, user).await;
        assert_eq!(client.ask(json!({"op": "enterRoom", "roomId": 1001})).await, "");
        client
    }

    /// Answers the code of the error, or nothing for success.
    pub async fn ask(&mut self, mut request: Value) -> String {
        self.last_id += 1;
        request["id"] = self.last_id.into();
        self.socket.send(Message::text(request.to_string())).await.unwrap();
        loop {
            let message = self.next(Duration::from_secs(15)).await.expect("a reply");
            if message["id"] == self.last_id {
                if let Some(token) = message["resumeToken"].as_str() {
                    self.token = token.to_owned();
                }
                return message["error"]["code"].as_str().unwrap_or_default().to_owned();
            }
            self.events.push(message);
        }
    }

    /// None: nothing came, or the connection has ended.
    async fn next(&mut self, within: Duration) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(within, self.socket.next()).await.ok()??.ok()?;
            if let Ok(text) = message.to_text()
                && let Ok(json) = serde_json::from_str(text)
            {
                return Some(json);
            }
        }
    }

    /// Answers pings, and keeps the events that come.
    pub async fn listen(&mut self, time: Duration) {
        let clock = Clock;
        let until = clock.now() + time;
        while let Some(left) = until.checked_duration_since(clock.now()) {
            let event = self.next(left).await;
            self.events.extend(event);
        }
    }

    /// Waits for an event of which that is so.
    pub async fn hears(&mut self, what: &str, within: Duration, is_it: impl Fn(&Value) -> bool) {
        let clock = Clock;
        let deadline = clock.now() + within;
        if let Some(at) = self.events.iter().position(&is_it) {
            self.events.remove(at);
            return;
        }
        while let Some(left) = deadline.checked_duration_since(clock.now()) {
            match self.next(left).await {
                Some(event) if is_it(&event) => return,
                Some(event) => self.events.push(event),
                None => break,
            }
        }
        panic!("not heard: {what}; heard: {:?}", self.events);
    }
}

pub fn about<'a>(event: &'a str, user: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |value| value["event"] == event && value["userId"] == user
}
