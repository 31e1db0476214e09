//! The load that a node announces, and the clients that it refuses for it.

use std::sync::Arc;

use rotunda_bus::{Heard, InProcess, SharedBus, WatchEvent};
use rotunda_proto::ids::{NodeId, SdkAppId, UserId};
use rotunda_proto::location::Location;
use rotunda_proto::sfu::{Lines, Moved, control_subject};
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
    orders: mpsc::Sender<Order>,
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
            draining: false,
            location: Location::default(),
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
            8,
        );
        let orders = control.orders();
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
            orders,
            shutdown,
        }
    }

    /// As the process that ends.
    async fn refuse(&self) {
        let (done, is_done) = oneshot::channel();
        self.orders.send(Order::Refuse { done }).await.unwrap();
        is_done.await.unwrap();
    }

    /// Resolves when the sessions are elsewhere, or the time is over.
    async fn move_sessions(&self, within: Duration) {
        let (done, is_done) = oneshot::channel();
        self.orders.send(Order::Move { within, done }).await.unwrap();
        is_done.await.unwrap();
    }

    /// There is another node.
    async fn is_not_alone(&self) {
        let info = NodeInfo {
            node: "sfu-2".parse().unwrap(),
            sessions: 0,
            capacity: 10,
            load_percent: 0,
            open_workers: 1,
            draining: false,
            location: Location::default(),
        };
        self.bus.store(&node_key(&info.node), &info, None).await.unwrap();
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
            nodes: Vec::new(),
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
    assert_eq!(node.ask(Command::Close { session, moved: None }).await, Reply::Done);
    node.says(2).await;
    node.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_drains_takes_no_more_sessions_and_is_done_when_those_that_it_has_are_elsewhere() {
    let node = Node::start().await;
    node.is_not_alone().await;
    for session in [1, 2] {
        assert!(matches!(node.open(session, OFFER).await, Reply::Opened { .. }));
    }
    let mut events = node.bus.subscribe("sfu.sessions.node-1.*").await.unwrap();
    node.refuse().await;
    node.says_that(|info| info.draining && info.is_full()).await;
    let error = ControlError::NodeFull;
    assert_eq!(node.open(3, OFFER).await, Reply::Refused { error });

    let asked = async {
        let mut asked = Vec::new();
        while asked.len() < 2 {
            if let Heard::Message(message) = events.next().await
                && let Some(Event::Move { session }) = message.parse()
            {
                asked.push(session);
                let moved = Moved {
                    node: "sfu-2".parse().unwrap(),
                    took_ms: 300,
                    pause_ms: 0,
                };
                let close = Command::Close {
                    session,
                    moved: Some(moved),
                };
                assert_eq!(node.ask(close).await, Reply::Done);
            }
        }
        asked
    };
    let began = Clock.now();
    let ((), asked) = tokio::join!(node.move_sessions(Duration::from_secs(60)), asked);
    assert_eq!(asked, [1, 2].map(SessionId));
    assert!(
        Clock.now().duration_since(began) < Duration::from_secs(10),
        "it does not wait for the whole time"
    );
    node.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn sessions_that_stay_are_ended_before_the_time_is_over() {
    let node = Node::start().await;
    node.is_not_alone().await;
    assert!(matches!(node.open(1, OFFER).await, Reply::Opened { .. }));
    let room = RoomKey {
        app: SdkAppId::try_from(1).unwrap(),
        room: "1001".parse().unwrap(),
    };
    let mut events = node.bus.subscribe(&events_subject(&room)).await.unwrap();
    node.refuse().await;
    node.move_sessions(Duration::from_secs(8)).await;
    let Heard::Message(message) = events.next().await else {
        panic!("an event was lost")
    };
    let ended = message.parse::<Event>().unwrap();
    assert!(
        matches!(
            &ended,
            Event::Disconnected {
                session: SessionId(1),
                user: Some(_),
                ..
            }
        ),
        "{ended:?}"
    );
    node.says(0).await;
    node.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_the_api_drains_takes_sessions_again_when_it_is_told_to() {
    let node = Node::start().await;
    assert!(matches!(node.open(1, OFFER).await, Reply::Opened { .. }));
    let within_ms = 8000;
    let error = ControlError::NoOtherNode;
    assert_eq!(node.ask(Command::Drain { within_ms }).await, Reply::Refused { error });
    assert!(matches!(node.open(2, OFFER).await, Reply::Opened { .. }), "it goes on");
    node.is_not_alone().await;
    let mut events = node.bus.subscribe("sfu.sessions.node-1.*").await.unwrap();
    assert_eq!(node.ask(Command::Drain { within_ms }).await, Reply::Done);
    node.says_that(|info| info.draining && info.is_full()).await;
    let error = ControlError::NodeFull;
    assert_eq!(node.open(3, OFFER).await, Reply::Refused { error });
    while !matches!(events.next().await, Heard::Message(message) if matches!(message.parse(), Some(Event::Move { .. })))
    {
    }

    assert_eq!(node.ask(Command::Resume).await, Reply::Done);
    node.says_that(|info| !info.draining).await;
    assert!(matches!(node.open(3, OFFER).await, Reply::Opened { .. }));
    Clock.sleep_until(Clock.now() + Duration::from_secs(20)).await;
    node.says(3).await;

    node.refuse().await;
    let error = ControlError::Ends;
    for command in [Command::Resume, Command::Drain { within_ms }] {
        let error = error.clone();
        assert_eq!(node.ask(command).await, Reply::Refused { error });
    }
    node.shutdown.cancel();
}

#[tokio::test]
async fn the_only_node_keeps_its_sessions_until_the_end() {
    let node = Node::start().await;
    assert!(matches!(node.open(1, OFFER).await, Reply::Opened { .. }));
    node.refuse().await;
    node.move_sessions(Duration::from_secs(3600)).await;
    assert!(matches!(node.open(2, OFFER).await, Reply::Opened { .. }));
    node.shutdown.cancel();
}
