//! What the server API takes from a user stays taken when they enter again. In real time, because the store has threads of its own; each
//! test waits for states.

use rotunda_proto::ids::TrackSource;
use rotunda_proto::room::Removed;
use rotunda_proto::signaling::Role;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::api::ApiError;
use crate::api::moderation::{self, SetUserBlocked};
use crate::api::request::whole;
use crate::api::tencent::fields::Fields;
use crate::restrictions;

/// A client of one login.
struct Client {
    member: mpsc::Sender<ToMember>,
    messages: Messages,
    attachment: u64,
}

/// Two nodes on one bus and one store, which follow each other.
pub(super) async fn two_nodes() -> (Shared, Shared) {
    let bus: SharedBus = Arc::new(FailingBus::default());
    announce_sfu(&*bus).await;
    let store = Store::in_memory().await.unwrap();
    let node = |name: &str| {
        let application = Application::new(room().app, "");
        let node = ClusterNode::alone(bus.clone(), name.parse().unwrap());
        Shared::for_test(Config::default(), node, vec![application], store.clone())
    };
    let (one, two) = (node("node-1"), node("node-2"));
    for shared in [&one, &two] {
        crate::member_commands::serve(shared.clone(), CancellationToken::new())
            .await
            .unwrap();
        drop(restrictions::follow(shared.clone(), CancellationToken::new()));
    }
    (one, two)
}

impl Client {
    async fn log_in(shared: &Shared, user: &str) -> Self {
        let member = log_in(shared, &user.parse().unwrap()).await;
        let (messages, attachment) = attach(&member).await;
        Self {
            member,
            messages,
            attachment,
        }
    }

    async fn ask(&mut self, request: Request) -> Result<(), ErrorCode> {
        let request = ToMember::Request {
            number: self.attachment,
            id: 1,
            request: Box::new(request),
        };
        self.member.send(request).await.unwrap();
        loop {
            match self.messages.recv().await {
                Some(ServerMessage::Ok { .. }) => return Ok(()),
                Some(ServerMessage::Failed { error, .. }) => return Err(error.code),
                Some(_) => {}
                None => panic!("the login has ended"),
            }
        }
    }

    async fn enter(&mut self) -> Result<(), ErrorCode> {
        let request = Request::EnterRoom {
            room_id: room().room,
            role: Role::Anchor,
            user_define_record_id: None,
            stream_id: None,
            private_map_key: None,
            pass: None,
        };
        self.ask(request).await
    }

    /// What they may send, from the next event that says so.
    async fn may_send(&mut self) -> Vec<TrackSource> {
        loop {
            match self.messages.recv().await {
                Some(ServerMessage::Event(Event::Permissions { send, .. })) => return send.into_iter().collect(),
                Some(_) => {}
                None => panic!("the login has ended"),
            }
        }
    }
}

async fn removed(shared: &Shared, removed: Removed) {
    moderation::remove(shared, room(), removed, "key").await.unwrap();
}

#[tokio::test]
async fn a_removed_user_may_enter_again_when_it_is_lifted_and_others_at_once() {
    let (one, two) = two_nodes().await;
    let mut ann = Client::log_in(&one, "ann").await;
    ann.enter().await.unwrap();
    removed(&two, Removed::Users(vec!["ann".parse().unwrap()])).await;
    ann.member.closed().await;
    let mut again = Client::log_in(&two, "ann").await;
    assert_eq!(again.enter().await, Err(ErrorCode::Banned));
    assert_eq!(Client::log_in(&two, "bob").await.enter().await, Ok(()));
    let listed = two.store.restrictions(Clock.unix()).await.unwrap();
    let left = listed[0].until.unwrap().saturating_sub(listed[0].created);
    assert_eq!((left.as_secs(), listed[0].created_by.as_str()), (60, "key"));
    let ann = "ann".parse().unwrap();
    let lifted = restrictions::lift(&two, &room(), Some(&ann), rotunda_store::RestrictionKind::Entry).await;
    assert!(lifted.unwrap());
    assert_eq!(again.enter().await, Ok(()));
}

