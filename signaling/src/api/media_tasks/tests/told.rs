//! What an application is told of its tasks.

use rotunda_events::{Fact, PushChange, PushState, RecordingStep, Running, What};
use rotunda_proto::ids::StreamKey;
use rotunda_proto::program::{PUSHERS_PREFIX, program_key};
use rotunda_proto::recording::RecordingFile;
use rotunda_store::FileRow;

use super::*;

const URL: &str = "rtmp://cdn.example.com/live/key";

/// A fixture with a database for its facts, and what writes them.
async fn telling_fixture() -> (Fixture, Running) {
    let fixture = fixture(1000).await;
    fixture.shared.store.make_tables().await.unwrap();
    let telling = fixture.shared.facts.start();
    (fixture, telling)
}

/// A task that pushes, for which ann publishes, and whose mix no process takes.
async fn pushing(fixture: &Fixture) -> TaskId {
    let id = fixture.begin_for(Purpose::Publishing, "robot", &[URL]).await.unwrap();
    fixture.ann_publishes().await;
    id
}

async fn told(fixture: &Fixture, telling: Running) -> Vec<Fact> {
    telling.finish().await;
    let stream = fixture.shared.facts.stream();
    let incarnation = stream.incarnation().await.unwrap();
    let events = stream.read(&incarnation, 0, 100).await.unwrap();
    let facts = events.iter().map(|event| serde_json::from_str(&event.body).unwrap());
    facts.collect()
}

async fn pushes(fixture: &Fixture, telling: Running) -> Vec<PushChange> {
    let push = |fact: Fact| match fact.what {
        What::PushChanged { push } => Some(*push),
        _ => None,
    };
    told(fixture, telling).await.into_iter().filter_map(push).collect()
}

fn states(pushes: &[PushChange]) -> Vec<PushState> {
    pushes.iter().map(|push| push.state).collect()
}

/// The task's stream is on the air.
async fn on_air(fixture: &Fixture, id: &TaskId) -> StreamKey {
    let stream = StreamKey {
        app: room().app,
        id: id.as_str().parse().unwrap(),
    };
    let program = program_key(&stream);
    fixture.bus.store(&program, &json!({}), None).await.unwrap();
    stream
}

#[tokio::test]
async fn a_push_that_no_process_has_is_told_as_connecting_and_after_a_while_as_failed() {
    let (mut fixture, telling) = telling_fixture().await;
    let id = pushing(&fixture).await;
    let now = Clock.now();
    for seconds in [0, 29, 30, 31] {
        fixture.round(now + Duration::from_secs(seconds)).await;
    }
    let pushes = pushes(&fixture, telling).await;
    let expected = [PushState::Connecting, PushState::Failed, PushState::Idle];
    assert_eq!(states(&pushes), expected);
    let failed = &pushes[1];
    assert_eq!((&failed.task.id, failed.url.as_str()), (&id, URL));
    let message = &failed.error.as_ref().unwrap().message;
    assert!(message.contains("role mcu"), "{message}");
}

#[tokio::test]
async fn a_stream_that_nobody_pushes_is_told_until_a_process_has_claimed_it() {
    let (mut fixture, telling) = telling_fixture().await;
    let id = pushing(&fixture).await;
    let stream = on_air(&fixture, &id).await;
    let now = Clock.now();
    fixture.round(now).await;
    fixture.round(now + Duration::from_secs(30)).await;
    let claim = format!("{PUSHERS_PREFIX}{}.5", stream.token());
    fixture.bus.store(&claim, &json!({}), None).await.unwrap();
    fixture.round(now + Duration::from_secs(31)).await;
    fixture.round(now + Duration::from_secs(90)).await;
    let pushes = pushes(&fixture, telling).await;
    let expected = [PushState::Connecting, PushState::Failed, PushState::Idle];
    assert_eq!(states(&pushes), expected);
    let message = &pushes[1].error.as_ref().unwrap().message;
    assert!(message.contains("role live"), "{message}");
}

