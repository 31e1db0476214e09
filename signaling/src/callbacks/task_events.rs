//! Events of tasks of the server API: the pushes of `StartPublishCdnStream` (401), and the steps and files of `CreateCloudRecording`
//! (301 to 312). Pure.

use rotunda_events::{Fact, PushChange, PushErrorKind, PushState, What};
use rotunda_proto::ids::{RoomId, TaskId};
use rotunda_proto::media_task::TaskRef;
use rotunda_proto::program::StreamKind;
use rotunda_proto::recording::{FileFormat, Place, RecordingFile};
use serde_json::{Value, json};

use super::recording_steps::{self, track_type};
use super::room_events::enveloped;

/// `EventGroupId`.
const RECORDINGS: u32 = 3;
const PUSHES: u32 = 4;

const FILE_INFO: u32 = 304;
const UPLOAD_STOP: u32 = 305;
const MP4_STOP: u32 = 310;
const VOD_COMMIT: u32 = 311;
const VOD_STOP: u32 = 312;
const PUSH_STATUS: u32 = 401;

/// `Status` of files and of tasks that are as they should be.
const GOOD: u32 = 0;
/// `Status` of a task that has not stored everything.
const INCOMPLETE: u32 = 1;

/// An event of a fact.
#[derive(Debug, PartialEq)]
pub struct TaskEvent {
    pub task: TaskId,
    /// `EventType`, which differs between the events of one fact.
    pub number: u32,
    /// Without the time of its sending.
    pub body: Value,
}

/// The events of a fact, in their order.
pub fn events(fact: &Fact) -> Vec<TaskEvent> {
    let event = |group, number, task: &TaskRef, more: Value, payload: Value| {
        let mut fields = json!({ "UserId": task.robot, "TaskId": task.id, "Payload": payload });
        for (name, value) in more.as_object().into_iter().flatten() {
            fields[name] = value.clone();
        }
        TaskEvent {
            task: task.id.clone(),
            number,
            body: enveloped(fact, group, number, &fields),
        }
    };
    match &fact.what {
        What::PushChanged { push } => {
            let more = json!({ "RoomType": room_type(&fact.room.room), "EventTsMs": fact.at_unix_ms });
            vec![event(PUSHES, PUSH_STATUS, &push.task, more, push_payload(push))]
        }
        What::FileReady { file } => {
            let Some(task) = &file.media_task else {
                return Vec::new();
            };
            let of_file = |number, payload| event(RECORDINGS, number, task, json!({}), payload);
            let is_mp4 = file.format == FileFormat::Mp4;
            let mp4 = is_mp4.then(|| of_file(MP4_STOP, mp4_payload(file)));
            let is_listed = file.format == FileFormat::Hls && file.place == Place::Storage;
            let listed = is_listed.then(|| of_file(FILE_INFO, json!({ "FileList": file.name })));
            mp4.into_iter()
                .chain(listed)
                .chain([of_file(VOD_COMMIT, stored_payload(file))])
                .collect()
        }
        What::RecordingTask { task, step } => {
            let (number, payload) = recording_steps::event(step);
            vec![event(RECORDINGS, number, task, json!({}), payload)]
        }
        What::RecordingTaskDone {
            task,
            is_complete,
            is_uploaded,
        } => {
            let code = if *is_complete { GOOD } else { INCOMPLETE };
            let of_task = |number, payload| event(RECORDINGS, number, task, json!({}), payload);
            let uploaded = is_uploaded.then(|| of_task(UPLOAD_STOP, json!({ "LeaveCode": code })));
            let stored = of_task(VOD_STOP, json!({ "Status": code }));
            uploaded.into_iter().chain([stored]).collect()
        }
        _ => Vec::new(),
    }
}

/// An event's body as lists show it: without the key of a push address. None: it is shown as it is sent.
pub fn without_key(body: &str) -> Option<String> {
    let mut body: Value = serde_json::from_str(body).ok()?;
    let url = body.pointer_mut("/EventInfo/Payload/Url")?;
    *url = rotunda_events::shown_push_address(url.as_str()?).into();
    Some(body.to_string())
}

fn room_type(room: &RoomId) -> u32 {
    match room {
        RoomId::Number(_) => 0,
        RoomId::Name(_) => 1,
    }
}

/// The address is the application's own, and goes whole to its own receiver: by the contract it says which push is meant.
fn push_payload(push: &PushChange) -> Value {
    let status = match push.state {
        PushState::Idle => 0,
        PushState::Connecting => 1,
        PushState::Running => 2,
        PushState::Recovering => 3,
        PushState::Failed => 4,
        PushState::Disconnecting => 5,
    };
    let (code, message) = match &push.error {
        None => (0, ""),
        Some(error) => (error_code(error.kind), error.message.as_str()),
    };
    json!({ "Url": push.url, "Status": status, "ErrorCode": code, "ErrorMsg": message })
}

