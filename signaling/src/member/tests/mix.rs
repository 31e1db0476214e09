//! A member's own mix. The test stands in for the mixing server.

use rotunda_bus::{Incarnation, WatchEvent};
use rotunda_proto::ids::TrackSource;
use rotunda_proto::mix::{MixNode, Template};
use rotunda_proto::mix_task::{Desired, MixTask, Origin, TASKS_PREFIX, task_key};
use rotunda_proto::transcoding::TranscodingConfig;
use serde_json::{Value, json};

use super::media::{Connected, connected};
use super::*;

/// Carries every task out at once.
async fn mix(bus: Arc<FailingBus>) {
    let mut watch = bus.watch(TASKS_PREFIX).await.unwrap();
    loop {
        let WatchEvent::Change(change) = watch.next().await else {
            continue;
        };
        let Some(task) = change.parse::<MixTask>() else {
            continue;
        };
        if task.desired == Desired::Stop {
            let _deleted_or_changed = bus.delete(&change.key, change.revision).await;
        } else if task.reached < task.revision {
            let done = MixTask {
                owner: Some(Incarnation::new("mcu-1".parse().unwrap(), 1)),
                reached: task.revision,
                ..task
            };
            let _stored_or_changed = bus.store(&change.key, &done, Some(change.revision)).await;
        }
    }
}

pub async fn ann_with_a_mixing_server() -> Connected {
    let ann = connected().await;
    let announcement = MixNode {
        node: "mcu-1".parse().unwrap(),
        tasks_left: 16,
        millicores_left: 10_000,
    };
    let key = rotunda_proto::mix::node_key(&announcement.node);
    ann.test.bus.store(&key, &announcement, None).await.unwrap();
    tokio::spawn(mix(ann.test.bus.clone()));
    ann
}

pub fn set(config: Value) -> Request {
    let config: Option<TranscodingConfig> = serde_json::from_value(config).unwrap();
    Request::SetMixTranscodingConfig {
        config: config.map(Box::new),
    }
}

pub async fn task(ann: &Connected) -> Option<MixTask> {
    let key = task_key(&room(), &Origin::Client("ann".parse().unwrap()));
    let task = ann.test.bus.load(&key).await.unwrap();
    task.map(|(task, _)| task)
}

#[tokio::test(start_paused = true)]
async fn a_publisher_starts_changes_and_ends_a_mix() {
    let mut ann = ann_with_a_mixing_server().await;
    let muted = false;
    for source in [TrackSource::Audio, TrackSource::Camera] {
        ann.ask(Request::Publish { source, muted }).await.unwrap();
    }
    ann.ask(set(json!({ "mode": "screenSharing" }))).await.unwrap();
    let first = task(&ann).await.unwrap();
    let spec = first.spec().unwrap();
    assert_eq!(spec.stream_id.as_str(), "1_1001_ann_main");
    assert_eq!(spec.layout.template, Template::Presenter);
    assert_eq!(spec.layout.local_user.as_ref().unwrap().user.as_str(), "ann");
    let size = json!({ "mode": "screenSharing", "videoWidth": 640, "videoHeight": 360 });
    ann.ask(set(size)).await.unwrap();
    let second = task(&ann).await.unwrap();
    assert_eq!(second.id, first.id, "it is the same mix");
    assert_eq!(second.spec().unwrap().video.unwrap().width, 640);
    ann.ask(set(Value::Null)).await.unwrap();
    assert_eq!(task(&ann).await, None);
    // Without a mix this is done already.
    ann.ask(set(Value::Null)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mix_needs_the_sources_that_its_mode_shows() {
    let mut ann = ann_with_a_mixing_server().await;
    let (audio, sharing) = (json!({ "mode": "pureAudio" }), json!({ "mode": "screenSharing" }));
    assert_eq!(ann.ask(set(audio.clone())).await, Err(ErrorCode::NotPublished));
    let source = TrackSource::Audio;
    ann.ask(Request::Publish { source, muted: true }).await.unwrap();
    ann.ask(set(audio)).await.unwrap();
    assert_eq!(ann.ask(set(sharing)).await, Err(ErrorCode::NotPublished));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_field_and_a_stream_in_use_are_told_apart() {
    let mut ann = ann_with_a_mixing_server().await;
    let source = TrackSource::Audio;
    ann.ask(Request::Publish { source, muted: false }).await.unwrap();
    let wrong = json!({ "mode": "pureAudio", "audioBitrate": 1 });
    assert_eq!(ann.ask(set(wrong)).await, Err(ErrorCode::BadMix));
    ann.ask(set(json!({ "mode": "pureAudio", "streamId": "show" })))
        .await
        .unwrap();
    let mut other = task(&ann).await.unwrap();
    other.origin = Origin::Client("bob".parse().unwrap());
    if let Desired::Run { spec } = &mut other.desired {
        spec.stream_id = "taken".parse().unwrap();
    }
    ann.test
        .bus
        .store(&task_key(&room(), &other.origin), &other, None)
        .await
        .unwrap();
    let taken = json!({ "mode": "pureAudio", "streamId": "taken" });
    assert_eq!(ann.ask(set(taken)).await, Err(ErrorCode::MixRefused));
}

#[tokio::test(start_paused = true)]
async fn members_of_a_room_have_only_as_many_mixes_as_the_configuration_permits() {
    let mut ann = ann_with_a_mixing_server().await;
    let source = TrackSource::Audio;
    ann.ask(Request::Publish { source, muted: false }).await.unwrap();
    let mix = set(json!({ "mode": "pureAudio" }));
    ann.ask(mix.clone()).await.unwrap();
    let own = task(&ann).await.unwrap();
    let bus = ann.test.bus.clone();
    let others = ["bob", "cat", "dan", "eve"].map(|name| Origin::Client(name.parse().unwrap()));
    for origin in others {
        let mut other = own.clone();
        other.origin = origin;
        if let Desired::Run { spec } = &mut other.desired {
            spec.stream_id = "other".parse().unwrap();
        }
        let key = task_key(&room(), &other.origin);
        bus.store(&key, &other, None).await.unwrap();
    }
    // A mix that runs is changed all the same.
    ann.ask(set(json!({ "mode": "pureAudio", "audioBitrate": 32 })))
        .await
        .unwrap();
    ann.ask(set(Value::Null)).await.unwrap();
    assert_eq!(ann.ask(mix).await, Err(ErrorCode::MixRefused));
}

#[tokio::test(start_paused = true)]
async fn members_of_an_application_with_room_keys_mix_nobody_of_another_room() {
    let mut ann = ann_with_a_mixing_server().await;
    for source in [TrackSource::Audio, TrackSource::Camera] {
        ann.ask(Request::Publish { source, muted: false }).await.unwrap();
    }
    let other = json!({ "userId": "bob", "roomId": 5, "width": 64, "height": 36 });
    let mix = set(json!({ "mode": "manual", "videoWidth": 640, "videoHeight": 360, "mixUsers": [other] }));
    ann.ask(mix.clone()).await.unwrap();
    ann.test.shared.replace_applications(vec![Application {
        requires_private_map_key: true,
        ..Application::new(room().app, "")
    }]);
    assert_eq!(ann.ask(mix).await, Err(ErrorCode::BadMix));
}
