//! A member without a WebSocket, in virtual time.

mod custom_messages;
mod kept_cells;
mod media;
mod mix;
mod moving;
mod nodes;
mod profiles;
mod pushes;
mod restrictions;
mod rights;
mod schedules;
mod unconfirmed;
mod waiting;

use std::sync::Arc;

use rotunda_bus::{Bus, BusExt, ClusterNode, SharedBus};
use rotunda_proto::config::{Application, Microphones};
use rotunda_proto::ids::NodeId;
use rotunda_proto::location::Location;
use rotunda_proto::room::{MemberReply, Removed, Roster, info_key, key_prefix, roster_key};
use rotunda_proto::sfu::{NodeInfo, node_key};
use rotunda_store::Store;
use tokio::time::advance;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Config;
use crate::failing_bus::FailingBus;
use crate::registry::{Login, Told};
use crate::removals::RemoveError;
use crate::shared::Shared;

struct Test {
    shared: Shared,
    bus: Arc<FailingBus>,
    member: mpsc::Sender<ToMember>,
    room: RoomKey,
    messages: Messages,
    attachment: u64,
}

/// Ann is in room 1001, with her first WebSocket.
async fn ann_in_the_room() -> Test {
    ann_in_a_room_for(Microphones::default()).await
}

/// As [`ann_in_the_room`], with this limit of open microphones.
async fn ann_in_a_room_for(max_microphones: Microphones) -> Test {
    let (shared, bus) = node_for(max_microphones).await;
    let room = room();
    let member = log_in(&shared, &"ann".parse().unwrap()).await;
    let (messages, attachment) = attach(&member).await;
    let mut test = Test {
        shared,
        bus,
        member,
        room,
        messages,
        attachment,
    };
    let request = Request::EnterRoom {
        room_id: test.room.room.clone(),
        role: rotunda_proto::signaling::Role::Anchor,
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
        pass: None,
    };
    test.member
        .send(ToMember::Request {
            number: test.attachment,
            id: 1,
            request: Box::new(request),
        })
        .await
        .unwrap();
    assert!(matches!(
        test.messages.recv().await,
        Some(ServerMessage::Ok {
            reply: Reply::Entered { .. },
            ..
        })
    ));
    test
}

/// A signaling node with an application with this limit of open microphones. Its SFU is registered and does not answer yet.
async fn node_for(max_microphones: Microphones) -> (Shared, Arc<FailingBus>) {
    let bus = Arc::new(FailingBus::default());
    announce_sfu(&*bus).await;
    let shared_bus: SharedBus = bus.clone();
    let node = "node-1".parse().unwrap();
    (signaling_node(node, &shared_bus, max_microphones), bus)
}

async fn announce_sfu(bus: &dyn Bus) {
    let node = "node-1".parse().unwrap();
    bus.store(
        &node_key(&node),
        &NodeInfo {
            node: node.clone(),
            sessions: 0,
            capacity: 100,
            load_percent: 0,
            open_workers: 1,
            draining: false,
            location: Location::default(),
        },
        None,
    )
    .await
    .unwrap();
}

fn signaling_node(node: NodeId, bus: &SharedBus, max_microphones: Microphones) -> Shared {
    let store = Store::in_memory_unopened();
    let application = Application {
        max_microphones,
        ..Application::new(room().app, "")
    };
    Shared::for_test(
        Config::default(),
        ClusterNode::alone(bus.clone(), node),
        vec![application],
        store,
    )
}

fn room() -> RoomKey {
    RoomKey {
        app: SdkAppId::try_from(1).unwrap(),
        room: serde_json::from_str("1001").unwrap(),
    }
}

async fn log_in(shared: &Shared, user: &UserId) -> mpsc::Sender<ToMember> {
    let (app, token, id) = (room().app, "token".to_owned(), LoginId(rand::random()));
    let identity = Identity {
        app,
        user: user.clone(),
        token: token.clone(),
        login: id,
    };
    let member = start(shared.clone(), identity);
    let login = Login {
        id,
        token,
        member: member.clone(),
        told: Told::NotYet,
    };
    crate::logins::take_over(shared, app, user, login).await;
    member
}

/// Messages to the client.
struct Messages(mpsc::Receiver<Utf8Bytes>);

impl Messages {
    async fn recv(&mut self) -> Option<ServerMessage> {
        let json = self.0.recv().await?;
        Some(serde_json::from_str(json.as_str()).unwrap())
    }
}

