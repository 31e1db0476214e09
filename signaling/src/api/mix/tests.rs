//! Starts and stops of mixes; the test stands in for the MCU.

use std::convert::Infallible;
use std::sync::Arc;

use rotunda_bus::{ClusterNode, InProcess, Incarnation, SharedBus};
use rotunda_proto::ids::{MembershipId, NodeId};
use rotunda_proto::mix::{MixNode, node_key};
use rotunda_proto::mix_task::{Desired, Refused, task_key};
use rotunda_proto::room::{Holder, RosterMember};
use rotunda_store::Store;

use super::request::RoomField;
use super::*;
use crate::api::tencent::read;
use crate::config::Config;
use serde_json::{Value, json};

struct Fixture {
    mixes: Arc<Mixes>,
    application: Application,
    bus: SharedBus,
}

fn room(app: SdkAppId) -> RoomKey {
    RoomKey {
        app,
        room: "1001".parse().unwrap(),
    }
}

async fn fixture() -> Fixture {
    fixture_with(1).await
}

/// With ann in room 1001, and one MCU node, which the test plays.
async fn fixture_with(mixes_per_room: usize) -> Fixture {
    let store = Store::in_memory_unopened();
    let bus: SharedBus = Arc::new(InProcess::new());
    let application = Application {
        secret_id: "id".to_owned(),
        ..Application::new(7.try_into().unwrap(), "key")
    };
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
    let mut config = Config::default();
    config.api.mixes_per_room = mixes_per_room;
    let node = ClusterNode::alone(bus.clone(), "node-1".parse().unwrap());
    let shared = Shared::for_test(config, node, applications, store);
    let pictures = Arc::new(Pictures::new(&shared).unwrap());
    let fixture = Fixture {
        mixes: Arc::new(Mixes::new(shared, pictures)),
        application,
        bus,
    };
    fixture.announce(1000).await;
    fixture
}

