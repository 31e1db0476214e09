//! Tasks from their begin to their end; the test stands in for the MCU.

mod by_member;
mod told;

use std::sync::Arc;
use std::time::Instant;

use rotunda_bus::{ClusterNode, InProcess, Incarnation, SharedBus, WatchEvent};
use rotunda_proto::ids::{MembershipId, NodeId};
use rotunda_proto::mix::{AudioEncode, Layout, MixNode, node_key};
use rotunda_proto::mix_task::TASKS_PREFIX;
use rotunda_proto::recording::{MEDIA_SUBJECT, MediaReply, RECORDERS_PREFIX};
use rotunda_proto::room::{Holder, Publisher, RosterMember, TrackState};
use rotunda_proto::user_sig;
use rotunda_store::Store;
use serde_json::json;

use super::*;
use crate::api::mix::Mixes;
use crate::api::pictures::Pictures;
use crate::api::request::whole;
use crate::api::tencent::fields::Fields;
use crate::config::Config;

struct Fixture {
    shared: Shared,
    caller: Application,
    bus: SharedBus,
    seen: upkeep::Seen,
}

fn room() -> RoomKey {
    RoomKey {
        app: 7.try_into().unwrap(),
        room: "1001".parse().unwrap(),
    }
}

fn holder() -> Holder {
    Holder {
        membership: MembershipId(1),
        node: Incarnation::new("node-1".parse().unwrap(), 1),
    }
}

/// With one MCU node of that capacity, and nobody in the room.
async fn fixture(millicores_left: u64) -> Fixture {
    let bus: SharedBus = Arc::new(InProcess::new());
    let caller = Application {
        secret_id: "id".to_owned(),
        ..Application::new(room().app, "key")
    };
    let node = ClusterNode::alone(bus.clone(), "node-1".parse().unwrap());
    let store = Store::in_memory_unopened();
    let shared = Shared::for_test(Config::default(), node, vec![caller.clone()], store);
    let mcu: NodeId = "mcu-1".parse().unwrap();
    let announcement = MixNode {
        node: mcu.clone(),
        tasks_left: 16,
        millicores_left,
    };
    bus.store(&node_key(&mcu), &announcement, None).await.unwrap();
    Fixture {
        shared,
        caller,
        bus,
        seen: upkeep::Seen::default(),
    }
}

impl Fixture {
    /// From now on every mix is carried out, as a node of the MCU does it.
    async fn carry_out_mixes(&self) {
        let mut watch = self.bus.watch(TASKS_PREFIX).await.unwrap();
        let bus = self.bus.clone();
        tokio::spawn(async move {
            loop {
                let WatchEvent::Change(change) = watch.next().await else {
                    continue;
                };
                let Some(task) = change.parse::<MixTask>() else {
                    continue;
                };
                let done = MixTask {
                    owner: Some(Incarnation::new("mcu-1".parse().unwrap(), 1)),
                    reached: task.revision,
                    ..task.clone()
                };
                let _changed_meanwhile = match task.spec() {
                    None => bus.delete(&change.key, change.revision).await,
                    Some(_) if done == task => continue,
                    Some(_) => bus.store(&change.key, &done, Some(change.revision)).await,
                };
            }
        });
    }

    async fn ann_publishes(&self) {
        let ann = RosterMember {
            user: "ann".parse().unwrap(),
            entered_unix_ms: 0,
            holder: holder(),
        };
        let roster = Roster { members: vec![ann] };
        self.bus.store(&roster_key(&room()), &roster, None).await.unwrap();
        let seats = Seats {
            publishers: vec![Publisher {
                audio: Some(TrackState::On),
                ..Publisher::of("ann".parse().unwrap(), holder())
            }],
            kept: Vec::new(),
        };
        self.bus.store(&seats_key(&room()), &seats, None).await.unwrap();
    }

    async fn all_leave(&self) {
        self.bus.remove(&seats_key(&room())).await.unwrap();
        self.bus.remove(&roster_key(&room())).await.unwrap();
    }

    async fn begin(&self, robot: &str) -> Checked<TaskId> {
        self.begin_for(Purpose::Publishing, robot, &[]).await
    }