async fn attach(member: &mpsc::Sender<ToMember>) -> (Messages, u64) {
    let (attached, attachment) = oneshot::channel();
    member.send(ToMember::Attach { attached }).await.unwrap();
    let Attachment { number, messages } = attachment.await.unwrap();
    (Messages(messages), number)
}

impl Test {
    async fn is_in_the_room(&self) -> bool {
        self.bus
            .load::<Roster>(&roster_key(&self.room))
            .await
            .unwrap()
            .is_some()
    }

    async fn pass(&self, seconds: u64) {
        advance(Duration::from_secs(seconds)).await;
        // The member's task runs: a round trip through its inbox, or its end.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_without_a_connection_leaves_after_thirty_seconds_and_not_before() {
    let test = ann_in_the_room().await;
    test.member
        .send(ToMember::Detach {
            number: test.attachment,
        })
        .await
        .unwrap();
    test.pass(29).await;
    assert!(test.is_in_the_room().await);
    test.pass(2).await;
    test.member.closed().await;
    assert!(!test.is_in_the_room().await);
    let left = test.bus.list(&key_prefix(&test.room)).await.unwrap();
    assert!(left.is_empty(), "nothing of the room is left: {left:?}");
    assert!(test.bus.get(&info_key(&test.room)).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_comes_back_in_time_stays() {
    let mut test = ann_in_the_room().await;
    test.member
        .send(ToMember::Detach {
            number: test.attachment,
        })
        .await
        .unwrap();
    test.pass(29).await;
    (test.messages, test.attachment) = attach(&test.member).await;
    test.pass(60).await;
    assert!(test.is_in_the_room().await);
    let told = test.messages.recv().await;
    assert!(
        matches!(&told, Some(ServerMessage::Event(Event::Room { room })) if room.member_count == 1),
        "the room again: {told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_kicked_member_is_notified_and_leaves_at_once() {
    let mut test = ann_in_the_room().await;
    test.member.send(ToMember::Kick(KickReason::Kick)).await.unwrap();
    test.member.closed().await;
    assert!(!test.is_in_the_room().await);
    let mut told = Vec::new();
    while let Some(message) = test.messages.recv().await {
        told.push(message);
    }
    assert!(told.contains(&ServerMessage::Event(Event::Kicked {
        reason: KickReason::Kick
    })));
}

#[tokio::test(start_paused = true)]
async fn members_are_removed_from_the_room_that_is_named_and_from_no_other() {
    let mut test = ann_in_the_room().await;
    crate::member_commands::serve(test.shared.clone(), CancellationToken::new())
        .await
        .unwrap();
    let other = RoomKey {
        room: serde_json::from_str("1002").unwrap(),
        ..room()
    };
    let everywhere = async |room, removed| crate::removals::remove(&test.shared, room, removed).await;
    let nobody = everywhere(other.clone(), Removed::Everybody).await;
    assert!(matches!(nobody, Err(RemoveError::NoSuchRoom)), "{nobody:?}");
    everywhere(room(), Removed::Users(vec!["bob".parse().unwrap()]))
        .await
        .unwrap();
    let here = async |room| crate::removals::remove_here(&test.shared, room, Removed::Everybody).await;
    assert_eq!(here(other).await, MemberReply::Done);
    assert!(test.is_in_the_room().await);
    everywhere(room(), Removed::Users(vec!["ann".parse().unwrap()]))
        .await
        .unwrap();
    assert!(!test.is_in_the_room().await, "when it is answered she has left");
    let mut told = Vec::new();
    while let Some(message) = test.messages.recv().await {
        told.push(message);
    }
    let reason = KickReason::Banned;
    assert_eq!(told.last(), Some(&ServerMessage::Event(Event::Kicked { reason })));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_connection_ends_and_its_requests_are_ignored() {
    let mut test = ann_in_the_room().await;
    let (mut newer, _) = attach(&test.member).await;
    while test.messages.recv().await.is_some() {}
    let exit = ToMember::Request {
        number: test.attachment,
        id: 2,
        request: Box::new(Request::ExitRoom {}),
    };
    test.member.send(exit).await.unwrap();
    test.pass(1).await;
    assert!(test.is_in_the_room().await, "the old connection has no say");
    assert!(newer.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_disconnected_and_leaves_after_the_resume_time() {
    let test = ann_in_the_room().await;
    for id in 0..400 {
        let request = Box::new(Request::ExitRoom {});
        let unread = ToMember::Request {
            number: test.attachment,
            id,
            request,
        };
        test.member.send(unread).await.unwrap();
    }
    test.pass(31).await;
    test.member.closed().await;
}
