//! Clients that break the protocol get a named error or are disconnected. Other clients do not notice, and no state
//! remains.

use std::net::UdpSocket;
use std::time::Duration;

use crate::support::{Server, eventually};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[tokio::test]
async fn bad_clients_get_named_errors_and_leave_nothing_behind() {
    let server = Server::start_with(&[("ROTUNDA__SFU__CONNECT_TIMEOUT_SECONDS", "2")]);
    let _neighbour = server.join(&["1001", "--user", "neighbour"]);
    eventually("the neighbour is in the room", 20, || members(&server, 1));
    let app = application(&server);
    let before = open_files(&server);

    let mut garbage = open(&server).await;
    assert_eq!(said(&mut garbage, "not json").await, "bad_request");
    assert_eq!(said(&mut garbage, r#"{"id":1,"op":"fly"}"#).await, "bad_request");
    assert_eq!(said(&mut garbage, r#"{"id":1,"op":"exitRoom"}"#).await, "not_logged_in");

    let mut huge = open(&server).await;
    // The server may close before everything is written.
    let _closed_early = huge.send(Message::text("x".repeat(10_000_000))).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while let Some(Ok(_)) = huge.next().await {}
    });
    assert!(ended.await.is_ok(), "a 10 MB message ends the connection");

    for (ticket, code) in [
        ("nonsense".to_owned(), "user_sig_invalid"),
        (ticket(&server, "somebody-else", "60"), "user_sig_user_mismatch"),
        (ticket(&server, "mallory", "0"), "user_sig_expired"),
    ] {
        let mut socket = open(&server).await;
        let login = json!({"id": 1, "op": "login", "sdkAppId": app, "userId": "mallory", "userSig": ticket});
        assert_eq!(said(&mut socket, &login.to_string()).await, code);
    }

    let mut mallory = enter(&server, app, "mallory").await;
    let nonsense = json!({"id": 3, "op": "connect", "offer": "this is no sdp", "lines": {}});
    assert_eq!(said(&mut mallory, &nonsense.to_string()).await, "bad_sdp");
    let half = json!({"id": 4, "op": "connect", "offer": HALF_OFFER, "lines": {"audio": ["0"]}});
    assert_eq!(
        said(&mut mallory, &half.to_string()).await,
        "",
        "an honest offer, but no ICE follows"
    );
    shower_with_junk(media_port(&server));
    let leave = json!({"id": 5, "op": "exitRoom"});
    assert_eq!(said(&mut mallory, &leave.to_string()).await, "");
    drop((garbage, mallory));

    eventually("only the neighbour is left", 40, || members(&server, 1));
    eventually("no socket is left", 20, || {
        (open_files(&server) <= before).then_some(())
    });
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("rotunda_sfu_sessions 1"),
        "only the neighbour's session:\n{metrics}"
    );
    assert!(server.stop());
}

/// A correct offer without ICE after it.
const HALF_OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";

async fn open(server: &Server) -> Socket {
    connect_async(format!("ws://127.0.0.1:{}/ws", server.http))
        .await
        .unwrap()
        .0
}

async fn enter(server: &Server, app: u64, user: &str) -> Socket {
    let mut socket = open(server).await;
    let ticket = ticket(server, user, "60");
    let login = json!({"id": 1, "op": "login", "sdkAppId": app, "userId": user, "userSig": ticket});
    assert_eq!(said(&mut socket, &login.to_string()).await, "");
    let enter = json!({"id": 2, "op": "enterRoom", "roomId": 1001});
    assert_eq!(said(&mut socket, &enter.to_string()).await, "");
    socket
}

/// Sends a message; returns the error code of the reply, or nothing for success.
async fn said(socket: &mut Socket, message: &str) -> String {
    socket.send(Message::text(message)).await.unwrap();
    loop {
        let reply = tokio::time::timeout(Duration::from_secs(10), socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let Ok(text) = reply.to_text() else { continue };
        let Ok(reply) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        if let Some(code) = reply["error"]["code"].as_str() {
            return code.to_owned();
        }
        if reply["ok"] == true {
            return String::new();
        }
    }
}

fn ticket(server: &Server, user: &str, life: &str) -> String {
    let output = server.run(&["user-sig", user, "--life", life]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn application(server: &Server) -> u64 {
    let keys = std::fs::read_to_string(server.folder.path().join("secrets.toml")).unwrap();
    let line = keys
        .lines()
        .find_map(|line| line.strip_prefix("sdk_app_id = "))
        .unwrap();
    line.parse().unwrap()
}

fn members(server: &Server, count: u32) -> Option<()> {
    server
        .get("/metrics")
        .contains(&format!("rotunda_signaling_members {count}\n"))
        .then_some(())
}

fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

fn media_port(server: &Server) -> u16 {
    let printed = String::from_utf8(server.run(&["config"]).stdout).unwrap();
    let (_, sfu) = printed.split_once("[sfu]").unwrap();
    let line = sfu.lines().find_map(|line| line.strip_prefix("port = ")).unwrap();
    line.parse().unwrap()
}

/// Junk datagrams: too short, STUN-like, DTLS-like and RTP-like.
fn shower_with_junk(port: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for first in 0..=255_u8 {
        for length in [1, 20, 200, 1200] {
            let _queue_full = socket.send_to(&vec![first; length], ("127.0.0.1", port));
        }
    }
}
