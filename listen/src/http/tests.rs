use std::net::SocketAddr;
use std::path::Path;

use axum::extract::ws::WebSocketUpgrade;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::config::TlsFiles;
use crate::listener::{Binding, Listeners, Security};
use crate::tls::Tls;
use crate::trusted::TrustedProxies;

/// A new certificate for localhost, as PEM files.
pub fn certificate(folder: &Path, name: &str) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |ending: &str, kind: &str, der: &[u8]| {
        let path = folder.join(format!("{name}.{ending}"));
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let text = format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"));
        std::fs::write(&path, text).unwrap();
        path
    };
    TlsFiles {
        certificate: write("crt", "CERTIFICATE", made.cert.der()),
        key: write("key", "PRIVATE KEY", &made.signing_key.serialize_der()),
    }
}

/// A running server that answers with the client's address.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Given {
    policy: Policy,
    open: usize,
    plain: usize,
    tls: Option<Tls>,
}

impl Default for Given {
    /// Without trusted proxies, so that this machine counts like any other.
    fn default() -> Self {
        let policy = Policy {
            trusted: TrustedProxies::new(Vec::new()),
            proxy_protocol: false,
            per_address: 100,
            header: Duration::from_secs(10),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        };
        Self {
            policy,
            open: 100,
            plain: 100,
            tls: None,
        }
    }
}

impl Given {
    fn trusting(network: &str) -> Self {
        let mut given = Self::default();
        given.policy.trusted = TrustedProxies::new(vec![network.parse().unwrap()]);
        given
    }

