//! Two signaling nodes and one SFU node, each a process of its own, on NATS.

mod support;

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use rotunda_bus::testing::NatsServer;
use rotunda_proto::clock::Clock;
use serde_json::{Value, json};
use support::{Server, eventually};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A process with one role.
fn start(name: &str, role: &str, nats: &NatsServer, first: Option<&Server>) -> Server {
    let urls = format!("[\"{}\"]", nats.url());
    let settings = [
        ("ROTUNDA__SERVER__NODE", name),
        ("ROTUNDA__BUS__URLS", urls.as_str()),
        ("ROTUNDA__BUS__LEASE_SECONDS", "5"),
    ];
    Server::start_role(&["--roles", role], first, &settings)
}

fn user_sig(node: &Server, user: &str) -> String {
    let output = node.run(&["user-sig", user, "--life", "600"]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn app(node: &Server) -> u64 {
    node.secret("sdk_app_id").parse().unwrap()
}

/// A client's WebSocket.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    events: Vec<Value>,
    last_id: u64,
    /// With which the login is resumed.
    token: String,
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

    async fn log_in(node: &Server, user: &str) -> Self {
        let mut client = Self::open(node).await;
        let login = json!({"op": "login", "sdkAppId": app(node), "userId": user, "userSig": user_sig(node, user)});
        assert_eq!(client.ask(login).await, "");
        client
    }

    /// Goes on with a login whose WebSocket is lost, at any node.
    async fn resume(node: &Server, user: &str, token: &str) -> Self {
        let mut client = Self::open(node).await;
        let login = json!({
            "op": "login", "sdkAppId": app(node), "userId": user, "userSig": user_sig(node, user), "resumeToken": token
        });
        assert_eq!(client.ask(login).await, "");
        client
    }

    async fn enter(node: &Server, user: &str) -> Self {
        let mut client = Self::log_in(node, user).await;
        assert_eq!(client.ask(json!({"op": "enterRoom", "roomId": 1001})).await, "");
        client
    }

    /// Answers the code of the error, or nothing for success.
    async fn ask(&mut self, mut request: Value) -> String {
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
    async fn listen(&mut self, time: Duration) {
        let clock = Clock;
        let until = clock.now() + time;
        while let Some(left) = until.checked_duration_since(clock.now()) {
            let event = self.next(left).await;
            self.events.extend(event);
        }
    }

    /// Waits for an event of which that is so.
    async fn hears(&mut self, what: &str, within: Duration, is_it: impl Fn(&Value) -> bool) {
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

fn about<'a>(event: &'a str, user: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |value| value["event"] == event && value["userId"] == user
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_room_over_two_signaling_nodes_survives_the_death_of_one_and_an_outage_of_nats() {
    let Some(mut nats) = NatsServer::start() else { return };
    let sfu = start("sfu-1", "sfu", &nats, None);
    let one = start("signaling-1", "signaling", &nats, Some(&sfu));
    let two = start("signaling-2", "signaling", &nats, Some(&sfu));

    // Members of both nodes are in one room.
    let mut ann = Client::enter(&one, "ann").await;
    let mut bob = Client::enter(&two, "bob").await;
    ann.hears("bob enters", SOON, about("memberEntered", "bob")).await;
    assert_eq!(bob.ask(json!({"op": "publish", "source": "audio"})).await, "");
    ann.hears("bob publishes", SOON, about("publishing", "bob")).await;

    // A second login by the other node kicks the first.
    let mut kicked = Client::enter(&one, "eve").await;
    ann.hears("eve enters", SOON, about("memberEntered", "eve")).await;
    let eve = Client::log_in(&two, "eve").await;
    kicked
        .hears("eve is kicked", SOON, |value| value["event"] == "kicked")
        .await;
    ann.hears("eve has left", SOON, about("memberLeft", "eve")).await;
    drop(eve);
    ann.events.clear();

    // A lost WebSocket is resumed by the other node, and nobody sees the member leave.
    let mut gil = Client::enter(&one, "gil").await;
    assert_eq!(gil.ask(json!({"op": "publish", "source": "audio"})).await, "");
    let token = gil.token.clone();
    drop(gil);
    let mut gil = Client::resume(&two, "gil", &token).await;
    gil.hears("the room again", SOON, |value| value["event"] == "room")
        .await;
    assert_eq!(
        gil.ask(json!({"op": "mute", "source": "audio", "muted": true})).await,
        ""
    );
    let is_muted =
        |value: &Value| value["event"] == "publishing" && value["userId"] == "gil" && value["audio"] == "muted";
    bob.hears("gil is muted", SOON, is_muted).await;
    assert!(!ann.events.iter().any(about("memberLeft", "gil")), "{:?}", ann.events);
    drop(gil);
    let mut gil = Client::resume(&one, "gil", &token).await;

    // Media between members of different nodes.
    let _cat = one.join(&["1001", "--user", "cat"]);
    let _dan = two.join(&["1001", "--user", "dan"]);
    eventually("media is forwarded", 60, || {
        (sfu.metric("rotunda_sfu_packets_forwarded_total") > 200.0).then_some(())
    });

    // While NATS is away media goes on, and who wants to enter is told to try later.
    nats.stop();
    let away: Instant = Clock.now();
    eventually("the node knows", 20, || {
        (one.metric("rotunda_bus_away") == 1.0).then_some(())
    });
    let mut fay = Client::log_in(&one, "fay").await;
    assert_eq!(fay.ask(json!({"op": "enterRoom", "roomId": 1001})).await, "try_later");
    for _ in 0..12 {
        let before = sfu.metric("rotunda_sfu_packets_forwarded_total");
        let pause = Duration::from_secs(5);
        tokio::join!(
            ann.listen(pause),
            bob.listen(pause),
            gil.listen(pause),
            fay.listen(pause)
        );
        let more = sfu.metric("rotunda_sfu_packets_forwarded_total") - before;
        assert!(more > 50.0, "media goes on while NATS is away: {more} packets in 5 s");
    }
    nats.resume();
    eventually("the bus is back", 20, || {
        (one.metric("rotunda_bus_away") == 0.0).then_some(())
    });
    eprintln!("NATS was away for {:?}", Clock.now() - away);
    let clock = Clock;
    let deadline = clock.now() + SOON;
    while !fay.ask(json!({"op": "enterRoom", "roomId": 1001})).await.is_empty() {
        assert!(clock.now() < deadline, "fay cannot enter");
        clock.sleep_until(clock.now() + Duration::from_millis(200)).await;
    }
    ann.hears("fay enters", SOON, about("memberEntered", "fay")).await;
    let left = ann.events.iter().filter(|event| event["event"] == "memberLeft").count();
    assert_eq!(left, 0, "nobody was thrown out: {:?}", ann.events);

    // A node that is killed frees the seats of its members.
    two.kill();
    let killed = Clock.now();
    ann.hears("bob has left", Duration::from_secs(15), about("memberLeft", "bob"))
        .await;
    let took = Clock.now() - killed;
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(bob);
}
