//! The bodies of callbacks and their signature. Pure.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use rotunda_proto::ids::{RoomKey, StreamId};
use rotunda_proto::mix::NotMixable;
use rotunda_proto::recording::RecordingFile;
use serde_json::{Value, json};

/// Seconds for which a message is valid.
const LIFE: u64 = 600;
/// `event_type` of an input that is missing in a mix. The contract has none; receivers ignore types that they do not know.
const INPUT_MISSING: u32 = 1001;
/// `errcode` of an input whose codec the mixer does not decode.
const NOT_MIXABLE: u32 = 3;

/// Event 100, a recording file is ready, without its signature.
pub fn file_ready(file: &RecordingFile) -> Value {
    let seconds = |us: u64| us / 1_000_000;
    let app = file.room.app;
    let mut body = json!({
        "event_type": 100,
        "app": "rotunda",
        "appid": app,
        "appname": format!("trtc_{app}"),
        "stream_id": file.stream_id,
        "channel_id": file.stream_id,
        "stream_param": stream_param(file),
        "task_id": file.task_id,
        "file_id": file.file_id,
        "record_file_id": file.file_id,
        "file_format": file.format.as_str(),
        "file_size": file.size_bytes,
        "duration": file.duration_ms.div_ceil(1000),
        "start_time": seconds(file.started_unix_us),
        "end_time": seconds(file.ended_unix_us),
        "start_time_usec": file.started_unix_us % 1_000_000,
        "end_time_usec": file.ended_unix_us % 1_000_000,
        "media_start_time": 0,
        "record_bps": 0,
        "video_id": format!("{app}_{}", file.file_id),
        "video_url": file.url,
    });
    let mut details = json!({ "session_id": file.task_id });
    if let Some((width, height)) = file.resolution {
        details["video_codec"] = "h264".into();
        details["resolution"] = format!("{width}x{height}").into();
    }
    if !file.gaps.is_empty() {
        details["gaps"] = json!(file.gaps);
    }
    if file.resolution.is_some() || !file.gaps.is_empty() {
        body["callback_ext"] = Value::String(details.to_string());
    }
    body
}

/// Event 1001: a published track is missing in a mix, as the mixer does not decode its codec. Without its signature.
pub fn not_mixable(room: &RoomKey, stream_id: &StreamId, track: &NotMixable, at: Duration) -> Value {
    let app = room.app;
    let NotMixable {
        user_id,
        room_id,
        source,
        codec,
    } = track;
    json!({
        "event_type": INPUT_MISSING,
        "app": "rotunda",
        "appid": app,
        "appname": format!("trtc_{app}"),
        "stream_id": stream_id,
        "channel_id": stream_id,
        "stream_param": format!(
            "from=interactive&sdkappid={app}&groupid={}&userid={}&useMixPlayer=1", room_id.as_ref().unwrap_or(&room.room), STANDARD.encode(user_id.as_str())
        ),
        "event_time": at.as_secs(),
        "user_id": user_id,
        "track": source,
        "codec": codec,
        "errcode": NOT_MIXABLE,
        "errmsg": format!("the {source:?} of {user_id} is missing in the mix: {codec} is not decoded; publish H.264, VP8, VP9 or AV1"),
    })
}

/// `key=value` pairs; the user id is in Base64, not percent-encoded, so receivers split at the first `=`.
fn stream_param(file: &RecordingFile) -> String {
    let mut pairs = vec![
        "from=interactive".to_owned(),
        "client_business_type=0".to_owned(),
        format!("sdkappid={}", file.room.app),
        "sdkapptype=1".to_owned(),
        format!("groupid={}", file.room.room.bare()),
    ];
    if let Some(user) = &file.user {
        pairs.push(format!("userid={}", STANDARD.encode(user.as_str())));
    }
    pairs.push(format!("ts={:x}", file.started_unix_us / 1_000_000));
    if let Some(record_id) = &file.record_id {
        pairs.push(format!("userdefinerecordid={record_id}"));
    }
    if file.user.is_none() {
        pairs.push("useMixPlayer=1".to_owned());
    }
    pairs.join("&")
}

