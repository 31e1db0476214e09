//! The SFU node of a member drains: their media moves to another node. The test stands in for both nodes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rotunda_proto::ids::{SessionId, TrackSource};
use rotunda_proto::room::RoomInfo;
use rotunda_proto::sfu::{
    self, Command, ControlError, Lines, Moved, control_subject, events_subject, member_session_subject,
};
use rotunda_proto::signaling::MediaState;
use tokio::time::timeout;

use super::media::ask;
use super::*;

/// An SFU node that confirms everything.
struct Node {
    told: mpsc::UnboundedReceiver<Command>,
    /// It refuses sessions.
    is_full: Arc<AtomicBool>,
}

impl Node {
    /// `is_full`: it refuses sessions.
    async fn play(test: &Test, name: &str, is_full: bool) -> Self {
        let node: NodeId = name.parse().unwrap();
        let info = NodeInfo {
            node: node.clone(),
            sessions: 0,
            capacity: 100,
            load_percent: 0,
            open_workers: 1,
            draining: false,
            location: Location::default(),
        };
        let key = node_key(&node);
        let known = test.bus.get(&key).await.unwrap().map(|entry| entry.revision);
        test.bus.store(&key, &info, known).await.unwrap();
        let mut commands = test.bus.serve(&control_subject(&node)).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let is_full = Arc::new(AtomicBool::new(is_full));
        let refuses = is_full.clone();
        tokio::spawn(async move {
            loop {
                let request = commands.next().await;
                let command: Command = request.parse().unwrap();
                request.answer(&match command {
                    Command::Open { .. } if refuses.load(Ordering::Relaxed) => sfu::Reply::Refused {
                        error: ControlError::NodeFull,
                    },
                    Command::Open { .. } => sfu::Reply::Opened {
                        answer: "v=0".to_owned(),
                    },
                    _ => sfu::Reply::Done,
                });
                let _nobody_looks = tell.send(command);
            }
        });
        Self { told, is_full }
    }

    /// The next session that was opened here.
    async fn opened(&mut self) -> SessionId {
        loop {
            if let Command::Open { session, .. } = self.told.recv().await.unwrap() {
                return session;
            }
        }
    }

    /// The next end of a session.
    async fn closed(&mut self) -> (SessionId, Option<Moved>) {
        loop {
            if let Command::Close { session, moved } = self.told.recv().await.unwrap() {
                return (session, moved);
            }
        }
    }

    /// The next sources that a session may send, within half a second.
    async fn permitted(&mut self) -> Option<BTreeSet<TrackSource>> {
        let permitted = async {
            loop {
                if let Command::SetIngress { sources, .. } = self.told.recv().await.unwrap() {
                    return sources;
                }
            }
        };
        timeout(Duration::from_millis(500), permitted).await.ok()
    }

    fn has_commands(&mut self) -> bool {
        self.told.try_recv().is_ok()
    }
}

async fn tell(test: &Test, event: sfu::Event) {
    let subject = match event.of_session() {
        Some(session) => member_session_subject(&"node-1".parse().unwrap(), session),
        None => events_subject(&test.room),
    };
    test.bus.tell(&subject, &event).await.unwrap();
}

async fn connect(test: &mut Test, id: u64) -> Result<Reply, ErrorCode> {
    let request = Request::Connect {
        offer: "v=0".to_owned(),
        lines: Lines::default(),
    };
    ask(test, id, request).await
}

async fn publish(test: &mut Test, id: u64) {
    let source = TrackSource::Audio;
    let published = ask(test, id, Request::Publish { source, muted: false }).await;
    assert_eq!(published, Ok(Reply::Done {}));
}

/// The next event of this kind.
async fn hears(test: &mut Test, is_it: impl Fn(&Event) -> bool) -> Event {
    loop {
        if let ServerMessage::Event(event) = test.messages.recv().await.unwrap()
            && is_it(&event)
        {
            return event;
        }
    }
}