#[tokio::test]
async fn a_task_that_ends_before_anybody_has_pushed_it_is_told_as_idle() {
    let (mut fixture, telling) = telling_fixture().await;
    fixture.carry_out_mixes().await;
    let id = pushing(&fixture).await;
    fixture.round(Clock.now()).await;
    end(&fixture.shared, &fixture.task(&id).await, TaskEnd::Stopped)
        .await
        .unwrap();
    fixture.round(Clock.now()).await;
    let expected = [PushState::Connecting, PushState::Disconnecting, PushState::Idle];
    assert_eq!(states(&pushes(&fixture, telling).await), expected);
}

#[tokio::test]
async fn a_recording_task_is_done_when_its_last_file_is_announced() {
    let (mut fixture, telling) = telling_fixture().await;
    let id = fixture.begin_for(Purpose::Recording, "robot", &[]).await.unwrap();
    let task = async || {
        let found = find(&fixture.shared, room().app, id.as_str(), Purpose::Recording).await;
        found.unwrap().0
    };
    let file: RecordingFile = serde_json::from_value(json!({
        "file_id": "42", "task_id": "7", "room": room(), "stream_id": id.as_str(), "record_id": null, "user": null,
        "format": "mp4", "name": "7/film.mp4", "size_bytes": 1, "duration_ms": 1, "ended_unix_us": 0,
        "started_unix_us": Clock.unix().as_micros() as u64,
        "resolution": null, "url": "", "place": "storage", "media_task": task().await.named(),
    }))
    .unwrap();
    let row = FileRow {
        part: 0,
        state: "ready".to_owned(),
        file,
    };
    let lease = Clock.unix() + Duration::from_secs(60);
    fixture.shared.store.add_files(&[row], "recorder", lease).await.unwrap();
    end(&fixture.shared, &task().await, TaskEnd::Stopped).await.unwrap();
    let now = Clock.now();
    let at = |seconds| now + Duration::from_secs(seconds);
    upkeep::round(&fixture.shared, &mut fixture.seen, now).await.unwrap();
    upkeep::round(&fixture.shared, &mut fixture.seen, at(60)).await.unwrap();
    assert!(!task().await.is_settled, "the file is not announced");
    fixture.shared.store.set_announced("42").await.unwrap();
    for seconds in [61, 71, 72] {
        upkeep::round(&fixture.shared, &mut fixture.seen, at(seconds))
            .await
            .unwrap();
    }
    assert!(task().await.is_settled);
    let told: Vec<What> = told(&fixture, telling)
        .await
        .into_iter()
        .map(|fact| fact.what)
        .collect();
    let expected = [
        ended(&task().await, TaskEnd::Stopped),
        What::RecordingTaskDone {
            task: task().await.named(),
            is_complete: true,
            is_uploaded: true,
        },
    ];
    assert_eq!(told, expected);
}

fn ended(task: &MediaTask, end: TaskEnd) -> What {
    What::RecordingTask {
        task: task.named(),
        step: RecordingStep::Ended { end },
    }
}

async fn recording(fixture: &Fixture, id: &TaskId) -> MediaTask {
    let found = find(&fixture.shared, room().app, id.as_str(), Purpose::Recording).await;
    found.unwrap().0
}

/// The reason that is told when the task of robot "robot" ends in this way.
async fn told_end(end_it: impl AsyncFnOnce(&mut Fixture, &TaskId)) -> Vec<TaskEnd> {
    let (mut fixture, telling) = telling_fixture().await;
    let id = fixture.begin_for(Purpose::Recording, "robot", &[]).await.unwrap();
    end_it(&mut fixture, &id).await;
    // Another node sees it, too.
    for seen in [&mut upkeep::Seen::default(), &mut fixture.seen] {
        upkeep::round(&fixture.shared, seen, Clock.now()).await.unwrap();
        upkeep::round(&fixture.shared, seen, Clock.now()).await.unwrap();
    }
    let end = |fact: Fact| match fact.what {
        What::RecordingTask {
            step: RecordingStep::Ended { end },
            task,
        } if task.id == id => Some(end),
        _ => None,
    };
    told(&fixture, telling).await.into_iter().filter_map(end).collect()
}

