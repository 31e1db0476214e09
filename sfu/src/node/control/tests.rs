//! The load that a node announces, and the clients that it refuses for it.

use std::sync::Arc;

use rotunda_bus::{InProcess, SharedBus, WatchEvent};
use rotunda_proto::ids::{NodeId, SdkAppId, UserId};
use rotunda_proto::sfu::{Lines, control_subject};
use tokio::time::timeout;

use super::*;
use crate::node::load::Fullness;
use crate::node::worker_message::inbox;

/// An offer of one audio line to receive.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";

struct Node {
    bus: SharedBus,
    id: NodeId,
    load: Arc<Reading>,
    /// The addresses that clients are told.
    readdress: watch::Sender<Advertised>,
    shutdown: CancellationToken,
}

impl Node {
    /// With one worker, which takes every session.
    async fn start() -> Self {
        let bus: SharedBus = Arc::new(InProcess::new());
        let id: NodeId = "sfu-1".parse().unwrap();
        let info = NodeInfo {
            node: id.clone(),
            sessions: 0,
            capacity: 10,
            load_percent: 0,
            open_workers: 1,
        };
        let node = ClusterNode::alone(bus.clone(), id.clone());
        announce(&node, &info).await.unwrap();
        let load = Arc::new(Reading::default());
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let (inbox, mut messages) = inbox(waker);
        tokio::spawn(async move {
            while let Some(WorkerMessage::Command(WorkerCommand { task, reply })) = messages.recv().await {
                let done = match task {
                    Task::Adopt { answer, .. } => Reply::Opened { answer },
                    _ => Reply::Done,
                };
                let _gone = reply.send(done);
            }
        });
        let at = Advertised {
            addresses: vec!["192.0.2.1".parse().unwrap()],
            first: vec!["192.0.2.1".parse().unwrap()],
        };
        let (readdress, advertised) = watch::channel(at);
        let worker = Handle {
            inbox,
            advertised,
            port: 40_000,
            load: Arc::clone(&load),
        };
        let control = Control::new(
            info,
            node,
            ClusterSecret::new("secret"),
            vec![worker],
            Placement::new(1, 100, 100),
        );
        let requests = bus.serve(&control_subject(&id)).await.unwrap();
        let (events, event_queue) = mpsc::channel(8);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(async move {
            control.run(requests, event_queue, stop).await;
            drop(events);
        });
        Self {
            bus,
            id,
            load,
            readdress,
            shutdown,
        }
    }

    async fn ask(&self, command: Command) -> Reply {
        self.bus.call(&control_subject(&self.id), &command).await.unwrap()
    }

    async fn open(&self, session: u64, offer: &str) -> Reply {
        self.open_for(session, offer, Standing::Newcomer).await
    }

    async fn open_for(&self, session: u64, offer: &str, standing: Standing) -> Reply {
        let user: UserId = "ann".parse().unwrap();
        self.ask(Command::Open {
            session: SessionId(session),
            room: RoomKey {
                app: SdkAppId::try_from(1).unwrap(),
                room: "1001".parse().unwrap(),
            },
            identity: Identity::Member {
                user,
                signaling: "node-1".parse().unwrap(),
                client: Client::Signaled,
                standing,
            },
            offer: offer.to_owned(),
            lines: Lines::default(),
        })
        .await
    }

    /// Waits until the node says that it has so many sessions.
    async fn says(&self, sessions: u64) {
        self.says_that(|info| info.sessions == sessions).await;
    }

    /// Waits until the node's word is so.
    async fn says_that(&self, is_so: impl Fn(&NodeInfo) -> bool) {
        let mut told = self.bus.watch(&node_key(&self.id)).await.unwrap();
        let said = async {
            loop {
                if let WatchEvent::Change(change) = told.next().await
                    && change.parse::<NodeInfo>().is_some_and(|info| is_so(&info))
                {
                    return;
                }
            }
        };
        let said = timeout(Duration::from_secs(5), said).await;
        assert!(said.is_ok(), "the node does not say so");
    }
}

#[tokio::test]
async fn a_worker_that_is_too_busy_takes_no_session_and_the_node_says_so_while_the_others_go_on() {
    let node = Node::start().await;
    assert!(matches!(node.open(1, OFFER).await, Reply::Opened { .. }));
    node.load.set(93, Fullness::Full);
    let error = ControlError::NodeFull;
    assert_eq!(node.open(2, OFFER).await, Reply::Refused { error });
    let again = node.open_for(1, OFFER, Standing::Inside).await;
    assert!(
        matches!(again, Reply::Opened { .. }),
        "a member who is inside keeps the reserved capacity: {again:?}"
    );
    node.says_that(|info| info.is_full() && info.load_percent == 93 && info.sessions == 1)
        .await;
    let session = SessionId(1);
    let slots = rotunda_proto::sfu::SlotMap::default();
    assert_eq!(node.ask(Command::SetSlots { session, slots }).await, Reply::Done);
    node.load.set(50, Fullness::Open);
    assert!(matches!(node.open(3, OFFER).await, Reply::Opened { .. }));
    node.says_that(|info| !info.is_full() && info.load_percent == 50).await;
    node.shutdown.cancel();
}

#[tokio::test]
async fn a_new_address_is_told_to_new_sessions_alone() {
    let node = Node::start().await;
    let answer = async |session| match node.open(session, OFFER).await {
        Reply::Opened { answer } => answer,
        other => panic!("{other:?}"),
    };
    assert!(answer(1).await.contains(" 192.0.2.1 40000 "));
    let before = node.readdress.borrow().clone();
    let renewed = before.renewed(Some(vec!["192.0.2.9".parse().unwrap()])).unwrap();
    node.readdress.send_replace(renewed);
    let second = answer(2).await;
    assert!(
        second.contains(" 192.0.2.9 40000 ") && !second.contains("192.0.2.1"),
        "{second}"
    );
    node.shutdown.cancel();
}

#[tokio::test]
async fn a_node_says_how_many_sessions_it_has_and_counts_no_refused_ones() {
    let node = Node::start().await;
    for session in 1..=3 {
        assert!(matches!(node.open(session, OFFER).await, Reply::Opened { .. }));
    }
    node.says(3).await;
    assert!(matches!(node.open(4, "nonsense").await, Reply::Refused { .. }));
    let session = SessionId(1);
    assert_eq!(node.ask(Command::Close { session }).await, Reply::Done);
    node.says(2).await;
    node.shutdown.cancel();
}