/// The contract has the field, and no codes.
fn error_code(kind: PushErrorKind) -> u32 {
    match kind {
        PushErrorKind::Address => 1,
        PushErrorKind::Connection => 2,
        PushErrorKind::Timeout => 3,
        PushErrorKind::Refused => 4,
        PushErrorKind::Protocol => 5,
        PushErrorKind::NotDone => 6,
        PushErrorKind::NotPermitted => 7,
    }
}

fn mp4_payload(file: &RecordingFile) -> Value {
    let mut message = described(file);
    message["FileName"] = file.name.as_str().into();
    json!({ "Status": GOOD, "FileList": [file.name], "FileMessage": [message] })
}

fn stored_payload(file: &RecordingFile) -> Value {
    let mut stored = described(file);
    stored["FileId"] = file.file_id.as_str().into();
    stored["VideoUrl"] = file.url.as_str().into();
    stored["CacheFile"] = file.name.as_str().into();
    json!({ "Status": GOOD, "TencentVod": stored })
}

fn described(file: &RecordingFile) -> Value {
    // Earlier versions have recorded silence with a shared screen.
    let has_audio = !file.video_only && file.stream_kind != Some(StreamKind::Aux);
    let track = track_type(file.resolution.is_some(), has_audio);
    let media = file.stream_kind.map_or("mix", StreamKind::as_str);
    json!({
        "UserId": file.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        "TrackType": track, "MediaId": media,
        "StartTimeStamp": file.started_unix_us / 1000, "EndTimeStamp": file.ended_unix_us / 1000,
    })
}

#[cfg(test)]
mod tests {
    use rotunda_events::{PushError, RecordingStep};
    use rotunda_proto::ids::RoomKey;

    use super::*;

    const AT: u64 = 1_687_770_731_831;

    fn fact(room: &str, what: What) -> Fact {
        Fact {
            id: "id".to_owned(),
            room: RoomKey {
                app: 7.try_into().unwrap(),
                room: room.parse().unwrap(),
            },
            at_unix_ms: AT,
            what,
        }
    }

    fn task() -> TaskRef {
        TaskRef {
            id: "t1".parse().unwrap(),
            robot: "robot".parse().unwrap(),
        }
    }

    fn push(state: PushState, error: Option<PushError>) -> What {
        let push = PushChange {
            task: task(),
            url: "rtmp://cdn.example.com/live/key".to_owned(),
            state,
            error,
        };
        What::PushChanged { push: Box::new(push) }
    }

    fn body(room: &str, what: What) -> Value {
        let [event] = <[_; 1]>::try_from(events(&fact(room, what))).unwrap();
        event.body
    }

    #[test]
    fn a_push_is_told_with_its_whole_address_and_both_spellings_of_the_time() {
        assert_eq!(
            body("1001", push(PushState::Running, None)),
            json!({ "EventGroupId": 4, "EventType": 401, "EventInfo": {
                "RoomId": 1001, "RoomType": 0, "EventTs": AT / 1000, "EventMsTs": AT, "EventTsMs": AT,
                "UserId": "robot", "TaskId": "t1",
                "Payload": { "Url": "rtmp://cdn.example.com/live/key", "Status": 2, "ErrorCode": 0, "ErrorMsg": "" },
            } })
        );
        assert_eq!(
            body("text:1001", push(PushState::Running, None))["EventInfo"]["RoomType"],
            1
        );
    }

    #[test]
    fn the_states_and_errors_of_a_push_have_their_numbers() {
        let error = PushError {
            kind: PushErrorKind::Refused,
            message: "the server refused: BadName".to_owned(),
        };
        let payload = |state, error| body("1", push(state, error))["EventInfo"]["Payload"].clone();
        let states = [
            PushState::Idle,
            PushState::Connecting,
            PushState::Running,
            PushState::Recovering,
            PushState::Failed,
            PushState::Disconnecting,
        ];
        for (number, state) in (0..).zip(states) {
            assert_eq!(payload(state, None)["Status"], json!(number));
        }
        let failed = payload(PushState::Failed, Some(error));
        assert_eq!(
            (&failed["ErrorCode"], &failed["ErrorMsg"]),
            (&json!(4), &json!("the server refused: BadName"))
        );
    }

