use rotunda_proto::config::RecordFormat;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::media_task::{Singles, SinglesOutput};
use rotunda_proto::mix::{MixSpec, Template};
use rotunda_proto::user_sig;
use serde_json::{Value, json};

use super::*;
use crate::api::request::{Request, whole};
use crate::api::tencent::fields::Fields;
use check::Created;

fn read<T: Request>(request: &Value) -> Checked<T> {
    whole(Fields::of(request))
}

fn created(more: Value) -> Checked<Created> {
    let app = 7.try_into().unwrap();
    let sig = user_sig::sign(
        app,
        "key",
        &"robot".parse().unwrap(),
        Clock.unix(),
        Duration::from_secs(60),
    );
    let mut body = json!({
        "SdkAppId": 7, "RoomId": "1001", "UserId": "robot", "UserSig": sig,
        "RecordParams": { "RecordMode": 2 },
        "StorageParams": { "CloudVod": { "TencentVod": { "MediaType": 3, "UserDefineRecordId": "film" } } },
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let caller = Application::new(app, "key");
    check::create(&caller, app, &"t1".parse().unwrap(), read(&body)?)
}

fn mix(more: Value) -> MixSpec {
    match created(more).unwrap().work {
        Work::Mix { spec } => *spec,
        Work::Singles(_) | Work::MemberMix(_) => panic!("a mix"),
    }
}

fn singles(more: Value) -> Singles {
    match created(more).unwrap().work {
        Work::Singles(singles) => singles,
        Work::Mix { .. } | Work::MemberMix(_) => panic!("single streams"),
    }
}

fn code(more: Value) -> &'static str {
    created(more)
        .map(|created| panic!("{created:?}"))
        .unwrap_or_else(|error: ApiError| error.code)
}

#[test]
fn a_mix_has_the_defaults_of_the_contract_and_bits_become_kilobits() {
    let spec = mix(json!({}));
    let video = spec.video.unwrap();
    assert_eq!((video.width, video.height, video.framerate), (360, 640, 15));
    assert_eq!((video.bitrate_kbps, video.gop_seconds), (550, 10));
    assert_eq!(
        (spec.audio.sample_rate, spec.audio.channels, spec.audio.bitrate_kbps),
        (48_000, 2, 64)
    );
    let record = spec.record.unwrap();
    assert_eq!(record.record_id.as_str(), "film");
    assert_eq!(record.files.formats, [RecordFormat::Hls, RecordFormat::Mp4]);
    let spec = mix(json!({ "MixTranscodeParams": {
        "VideoParams": { "Width": 1280, "Height": 720, "Fps": 30, "BitRate": 1500000, "Gop": 2 },
        "AudioParams": { "SampleRate": 3, "Channel": 1, "BitRate": 32000 },
    } }));
    assert_eq!(spec.video.unwrap().bitrate_kbps, 1500);
    assert_eq!((spec.audio.sample_rate, spec.audio.bitrate_kbps), (16_000, 32));
}

#[test]
fn a_room_id_is_a_number_unless_its_type_says_text() {
    assert_eq!(mix(json!({})).room.room, "1001".parse().unwrap());
    assert_eq!(mix(json!({ "RoomIdType": 0 })).room.room, "text:1001".parse().unwrap());
    assert_eq!(code(json!({ "RoomId": "class" })), "InvalidParameter.OutOfRange");
}

#[test]
fn single_streams_take_the_listed_users_and_the_asked_tracks() {
    let singles = singles(json!({ "RecordParams": {
        "RecordMode": 1, "StreamType": 0, "MediaId": 1, "MaxMediaFileDuration": 30,
        "SubscribeStreamUserIds": { "SubscribeVideoUserIds": ["a.*$"], "UnSubscribeAudioUserIds": ["ann"] },
    } }));
    let takes = |name: &str, source| singles.selection.takes(&name.parse().unwrap(), source);
    assert!(takes("ann", TrackSource::Camera) && !takes("bob", TrackSource::Camera));
    assert!(!takes("ann", TrackSource::Audio) && takes("bob", TrackSource::Audio));
    assert!(!takes("ann", TrackSource::Screen));
    let SinglesOutput::Record { files, .. } = singles.output else {
        panic!("a recording")
    };
    assert_eq!(files.max_minutes, Some(30));
}

#[test]
fn audio_alone_has_no_video_and_may_become_aac() {
    let aac = json!({ "CloudVod": { "TencentVod": { "MediaType": 2 } } });
    let audio = json!({ "RecordMode": 2, "StreamType": 1 });
    let spec = mix(json!({ "RecordParams": audio, "StorageParams": aac }));
    assert!(spec.video.is_none());
    assert_eq!(spec.record.unwrap().files.formats, [RecordFormat::Aac]);
    assert_eq!(code(json!({ "StorageParams": aac })), "InvalidParameter.OutOfRange");
}

#[test]
fn a_layout_is_taken_over_field_by_field() {
    let spec = mix(json!({ "MixLayoutParams": {
        "MixLayoutMode": 2, "BackGroundColor": "#33cc00", "MaxResolutionUserId": "ann", "MediaId": 1,
        "MaxResolutionUserAlign": 1, "PureAudioDisableLayout": true, "RenderMode": 2,
    } }));
    assert_eq!(spec.layout.template, Template::ScreenShare);
    assert_eq!(spec.layout.main.unwrap().track, TrackSource::Screen);
    assert!(spec.layout.main_right);
    assert_eq!(spec.layout.audio_only_takes_cell, Some(false));
    assert_eq!(spec.video.unwrap().background_rgb, 0x33cc00);
    let spec = mix(json!({ "MixLayoutParams": { "MixLayoutMode": 4, "MixLayoutList": [
        { "Top": 10, "Left": 20, "Width": 100, "Height": 200, "UserId": "ann", "ImageLayer": 3 } ] } }));
    let cell = &spec.layout.cells[0];
    assert_eq!((cell.x, cell.y, cell.width, cell.height, cell.z), (20, 10, 100, 200, 3));
}

#[test]
fn each_mistake_has_the_code_of_the_contract() {
    assert_eq!(code(json!({ "UserSig": "" })), "MissingParameter.UserSig");
    assert_eq!(code(json!({ "UserSig": "wrong" })), "AuthFailure");
    assert_eq!(
        code(json!({ "UserId": "ann" })),
        "AuthFailure",
        "the ticket of another user"
    );
    assert_eq!(code(json!({ "RecordParams": {} })), "MissingParameter.RecordParams");
    assert_eq!(
        code(json!({ "RecordParams": { "StreamType": 0 } })),
        "MissingParameter.RecordMode"
    );
    assert_eq!(
        code(json!({ "RecordParams": { "RecordMode": 3 } })),
        "InvalidParameter.OutOfRange"
    );
    assert_eq!(code(json!({ "StorageParams": {} })), "MissingParameter.StorageParams");
    assert_eq!(code(json!({ "ResourceExpiredHour": 5 })), "InvalidParameter.OutOfRange");
    let storage = json!({ "CloudStorage": { "Vendor": 0, "Bucket": "b" } });
    let vod = |field: Value| json!({ "StorageParams": { "CloudVod": { "TencentVod": field } } });
    for unsupported in [
        json!({ "StorageParams": storage }),
        json!({ "RecordParams": { "RecordMode": 2, "StreamType": 2 } }),
        json!({ "RecordParams": { "RecordMode": 1, "FillType": 1 } }),
        json!({ "RecordParams": { "RecordMode": 1, "SubscribeAbility": 1 } }),
        json!({ "MixLayoutParams": { "MixLayoutMode": 3, "RenderMode": 0 } }),
        json!({ "MixLayoutParams": { "MixLayoutMode": 3, "WaterMarkList": [{ "WaterMarkType": 2 }] } }),
        vod(json!({ "Procedure": "flow" })),
        vod(json!({ "ExpireTime": 60 })),
    ] {
        assert_eq!(code(unsupported.clone()), "UnsupportedOperation", "{unsupported}");
    }
}

#[test]
fn a_change_of_lists_leaves_a_task_for_audio_alone_one() {
    let Created { room, robot, work, .. } =
        created(json!({ "RecordParams": { "RecordMode": 1, "StreamType": 1 } })).unwrap();
    let task = MediaTask {
        id: "t1".parse().unwrap(),
        purpose: Purpose::Recording,
        room,
        robot,
        started_by: "key".to_owned(),
        work,
        max_idle_seconds: 30,
        sequence: 0,
        state: rotunda_proto::media_task::TaskState::Running,
        known_until_unix_ms: 0,
        is_settled: false,
        begun_unix_ms: 0,
        end: None,
        of_member: None,
    };
    let modify = |request: Value| check::modify(&task, read(&request).unwrap());
    let (work, _) = modify(
        json!({ "SubscribeStreamUserIds": { "SubscribeAudioUserIds": ["bob"], "SubscribeVideoUserIds": ["bob"] } }),
    )
    .unwrap();
    let Work::Singles(singles) = work else {
        panic!("single streams")
    };
    let takes = |name: &str, source| singles.selection.takes(&name.parse().unwrap(), source);
    assert!(takes("bob", TrackSource::Audio) && !takes("ann", TrackSource::Audio));
    assert!(!takes("bob", TrackSource::Camera));
    let layout = modify(json!({ "MixLayoutParams": { "MixLayoutMode": 3 } }));
    assert_eq!(layout.unwrap_err().code, "InvalidParameter.OutOfRange");
}