    async fn start(self) -> Server {
        let router = Router::new()
            .route(
                "/who",
                get(|request: Request| async move {
                    let ClientAddress(address) = request.extensions().get().copied().unwrap();
                    let host = request.headers().get("x-forwarded-host");
                    let host = host.and_then(|host| host.to_str().ok()).unwrap_or("-");
                    format!("{address} {host} {:?}", request.version())
                }),
            )
            .route("/echo", post(|body: String| async move { body }))
            .route("/endless", get(endless))
            .route(
                "/ws",
                get(|upgrade: WebSocketUpgrade| async move {
                    upgrade.on_upgrade(|mut socket| async move { while socket.recv().await.is_some() {} })
                }),
            );
        let binding = Binding {
            name: "test",
            address: "127.0.0.1:0".parse().unwrap(),
            open: self.open,
            plain: self.plain,
            security: Security::Tls,
        };
        let listener = Listeners::new(self.policy, self.tls).bind(binding).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let serving = Serving {
            router,
            is_of_rooms: |request| request.uri().path() == "/ws",
            bodies: Bodies::Short,
        };
        tokio::spawn(serve(listener, serving, stop.clone()));
        Server { address, stop }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The whole answer to these bytes, until the server closes.
    async fn said(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        let _refused_already = socket.write_all(bytes).await;
        everything(&mut socket).await
    }

    async fn websocket(&self) -> TcpStream {
        let mut socket = self.connect().await;
        let request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let head = answer(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        socket
    }
}

async fn everything(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(10), socket.read_to_end(&mut bytes)).await;
    let _reset_is_an_end_too = read.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads up to the end of a header.
async fn answer(socket: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let length = timeout(Duration::from_secs(10), socket.read(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

const WHO: &[u8] = b"GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Sends for ever, and tells when its body is dropped.
static ENDLESS_DROPPED: tokio::sync::Notify = tokio::sync::Notify::const_new();

async fn endless() -> Response {
    struct Told;
    impl Drop for Told {
        fn drop(&mut self) {
            ENDLESS_DROPPED.notify_one();
        }
    }
    let chunks = stream::unfold(Told, |told| async move {
        Some((Ok::<_, Infallible>(Bytes::from_static(&[0; 4096])), told))
    });
    let mut response = Body::from_stream(chunks).into_response();
    response.extensions_mut().insert(StallLimit(Duration::from_millis(300)));
    response
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_an_endless_body_is_closed_long_before_it_counts_as_idle() {
    let mut given = Given::default();
    given.policy.idle = Duration::from_secs(3600);
    let server = given.start().await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    timeout(Duration::from_secs(60), ENDLESS_DROPPED.notified())
        .await
        .expect("the stalled client is closed");
    drop(socket);
}

#[tokio::test]
async fn a_client_that_never_ends_its_header_is_closed() {
    let mut given = Given::default();
    given.policy.header = Duration::from_millis(300);
    let server = given.start().await;
    let [mut silent, mut slow, mut drip] = [server.connect().await, server.connect().await, server.connect().await];
    slow.write_all(b"GET /who HTTP/1.1\r\nHost: a\r\nX-").await.unwrap();
    let dripping = async {
        // Single bytes do not extend the time limit.
        while drip.write_all(b"P").await.is_ok() && timeout(Duration::from_millis(50), drip.readable()).await.is_err() {
        }
    };
    timeout(Duration::from_secs(10), dripping)
        .await
        .expect("the drip is closed");
    assert_eq!(everything(&mut silent).await, "");
    assert!(!everything(&mut slow).await.contains("200"));
}

#[tokio::test]
async fn a_body_must_arrive_in_time() {
    let mut given = Given::default();
    given.policy.body = Duration::from_millis(300);
    let server = given.start().await;
    let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    assert!(server.said(&[&head[..], b"hello"].concat()).await.ends_with("hello"));
    let slow = server.said(&[&head[..], b"hel"].concat()).await;
    assert!(slow.starts_with("HTTP/1.1 400"), "{slow}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_an_active_websocket_is_not() {
    let mut given = Given::default();
    given.policy.idle = Duration::from_millis(400);
    let server = given.start().await;
    let mut silent = server.websocket().await;
    let mut talking = server.websocket().await;
    for _ in 0..6 {
        // A ping, masked with zeros, and its pong.
        talking.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
        assert!(!answer(&mut talking).await.is_empty());
        let _pause = timeout(Duration::from_millis(150), talking.readable()).await;
    }
    assert_eq!(everything(&mut silent).await, "");
}

#[tokio::test]
async fn one_address_has_a_limit_of_connections() {
    let mut given = Given::default();
    given.policy.per_address = 2;
    let server = given.start().await;
    let [one, _two] = [server.websocket().await, server.websocket().await];
    assert_eq!(server.said(WHO).await, "", "closed without an answer");
    drop(one);
    eventually_served(&server).await;
}

/// Repeats the request until it is answered: a place is free once the server has seen its connection end.
async fn eventually_served(server: &Server) {
    let asking = async { while !server.said(WHO).await.contains("200 OK") {} };
    timeout(Duration::from_secs(10), asking).await.unwrap();
}

#[tokio::test]
async fn places_are_reserved_for_rooms_when_pages_use_all_of_theirs() {
    let given = Given {
        open: 4,
        plain: 1,
        ..Given::default()
    };
    let server = given.start().await;
    let _first = server.websocket().await;
    let _idle = server.connect().await;
    eventually("the idle connection counts", async || {
        server.said(WHO).await.contains("503")
    })
    .await;
    let _room = server.websocket().await;
    let _full = server.websocket().await;
    assert_eq!(server.said(WHO).await, "", "the listener is full");
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let checking = async { while !check().await {} };
    timeout(Duration::from_secs(10), checking).await.expect(what);
}

fn from(client: &str) -> String {
    format!(
        "GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: {client}\r\nX-Forwarded-Host: public.example\r\n\r\n"
    )
}

#[tokio::test]
async fn forwarded_headers_count_only_from_trusted_proxies() {
    let trusting = Given::trusting("127.0.0.1").start().await;
    let told = trusting.said(from("192.0.2.1").as_bytes()).await;
    assert!(told.ends_with("192.0.2.1 public.example HTTP/1.1"), "{told}");
    let server = Given::default().start().await;
    let forged = server.said(from("192.0.2.1").as_bytes()).await;
    assert!(forged.ends_with("127.0.0.1 - HTTP/1.1"), "{forged}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit() {
    let mut given = Given::trusting("127.0.0.1");
    given.policy.per_address = 1;
    let server = given.start().await;
    let websocket = async |client: &str| {
        let mut socket = server.connect().await;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             X-Forwarded-For: {client}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let head = answer(&mut socket).await;
        (socket, head[9..12].to_owned())
    };
    let (one, status) = websocket("192.0.2.1").await;
    assert_eq!(status, "101");
    assert_eq!(websocket("192.0.2.1").await.1, "429");
    let (_two, status) = websocket("192.0.2.2").await;
    assert_eq!(status, "101", "another client of the same proxy");
    drop(one);
    eventually("the place is free again", async || {
        websocket("192.0.2.1").await.1 == "101"
    })
    .await;
    // Requests release their place when they are answered.
    for _ in 0..3 {
        assert!(server.said(from("192.0.2.9").as_bytes()).await.contains("200 OK"));
    }
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client_and_is_read_only_from_proxies() {
    let mut given = Given::trusting("127.0.0.1");
    given.policy.proxy_protocol = true;
    let server = given.start().await;
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    let told = server.said(&[&line[..], from("6.6.6.6").as_bytes()].concat()).await;
    assert!(
        told.ends_with("192.0.2.7 - HTTP/1.1"),
        "the client's own headers have no effect: {told}"
    );
    assert_eq!(server.said(WHO).await, "", "a trusted proxy must send the header");

    let mut given = Given::default();
    given.policy.proxy_protocol = true;
    let server = given.start().await;
    let forged = server.said(&[&line[..], WHO].concat()).await;
    assert!(!forged.contains("192.0.2.7"), "{forged}");
    assert!(server.said(WHO).await.ends_with("127.0.0.1 - HTTP/1.1"));
}

#[tokio::test]
async fn tls_serves_http_1_and_2_and_ends_a_stalled_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path(), "one");
    let mut given = Given {
        tls: Tls::load(&files).unwrap(),
        ..Given::default()
    };
    given.policy.header = Duration::from_secs(1);
    let server = given.start().await;
    for (offered, chosen) in [
        (vec![b"h2".to_vec(), b"http/1.1".to_vec()], Some(&b"h2"[..])),
        (vec![b"http/1.1".to_vec()], Some(&b"http/1.1"[..])),
        (Vec::new(), None),
    ] {
        let mut socket = tls_client(&server, &files, offered).await;
        assert_eq!(socket.get_ref().1.alpn_protocol(), chosen);
        if chosen != Some(b"h2") {
            socket.write_all(WHO).await.unwrap();
            let mut told = Vec::new();
            let _without_close_notify = socket.read_to_end(&mut told).await;
            assert!(told.ends_with(b"127.0.0.1 - HTTP/1.1"));
        }
    }
    let mut silent = server.connect().await;
    assert_eq!(everything(&mut silent).await, "");
    assert_eq!(server.said(WHO).await.matches("200 OK").count(), 0, "no plain HTTP");
}

async fn tls_client(
    server: &Server,
    files: &TlsFiles,
    offered: Vec<Vec<u8>>,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&files.certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, server.connect().await).await.unwrap()
}