    async fn begin_for(&self, purpose: Purpose, robot: &str, push_urls: &[&str]) -> Checked<TaskId> {
        let id = new_id().unwrap();
        let asked = Asked {
            purpose,
            room: room(),
            robot: robot.parse().unwrap(),
            work: Work::Mix {
                spec: Box::new(MixSpec {
                    room: room(),
                    stream_id: id.as_str().parse().unwrap(),
                    audio: AudioEncode {
                        sample_rate: 48_000,
                        bitrate_kbps: 64,
                        channels: 2,
                    },
                    video: None,
                    layout: Layout::default(),
                    record: None,
                    push_urls: push_urls.iter().map(|url| (*url).to_owned()).collect(),
                    task: None,
                }),
            },
            max_idle_seconds: 30,
            known_for: Duration::from_secs(3600),
            id,
        };
        begin(&self.shared, &self.caller, asked).await
    }

    async fn round(&mut self, at: Instant) {
        upkeep::round(&self.shared, &mut self.seen, at).await.unwrap();
    }

    async fn mixes(&self) -> Vec<Origin> {
        let mixes = self.bus.documents::<MixTask>(TASKS_PREFIX).await.unwrap();
        mixes.into_iter().map(|mix| mix.origin).collect()
    }

    async fn task(&self, id: &TaskId) -> MediaTask {
        let found = find(&self.shared, room().app, id.as_str(), Purpose::Publishing).await;
        found.unwrap().0
    }

    async fn update(&self, id: &TaskId, sequence: u64) -> &'static str {
        let request = json!({ "SdkAppId": 7, "TaskId": id.as_str(), "SequenceNumber": sequence, "WithTranscoding": 1 });
        let pictures = Arc::new(Pictures::new(&self.shared).unwrap());
        let mixes = Mixes::new(self.shared.clone(), pictures.clone());
        let request = whole(Fields::of(&request)).unwrap();
        let updated = publish::update(&self.shared, (&mixes, &pictures), &self.caller, request).await;
        updated.map_or_else(|error| error.code, |_| "ok")
    }
}

#[tokio::test]
async fn a_task_waits_for_publishers_and_its_mix_begins_again_when_they_come_back() {
    let mut fixture = fixture(1000).await;
    let id = fixture.begin("robot").await.unwrap();
    let now = Clock.now();
    fixture.round(now).await;
    assert_eq!(fixture.mixes().await, []);
    fixture.ann_publishes().await;
    fixture.round(now).await;
    assert_eq!(fixture.mixes().await, [Origin::Task(id.clone())]);
    // The mix ends with the room; the task waits for its idle time.
    fixture.all_leave().await;
    fixture
        .bus
        .remove(&task_key(&room(), &Origin::Task(id.clone())))
        .await
        .unwrap();
    fixture.round(now).await;
    fixture.round(now + Duration::from_secs(29)).await;
    assert!(fixture.task(&id).await.is_running());
    fixture.ann_publishes().await;
    fixture.round(now + Duration::from_secs(29)).await;
    assert_eq!(fixture.mixes().await, [Origin::Task(id.clone())]);
}

#[tokio::test]
async fn a_task_ends_with_its_mix_when_nobody_publishes_for_its_idle_time() {
    let mut fixture = fixture(1000).await;
    fixture.carry_out_mixes().await;
    fixture.ann_publishes().await;
    let id = fixture.begin("robot").await.unwrap();
    assert_eq!(
        fixture.mixes().await,
        [Origin::Task(id.clone())],
        "it runs when the call is answered"
    );
    fixture.bus.remove(&seats_key(&room())).await.unwrap();
    let now = Clock.now();
    fixture.round(now).await;
    assert!(fixture.task(&id).await.is_running());
    fixture.round(now + Duration::from_secs(30)).await;
    assert!(!fixture.task(&id).await.is_running());
    assert_eq!(fixture.mixes().await, []);
    assert_eq!(fixture.update(&id, 5).await, "FailedOperation.TaskFinished");
}

#[tokio::test]
async fn another_task_of_the_same_robot_ends_the_first_one() {
    let fixture = fixture(1000).await;
    let first = fixture.begin("robot").await.unwrap();
    let other = fixture.begin("other").await.unwrap();
    let second = fixture.begin("robot").await.unwrap();
    assert!(!fixture.task(&first).await.is_running());
    assert!(fixture.task(&other).await.is_running() && fixture.task(&second).await.is_running());
}

#[tokio::test]
async fn a_task_that_cannot_begin_is_not_there() {
    let fixture = fixture(0).await;
    fixture.ann_publishes().await;
    let refused = fixture.begin("robot").await.unwrap_err();
    assert_eq!(refused.code, "FailedOperation.RestrictedConcurrency");
    let tasks = fixture.bus.documents::<MediaTask>(MEDIA_TASKS_PREFIX).await.unwrap();
    assert_eq!(tasks, []);
    assert_eq!(
        fixture.begin("ann").await.unwrap_err().code,
        "FailedOperation",
        "she is in the room"
    );
}

