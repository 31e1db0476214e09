//! Steps of a task of `CreateCloudRecording` as events of the contract (301, 302, 303, 306, 307, 309). Pure.

use rotunda_events::{FirstSegment, RecordingStep};
use rotunda_proto::media_task::TaskEnd;
use serde_json::{Value, json};

const RECORDER_START: u32 = 301;
const RECORDER_STOP: u32 = 302;
const UPLOAD_START: u32 = 303;
const FAILOVER: u32 = 306;
const FILE_SLICE: u32 = 307;
const DOWNLOAD_IMAGE_ERROR: u32 = 309;

/// `EventType` and `Payload`.
pub fn event(step: &RecordingStep) -> (u32, Value) {
    let good = || json!({ "Status": 0 });
    let failed = || json!({ "Status": 1 });
    match step {
        RecordingStep::Begun => (RECORDER_START, good()),
        RecordingStep::NotBegun => (RECORDER_START, failed()),
        RecordingStep::Moved => (FAILOVER, good()),
        RecordingStep::FirstSegment(first) => (FILE_SLICE, slice(first)),
        RecordingStep::UploadBegun => (UPLOAD_START, good()),
        RecordingStep::UploadFailed => (UPLOAD_START, failed()),
        // The address is the application's own, and goes whole to its own receiver: by the contract it says which picture is meant.
        RecordingStep::PictureNotFetched { url } => (DOWNLOAD_IMAGE_ERROR, json!({ "Url": url })),
        RecordingStep::Ended { end } => (RECORDER_STOP, json!({ "LeaveCode": leave_code(*end) })),
    }
}

fn leave_code(end: TaskEnd) -> u32 {
    match end {
        TaskEnd::Stopped => 0,
        TaskEnd::RobotRemoved => 1,
        TaskEnd::RoomDismissed => 2,
        TaskEnd::Idle => 99,
        // The latter ends pushes of members alone.
        TaskEnd::Replaced | TaskEnd::NotPermitted => 101,
    }
}

fn slice(first: &FirstSegment) -> Value {
    json!({
        "FileName": first.playlist,
        "UserId": first.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        "TrackType": track_type(first.has_video, first.has_audio),
        "BeginTimeStamp": first.begun_unix_ms.to_string(),
    })
}

/// `TrackType`.
pub fn track_type(has_video: bool, has_audio: bool) -> &'static str {
    match (has_video, has_audio) {
        (false, _) => "audio",
        (true, false) => "video",
        (true, true) => "audio_video",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_number_and_status() {
        let url = "https://h/p.png?token=x";
        let picture = RecordingStep::PictureNotFetched { url: url.to_owned() };
        let rows = [
            (RecordingStep::Begun, 301, json!({ "Status": 0 })),
            (RecordingStep::NotBegun, 301, json!({ "Status": 1 })),
            (RecordingStep::UploadBegun, 303, json!({ "Status": 0 })),
            (RecordingStep::UploadFailed, 303, json!({ "Status": 1 })),
            (RecordingStep::Moved, 306, json!({ "Status": 0 })),
            (picture, 309, json!({ "Url": url })),
        ];
        for (step, number, payload) in rows {
            assert_eq!(event(&step), (number, payload), "{step:?}");
        }
    }

    #[test]
    fn the_end_of_a_task_says_why() {
        let rows = [
            (TaskEnd::Stopped, 0),
            (TaskEnd::RobotRemoved, 1),
            (TaskEnd::RoomDismissed, 2),
            (TaskEnd::Idle, 99),
            (TaskEnd::Replaced, 101),
        ];
        for (end, code) in rows {
            let payload = json!({ "LeaveCode": code });
            assert_eq!(event(&RecordingStep::Ended { end }), (302, payload), "{end:?}");
        }
    }

    #[test]
    fn the_first_segment_names_its_playlist_and_its_member() {
        let first = |user: Option<&str>, has_video, has_audio| {
            let first = FirstSegment {
                playlist: "7/index.m3u8".to_owned(),
                begun_unix_ms: 5_000,
                user: user.map(|user| user.parse().unwrap()),
                has_video,
                has_audio,
            };
            event(&RecordingStep::FirstSegment(Box::new(first)))
        };
        let expected = |user: &str, track: &str| {
            let payload =
                json!({ "FileName": "7/index.m3u8", "UserId": user, "TrackType": track, "BeginTimeStamp": "5000" });
            (307, payload)
        };
        assert_eq!(first(None, true, true), expected("", "audio_video"));
        assert_eq!(first(Some("ann"), false, true), expected("ann", "audio"));
        assert_eq!(first(Some("ann"), true, false), expected("ann", "video"));
    }
}
