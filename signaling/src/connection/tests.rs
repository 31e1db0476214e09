//! WebSockets of correct and incorrect clients, over TCP.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rotunda_bus::{BusExt, ClusterNode, InProcess, SharedBus};
use rotunda_proto::config::Application;
use rotunda_proto::location::Location;
use rotunda_proto::sfu::{NodeInfo, node_key};
use rotunda_proto::signaling::{Event, KickReason, MAX_MESSAGE_BYTES, Role};
use rotunda_store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Config;
use crate::service::socket_routes;

const KEY: &str = "the key of the application under test";

struct Server {
    url: String,
    shared: Shared,
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Server {
    async fn start(config: Config) -> Self {
        Self::start_on(Arc::new(InProcess::new()), "node-1", config).await
    }

    /// One of the signaling nodes on a bus.
    async fn start_on(bus: SharedBus, node: &str, config: Config) -> Self {
        let store = Store::in_memory_unopened();
        let node: rotunda_proto::ids::NodeId = node.parse().unwrap();
        let info = NodeInfo {
            node: node.clone(),
            sessions: 0,
            capacity: 100,
            load_percent: 0,
            open_workers: 1,
            draining: false,
            location: Location::default(),
        };
        bus.store(&node_key(&node), &info, None).await.unwrap();
        let application = Application::new(app(), KEY);
        let shared = Shared::for_test(config, ClusterNode::alone(bus, node), vec![application], store);
        let commands = crate::member_commands::serve(shared.clone(), CancellationToken::new());
        commands.await.unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let router = socket_routes(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    async fn open(&self) -> Client {
        Client(connect_async(&self.url).await.unwrap().0)
    }

    /// The reply, and the client.
    async fn log_in(&self, user: &str, resume_token: Option<String>) -> (Option<ServerMessage>, Client) {
        let mut client = self.open().await;
        let user_id: UserId = user.parse().unwrap();
        let user_sig = user_sig::sign(app(), KEY, &user_id, Clock.unix(), Duration::from_secs(60));
        let login = Request::Login {
            sdk_app_id: app(),
            user_id,
            user_sig,
            resume_token,
        };
        client.ask(1, login).await;
        (client.hear().await, client)
    }

    /// Logged in and in room 1001.
    async fn enter(&self, user: &str) -> Client {
        self.enter_with_token(user).await.0
    }

    /// And the token to resume with.
    async fn enter_with_token(&self, user: &str) -> (Client, String) {
        let (reply, mut client) = self.log_in(user, None).await;
        let Some(ServerMessage::Ok {
            reply: Reply::LoggedIn { resume_token, .. },
            ..
        }) = reply
        else {
            panic!("{reply:?}")
        };
        let enter = Request::EnterRoom {
            room_id: serde_json::from_str("1001").unwrap(),
            role: Role::Audience,
            user_define_record_id: None,
            stream_id: None,
            private_map_key: None,
            pass: None,
        };
        client.ask(2, enter).await;
        assert!(matches!(client.hear().await, Some(ServerMessage::Ok { id: 2, .. })));
        (client, resume_token)
    }
}

impl Client {
    async fn ask(&mut self, id: u64, request: Request) {
        let json = serde_json::to_string(&RequestEnvelope { id, request }).unwrap();
        self.say(json).await;
    }

    async fn say(&mut self, text: String) {
        // The server may close before all of it is written.
        let _closed_early = self.0.send(tungstenite::Message::text(text)).await;
    }

    /// The next message; None: the connection has ended.
    async fn hear(&mut self) -> Option<ServerMessage> {
        let heard = timeout(Duration::from_secs(10), async {
            loop {
                match self.0.next().await? {
                    Ok(tungstenite::Message::Text(text)) => return Some(serde_json::from_str(text.as_str()).unwrap()),
                    Ok(tungstenite::Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        });
        heard.await.expect("the server says something or closes")
    }

    /// Every message of the server until it closes.
    async fn hear_all(&mut self) -> Vec<ServerMessage> {
        let mut all = Vec::new();
        while let Some(message) = self.hear().await {
            all.push(message);
        }
        all
    }
}

fn app() -> SdkAppId {
    SdkAppId::try_from(1_400_000_001).unwrap()
}

fn code(message: &ServerMessage) -> Option<ErrorCode> {
    match message {
        ServerMessage::Failed { error, .. } => Some(error.code),
        ServerMessage::Ok { .. } | ServerMessage::Event(_) => None,
    }
}

#[tokio::test]
async fn the_newest_login_of_a_user_takes_over_and_the_older_one_is_notified() {
    let server = Server::start(Config::default()).await;
    let mut older = server.enter("ann").await;
    let mut newer = server.enter("ann").await;
    let told = older.hear_all().await;
    let kicked = ServerMessage::Event(Event::Kicked {
        reason: KickReason::Kick,
    });
    assert_eq!(told.last(), Some(&kicked), "and then its connection has ended");
    newer.ask(3, Request::ExitRoom {}).await;
    let answer = newer.hear().await;
    assert!(matches!(answer, Some(ServerMessage::Ok { id: 3, .. })), "{answer:?}");
    assert_eq!(server.shared.registry.all().len(), 1);
}

/// Two nodes of one cluster.
async fn two_nodes() -> [Server; 2] {
    let bus: SharedBus = Arc::new(InProcess::new());
    let second = Server::start_on(bus.clone(), "node-2", Config::default()).await;
    [Server::start_on(bus, "node-1", Config::default()).await, second]
}

#[tokio::test]
async fn a_login_by_another_node_takes_over() {
    let [first, second] = two_nodes().await;
    let mut older = first.enter("ann").await;
    let _newer = second.enter("ann").await;
    let kicked = ServerMessage::Event(Event::Kicked {
        reason: KickReason::Kick,
    });
    assert_eq!(older.hear_all().await.last(), Some(&kicked));
    assert_eq!(first.shared.registry.all().len(), 0);
    assert_eq!(second.shared.registry.all().len(), 1);
}

#[tokio::test]
async fn a_lost_websocket_is_resumed_by_another_node() {
    let [first, second] = two_nodes().await;
    let (lost, token) = first.enter_with_token("ann").await;
    drop(lost);
    let (reply, mut ann) = second.log_in("ann", Some(token.clone())).await;
    let Some(ServerMessage::Ok {
        reply: Reply::LoggedIn { resumed: true, .. },
        ..
    }) = reply
    else {
        panic!("{reply:?}")
    };
    let room = ann.hear().await;
    assert!(
        matches!(&room, Some(ServerMessage::Event(Event::Room { room })) if room.member_count == 1),
        "the whole state comes again: {room:?}"
    );
    ann.ask(3, Request::ExitRoom {}).await;
    let answered = async { while !matches!(ann.hear().await, Some(ServerMessage::Ok { id: 3, .. })) {} };
    timeout(Duration::from_secs(10), answered).await.unwrap();

    // And back again: the WebSocket at the other node is let go.
    let (reply, _again) = first.log_in("ann", Some(token)).await;
    assert!(matches!(reply, Some(ServerMessage::Ok { .. })), "{reply:?}");
    ann.hear_all().await;
}

#[tokio::test]
async fn a_token_that_no_node_knows_resumes_nothing() {
    let [first, second] = two_nodes().await;
    let _ann = first.enter("ann").await;
    let (reply, _client) = second.log_in("ann", Some("not hers".to_owned())).await;
    assert_eq!(reply.as_ref().and_then(code), Some(ErrorCode::ResumeFailed));
}

#[tokio::test]
async fn a_client_with_too_many_requests_gets_an_error_and_is_disconnected() {
    let server = Server::start(Config::default()).await;
    let mut client = server.enter("ann").await;
    // More than the allowed burst, and than the budget that is added while this runs.
    for id in 10..1_000 {
        client.ask(id, Request::ExitRoom {}).await;
    }
    let told = client.hear_all().await;
    let limited = told
        .iter()
        .filter_map(code)
        .filter(|code| *code == ErrorCode::RateLimited);
    assert_eq!(limited.count(), 1, "{told:?}");
    let answered = told.len();
    assert!(answered < 600, "the rest is not answered, unlike these {answered}");
}

#[tokio::test]
async fn a_client_that_does_not_log_in_is_disconnected_after_the_deadline_and_not_before() {
    let config = Config {
        login_seconds: 1,
        ..Config::default()
    };
    let server = Server::start(config).await;
    let opened = Clock.now();
    let mut silent = server.open().await;
    let mut ann = server.enter("ann").await;
    let told = silent.hear_all().await;
    assert_eq!(
        told.iter().filter_map(code).collect::<Vec<_>>(),
        [ErrorCode::NotLoggedIn]
    );
    assert!(Clock.now().saturating_duration_since(opened) >= Duration::from_secs(1));
    ann.ask(3, Request::ExitRoom {}).await;
    assert!(ann.hear().await.is_some(), "who has logged in stays");
}

#[tokio::test]
async fn a_message_of_any_length_beyond_the_limit_has_its_named_error() {
    let server = Server::start(Config::default()).await;
    for bytes in [MAX_MESSAGE_BYTES + 1, 10_000_000] {
        let (write, read) = server.open().await.0.split();
        // At the same time: the server does not read all of it.
        let mut talker = write;
        let talk = talker.send(tungstenite::Message::text("x".repeat(bytes)));
        let listen = read
            .filter_map(async |message| message.ok()?.into_text().ok())
            .collect::<Vec<_>>();
        let (_closed_early, told) = tokio::join!(talk, listen);
        assert!(
            told.iter().any(|text| text.contains("message_too_large")),
            "{bytes}: {told:?}"
        );
    }
    let longest = format!("\"{}\"", "x".repeat(MAX_MESSAGE_BYTES - 2));
    let mut client = server.enter("ann").await;
    client.say(longest.clone()).await;
    assert_eq!(
        code(&client.hear().await.unwrap()),
        Some(ErrorCode::BadRequest),
        "short enough"
    );
    let mut stranger = server.open().await;
    stranger.say(longest).await;
    let told = stranger.hear_all().await;
    assert_eq!(
        told.iter().filter_map(code).collect::<Vec<_>>(),
        [ErrorCode::MessageTooLarge],
        "too long for a client that has not logged in"
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_read_gets_an_error_that_names_the_field() {
    let server = Server::start(Config::default()).await;
    let mut client = server.enter("ann").await;
    client.say(r#"{"id":9,"op":"enterRoom","roomId":-5}"#.to_owned()).await;
    let Some(ServerMessage::Failed { id: Some(9), error }) = client.hear().await else {
        panic!("a refusal of request 9");
    };
    assert!(
        error.message.contains("roomId: write a number from 1 to 4294967294"),
        "{}",
        error.message
    );
    assert!(error.message.contains("not -5"), "{}", error.message);
}
