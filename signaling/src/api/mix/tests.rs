//! Starts and stops of mixes; the test stands in for the MCU.

use std::sync::Arc;

use rotunda_bus::{ClusterNode, InProcess, Incarnation, Requests, SharedBus};
use rotunda_proto::ids::MembershipId;
use rotunda_proto::mix::node_key;
use rotunda_proto::room::{Holder, RosterMember};
use rotunda_store::Store;

use super::*;
use crate::api::tencent::read;
use crate::config::Config;
use serde_json::{Value, json};

struct Fixture {
    mixes: Arc<Mixes>,
    application: Application,
    commands: Requests,
}

fn room(app: SdkAppId) -> RoomKey {
    RoomKey {
        app,
        room: "1001".parse().unwrap(),
    }
}

/// With ann in room 1001.
async fn fixture() -> Fixture {
    let store = Store::in_memory_unopened();
    let bus: SharedBus = Arc::new(InProcess::new());
    let node: NodeId = "mcu-1".parse().unwrap();
    bus.store(&node_key(&node), &node, None).await.unwrap();
    let commands = bus.serve(&control_subject(&node)).await.unwrap();
    let application = Application::new(7.try_into().unwrap(), "key");
    let ann = RosterMember {
        user: "ann".parse().unwrap(),
        entered_unix_ms: 0,
        holder: Holder {
            membership: MembershipId(1),
            node: Incarnation::new("node-1".parse().unwrap(), 1),
        },
    };
    let roster = Roster { members: vec![ann] };
    bus.store(&roster_key(&room(application.sdk_app_id)), &roster, None)
        .await
        .unwrap();
    let applications = vec![application.clone()];
    let shared = Shared::new(
        Config::default(),
        ClusterNode::alone(bus, "node-1".parse().unwrap()),
        applications,
        store,
    );
    Fixture {
        mixes: Arc::new(Mixes::new(shared.clone(), Arc::new(Pictures::new(&shared).unwrap()))),
        application,
        commands,
    }
}

fn start(stream: &str, more: Value) -> StartRequest {
    let mut body = json!({
        "SdkAppId": 7, "RoomId": 1001,
        "OutputParams": { "StreamId": stream, "PureAudioStream": 1 },
        "EncodeParams": { "AudioSampleRate": 48000, "AudioBitrate": 64, "AudioChannels": 2 },
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    read::start(&body, read::RoomKind::Number).unwrap()
}

impl Fixture {
    fn spawn(&self, stream: &str) -> tokio::task::JoinHandle<Result<(), ApiError>> {
        let (mixes, caller, request) = (self.mixes.clone(), self.application.clone(), start(stream, json!({})));
        tokio::spawn(async move { mixes.start(&caller, request).await })
    }
}

fn code(result: Result<(), ApiError>) -> &'static str {
    result.map_or_else(|error| error.code, |()| "ok")
}

#[tokio::test]
async fn if_two_callers_start_different_mixes_at_the_same_moment_the_second_gets_an_error() {
    let mut fixture = fixture().await;
    let first = fixture.spawn("first");
    let being_started = fixture.commands.next().await;
    let second = fixture.spawn("second").await.unwrap().unwrap_err();
    assert_eq!(second.code, "FailedOperation.RequestRejection");
    assert!(second.message.contains("stream first"), "{}", second.message);
    being_started.answer(&Reply::Done);
    assert_eq!(code(first.await.unwrap()), "ok");
    // From then on the room's mix may be changed, and be replaced.
    let third = fixture.spawn("third");
    fixture.commands.next().await.answer(&Reply::Done);
    assert_eq!(code(third.await.unwrap()), "ok");
}

#[tokio::test]
async fn the_same_mix_may_be_started_twice_at_the_same_moment() {
    let mut fixture = fixture().await;
    let starts = [fixture.spawn("one"), fixture.spawn("one")];
    for _ in &starts {
        fixture.commands.next().await.answer(&Reply::Done);
    }
    for start in starts {
        assert_eq!(code(start.await.unwrap()), "ok");
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_blocks_no_other_start() {
    let mut fixture = fixture().await;
    let first = fixture.spawn("first");
    let _never_answered = fixture.commands.next().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = fixture.spawn("second");
    fixture.commands.next().await.answer(&Reply::Done);
    assert_eq!(code(second.await.unwrap()), "ok");
}

#[tokio::test]
async fn a_push_into_an_inner_network_is_refused_by_name() {
    let fixture = fixture().await;
    for url in [
        "rtmp://127.0.0.1/live/hush",
        "rtmp://[::1]/live/hush",
        "rtmp://localhost/live/hush",
        "rtmp://10.0.0.1/live/hush",
    ] {
        let publish = json!({ "PublishCdnParams": { "BizId": 1, "PublishCdnUrls": [url] } });
        let refused = fixture
            .mixes
            .start(&fixture.application, start("s", publish))
            .await
            .unwrap_err();
        assert_eq!(refused.code, "InvalidParameter.PublishCdnUrls");
        assert!(refused.message.contains("PublishCdnUrls.0"), "{}", refused.message);
        assert!(
            refused.message.contains("server.outbound_networks"),
            "{}",
            refused.message
        );
        assert!(!refused.message.contains("hush"), "the key is secret");
    }
}