fn is_move(event: &Event) -> bool {
    matches!(event, Event::MoveMedia {})
}

fn is_state(event: &Event) -> bool {
    matches!(event, Event::MediaState { .. })
}

const CONNECTED: Event = Event::MediaState {
    state: MediaState::Connected,
};
const DISCONNECTED: Event = Event::MediaState {
    state: MediaState::Disconnected,
};

/// Ann publishes at a node, which then asks for her session to move. There is another node.
async fn ann_is_to_move(other_is_full: bool) -> (Test, Node, SessionId, Node) {
    let mut test = ann_in_the_room().await;
    let mut one = Node::play(&test, "node-1", false).await;
    connect(&mut test, 2).await.unwrap();
    let session = one.opened().await;
    let two = Node::play(&test, "node-2", other_is_full).await;
    tell(&test, sfu::Event::Connected { session, user: None }).await;
    assert_eq!(hears(&mut test, is_state).await, CONNECTED);
    publish(&mut test, 3).await;
    assert_eq!(one.permitted().await, Some([TrackSource::Audio].into()));
    one.is_full.store(true, Ordering::Relaxed);
    tell(&test, sfu::Event::Move { session }).await;
    hears(&mut test, is_move).await;
    while one.has_commands() {}
    (test, one, session, two)
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_until_the_one_at_the_other_node_is_connected() {
    let (mut test, mut one, before, mut two) = ann_is_to_move(false).await;
    connect(&mut test, 4).await.unwrap();
    let session = two.opened().await;
    assert_eq!(two.permitted().await, None, "the former session publishes");
    assert!(!one.has_commands(), "the node that drains is not asked");
    let (info, _) = test.bus.load::<RoomInfo>(&info_key(&test.room)).await.unwrap().unwrap();
    assert_eq!(info.sfu_nodes().count(), 2, "the nodes relay the room to each other");

    tell(&test, sfu::Event::Connected { session, user: None }).await;
    assert_eq!(hears(&mut test, is_state).await, CONNECTED);
    assert_eq!(two.permitted().await, Some([TrackSource::Audio].into()));
    let (closed, moved) = one.closed().await;
    let moved = moved.unwrap();
    assert_eq!((closed, moved.node.as_str(), moved.pause_ms), (before, "node-2", 0));
    assert!(moved.took_ms >= 500, "{moved:?}");

    // From now on it is like any other session.
    let source = TrackSource::Audio;
    ask(&mut test, 5, Request::Unpublish { source }).await.unwrap();
    assert_eq!(two.permitted().await, Some(BTreeSet::new()));
    assert!(!one.has_commands());
}

#[tokio::test(start_paused = true)]
async fn what_is_published_during_the_move_goes_on_both_sessions() {
    let (mut test, mut one, _, mut two) = ann_is_to_move(false).await;
    connect(&mut test, 4).await.unwrap();
    let session = two.opened().await;
    let source = TrackSource::Camera;
    ask(&mut test, 5, Request::Publish { source, muted: false })
        .await
        .unwrap();
    let both: BTreeSet<TrackSource> = [TrackSource::Audio, TrackSource::Camera].into();
    assert_eq!(one.permitted().await, Some(both.clone()));
    tell(&test, sfu::Event::Connected { session, user: None }).await;
    assert_eq!(two.permitted().await, Some(both));
}

#[tokio::test(start_paused = true)]
async fn without_another_node_the_session_goes_on_where_it_is() {
    let (mut test, mut one, session, mut two) = ann_is_to_move(true).await;
    assert_eq!(connect(&mut test, 4).await, Err(ErrorCode::NodeFull));
    assert!(two.has_commands(), "it was asked");
    assert!(!one.has_commands(), "nothing has ended");
    let source = TrackSource::Audio;
    ask(&mut test, 5, Request::Unpublish { source }).await.unwrap();
    assert_eq!(one.permitted().await, Some(BTreeSet::new()));
    tell(&test, sfu::Event::Move { session }).await;
    hears(&mut test, is_move).await;
}

#[tokio::test(start_paused = true)]
async fn a_move_that_fails_leaves_the_session_as_it_was_and_is_tried_again() {
    let (mut test, mut one, before, mut two) = ann_is_to_move(false).await;
    connect(&mut test, 4).await.unwrap();
    let session = two.opened().await;
    let failed = sfu::Event::Disconnected {
        session,
        user: None,
        reason: "ICE and DTLS did not finish in time".to_owned(),
    };
    tell(&test, failed).await;
    tell(&test, sfu::Event::Move { session: before }).await;
    let told = hears(&mut test, |event| is_move(event) || is_state(event)).await;
    assert_eq!(told, Event::MoveMedia {}, "media was not lost");
    connect(&mut test, 5).await.unwrap();
    let session = two.opened().await;
    tell(&test, sfu::Event::Connected { session, user: None }).await;
    assert_eq!(one.closed().await.0, before);
}

#[tokio::test(start_paused = true)]
async fn the_pause_is_reported_if_the_former_session_ends_before_the_other_one_is_connected() {
    let (mut test, mut one, before, mut two) = ann_is_to_move(false).await;
    connect(&mut test, 4).await.unwrap();
    let session = two.opened().await;
    let ended = sfu::Event::Disconnected {
        session: before,
        user: None,
        reason: "the node ends".to_owned(),
    };
    tell(&test, ended).await;
    assert_eq!(two.permitted().await, None, "it is not connected for half a second");
    tell(&test, sfu::Event::Connected { session, user: None }).await;
    let (closed, moved) = one.closed().await;
    assert_eq!(closed, before);
    assert!((500..2000).contains(&moved.unwrap().pause_ms), "the pause is reported");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_move_connects_again_when_the_node_has_ended_its_session() {
    let (mut test, mut one, before, mut two) = ann_is_to_move(false).await;
    let ended = sfu::Event::Disconnected {
        session: before,
        user: None,
        reason: "the node ends".to_owned(),
    };
    tell(&test, ended).await;
    assert_eq!(hears(&mut test, is_state).await, DISCONNECTED);
    advance(Duration::from_millis(300)).await;
    connect(&mut test, 4).await.unwrap();
    let session = two.opened().await;
    assert_eq!(two.permitted().await, Some([TrackSource::Audio].into()));
    tell(&test, sfu::Event::Connected { session, user: None }).await;
    let (closed, moved) = loop {
        let (session, moved) = one.closed().await;
        // Also the session that the node has refused.
        if moved.is_some() {
            break (session, moved);
        }
    };
    assert_eq!(closed, before);
    assert!((300..2000).contains(&moved.unwrap().pause_ms), "the pause is reported");
}

#[tokio::test(start_paused = true)]
async fn a_member_comes_back_to_the_node_if_it_has_started_again() {
    let (mut test, mut one, before, _two) = ann_is_to_move(true).await;
    let ended = sfu::Event::Disconnected {
        session: before,
        user: None,
        reason: "the node ends".to_owned(),
    };
    tell(&test, ended).await;
    assert_eq!(hears(&mut test, is_state).await, DISCONNECTED);
    assert_eq!(connect(&mut test, 4).await, Err(ErrorCode::NodeFull), "it still ends");
    one.is_full.store(false, Ordering::Relaxed);
    while one.has_commands() {}
    connect(&mut test, 5).await.unwrap();
    one.opened().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_who_leaves_during_the_move_leaves_nothing_behind() {
    let (mut test, mut one, before, mut two) = ann_is_to_move(false).await;
    connect(&mut test, 4).await.unwrap();
    let session = two.opened().await;
    ask(&mut test, 5, Request::ExitRoom {}).await.unwrap();
    assert_eq!(one.closed().await, (before, None));
    assert_eq!(two.closed().await, (session, None));
}