/// As the node does that carries a task out.
fn carried_out(task: MixTask) -> MixTask {
    MixTask {
        owner: Some(Incarnation::new("mcu-1".parse().unwrap(), 1)),
        reached: task.revision,
        ..task
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
    async fn announce(&self, millicores_left: u64) {
        let node: NodeId = "mcu-1".parse().unwrap();
        let announcement = MixNode {
            node: node.clone(),
            tasks_left: 16,
            millicores_left,
        };
        let key = node_key(&node);
        let changed = self.bus.update(&key, |_: Option<MixNode>| {
            Ok::<_, Infallible>((Some(announcement.clone()), ()))
        });
        changed.await.unwrap().unwrap();
    }

    fn key(&self) -> String {
        task_key(&room(self.application.sdk_app_id), &Origin::Api)
    }

    async fn task(&self) -> Option<MixTask> {
        let known = self.bus.load(&self.key()).await.unwrap();
        known.map(|(task, _)| task)
    }

    /// Waits until such a task is there.
    async fn wanted(&self, is_so: impl Fn(&MixTask) -> bool) -> MixTask {
        loop {
            match self.task().await {
                Some(task) if is_so(&task) => return task,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    async fn carry_out(&self) {
        self.change(carried_out).await;
    }

    async fn change(&self, change: fn(MixTask) -> MixTask) {
        self.change_at(&self.key(), change).await;
    }

    async fn change_at(&self, key: &str, change: fn(MixTask) -> MixTask) {
        let changed = self
            .bus
            .update(key, |task: Option<MixTask>| Ok::<_, Infallible>((task.map(change), ())));
        changed.await.unwrap().unwrap();
    }

    async fn stop(&self) -> Result<(), ApiError> {
        let request = StopRequest {
            sdk_app_id: Some(7),
            room: RoomField::Number(Some(1001)),
            stream_id: None,
        };
        self.mixes.stop(&self.application, request).await
    }

    fn spawn(&self, stream: &str) -> tokio::task::JoinHandle<Result<(), ApiError>> {
        let (mixes, caller, request) = (self.mixes.clone(), self.application.clone(), start(stream, json!({})));
        tokio::spawn(async move { mixes.start(&caller, request).await })
    }
}

fn code(result: Result<(), ApiError>) -> &'static str {
    result.map_or_else(|error| error.code, |()| "ok")
}

#[tokio::test]
async fn a_start_is_answered_when_a_node_has_carried_it_out() {
    let fixture = fixture().await;
    let start = fixture.spawn("first");
    let task = fixture.wanted(|task| task.spec().is_some()).await;
    assert!(!start.is_finished());
    assert_eq!((task.started_by.as_str(), task.origin.clone()), ("id", Origin::Api));
    fixture.carry_out().await;
    assert_eq!(code(start.await.unwrap()), "ok");
}

#[tokio::test]
async fn a_start_that_another_replaces_before_it_was_carried_out_gets_an_error() {
    let fixture = fixture().await;
    let first = fixture.spawn("first");
    fixture.wanted(|task| task.spec().is_some()).await;
    let second = fixture.spawn("second");
    let replaced = first.await.unwrap().unwrap_err();
    assert_eq!(replaced.code, "FailedOperation.RequestRejection");
    assert!(replaced.message.contains("replaced"), "{}", replaced.message);
    fixture.carry_out().await;
    assert_eq!(code(second.await.unwrap()), "ok");
    // From then on the room's mix may be changed, and be replaced.
    let third = fixture.spawn("third");
    fixture
        .wanted(|task| task.spec().is_some_and(|spec| spec.stream_id.as_str() == "third"))
        .await;
    fixture.carry_out().await;
    assert_eq!(code(third.await.unwrap()), "ok");
}

#[tokio::test]
async fn the_same_mix_may_be_started_twice_at_the_same_moment() {
    let fixture = fixture().await;
    let starts = [fixture.spawn("one"), fixture.spawn("one")];
    fixture.wanted(|task| task.spec().is_some()).await;
    fixture.carry_out().await;
    for start in starts {
        assert_eq!(code(start.await.unwrap()), "ok");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_no_node_claims_is_taken_back_and_says_that_there_is_no_capacity() {
    let fixture = fixture().await;
    let start = fixture.spawn("one").await.unwrap();
    assert_eq!(code(start), "ResourceInsufficient.RequestRejection");
    assert_eq!(fixture.task().await, None);
}

#[tokio::test]
async fn a_start_is_refused_at_once_where_no_node_has_the_capacity() {
    let fixture = fixture().await;
    fixture.announce(19).await;
    assert_eq!(
        code(fixture.spawn("one").await.unwrap()),
        "ResourceInsufficient.RequestRejection"
    );
    assert_eq!(fixture.task().await, None);
}

#[tokio::test]
async fn a_refusal_of_the_node_reaches_the_caller_and_leaves_no_task() {
    let fixture = fixture().await;
    let start = fixture.spawn("one");
    fixture.wanted(|task| task.spec().is_some()).await;
    fixture
        .change(|task| MixTask {
            desired: Desired::Stop,
            refused: Some(Refused {
                revision: task.revision,
                error: Refusal::Encoder {
                    reason: "too small".to_owned(),
                },
            }),
            ..task
        })
        .await;
    let refused = start.await.unwrap().unwrap_err();
    assert_eq!(refused.code, "InvalidParameter.EncodeParams");
    assert!(refused.message.contains("too small"), "{}", refused.message);
    assert_eq!(fixture.task().await, None);
}

#[tokio::test]
async fn a_stop_says_whether_there_was_a_mix_and_ends_one_that_nobody_does_yet() {
    let fixture = fixture().await;
    assert_eq!(code(fixture.stop().await), "FailedOperation.MixSessionNotExist");
    let start = fixture.spawn("one");
    fixture.wanted(|task| task.spec().is_some()).await;
    assert_eq!(code(fixture.stop().await), "ok");
    assert_eq!(code(start.await.unwrap()), "FailedOperation.TaskFinished");
    assert_eq!(fixture.task().await, None);
}

#[tokio::test]
async fn a_caller_that_hangs_up_blocks_no_other_start() {
    let fixture = fixture().await;
    let first = fixture.spawn("first");
    fixture.wanted(|task| task.spec().is_some()).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = fixture.spawn("second");
    fixture
        .wanted(|task| task.spec().is_some_and(|spec| spec.stream_id.as_str() == "second"))
        .await;
    fixture.carry_out().await;
    assert_eq!(code(second.await.unwrap()), "ok");
}

#[tokio::test]
async fn where_several_mixes_are_permitted_each_stream_is_one_up_to_the_limit() {
    let fixture = fixture_with(2).await;
    for stream in ["one", "two"] {
        let start = fixture.spawn(stream);
        let origin = Origin::ApiStream(stream.parse().unwrap());
        let key = task_key(&room(fixture.application.sdk_app_id), &origin);
        while fixture.bus.get(&key).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        fixture.change_at(&key, carried_out).await;
        assert_eq!(code(start.await.unwrap()), "ok");
    }
    let third = fixture.spawn("three").await.unwrap().unwrap_err();
    assert_eq!(third.code, "FailedOperation.RequestRejection");
    assert!(third.message.contains("mixes_per_room"), "{}", third.message);
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

#[tokio::test]
async fn an_application_has_at_most_as_many_mixes_as_its_setting() {
    let mut fixture = fixture_with(4).await;
    fixture.application.max_mixes = 1;
    let first = fixture.spawn("first");
    let key = task_key(
        &room(fixture.application.sdk_app_id),
        &Origin::ApiStream("first".parse().unwrap()),
    );
    loop {
        match fixture.bus.load::<MixTask>(&key).await.unwrap() {
            Some(_) => break,
            None => tokio::task::yield_now().await,
        }
    }
    fixture.change_at(&key, carried_out).await;
    assert_eq!(code(first.await.unwrap()), "ok");
    let refused = fixture.spawn("second").await.unwrap().unwrap_err();
    assert_eq!(refused.code, "FailedOperation.RequestRejection");
    assert!(refused.message.contains("max_mixes"), "{}", refused.message);
}