/// The stored body with `t`, its time of expiry, and `sign`, the MD5 of key and `t`.
pub fn signed(body: &str, key: &str, unix_now: Duration) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap_or_default();
    let expires = unix_now.as_secs() + LIFE;
    body["t"] = expires.into();
    body["sign"] = signature(key, expires).into();
    body.to_string()
}

fn signature(key: &str, expires: u64) -> String {
    hex::encode(Md5::digest(format!("{key}{expires}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::ids::RoomId;
    use rotunda_proto::recording::FileFormat;

    #[test]
    fn the_signature_is_the_documented_one() {
        assert_eq!(signature("testkey", 1_700_000_600), "a5ba09136801fd83c5375189bcfc3194");
    }

    #[test]
    fn a_file_callback_has_the_contract_s_fields() {
        let room = RoomKey {
            app: 1_400_000_123.try_into().unwrap(),
            room: RoomId::Number(1001.try_into().unwrap()),
        };
        let file = RecordingFile {
            file_id: "42".into(),
            task_id: "7".into(),
            room,
            stream_id: "s1".parse().unwrap(),
            record_id: Some("mytestfile".parse().unwrap()),
            user: Some("rexchang".parse().unwrap()),
            format: FileFormat::Mp4,
            name: "f.mp4".into(),
            size_bytes: 10,
            duration_ms: 1500,
            started_unix_us: 1_581_926_460_000_001,
            ended_unix_us: 1_581_926_462_000_002,
            resolution: Some((1280, 720)),
            url: "http://h/f.mp4".into(),
            gaps: Vec::new(),
            layouts: Vec::new(),
            place: rotunda_proto::recording::Place::Disk,
            previews: rotunda_proto::recording::Previews::default(),
            stream_kind: None,
            video_only: false,
            media_task: None,
        };
        let body: Value =
            serde_json::from_str(&signed(&file_ready(&file).to_string(), "k", Duration::from_secs(1))).unwrap();
        assert_eq!(body["event_type"], 100);
        assert_eq!(body["appname"], "trtc_1400000123");
        assert_eq!(body["channel_id"], body["stream_id"]);
        assert_eq!(
            (&body["start_time"], &body["end_time_usec"]),
            (&json!(1_581_926_460), &json!(2))
        );
        let parameters = body["stream_param"].as_str().unwrap();
        assert!(
            parameters.contains("&userid=cmV4Y2hhbmc=&ts=5e4a483c&userdefinerecordid=mytestfile"),
            "{parameters}"
        );
        assert_eq!(body["t"], 601);
        let details: Value = serde_json::from_str(body["callback_ext"].as_str().unwrap()).unwrap();
        assert_eq!(details["resolution"], "1280x720");
        assert_eq!(details.get("gaps"), None);
    }

    #[test]
    fn a_file_with_gaps_names_them_in_the_extension_of_its_callback() {
        let file: RecordingFile = serde_json::from_value(json!({
            "file_id": "42", "task_id": "7", "room": { "app": 1, "room": 5 }, "stream_id": "s", "record_id": null, "user": null,
            "format": "aac", "name": "f.aac", "size_bytes": 1, "duration_ms": 1, "started_unix_us": 0, "ended_unix_us": 0,
            "resolution": null, "url": "",
            "gaps": [{ "from_unix_ms": 1, "to_unix_ms": 5, "reason": "publisher_muted", "track": "video" }],
        }))
        .unwrap();
        let details: Value = serde_json::from_str(file_ready(&file)["callback_ext"].as_str().unwrap()).unwrap();
        let expected = json!([{ "from_unix_ms": 1, "to_unix_ms": 5, "reason": "publisher_muted", "track": "video" }]);
        assert_eq!(details["gaps"], expected);
    }
}