    fn file(format: &str, more: Value) -> What {
        let mut file = json!({
            "file_id": "42", "task_id": "7", "room": { "app": 7, "room": 5 }, "stream_id": "s", "record_id": null, "user": null,
            "format": format, "name": "7/film_1_2.mp4", "size_bytes": 1, "duration_ms": 1000, "started_unix_us": 5_000_999,
            "ended_unix_us": 6_000_999, "resolution": [640, 360], "url": "http://h/f", "media_task": task(),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            file[name] = value.clone();
        }
        What::FileReady {
            file: Box::new(serde_json::from_value(file).unwrap()),
        }
    }

    #[test]
    fn an_mp4_file_of_a_task_is_told_as_made_and_as_stored() {
        let [made, stored] = <[_; 2]>::try_from(events(&fact("5", file("mp4", json!({}))))).unwrap();
        assert_eq!((made.number, stored.number), (310, 311));
        assert_eq!(
            made.body,
            json!({ "EventGroupId": 3, "EventType": 310, "EventInfo": {
                "RoomId": 5, "EventTs": AT / 1000, "EventMsTs": AT, "UserId": "robot", "TaskId": "t1",
                "Payload": { "Status": 0, "FileList": ["7/film_1_2.mp4"], "FileMessage": [{
                    "FileName": "7/film_1_2.mp4", "UserId": "", "TrackType": "audio_video", "MediaId": "mix",
                    "StartTimeStamp": 5000, "EndTimeStamp": 6000,
                }] },
            } })
        );
        assert_eq!(
            stored.body["EventInfo"]["Payload"],
            json!({ "Status": 0, "TencentVod": {
                "UserId": "", "TrackType": "audio_video", "MediaId": "mix", "FileId": "42", "VideoUrl": "http://h/f",
                "CacheFile": "7/film_1_2.mp4", "StartTimeStamp": 5000, "EndTimeStamp": 6000,
            } })
        );
    }

    #[test]
    fn files_of_members_have_their_tracks_and_other_formats_are_only_stored() {
        let of_file = |format, more| {
            let told = events(&fact("5", file(format, more)));
            let vod = &told.last().unwrap().body["EventInfo"]["Payload"]["TencentVod"];
            let text = |name: &str| vod[name].as_str().unwrap_or_default().to_owned();
            (told.len(), text("UserId"), text("TrackType"), text("MediaId"))
        };
        let row = |events, user: &str, track: &str, media: &str| {
            (events, user.to_owned(), track.to_owned(), media.to_owned())
        };
        assert_eq!(
            of_file("hls", json!({ "user": "ann", "stream_kind": "main" })),
            row(1, "ann", "audio_video", "main")
        );
        assert_eq!(
            of_file("hls", json!({ "user": "ann", "stream_kind": "aux" })),
            row(1, "ann", "video", "aux")
        );
        assert_eq!(
            of_file(
                "hls",
                json!({ "user": "ann", "stream_kind": "main", "video_only": true })
            ),
            row(1, "ann", "video", "main")
        );
        assert_eq!(
            of_file("aac", json!({ "resolution": null })),
            row(1, "", "audio", "mix")
        );
        let of_no_task = file("mp4", json!({ "media_task": null }));
        assert_eq!(events(&fact("5", of_no_task)), []);
    }

    #[test]
    fn the_end_of_a_task_says_whether_everything_is_stored() {
        for (is_complete, status) in [(true, 0), (false, 1)] {
            let done = |is_uploaded| {
                let what = What::RecordingTaskDone {
                    task: task(),
                    is_complete,
                    is_uploaded,
                };
                let told = events(&fact("5", what));
                let told = told
                    .into_iter()
                    .map(|event| (event.number, event.body["EventInfo"]["Payload"].clone()));
                told.collect::<Vec<_>>()
            };
            let stored = || (312, json!({ "Status": status }));
            assert_eq!(done(false), [stored()]);
            assert_eq!(done(true), [(305, json!({ "LeaveCode": status })), stored()]);
        }
    }

    #[test]
    fn a_playlist_in_the_storage_is_named_before_it_is_told_as_stored() {
        let numbers = |format, place| {
            let told = events(&fact("5", file(format, json!({ "place": place }))));
            told.iter().map(|event| event.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers("hls", "storage"), [304, 311]);
        assert_eq!(numbers("hls", "disk"), [311]);
        assert_eq!(numbers("mp4", "storage"), [310, 311]);
        let told = events(&fact("5", file("hls", json!({ "place": "storage" }))));
        let payload = &told[0].body["EventInfo"]["Payload"];
        assert_eq!(*payload, json!({ "FileList": "7/film_1_2.mp4" }));
    }

    #[test]
    fn a_step_of_a_task_is_an_event_of_the_robot() {
        let step = What::RecordingTask {
            task: task(),
            step: RecordingStep::Begun,
        };
        assert_eq!(
            body("text:5", step),
            json!({ "EventGroupId": 3, "EventType": 301, "EventInfo": {
                "RoomId": "5", "EventTs": AT / 1000, "EventMsTs": AT, "UserId": "robot", "TaskId": "t1",
                "Payload": { "Status": 0 },
            } })
        );
    }

    #[test]
    fn a_list_shows_no_key_of_an_address() {
        let sent = body("1001", push(PushState::Running, None)).to_string();
        let shown = without_key(&sent).unwrap();
        assert!(sent.contains("live/key") && !shown.contains("live/key"), "{shown}");
        assert_eq!(without_key(r#"{"event_type":100}"#), None);
    }
}
