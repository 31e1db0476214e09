//! Over HTTP, with the room's other nodes played by the test.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::http::StatusCode;
use rotunda_bus::{BusExt, ClusterNode, InProcess, Incarnation, SharedBus};
use rotunda_proto::config::{Application, Secret};
use rotunda_proto::ids::{NodeId, TrackSource};
use rotunda_proto::room::{
    MemberCommand, MemberCounts, MemberReply, Permissions, Removed, RoomInfo, count_key, info_key, members_subject,
};
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::{self, Command};
use rotunda_proto::statistics::Statistics;
use rotunda_store::Store;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::config::Config;

const KEYS: &str = "AKID:secret";

/// A node with one application and one room, 1001. Its only member is ann, at another node. Answers the node's address.
async fn start() -> String {
    let store = Store::in_memory().await.unwrap();
    let bus: SharedBus = Arc::new(InProcess::new());
    let application = Application {
        secret_id: "AKID".into(),
        api_secret: Secret::new("secret"),
        ..Application::new(7.try_into().unwrap(), "key")
    };
    let room = RoomKey {
        app: application.sdk_app_id,
        room: "1001".parse().unwrap(),
    };
    let node: NodeId = "node-2".parse().unwrap();
    let info = RoomInfo {
        room: room.clone(),
        sfu: node.clone(),
        more_sfu: Vec::new(),
        created_unix_ms: 0,
    };
    bus.store(&info_key(&room), &info, None).await.unwrap();
    let counts = MemberCounts {
        by_node: [(Incarnation::new(node.clone(), 1), 1)].into(),
    };
    bus.store(&count_key(&room), &counts, None).await.unwrap();
    play_sfu(&bus, &node, room.clone()).await;
    play_signaling(&bus, &node, room).await;
    let shared = Shared::for_test(
        Config::default(),
        ClusterNode::alone(bus, "node-1".parse().unwrap()),
        vec![application],
        store,
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = router(shared);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn play_sfu(bus: &SharedBus, node: &NodeId, room: RoomKey) {
    let mut commands = bus.serve(&sfu::control_subject(node)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let request = commands.next().await;
            let reply = match request.parse().unwrap() {
                Command::Statistics { room: of, user } if of == room && user.as_str() == "ann" => {
                    let mut statistics = Box::new(Statistics::default());
                    statistics.downlink_wanted = 42;
                    sfu::Reply::Statistics { statistics }
                }
                _ => sfu::Reply::Refused {
                    error: sfu::ControlError::NoSuchSession,
                },
            };
            request.answer(&reply);
        }
    });
}

/// Accepts one change for ann: send audio, and receive everything. Refuses any other.
async fn play_signaling(bus: &SharedBus, node: &NodeId, room: RoomKey) {
    let mut commands = bus.serve(&members_subject(node)).await.unwrap();
    let wanted = Rights::of(&Permissions {
        send: [TrackSource::Audio].into(),
        receive: TrackSource::ALL.into(),
    });
    tokio::spawn(async move {
        loop {
            let request = commands.next().await;
            let (of, user, rights) = match request.parse().unwrap() {
                MemberCommand::Permit { room, user, rights } => (room, user, rights),
                MemberCommand::Remove { room: of, removed } => {
                    assert_eq!(of, room);
                    let ann = Removed::Users(vec!["ann".parse().unwrap()]);
                    assert!(removed == ann || removed == Removed::Everybody);
                    request.answer(&MemberReply::Done);
                    continue;
                }
                _ => panic!("nobody logs in"),
            };
            let reply = match of == room && user.as_str() == "ann" {
                true if rights == wanted => MemberReply::Done,
                true => MemberReply::Failed,
                false => MemberReply::NotHere,
            };
            request.answer(&reply);
        }
    });
}

/// The status, and the body as JSON.
async fn call(url: &str, keys: Option<&str>, body: Option<Value>) -> (StatusCode, Value) {
    let client = reqwest::Client::new();
    let mut request = match &body {
        Some(body) => client.put(url).json(body),
        None => client.get(url),
    };
    if let Some(keys) = keys {
        request = request.header(header::AUTHORIZATION.as_str(), format!("Bearer {keys}"));
    }
    let answer = request.send().await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    (status, answer.json().await.unwrap_or_default())
}