#[tokio::test]
async fn the_end_of_a_recording_task_is_told_once_with_its_reason() {
    let idle = told_end(async |fixture, _| {
        let now = Clock.now();
        fixture.round(now).await;
        fixture.round(now + Duration::from_secs(86_400)).await;
    });
    assert_eq!(idle.await, [TaskEnd::Idle]);
    let replaced = told_end(async |fixture, _| {
        fixture.begin_for(Purpose::Recording, "robot", &[]).await.unwrap();
    });
    assert_eq!(replaced.await, [TaskEnd::Replaced]);
    let removed = told_end(async |fixture, id| {
        let another = "robot-2".parse().unwrap();
        end_recordings(&fixture.shared, &room(), Some(&[another]))
            .await
            .unwrap();
        assert!(recording(fixture, id).await.is_running());
        let robot = "robot".parse().unwrap();
        end_recordings(&fixture.shared, &room(), Some(&[robot])).await.unwrap();
    });
    assert_eq!(removed.await, [TaskEnd::RobotRemoved]);
    let dismissed = told_end(async |fixture, id| {
        end_recordings(&fixture.shared, &room(), None).await.unwrap();
        // It has ended already.
        let task = recording(fixture, id).await;
        end(&fixture.shared, &task, TaskEnd::Stopped).await.unwrap();
    });
    assert_eq!(dismissed.await, [TaskEnd::RoomDismissed]);
}

#[tokio::test]
async fn a_recording_that_no_recorder_takes_is_told_after_a_while_once() {
    let (mut fixture, telling) = telling_fixture().await;
    fixture.carry_out_mixes().await;
    let id = fixture.begin_for(Purpose::Recording, "robot", &[]).await.unwrap();
    fixture.ann_publishes().await;
    let now = Clock.now();
    for seconds in [0, 29, 30, 31, 600] {
        fixture.round(now + Duration::from_secs(seconds)).await;
    }
    let task = recording(&fixture, &id).await.named();
    let not_begun = What::RecordingTask {
        task,
        step: RecordingStep::NotBegun,
    };
    let told = told(&fixture, telling).await;
    assert_eq!(told.iter().filter(|fact| fact.what == not_begun).count(), 1);
}

#[tokio::test]
async fn a_recording_task_that_is_forgotten_with_open_files_is_told_as_incomplete() {
    let (mut fixture, telling) = telling_fixture().await;
    let id = fixture.begin_for(Purpose::Recording, "robot", &[]).await.unwrap();
    let found = find(&fixture.shared, room().app, id.as_str(), Purpose::Recording).await;
    let ended = MediaTask {
        state: TaskState::Ended,
        known_until_unix_ms: 0,
        ..found.unwrap().0
    };
    fixture.bus.remove(&ended.key()).await.unwrap();
    fixture.bus.store(&ended.key(), &ended, None).await.unwrap();
    fixture.round(Clock.now()).await;
    let told = told(&fixture, telling).await;
    let is_incomplete = |fact: &Fact| matches!(fact.what, What::RecordingTaskDone { is_complete: false, .. });
    assert_eq!(told.iter().filter(|fact| is_incomplete(fact)).count(), 1);
}

#[tokio::test]
async fn a_picture_that_cannot_be_had_is_told_with_its_address() {
    let (fixture, telling) = telling_fixture().await;
    let id = fixture.begin_for(Purpose::Recording, "robot", &[]).await.unwrap();
    let url = "http://127.0.0.1:9/back.png?token=x";
    let request = json!({
        "SdkAppId": 7, "TaskId": id.as_str(),
        "MixLayoutParams": { "MixLayoutMode": 3, "BackgroundImageUrl": url },
    });
    let pictures = Pictures::new(&fixture.shared).unwrap();
    let request = whole(Fields::of(&request)).unwrap();
    let modified = record::modify(&fixture.shared, &pictures, &fixture.caller, request).await;
    modified.unwrap_err();
    let told = told(&fixture, telling).await;
    let picture = What::RecordingTask {
        task: recording(&fixture, &id).await.named(),
        step: RecordingStep::PictureNotFetched { url: url.to_owned() },
    };
    let told: Vec<&What> = told.iter().map(|fact| &fact.what).collect();
    assert_eq!(told, [&picture]);
}
