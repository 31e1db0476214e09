//! Only in demo mode anybody gets a ticket.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Server, eventually};

const TICKET: &str = "/demo/user-sig";

/// The status line and the rest of the answer to a POST of JSON.
fn post(server: &Server, path: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", server.http)).unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn without_a_configured_application_the_server_is_in_demo_mode_and_says_so() {
    let server = Server::start();
    assert!(post(&server, TICKET, "{\"userId\":\"eve\"}").contains("userSig"));
    assert!(server.get("/demo/info").contains("\"demoMode\":true"));
    eventually("the log says so", 5, || {
        server.log().contains("demo mode").then_some(())
    });
    assert!(server.stop());
}

#[test]
fn demo_mode_can_be_turned_off() {
    let server = Server::start_with(&[("ROTUNDA__SIGNALING__DEMO", "false")]);
    assert!(!post(&server, TICKET, "{\"userId\":\"eve\"}").contains("userSig"));
    assert!(!server.log().contains("demo mode"));
    assert!(server.stop());
}

#[test]
fn a_configured_application_is_never_served_by_the_demo_back_end() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rotunda.toml");
    let application =
        "[[applications]]\nsdk_app_id = 7\nsecret_key = \"k\"\nsecret_id = \"AKID7\"\napi_secret = \"s\"\n";
    std::fs::write(&config, application).unwrap();
    // Like the default.
    let server = Server::start_with(&[
        ("ROTUNDA_CONFIG", &config.display().to_string()),
        ("ROTUNDA__SIGNALING__DEMO", "true"),
    ]);
    for (path, body) in [
        (TICKET, "{\"userId\":\"eve\"}"),
        ("/demo/mix/start", "{\"roomId\":1001}"),
        ("/demo/mix/stop", "{\"roomId\":1001}"),
    ] {
        let answer = post(&server, path, body);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["404", "405"].contains(&status), "{path}: {answer}");
    }
    assert!(!server.get("/demo/info").contains("sdkAppId"));
    assert!(!server.log().contains("demo mode"));
    assert!(server.stop());
}
