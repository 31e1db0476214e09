//! Over HTTP: the caller is identified before the body is read.

use std::net::Ipv4Addr;
use std::time::Duration;

use hmac::{Hmac, Mac};
use rotunda_bus::{ClusterNode, InProcess, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::{Application, Secret};
use rotunda_store::Store;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::api::mix::Mixes;
use crate::api::pictures::Pictures;
use crate::config::{Config, Process};
use crate::shared::Shared;

const SECRET: &str = "secret";

async fn start(process: Process) -> SocketAddr {
    let store = Store::in_memory_unopened();
    let bus: SharedBus = Arc::new(InProcess::new());
    let application = Application {
        secret_id: "AKID".into(),
        api_secret: Secret::new(SECRET),
        ..Application::new(7.try_into().unwrap(), "key")
    };
    let config = Config {
        process,
        ..Config::default()
    };
    let shared = Shared::for_test(
        config,
        ClusterNode::alone(bus, "node-1".parse().unwrap()),
        vec![application],
        store,
    );
    let pictures = Arc::new(Pictures::new(&shared).unwrap());
    let mixes = Arc::new(Mixes::new(shared.clone(), pictures.clone()));
    let actions = Actions::new(shared, mixes, pictures);
    let routes = router(actions, axum::routing::get(|| async { "index" }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The head of a call of `StopMCUMixTranscode`, signed by the contract's rules as a client that wrote `signed_host`.
fn head(key: &str, host: &str, signed_host: &str, more: &str, body: &str, length: usize) -> String {
    let time = Clock.unix().as_secs();
    let date = time::OffsetDateTime::from_unix_timestamp(time as i64)
        .unwrap()
        .date()
        .to_string();
    let hash = hex::encode(Sha256::digest(body));
    let canonical =
        format!("POST\n/\n\ncontent-type:application/json\nhost:{signed_host}\n\ncontent-type;host\n{hash}");
    let hash = hex::encode(Sha256::digest(canonical));
    let text = format!("TC3-HMAC-SHA256\n{time}\n{date}/trtc/tc3_request\n{hash}");
    let secret = mac(
        mac(mac(format!("TC3{SECRET}").as_bytes(), &date).as_slice(), "trtc").as_slice(),
        "tc3_request",
    );
    let signature = hex::encode(mac(&secret, &text));
    format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\
         X-TC-Action: StopMCUMixTranscode\r\nX-TC-Version: 2019-07-22\r\nX-TC-Timestamp: {time}\r\n\
         Authorization: TC3-HMAC-SHA256 Credential={key}/{date}/trtc/tc3_request, SignedHeaders=content-type;host, \
         Signature={signature}\r\n\r\n"
    )
}

/// Sends these bytes and no more. Answers the code of the response.
async fn code(server: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(server).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        while !answer.ends_with(b"}}") {
            if socket.read_buf(&mut answer).await.unwrap() == 0 {
                break;
            }
        }
    };
    timeout(Duration::from_secs(5), reading)
        .await
        .expect("an answer without more of the body");
    let answer = String::from_utf8(answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    body["Response"]["Error"]["Code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

const STOP: &str = "{\"SdkAppId\":7,\"RoomId\":1001}";
/// The signature is right, and the room is empty.
const TAKEN: &str = "FailedOperation.RoomNotExist";

async fn signed_as(server: SocketAddr, signed_host: &str, more: &str, body: &str) -> String {
    let head = head("AKID", "inner:8080", signed_host, more, body, body.len());
    code(server, &format!("{head}{body}")).await
}

#[tokio::test]
async fn an_unknown_caller_is_answered_before_its_body_comes() {
    let server = start(Process::default()).await;
    let unknown = head("AKIDother", "h", "h", "", "", 9_000_000);
    assert_eq!(code(server, &unknown).await, "AuthFailure.SecretIdNotFound");
    let basic = "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic abc\r\nContent-Length: 9000000\r\n\r\n";
    assert_eq!(code(server, basic).await, "AuthFailure.InvalidAuthorization");
    let stale = "POST / HTTP/1.1\r\nHost: h\r\nX-TC-Timestamp: 1700000000\r\nContent-Length: 9000000\r\n\
                 Authorization: TC3-HMAC-SHA256 Credential=AKID/2023-11-14/trtc/tc3_request, \
                 SignedHeaders=content-type;host, Signature=00\r\n\r\n";
    assert_eq!(code(server, stale).await, "AuthFailure.SignatureExpire");
    let large = head("AKID", "h", "h", "", "", 90_000_000);
    assert_eq!(code(server, &large).await, "RequestSizeLimitExceeded");
}

#[tokio::test]
async fn a_body_is_parsed_only_after_its_signature_was_verified() {
    let server = start(Process::default()).await;
    let body = "no JSON";
    let forged = head("AKID", "inner:8080", "inner:8080", "", "another body", body.len());
    assert_eq!(
        code(server, &format!("{forged}{body}")).await,
        "AuthFailure.SignatureFailure"
    );
    assert_eq!(signed_as(server, "inner:8080", "", body).await, "InvalidRequest");
}

#[tokio::test]
async fn a_body_may_begin_with_a_byte_order_mark() {
    let server = start(Process::default()).await;
    assert_eq!(signed_as(server, "inner:8080", "", STOP).await, TAKEN);
    assert_eq!(
        signed_as(server, "inner:8080", "", &format!("\u{feff}{STOP}")).await,
        TAKEN
    );
}

#[tokio::test]
async fn a_client_may_sign_another_name_if_configuration_or_a_trusted_proxy_names_it() {
    const FORWARDED: &str = "X-Forwarded-Host: media.example.com\r\n";
    const REFUSED: &str = "AuthFailure.SignatureFailure";
    let signed =
        async |process: Process, more: &str| signed_as(start(process).await, "media.example.com", more, STOP).await;
    assert_eq!(signed(Process::default(), "").await, REFUSED);
    assert_eq!(
        signed(Process::default(), FORWARDED).await,
        REFUSED,
        "anybody can send this header"
    );
    let named = Process {
        public_names: vec!["media.example.com".into()],
        ..Process::default()
    };
    assert_eq!(signed(named, "").await, TAKEN);
    let behind_proxy = Process {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Process::default()
    };
    assert_eq!(signed(behind_proxy.clone(), FORWARDED).await, TAKEN);
    assert_eq!(signed(behind_proxy, "").await, REFUSED);
}
