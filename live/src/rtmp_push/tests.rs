use std::net::SocketAddr;

use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult};
use rotunda_events::EventStream;
use rotunda_media::program::ProgramHub;
use rotunda_proto::outbound::{AllowedNetworks, Network, ResolveError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs};

use super::*;
use crate::hls::program::TestProgram;

/// The commands of a push that a server receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Published {
        app: String,
        stream: String,
    },
    /// With the codec's header.
    Video,
    Finished,
}

/// An RTMP server that accepts every push.
pub struct TestServer {
    pub address: SocketAddr,
    pub seen: mpsc::UnboundedReceiver<Seen>,
}

impl TestServer {
    pub async fn start(bind: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(bind).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (tls, tell) = (tls.clone(), tell.clone());
                tokio::spawn(async move {
                    match tls {
                        None => take(socket, tell).await,
                        Some(tls) => take(tls.accept(socket).await.unwrap(), tell).await,
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub async fn next(&mut self) -> Seen {
        timeout(Duration::from_secs(10), self.seen.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// Reads until the first video.
    pub async fn published(&mut self) -> (String, String) {
        let Seen::Published { app, stream } = self.next().await else {
            panic!("a command before the publish");
        };
        assert_eq!(self.next().await, Seen::Video);
        (app, stream)
    }

    /// Reads until the push has ended.
    pub async fn finished(&mut self) {
        while self.next().await != Seen::Finished {}
    }
}

async fn take(mut socket: impl Socket, tell: mpsc::UnboundedSender<Seen>) {
    let mut handshake = Handshake::new(PeerType::Server);
    let mut buffer = vec![0; 4096];
    let rest = loop {
        let length = socket.read(&mut buffer).await.unwrap();
        match handshake.process_bytes(&buffer[..length]).unwrap() {
            HandshakeProcessResult::InProgress { response_bytes } => socket.write_all(&response_bytes).await.unwrap(),
            HandshakeProcessResult::Completed {
                response_bytes,
                remaining_bytes,
            } => {
                socket.write_all(&response_bytes).await.unwrap();
                break remaining_bytes;
            }
        }
    };
    let (mut session, mut results) = ServerSession::new(ServerSessionConfig::new()).unwrap();
    results.extend(session.handle_input(&rest).unwrap());
    loop {
        for result in std::mem::take(&mut results) {
            match result {
                ServerSessionResult::OutboundResponse(packet) => socket.write_all(&packet.bytes).await.unwrap(),
                ServerSessionResult::RaisedEvent(event) => match event {
                    ServerSessionEvent::ConnectionRequested { request_id, .. } => {
                        results.extend(session.accept_request(request_id).unwrap());
                    }
                    ServerSessionEvent::PublishStreamRequested {
                        request_id,
                        app_name,
                        stream_key,
                        ..
                    } => {
                        results.extend(session.accept_request(request_id).unwrap());
                        let _gone = tell.send(Seen::Published {
                            app: app_name,
                            stream: stream_key,
                        });
                    }
                    // AVC sequence header: packet type 0.
                    ServerSessionEvent::VideoDataReceived { data, .. } if data.get(1) == Some(&0) => {
                        let _gone = tell.send(Seen::Video);
                    }
                    ServerSessionEvent::PublishStreamFinished { .. } => {
                        let _gone = tell.send(Seen::Finished);
                    }
                    _ => {}
                },
                ServerSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        if !results.is_empty() {
            continue;
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => {
                let _gone = tell.send(Seen::Finished);
                return;
            }
            Ok(length) => results = session.handle_input(&buffer[..length]).unwrap(),
        }
    }
}

/// A program that runs until it is dropped.
pub struct Running {
    pub hub: ProgramHub,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

pub fn run_program(id: &str) -> Running {
    let hub = ProgramHub::new();
    let writer = hub.open(&format!("1/{id}").parse().unwrap()).unwrap();
    let mut program = TestProgram::new();
    for frame in program.run(1.0, 1.0) {
        writer.write(frame);
    }
    let task = tokio::spawn(async move {
        loop {
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
            for frame in program.run(0.2, 1.0) {
                writer.write(frame);
            }
        }
    });
    Running {
        hub,
        _task: tokio_util::task::AbortOnDropHandle::new(task),
    }
}

pub fn outbound(networks: &[&str]) -> Outbound {
    let networks: Vec<Network> = networks.iter().map(|network| network.parse().unwrap()).collect();
    Outbound {
        networks: AllowedNetworks::new(networks),
        tls: crate::tls::client(None).unwrap(),
    }
}

fn start(running: &Running, url: &str, outbound: Outbound) -> CancellationToken {
    start_told(running, url, outbound, None)
}

fn start_told(running: &Running, url: &str, outbound: Outbound, teller: Option<Teller>) -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn(push(Push {
        address: url.parse().unwrap(),
        outbound,
        reader: running.hub.subscribe(&"1/s".parse().unwrap()).unwrap(),
        stop: stop.clone(),
        teller,
    }));
    stop
}

#[tokio::test]
async fn a_program_is_pushed_to_its_app_and_stream_until_it_is_stopped() {
    let mut server = TestServer::start("127.0.0.1:0", None).await;
    let program = run_program("s");
    let url = format!("rtmp://{}/live/inst/key?txSecret=1", server.address);
    let stop = start(&program, &url, outbound(&["127.0.0.0/8"]));
    assert_eq!(server.published().await, ("live/inst".into(), "key?txSecret=1".into()));
    stop.cancel();
    server.finished().await;
}

#[tokio::test]
async fn an_ipv6_host_and_a_stream_that_is_only_a_query_get_a_push() {
    let mut server = TestServer::start("[::1]:0", None).await;
    let program = run_program("s");
    let url = format!("rtmp://{}/live-bvc/?streamname=x&key=y", server.address);
    let _stop = start(&program, &url, outbound(&["::1"]));
    assert_eq!(
        server.published().await,
        ("live-bvc".into(), "?streamname=x&key=y".into())
    );
}

#[tokio::test]
async fn rtmps_is_pushed_by_tls_to_a_server_that_is_trusted() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = std::sync::Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let mut server = TestServer::start("127.0.0.1:0", Some(TlsAcceptor::from(std::sync::Arc::new(config)))).await;
    let program = run_program("s");
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let outbound = Outbound {
        tls: std::sync::Arc::new(trusting),
        ..outbound(&["127.0.0.0/8", "::1"])
    };
    let url = format!("rtmps://localhost:{}/live/k", server.address.port());
    let _stop = start(&program, &url, outbound);
    assert_eq!(server.published().await, ("live".into(), "k".into()));
}

#[tokio::test]
async fn a_private_address_gets_no_connection_unless_it_is_allowed() {
    let mut server = TestServer::start("127.0.0.1:0", None).await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let address: PushAddress = format!("rtmp://{host}:{}/live/k", server.address.port())
            .parse()
            .unwrap();
        let refused = open(&address, &outbound(&[])).await;
        assert!(
            matches!(refused, Err(ClientError::Address(ResolveError::Refused(_)))),
            "{host}"
        );
    }
    assert!(server.seen.try_recv().is_err());
}

/// The stream of facts of a test, and the way into it.
struct Stream {
    table: rotunda_events::Table,
    facts: Facts,
    _running: rotunda_events::Running,
}

impl Stream {
    async fn new() -> Self {
        let table = rotunda_events::Table::new(rotunda_store::Store::in_memory().await.unwrap());
        let facts = Facts::new("node-1".parse().unwrap(), table.clone().shared());
        let running = facts.start();
        Self {
            table,
            facts,
            _running: running,
        }
    }

    fn teller(&self, url: &str) -> Teller {
        Teller {
            facts: self.facts.clone(),
            room: serde_json::from_value(serde_json::json!({ "app": 1, "room": 1 })).unwrap(),
            task: TaskRef {
                id: "t1".parse().unwrap(),
                robot: "robot".parse().unwrap(),
            },
            url: url.to_owned(),
        }
    }

    /// Waits until so many changes are in the stream.
    async fn changes(&self, least: usize) -> Vec<PushChange> {
        let reading = async {
            loop {
                let of = self.table.incarnation().await.unwrap();
                let events = self.table.read(&of, 0, 100).await.unwrap();
                if events.len() >= least {
                    return events;
                }
                self.facts.appended().await;
            }
        };
        let events = timeout(Duration::from_secs(20), reading).await.unwrap();
        let change = |event: rotunda_store::StreamedEvent| {
            let fact: rotunda_events::Fact = serde_json::from_str(&event.body).unwrap();
            match fact.what {
                What::PushChanged { push } => *push,
                other => panic!("{other:?}"),
            }
        };
        events.into_iter().map(change).collect()
    }
}

#[tokio::test]
async fn the_states_of_a_task_s_push_are_told_from_its_refusal_to_its_end() {
    use rotunda_events::PushState::{Connecting, Disconnecting, Idle, Running};
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (program, stream) = (run_program("s"), Stream::new().await);
    let url = format!("rtmp://{address}/live/SECRET");
    let stop = start_told(&program, &url, outbound(&["127.0.0.0/8"]), Some(stream.teller(&url)));
    let told = stream.changes(2).await;
    assert_eq!((told[0].state, told[1].state), (Connecting, Connecting));
    assert_eq!(told[0].url, url);
    let error = told[1].error.as_ref().unwrap();
    assert_eq!(error.kind, rotunda_events::PushErrorKind::Connection);
    assert!(!error.message.contains("SECRET"), "{}", error.message);
    let mut server = TestServer::start(&address.to_string(), None).await;
    assert_eq!(server.published().await, ("live".into(), "SECRET".into()));
    let told = stream.changes(3).await;
    assert_eq!(told.last().unwrap().state, Running);
    stop.cancel();
    server.finished().await;
    let before = told.len();
    let told = stream.changes(before + 2).await;
    let ends: Vec<_> = told[before..].iter().map(|told| told.state).collect();
    assert_eq!(ends, [Disconnecting, Idle]);
}
