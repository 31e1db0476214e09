//! Receivers of every kind, and the outcome of their callbacks.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rotunda_bus::{ClusterNode, InProcess, SharedBus};
use rotunda_proto::config::{Application, Secret};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::outbound::AllowedNetworks;
use rotunda_store::{NewCallback, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::config::{Config, Process};

/// Long enough for a slow computer, and short compared to a minute.
const SOON: Duration = Duration::from_secs(10);

/// The answer of a receiver.
#[derive(Debug, Clone, Copy)]
enum Answers {
    With(StatusCode),
    ToElsewhere,
    Never,
}

struct Receiver {
    url: String,
    calls: mpsc::UnboundedReceiver<(String, Value)>,
}

impl Receiver {
    async fn start(answers: Answers) -> Self {
        let (told, calls) = mpsc::unbounded_channel();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/files", listener.local_addr().unwrap());
        let routes = Router::new().fallback(receive).with_state((answers, told));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, calls }
    }

    /// The path and the room of the next call.
    async fn next(&mut self) -> (String, Value) {
        timeout(SOON, self.calls.recv())
            .await
            .expect("a callback in time")
            .unwrap()
    }
}

async fn receive(
    State((answers, told)): State<(Answers, mpsc::UnboundedSender<(String, Value)>)>,
    uri: Uri,
    body: String,
) -> Response {
    let body = serde_json::from_str(&body).unwrap_or_default();
    told.send((uri.path().to_owned(), body)).unwrap();
    match answers {
        Answers::With(status) => status.into_response(),
        Answers::ToElsewhere => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Answers::Never => std::future::pending().await,
    }
}

struct Fixture {
    shared: Shared,
    shutdown: CancellationToken,
    callbacks: Callbacks,
    sequence: AtomicI64,
    _folder: TempDir,
}

fn loopback() -> AllowedNetworks {
    AllowedNetworks::new(vec!["127.0.0.0/8".parse().unwrap()])
}

/// Applications 1, 2 ..., whose callbacks go to these receivers.
async fn fixture(receivers: &[&Receiver], outbound: AllowedNetworks) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("test.db").display());
    let store = Store::open(&database).await.unwrap();
    let applications = receivers.iter().zip(1..).map(|(receiver, id)| Application {
        callback_url: Some(receiver.url.clone()),
        callback_key: Secret::new("testkey"),
        ..Application::new(id.try_into().unwrap(), "key")
    });
    let config = Config {
        process: Process {
            outbound,
            ..Process::default()
        },
        ..Config::default()
    };
    let bus: SharedBus = std::sync::Arc::new(InProcess::new());
    let shared = Shared::for_test(
        config,
        ClusterNode::alone(bus, "node-1".parse().unwrap()),
        applications.collect(),
        store,
    );
    let shutdown = CancellationToken::new();
    let callbacks = start(shared.clone(), shutdown.clone()).await.unwrap();
    Fixture {
        shared,
        shutdown,
        callbacks,
        sequence: AtomicI64::new(1),
        _folder: folder,
    }
}

impl Fixture {
    async fn tell(&self, app: u32, room: u64, number: u64) {
        let room = RoomKey {
            app: app.try_into().unwrap(),
            room: rotunda_proto::ids::RoomId::Number(room.try_into().unwrap()),
        };
        let url = self.shared.applications().by_id(room.app).unwrap().callback_url.clone();
        let callback = NewCallback {
            id: format!("{app}-{}-{number}", room.room),
            application: room.app,
            room: room.token(),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            url: url.unwrap(),
            body: json!({ "number": number }).to_string(),
            created: Clock.unix(),
        };
        self.shared.store.add_callback(&callback).await.unwrap();
        self.shared.outbox.notify();
    }

    /// The states of the rows, when no row is on its first attempt any more.
    async fn settled(&self) -> Vec<(String, i64)> {
        let states = async {
            loop {
                let mut rows = self.shared.store.newest_callbacks(1000).await.unwrap();
                rows.reverse();
                if rows.iter().all(|row| row.attempts > 0) {
                    return rows.into_iter().map(|row| (row.state, row.attempts)).collect();
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, states).await.expect("every row was tried")
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.callbacks.finish().await;
    }
}

fn number(call: &(String, Value)) -> u64 {
    call.1["number"].as_u64().unwrap()
}

#[tokio::test]
async fn any_2xx_is_delivered_and_the_rooms_next_callback_follows_at_once() {
    let mut receiver = Receiver::start(Answers::With(StatusCode::NO_CONTENT)).await;
    let fixture = fixture(&[&receiver], loopback()).await;
    for number in 1..=3 {
        fixture.tell(1, 1001, number).await;
    }
    for expected in 1..=3 {
        assert_eq!(number(&receiver.next().await), expected, "in order");
    }
    let delivered = ("delivered".to_owned(), 1);
    assert_eq!(
        fixture.settled().await,
        [delivered.clone(), delivered.clone(), delivered]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_is_no_delivery() {
    let mut receiver = Receiver::start(Answers::ToElsewhere).await;
    let fixture = fixture(&[&receiver], loopback()).await;
    fixture.tell(1, 1001, 1).await;
    assert_eq!(receiver.next().await.0, "/files");
    assert_eq!(fixture.settled().await, [("waiting".to_owned(), 1)]);
    assert!(receiver.calls.try_recv().is_err(), "nothing went elsewhere");
    fixture.stop().await;
}

#[tokio::test]
async fn a_receiver_in_an_inner_network_is_not_reached_unless_that_is_allowed() {
    let mut receiver = Receiver::start(Answers::With(StatusCode::OK)).await;
    let by_name = Receiver {
        url: receiver.url.replace("127.0.0.1", "localhost"),
        calls: mpsc::unbounded_channel().1,
    };
    let fixture = fixture(&[&receiver, &by_name], AllowedNetworks::default()).await;
    fixture.tell(1, 1001, 1).await;
    fixture.tell(2, 1001, 1).await;
    let waiting = ("waiting".to_owned(), 1);
    assert_eq!(fixture.settled().await, [waiting.clone(), waiting]);
    assert!(receiver.calls.try_recv().is_err());
    fixture.stop().await;
}

#[tokio::test]
async fn receivers_that_never_answer_delay_no_other_application() {
    let hanging = Receiver::start(Answers::Never).await;
    let mut other = Receiver::start(Answers::With(StatusCode::OK)).await;
    let fixture = fixture(&[&hanging, &other], loopback()).await;
    for room in 1..=100 {
        fixture.tell(1, room, room).await;
    }
    fixture.tell(2, 1001, 1).await;
    assert_eq!(number(&other.next().await), 1);
    fixture.stop().await;
}

#[tokio::test]
async fn a_room_whose_receiver_fails_delays_no_other_room_and_keeps_its_order() {
    let mut receiver = Receiver::start(Answers::With(StatusCode::INTERNAL_SERVER_ERROR)).await;
    let fixture = fixture(&[&receiver], loopback()).await;
    fixture.tell(1, 1, 1).await;
    assert_eq!(number(&receiver.next().await), 1);
    fixture.tell(1, 1, 2).await;
    fixture.tell(1, 2, 3).await;
    assert_eq!(number(&receiver.next().await), 3, "2 waits for 1, and 3 for nothing");
    fixture.stop().await;
}