async fn refused(url: &str, keys: Option<&str>, body: Option<Value>) -> (StatusCode, String) {
    let (status, body) = call(url, keys, body).await;
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

fn member(server: &str, room: &str, user: &str, what: &str) -> String {
    format!("{server}/api/rooms/{room}/members/{user}/{what}")
}

fn named(status: StatusCode, code: &str) -> (StatusCode, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn an_operator_with_the_application_s_key_gets_a_member_s_statistics() {
    let url = member(&start().await, "1001", "ann", "statistics");
    let (status, statistics) = call(&url, Some(KEYS), None).await;
    assert_eq!((status, &statistics["downlinkWanted"]), (StatusCode::OK, &42.into()));
}

#[tokio::test]
async fn a_call_with_a_wrong_key_reveals_and_changes_nothing() {
    let server = start().await;
    let all = json!({ "send": [], "receive": [] });
    for (what, body) in [("statistics", None), ("permissions", Some(all))] {
        let url = member(&server, "1001", "ann", what);
        for (keys, code) in [
            (None, "AuthFailure.InvalidAuthorization"),
            (Some(":"), "AuthFailure.SecretIdNotFound"),
            (Some("AKID:wrong"), "AuthFailure.SignatureFailure"),
            (Some("other:secret"), "AuthFailure.SecretIdNotFound"),
        ] {
            let unauthorized = named(StatusCode::UNAUTHORIZED, code);
            assert_eq!(refused(&url, keys, body.clone()).await, unauthorized);
        }
    }
}

#[tokio::test]
async fn an_unknown_room_and_an_unknown_member_have_errors_of_their_own() {
    let server = start().await;
    let all = json!({ "send": ["audio"], "receive": ["audio", "camera", "screen"] });
    for (what, body) in [("statistics", None), ("permissions", Some(all))] {
        let ask = async |room: &str, user: &str| {
            let url = member(&server, room, user, what);
            refused(&url, Some(KEYS), body.clone()).await
        };
        let missing = |code| named(StatusCode::NOT_FOUND, code);
        assert_eq!(ask("1002", "ann").await, missing("FailedOperation.RoomNotExist"));
        assert_eq!(ask("1001", "bob").await, missing("FailedOperation.UserNotExist"));
        let bad = named(StatusCode::BAD_REQUEST, "InvalidParameterValue.UserId");
        assert_eq!(ask("1001", &"x".repeat(200)).await, bad);
        let bad = named(StatusCode::BAD_REQUEST, "InvalidRequest");
        assert_eq!(ask("1001", "%ff").await, bad);
        let bad = named(StatusCode::BAD_REQUEST, "InvalidParameterValue.RoomId");
        assert_eq!(ask("0", "ann").await, bad);
        assert_eq!(ask("007", "ann").await, bad, "it could mean two rooms");
    }
}

#[tokio::test]
async fn a_member_and_a_room_are_removed_by_the_key_of_their_application() {
    let server = start().await;
    let delete = async |path: &str, keys: &str| {
        let request = reqwest::Client::new().delete(format!("{server}/api/rooms/{path}"));
        let answer = request.header("authorization", format!("Bearer {keys}")).send().await;
        answer.unwrap().status().as_u16()
    };
    assert_eq!(delete("1001/members/ann", KEYS).await, 204);
    assert_eq!(delete("1001", KEYS).await, 204);
    assert_eq!(delete("1002", KEYS).await, 404);
    assert_eq!(delete("0", KEYS).await, 400);
    assert_eq!(delete("1001", "AKID:wrong").await, 401);
}

#[tokio::test]
async fn permissions_reach_the_member_as_they_are_written() {
    let url = member(&start().await, "1001", "ann", "permissions");
    let put = async |body| refused(&url, Some(KEYS), Some(body)).await;
    let all = ["audio", "camera", "screen"];
    assert_eq!(
        put(json!({ "send": ["audio"], "receive": all })).await,
        named(StatusCode::NO_CONTENT, "")
    );
    let other = put(json!({ "send": [], "receive": [] })).await;
    assert_eq!(other, named(StatusCode::SERVICE_UNAVAILABLE, "ResourceUnavailable"));
    for malformed in [
        json!({ "send": ["audio"] }),
        json!({ "send": ["video"], "receive": all }),
        json!({ "send": [], "receive": all, "record": true }),
    ] {
        assert_eq!(put(malformed).await, named(StatusCode::BAD_REQUEST, "InvalidRequest"));
    }
}
