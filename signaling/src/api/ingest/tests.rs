use std::collections::HashMap;
use std::sync::Arc;

use rotunda_bus::{ClusterNode, InProcess, SharedBus};
use rotunda_proto::config::Application;
use rotunda_proto::stream_ingest::INGESTS_PREFIX;
use rotunda_proto::user_sig;
use rotunda_store::Store;
use serde_json::{Value, json};

use super::*;
use crate::api::request::whole;
use crate::api::tencent::fields::Fields;
use crate::config::Config;

const KEY: &str = "key";

struct Fixture {
    shared: Shared,
    application: Application,
    bus: SharedBus,
}

impl Fixture {
    /// With a live process that takes every task.
    fn new() -> Self {
        let api = Self::without_live_processes();
        let bus = api.bus.clone();
        tokio::spawn(async move {
            let mut tasks = bus.watch(INGESTS_PREFIX).await.unwrap();
            loop {
                let WatchEvent::Change(change) = tasks.next().await else {
                    continue;
                };
                if let Some(task) = change.parse::<StreamIngest>() {
                    let claimed = bus.store(&task.claim_key(), &json!({}), None).await;
                    assert!(claimed.is_ok() || matches!(claimed, Err(BusError::Conflict(_))));
                }
            }
        });
        api
    }

    fn without_live_processes() -> Self {
        let bus: SharedBus = Arc::new(InProcess::new());
        let application = Application {
            secret_id: "id".to_owned(),
            ..Application::new(7.try_into().unwrap(), KEY)
        };
        let mut config = Config::default();
        config.api.stream_ingests = 2;
        let node = ClusterNode::alone(bus.clone(), "node-1".parse().unwrap());
        let shared = Shared::for_test(config, node, vec![application.clone()], Store::in_memory_unopened());
        Self {
            shared,
            application,
            bus,
        }
    }

    /// A request of user `bot`, with other values in place of some.
    fn request(&self, user: &str, more: Value) -> Value {
        let user_id = user.parse().unwrap();
        let life = Duration::from_secs(60);
        let user_sig = user_sig::sign(self.application.sdk_app_id, KEY, &user_id, Clock.unix(), life);
        let mut request = json!({
            "SdkAppId": 7, "RoomId": "1001", "RoomIdType": 1, "UserId": user, "UserSig": user_sig,
            "StreamUrl": "https://93.184.216.34/film.mp4",
        });
        if let (Value::Object(request), Value::Object(more)) = (&mut request, more) {
            request.extend(more);
        }
        request
    }

