//! Applications and API keys in the database change while two nodes run.

use std::time::Duration;

use crate::support::Server;
use futures::{SinkExt, StreamExt};
use rotunda_bus::testing::NatsServer;
use rotunda_proto::clock::Clock;
use rotunda_proto::user_sig;
use rotunda_store::testing::PostgresServer;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const APP: u32 = 1_500_000_001;
/// Within this time a change reaches every node.
const REACHES_WITHIN: Duration = Duration::from_secs(2);

fn start(name: &str, nats: &NatsServer, database: &str, first: Option<&Server>) -> Server {
    let urls = format!("[\"{}\"]", nats.url());
    let settings = [
        ("ROTUNDA__SERVER__NODE", name),
        ("ROTUNDA__SERVER__DATABASE", database),
        ("ROTUNDA__BUS__URLS", urls.as_str()),
    ];
    Server::start_role(&["--roles", "signaling"], first, &settings)
}

/// Runs a command with the node's configuration, and reads what it prints.
fn command(node: &Server, arguments: &[&str]) -> Value {
    let output = node.run(&[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The code of the error with which a login is refused, or nothing.
async fn login(node: &Server, key: &str) -> String {
    ask(node, key, None).await
}

/// As [`login`]; a member who may log in enters a room, without a privateMapKey.
async fn enter(node: &Server, key: &str) -> String {
    ask(
        node,
        key,
        Some(json!({"id": 2, "op": "enterRoom", "roomId": 1, "role": "anchor"})),
    )
    .await
}

async fn ask(node: &Server, key: &str, then: Option<Value>) -> String {
    let user = "ann".parse().unwrap();
    let sig = user_sig::sign(
        APP.try_into().unwrap(),
        key,
        &user,
        Clock.unix(),
        Duration::from_secs(600),
    );
    let (mut socket, _) = connect_async(format!("ws://127.0.0.1:{}/ws", node.http)).await.unwrap();
    let login = json!({"id": 1, "op": "login", "sdkAppId": APP, "userId": "ann", "userSig": sig});
    socket.send(Message::text(login.to_string())).await.unwrap();
    let last = if then.is_some() { 2 } else { 1 };
    if let Some(then) = then {
        socket.send(Message::text(then.to_string())).await.unwrap();
    }
    loop {
        let message = socket.next().await.expect("a reply").unwrap();
        let Ok(text) = message.to_text() else { continue };
        let Ok(reply) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        if reply["id"] == last {
            return reply["error"]["code"].as_str().unwrap_or_default().to_owned();
        }
    }
}

/// Waits until both nodes answer a login so. `what`: the change that has just been made.
async fn soon_at_both(what: &str, nodes: [&Server; 2], key: &str, answer: &str) {
    let deadline = Clock.now() + REACHES_WITHIN;
    for node in nodes {
        loop {
            let now = login(node, key).await;
            if now == answer {
                break;
            }
            assert!(Clock.now() < deadline, "{what}: {now:?}");
            Clock.sleep_until(Clock.now() + Duration::from_millis(50)).await;
        }
    }
}

fn bearer(key: &Value) -> String {
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    format!("authorization: Bearer {}:{}", text("secret_id"), text("api_secret"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_made_changed_and_deleted_while_two_nodes_run() {
    let (Some(nats), Some(postgres)) = (NatsServer::start(), PostgresServer::start()) else {
        return;
    };
    postgres.store().await.close().await;
    let one = start("signaling-1", &nats, &postgres.url(), None);
    let two = start("signaling-2", &nats, &postgres.url(), Some(&one));
    let (both, id) = ([&one, &two], APP.to_string());
    assert_eq!(login(&one, "any").await, "unknown_application");

    let made = command(&one, &["apps", "create", &id, "--name", "acme"]);
    let first = made["secret_key"].as_str().unwrap().to_owned();
    soon_at_both("made", both, &first, "").await;
    assert_eq!(login(&one, "another key").await, "user_sig_invalid");

    // A new secret works beside the present one.
    let rotated = command(&two, &["apps", "rotate", &id]);
    let second = rotated["secret_key"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    soon_at_both("rotated", both, &second, "").await;
    for node in both {
        assert_eq!(login(node, &first).await, "", "the earlier secret is still valid");
    }
    let again = one.run(&["apps", "rotate", &id]);
    let refused = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && refused.contains("--finish"), "{refused}");
    command(&one, &["apps", "rotate", &id, "--finish"]);
    soon_at_both("finished", both, &first, "user_sig_invalid").await;
    assert_eq!(login(&two, &second).await, "");

    // Settings change while the nodes run.
    let set = command(
        &two,
        &["apps", "set", &id, "--room-tickets", "--record-publishers", "all"],
    );
    assert_eq!(set["settings"]["record_publishers"], "all");
    let deadline = Clock.now() + 10 * REACHES_WITHIN;
    for node in both {
        while enter(node, &second).await != "private_map_key_invalid" {
            assert!(Clock.now() < deadline, "the setting is not known");
            Clock.sleep_until(Clock.now() + Duration::from_millis(50)).await;
        }
    }
    let called = command(
        &one,
        &[
            "apps",
            "set",
            &id,
            "--room-tickets=false",
            "--callback-url",
            "https://example.com/c",
        ],
    );
    assert_eq!(called["settings"]["requires_private_map_key"], false);
    assert_eq!(
        called["settings"]["record_publishers"], "all",
        "what is not named stays"
    );
    assert!(called["callback_key"].is_string(), "callbacks are signed: {called}");
    let rule = ["--stream-profile", "platform=web,height=720"];
    let ruled = command(&one, &[&["apps", "set", &id][..], &rule].concat());
    assert_eq!(
        ruled["settings"]["stream_profiles"],
        json!([{ "platform": "web", "height": 720 }])
    );
    let cleared = command(&one, &["apps", "set", &id, "--no-stream-profiles"]);
    assert_eq!(cleared["settings"]["stream_profiles"], json!([]));
    for wrong in [
        &["--callback-url", "ftp://example.com"][..],
        &["--record-resume-seconds", "1801"],
        &["--record-publishers", "some"],
        &["--stream-profile", "layers=4"],
        &["--record-publishers", "all"],
        &[],
    ] {
        let refused = one.run(&[&["apps", "set", &id][..], wrong].concat());
        assert!(!refused.status.success(), "{wrong:?}");
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            message.contains("--") || message.contains("apps set"),
            "{wrong:?}: {message}"
        );
    }

    // API keys open what their scopes name.
    let rooms = command(&one, &["keys", "create", "--app", &id, "--scopes", "rooms"]);
    let mix = command(&one, &["keys", "create", "--app", &id, "--scopes", "mix,recordings"]);
    let statistics = "/api/rooms/1/members/ann/statistics";
    let deadline = Clock.now() + REACHES_WITHIN;
    while two.request(statistics, &[&bearer(&rooms)]).0 == 401 {
        assert!(Clock.now() < deadline, "the key is not known");
        Clock.sleep_until(Clock.now() + Duration::from_millis(50)).await;
    }
    let (status, body) = two.request(statistics, &[&bearer(&rooms)]);
    assert_eq!(status, 404, "nobody is in the room: {body}");
    let (status, body) = two.request(statistics, &[&bearer(&mix)]);
    assert_eq!(status, 403, "{body}");
    assert!(
        body.contains("UnauthorizedOperation.Scope") && body.contains("rooms"),
        "{body}"
    );

    let listed = command(&two, &["apps", "list"]);
    let found = listed.as_array().unwrap().iter().find(|row| row["sdk_app_id"] == APP);
    assert_eq!(found.unwrap()["name"], "acme");
    assert!(!listed.to_string().contains(&second), "a list has no secrets");

    command(&two, &["apps", "delete", &id]);
    soon_at_both("deleted", both, &second, "unknown_application").await;
    assert_eq!(command(&one, &["keys", "list"]), json!([]), "its keys went with it");
    let gone = one.run(&["apps", "delete", &id]);
    assert!(!gone.status.success());
}