#[tokio::test]
async fn nobody_enters_a_dismissed_room() {
    let (one, _) = two_nodes().await;
    let mut ann = Client::log_in(&one, "ann").await;
    ann.enter().await.unwrap();
    removed(&one, Removed::Everybody).await;
    ann.member.closed().await;
    for user in ["ann", "bob"] {
        assert_eq!(Client::log_in(&one, user).await.enter().await, Err(ErrorCode::Banned));
    }
}

#[tokio::test]
async fn a_member_who_slipped_in_at_another_node_is_removed_when_that_node_follows() {
    let (one, two) = two_nodes().await;
    let mut ann = Client::log_in(&two, "ann").await;
    ann.enter().await.unwrap();
    let restriction = rotunda_store::Restriction {
        room: room(),
        user: Some("ann".parse().unwrap()),
        limit: rotunda_store::RestrictionLimit::Entry,
        until: None,
        created: Clock.unix(),
        created_by: "key".to_owned(),
    };
    restrictions::restrict(&one, &restriction).await.unwrap();
    ann.member.closed().await;
}

async fn block(shared: &Shared, request: Value) -> Result<(), ApiError> {
    let request: SetUserBlocked = whole(Fields::of(&request))?;
    moderation::block(shared, &Application::new(room().app, ""), request).await
}

fn request(is_mute: u64) -> Value {
    json!({ "SdkAppId": 1, "RoomId": 1001, "UserId": "ann", "IsMute": is_mute })
}

#[tokio::test]
async fn a_blocked_user_gets_nothing_back_by_entering_again() {
    let (one, two) = two_nodes().await;
    let (audio, camera, screen) = (TrackSource::Audio, TrackSource::Camera, TrackSource::Screen);
    let mut ann = Client::log_in(&one, "ann").await;
    ann.enter().await.unwrap();
    for (is_mute, left) in [(1, vec![]), (2, vec![camera, screen]), (3, vec![audio])] {
        block(&one, request(is_mute)).await.unwrap();
        assert_eq!(ann.may_send().await, left, "IsMute {is_mute}");
    }
    ann.ask(Request::ExitRoom {}).await.unwrap();
    ann.enter().await.unwrap();
    assert_eq!(ann.may_send().await, [audio]);
    block(&two, request(0)).await.unwrap();
    assert_eq!(ann.may_send().await, [audio, camera, screen], "node 1 follows");
}

#[tokio::test]
async fn each_wrong_field_of_set_user_blocked_has_its_code() {
    let (one, _) = two_nodes().await;
    assert_eq!(
        block(&one, request(1)).await.unwrap_err().code,
        "FailedOperation.RoomNotExist"
    );
    let mut bob = Client::log_in(&one, "bob").await;
    bob.enter().await.unwrap();
    for (field, value, code) in [
        ("SdkAppId", json!(2), "UnauthorizedOperation.SdkAppId"),
        ("SdkAppId", Value::Null, "MissingParameter.SdkAppId"),
        ("RoomId", Value::Null, "MissingParameter.RoomId"),
        ("RoomId", json!("x"), "InvalidParameter.RoomId"),
        ("UserId", Value::Null, "MissingParameter.UserId"),
        ("UserId", json!("no spaces"), "InvalidParameter.UserId"),
        ("IsMute", Value::Null, "MissingParameter"),
        ("IsMute", json!(4), "InvalidParameter.OutOfRange"),
        ("IsMute", json!(-1), "InvalidParameter.OutOfRange"),
    ] {
        let mut request = request(1);
        request[field] = value.clone();
        assert_eq!(block(&one, request).await.unwrap_err().code, code, "{field} {value}");
    }
    block(&one, request(1)).await.unwrap();
    let mut ann = Client::log_in(&one, "ann").await;
    ann.enter().await.unwrap();
    assert!(ann.may_send().await.is_empty(), "blocked before they came");
}