#[tokio::test]
async fn a_room_has_a_bounded_number_of_tasks() {
    let fixture = fixture(1000).await;
    for index in 0..MOST_OF_ROOM {
        fixture.begin(&format!("robot-{index}")).await.unwrap();
    }
    let refused = fixture.begin("one-more").await.unwrap_err();
    assert_eq!(refused.code, "FailedOperation.RestrictedConcurrency");
    fixture.begin("robot-0").await.unwrap();
}

#[tokio::test]
async fn a_recording_needs_a_recorder_and_is_in_progress_when_one_has_taken_it() {
    let fixture = fixture(1000).await;
    let pictures = Pictures::new(&fixture.shared).unwrap();
    let create = || {
        let (app, robot) = (room().app, "robot".parse().unwrap());
        let sig = user_sig::sign(app, "key", &robot, Clock.unix(), Duration::from_secs(60));
        let request = json!({
            "SdkAppId": 7, "RoomId": "1001", "RoomIdType": 1, "UserId": "robot", "UserSig": sig,
            "RecordParams": { "RecordMode": 1 },
            "StorageParams": { "CloudVod": { "TencentVod": { "MediaType": 0 } } },
        });
        let request = whole(Fields::of(&request)).unwrap();
        record::create(&fixture.shared, &pictures, &fixture.caller, request)
    };
    assert_eq!(create().await.unwrap_err().code, "InternalError.CRInternalError");
    let mut requests = fixture.bus.serve(MEDIA_SUBJECT).await.unwrap();
    tokio::spawn(async move {
        let request = requests.next().await;
        request.answer(&MediaReply::Links { urls: Vec::new() });
    });
    let id = create().await.unwrap().task_id;
    let status = || async {
        let request = whole(Fields::of(&json!({ "SdkAppId": 7, "TaskId": id }))).unwrap();
        let described = record::describe(&fixture.shared, &fixture.caller, request).await;
        described.unwrap().status
    };
    assert_eq!(status().await, "Idle");
    fixture.ann_publishes().await;
    assert_eq!(status().await, "Idle", "no recorder has taken it");
    let claim = format!("{RECORDERS_PREFIX}7.{id}_ann_main.5");
    fixture.bus.store(&claim, &json!({}), None).await.unwrap();
    assert_eq!(status().await, "InProgress");
}

#[tokio::test]
async fn updates_have_growing_numbers_and_unknown_tasks_their_code() {
    let fixture = fixture(1000).await;
    let id = fixture.begin("robot").await.unwrap();
    assert_eq!(fixture.update(&id, 2).await, "ok");
    assert_eq!(fixture.update(&id, 2).await, "FailedOperation.RequestOutdated");
    assert_eq!(fixture.update(&"nothing".parse().unwrap(), 3).await, "ResourceNotFound");
    let of_other_purpose = find(&fixture.shared, room().app, id.as_str(), Purpose::Recording).await;
    assert_eq!(of_other_purpose.unwrap_err().code, "ResourceNotFound");
}

#[tokio::test]
async fn a_mix_whose_task_has_ended_is_stopped_and_the_task_forgotten_in_time() {
    let mut fixture = fixture(1000).await;
    fixture.ann_publishes().await;
    let id = fixture.begin_waiting().await;
    fixture.round(Clock.now()).await;
    assert_eq!(fixture.mixes().await.len(), 1);
    // As if a node had died after the first half of an end.
    let ended = MediaTask {
        state: TaskState::Ended,
        known_until_unix_ms: 0,
        ..fixture.task(&id).await
    };
    fixture.bus.remove(&ended.key()).await.unwrap();
    fixture.bus.store(&ended.key(), &ended, None).await.unwrap();
    fixture.round(Clock.now()).await;
    assert_eq!(fixture.mixes().await, []);
    let tasks = fixture.bus.documents::<MediaTask>(MEDIA_TASKS_PREFIX).await.unwrap();
    assert_eq!(tasks, []);
}

impl Fixture {
    /// A task that began before anybody published.
    async fn begin_waiting(&self) -> TaskId {
        self.all_leave().await;
        let id = self.begin("robot").await.unwrap();
        self.ann_publishes().await;
        id
    }
}
