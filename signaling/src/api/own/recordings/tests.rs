use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{ClusterNode, InProcess, SharedBus};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::recording::{FileFormat, GapReason, Place, RecordingFile, RecordingState};
use rotunda_proto::running_recording::Uploaded;
use rotunda_store::{FileRow, Store};
use serde_json::json;

use super::*;
use crate::config::Config;

struct Fixture {
    shared: Shared,
    application: Application,
    bus: SharedBus,
}

async fn fixture() -> Fixture {
    let bus: SharedBus = Arc::new(InProcess::new());
    let application = Application::new(7.try_into().unwrap(), "key");
    let node = ClusterNode::alone(bus.clone(), "node-1".parse().unwrap());
    let store = Store::in_memory().await.unwrap();
    Fixture {
        shared: Shared::for_test(Config::default(), node, vec![application.clone()], store),
        application,
        bus,
    }
}

impl Fixture {
    /// A file of application 7 that is being recorded.
    async fn record(&self) {
        let file = RecordingFile {
            file_id: "1".to_owned(),
            task_id: "12".to_owned(),
            room: RoomKey {
                app: self.application.sdk_app_id,
                room: "1001".parse().unwrap(),
            },
            stream_id: "s".parse().unwrap(),
            record_id: None,
            user: None,
            format: FileFormat::Mp4,
            name: "film.mp4".to_owned(),
            size_bytes: 0,
            duration_ms: 0,
            started_unix_us: 5_000_000,
            ended_unix_us: 0,
            resolution: None,
            url: String::new(),
            gaps: Vec::new(),
            layouts: Vec::new(),
            previews: Default::default(),
            stream_kind: None,
            video_only: false,
            media_task: None,
            place: Place::Disk,
        };
        let rows = [FileRow {
            part: 0,
            state: "recording".to_owned(),
            file,
        }];
        let added = self.shared.store.add_files(&rows, "owner", Duration::from_secs(60));
        added.await.unwrap();
    }

    async fn list(&self, offset: Option<u64>, page_size: Option<u64>) -> Result<serde_json::Value, &'static str> {
        let request = ListRunningRecordings { offset, page_size };
        let listed = list(&self.shared, &self.application, request).await;
        listed
            .map(|list| serde_json::to_value(&list).unwrap())
            .map_err(|error| error.code)
    }
}

#[tokio::test]
async fn a_recorder_tells_the_recordings_of_the_application_that_are_not_finished() {
    let fixture = fixture().await;
    fixture.record().await;
    let mut requests = fixture.bus.serve(MEDIA_SUBJECT).await.unwrap();
    let recorder = tokio::spawn(async move {
        let request = requests.next().await;
        let asked: MediaCommand = request.parse().unwrap();
        let recording = RunningRecording {
            recording_id: "12".to_owned(),
            stream_id: "s".parse().unwrap(),
            room: "1001".to_owned(),
            user_id: Some("ann".parse().unwrap()),
            state: Some(RecordingState::NoVideo),
            started_unix_ms: 5000,
            size_bytes: Some(1_000_000),
            gaps: vec![Gap {
                from_unix_ms: 6000,
                to_unix_ms: 8000,
                reason: GapReason::PublisherMuted,
                track: Some(GapTrack::Video),
            }],
            files: 2,
            files_made: 1,
            upload: Some(Uploaded {
                done_bytes: 10,
                total_bytes: 20,
            }),
        };
        request.answer(&MediaReply::Running {
            recordings: vec![recording],
            total: 3,
        });
        asked
    });
    let listed = fixture.list(Some(2), Some(100)).await.unwrap();
    let expected = json!({ "Total": 3, "Recordings": [{
        "RecordingId": "12", "StreamId": "s", "Room": "1001", "UserId": "ann", "State": "no_video", "StartTime": 5, "Size": 1_000_000,
        "Files": 2, "FilesMade": 1, "Uploaded": 10, "UploadSize": 20,
        "Gaps": [{ "StartTimeMs": 6000, "EndTimeMs": 8000, "Reason": "publisher_muted", "Track": "video" }],
    }] });
    assert_eq!(listed, expected);
    let asked = recorder.await.unwrap();
    let app = fixture.application.sdk_app_id;
    assert_eq!(
        asked,
        MediaCommand::Running {
            app,
            offset: 2,
            limit: 100
        }
    );
}

#[tokio::test]
async fn without_a_recorder_there_are_no_recordings_and_an_error_only_if_there_should_be_some() {
    let fixture = fixture().await;
    assert_eq!(
        fixture.list(None, None).await,
        Ok(json!({ "Recordings": [], "Total": 0 }))
    );
    fixture.record().await;
    assert_eq!(fixture.list(None, None).await, Err("ResourceUnavailable"));
    assert_eq!(fixture.list(None, Some(101)).await, Err("InvalidParameter.PageSize"));
}