    async fn start(&self, request: &Value) -> Result<String, &'static str> {
        let request = whole(Fields::of(request)).map_err(|error: ApiError| error.code)?;
        let started = start(&self.shared, &self.application, request).await;
        started.map(|started| started.task_id).map_err(|error| error.code)
    }

    async fn with(&self, more: Value) -> Result<String, &'static str> {
        self.start(&self.request("bot", more)).await
    }

    async fn update(&self, id: &str, more: Value) -> Result<&'static str, &'static str> {
        let mut request = json!({ "SdkAppId": 7, "TaskId": id });
        if let (Value::Object(request), Value::Object(more)) = (&mut request, more) {
            request.extend(more);
        }
        let request = whole(Fields::of(&request)).map_err(|error: ApiError| error.code)?;
        let updated = update(&self.shared, &self.application, request).await;
        updated.map(|state| state.status).map_err(|error| error.code)
    }

    async fn status(&self, id: &str) -> Result<&'static str, &'static str> {
        let request = json!({ "SdkAppId": 7, "TaskId": id });
        let request = whole(Fields::of(&request)).unwrap();
        let described = describe(&self.shared, &self.application, request).await;
        described.map(|state| state.status).map_err(|error| error.code)
    }

    async fn stop(&self, id: &str) -> Result<(), &'static str> {
        let request = json!({ "SdkAppId": 7, "TaskId": id });
        let request = whole(Fields::of(&request)).unwrap();
        stop(&self.shared, &self.application, request)
            .await
            .map_err(|error| error.code)
    }

    async fn only(&self) -> StreamIngest {
        let mut documents = self.documents().await;
        assert_eq!(documents.len(), 1);
        documents.remove(0)
    }

    async fn documents(&self) -> Vec<StreamIngest> {
        self.bus
            .documents(&application_prefix(self.application.sdk_app_id))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_task_is_a_document_until_it_is_stopped() {
    let api = Fixture::new();
    let more = json!({ "Volume": 50, "RepeatNum": -1, "MaxDuration": 10, "SeekSecond": 5, "AutoPush": "True", "Tempo": "1.0" });
    let id = api.with(more).await.unwrap();
    let task = api.only().await;
    assert_eq!((task.id.as_str(), task.user.as_str()), (id.as_str(), "bot"));
    assert_eq!(
        (task.volume, task.repeats, task.seek_seconds, task.idle_seconds),
        (50, None, 5, 300)
    );
    assert_eq!(task.until_unix_ms, Some(task.started_unix_ms + 600_000));
    assert_eq!(task.stream_id, "7_1001_bot_main".parse().ok());
    assert_eq!(api.status(&id).await, Ok("InProgress"));
    assert_eq!(api.stop(&id).await, Ok(()));
    assert_eq!(api.documents().await, []);
    assert_eq!(api.status(&id).await, Ok("NotExist"));
    assert_eq!(api.stop(&id).await, Err("FailedOperation.TaskFinished"));
    assert_eq!(
        api.update(&id, json!({ "Volume": 1 })).await,
        Err("FailedOperation.TaskNotExist")
    );
}

#[tokio::test]
async fn an_update_changes_the_source_the_volume_and_the_pause() {
    let api = Fixture::new();
    let id = api.with(json!({ "SeekSecond": 5 })).await.unwrap();
    let change = json!({ "StreamUrl": "rtmp://93.184.216.34/live/film", "Volume": 0, "IsPause": true });
    assert_eq!(api.update(&id, change).await, Ok("InProgress"));
    let task = api.only().await;
    assert_eq!(
        (task.url.as_str(), task.volume, task.seek_seconds),
        ("rtmp://93.184.216.34/live/film", 0, 0)
    );
    assert!(task.paused_unix_ms.is_some());
    assert_eq!(api.update(&id, json!({ "IsPause": false })).await, Ok("InProgress"));
    let task = api.only().await;
    assert_eq!((task.volume, task.paused_unix_ms), (0, None), "the rest stays");
    assert_eq!(api.update(&id, json!({ "Volume": 201 })).await, Err(PARAMETER));
    assert_eq!(
        api.update(&id, json!({ "StreamUrl": "http://10.0.0.1/" })).await,
        Err("InvalidParameter.StreamUrl")
    );
}

#[tokio::test]
async fn a_user_has_one_task_and_an_application_has_a_limit() {
    let api = Fixture::new();
    api.with(json!({})).await.unwrap();
    assert_eq!(
        api.with(json!({ "RoomId": "7" })).await,
        Err("FailedOperation.TaskExist")
    );
    api.start(&api.request("two", json!({}))).await.unwrap();
    let third = api.start(&api.request("three", json!({}))).await;
    assert_eq!(third, Err("FailedOperation.RestrictedConcurrency"));
}

#[tokio::test]
async fn a_task_that_no_live_process_takes_is_refused_and_gone() {
    let api = Fixture::without_live_processes();
    assert_eq!(api.with(json!({})).await, Err("ResourceInsufficient.RequestRejection"));
    assert_eq!(api.documents().await, []);
}

#[tokio::test]
async fn a_task_ends_when_no_live_process_has_it_for_its_idle_time() {
    let api = Fixture::new();
    let id = api.with(json!({ "IdleTimeout": 20 })).await.unwrap();
    let (mut unclaimed, now) = (HashMap::new(), Clock.now());
    let later = |seconds| now + Duration::from_secs(seconds);
    upkeep::round(&api.shared, &mut unclaimed, now).await.unwrap();
    // Its process dies, and another one has it for a while.
    let claim = api.only().await.claim_key();
    api.bus.remove(&claim).await.unwrap();
    upkeep::round(&api.shared, &mut unclaimed, later(5)).await.unwrap();
    api.bus.store(&claim, &json!({}), None).await.unwrap();
    upkeep::round(&api.shared, &mut unclaimed, later(10)).await.unwrap();
    api.bus.remove(&claim).await.unwrap();
    upkeep::round(&api.shared, &mut unclaimed, later(15)).await.unwrap();
    upkeep::round(&api.shared, &mut unclaimed, later(34)).await.unwrap();
    assert_eq!(api.status(&id).await, Ok("InProgress"));
    upkeep::round(&api.shared, &mut unclaimed, later(35)).await.unwrap();
    assert_eq!(api.status(&id).await, Ok("NotExist"));
}

#[tokio::test]
async fn every_mistake_has_its_code() {
    let api = Fixture::new();
    let url = "InvalidParameter.StreamUrl";
    for (more, code) in [
        (json!({ "SdkAppId": null }), "MissingParameter.SdkAppId"),
        (json!({ "SdkAppId": 8 }), "InvalidParameter.SdkAppId"),
        (json!({ "RoomId": null }), "MissingParameter.RoomId"),
        (json!({ "RoomId": "lesson" }), "InvalidParameter.RoomId"),
        (
            json!({ "RoomId": "lesson/\u{e9}", "RoomIdType": 0 }),
            "InvalidParameter.StrRoomId",
        ),
        (json!({ "RoomIdType": 2 }), PARAMETER),
        (json!({ "RoomIdType": null }), PARAMETER),
        (json!({ "UserId": "a b" }), PARAMETER),
        (json!({ "UserSig": "eJx" }), "InvalidParameter.UserSig"),
        (json!({ "UserSig": null }), "InvalidParameter.UserSig"),
        (json!({ "StreamUrl": null }), url),
        (json!({ "StreamUrl": null, "SourceUrl": ["a", "b"] }), url),
        (json!({ "StreamUrl": "file:///etc/passwd" }), url),
        (json!({ "StreamUrl": "rtmp://example.com" }), url),
        (json!({ "StreamUrl": "http://127.0.0.1/film.mp4" }), url),
        (json!({ "StreamUrl": "http://localhost/film.mp4" }), url),
        (json!({ "StreamUrl": "rtmp://[::1]/live/film" }), url),
        (
            json!({ "StreamUrl": "rtmp://93.184.216.34/live/film", "SeekSecond": 5 }),
            PARAMETER,
        ),
        (json!({ "SeekSecond": -1 }), PARAMETER),
        (json!({ "RepeatNum": 0 }), PARAMETER),
        (json!({ "RepeatNum": 1001 }), PARAMETER),
        (json!({ "MaxDuration": 0 }), PARAMETER),
        (json!({ "Volume": 201 }), PARAMETER),
        (json!({ "IdleTimeout": 601 }), PARAMETER),
        (json!({ "EnableProgress": true }), PARAMETER),
        (json!({ "Tempo": 1.5 }), PARAMETER),
        (json!({ "Speed": 1 }), "UnknownParameter"),
    ] {
        assert_eq!(api.with(more.clone()).await, Err(code), "{more}");
    }
    assert_eq!(api.documents().await, []);
    assert_eq!(api.status("a b").await, Err("InvalidParameter.TaskId"));
    let dropped = json!({ "StreamUrl": null, "SourceUrl": ["https://93.184.216.34/a.mp4"], "VideoEncodeParams": { "Width": 640 } });
    assert!(api.with(dropped).await.is_ok(), "earlier SDKs send these");
}
