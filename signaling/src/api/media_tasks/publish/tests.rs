use rotunda_proto::ids::TrackSource;
use rotunda_proto::mix::Template;
use serde_json::{Value, json};

use super::*;
use crate::api::request::{Request, whole};
use crate::api::tencent::fields::Fields;
use check::Started;

fn read<T: Request>(request: &Value) -> Checked<T> {
    whole(Fields::of(request))
}

fn merged(mut body: Value, more: Value) -> Value {
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

fn caller() -> Application {
    Application::new(7.try_into().unwrap(), "key")
}

fn started(more: Value) -> Checked<Started> {
    let body = json!({
        "SdkAppId": 7, "RoomId": "1001", "RoomIdType": 0, "WithTranscoding": 1,
        "AgentParams": { "UserId": "robot", "MaxIdleTime": 60 },
        "AudioParams": { "AudioEncode": { "SampleRate": 48000, "Channel": 2, "BitRate": 64 } },
        "VideoParams": {
            "VideoEncode": { "Width": 1280, "Height": 720, "Fps": 15, "BitRate": 1500, "Gop": 3 },
            "LayoutParams": { "MixLayoutMode": 3 },
        },
        "PublishCdnParams": [{ "PublishCdnUrl": "rtmp://cdn.example.com/live/show?key=1", "IsTencentCdn": 0 }],
    });
    let own = ["media.example.com:8443".to_owned()];
    let request: StartPublishCdnStream = read(&merged(body, more))?;
    check::start(&caller(), 7.try_into().unwrap(), &"t1".parse().unwrap(), request, &own)
}

fn mix(more: Value) -> Checked<rotunda_proto::mix::MixSpec> {
    match started(more)?.work {
        Work::Mix { spec } => Ok(*spec),
        Work::Singles(_) | Work::MemberMix(_) => panic!("a mix"),
    }
}

fn code(more: Value) -> &'static str {
    started(more)
        .map(|started| panic!("{started:?}"))
        .unwrap_or_else(|error: ApiError| error.code)
}

#[test]
fn a_mix_is_on_the_air_by_its_task_and_pushed_to_each_address() {
    let spec = mix(json!({})).unwrap();
    assert_eq!(spec.room.to_string(), mix(json!({})).unwrap().room.to_string());
    assert_eq!((spec.stream_id.as_str(), spec.push_urls.len()), ("t1", 1));
    assert_eq!(spec.layout.template, Template::Grid);
    assert_eq!(
        spec.layout.audio_only_takes_cell,
        Some(false),
        "by default a member with only audio has no cell"
    );
    let video = spec.video.unwrap();
    assert_eq!(
        (video.width, video.height, video.framerate, video.bitrate_kbps),
        (1280, 720, 15, 1500)
    );
    assert_eq!(started(json!({})).unwrap().max_idle_seconds, 60);
}

#[test]
fn an_address_of_this_server_names_the_stream_and_is_not_pushed() {
    let spec = mix(json!({ "PublishCdnParams": [
        { "PublishCdnUrl": "rtmp://media.example.com/live/show?txSecret=1" },
        { "PublishCdnUrl": "rtmps://cdn.example.com/live/other" },
    ] }))
    .unwrap();
    assert_eq!(spec.stream_id.as_str(), "show");
    assert_eq!(spec.push_urls, ["rtmps://cdn.example.com/live/other"]);
}

#[test]
fn without_video_params_a_mix_is_audio_only_and_lists_say_who_is_heard() {
    let user = |name: &str| json!({ "UserInfo": { "UserId": name } });
    let spec = mix(json!({ "VideoParams": {}, "AudioParams": {
        "AudioEncode": { "SampleRate": 48000, "Channel": 2, "BitRate": 64 },
        "SubscribeAudioList": [user("ann"), user("bob")], "UnSubscribeAudioList": [user("bob")],
    } }))
    .unwrap();
    assert!(spec.video.is_none());
    let heard = |name: &str| spec.layout.selection.takes(&name.parse().unwrap(), TrackSource::Audio);
    assert_eq!([heard("ann"), heard("bob"), heard("cat")], [true, false, false]);
}

#[test]
fn a_custom_layout_names_users_of_other_rooms_and_fetches_its_pictures() {
    let request: StartPublishCdnStream = read(&json!({ "VideoParams": {
        "VideoEncode": { "Width": 640, "Height": 360, "Fps": 15, "BitRate": 500, "Gop": 2 },
        "BackGroundColor": "0x33cc00",
        "BackgroundImageUrl": "https://example.com/back.png",
        "LayoutParams": { "MixLayoutMode": 4, "MixLayoutList": [
            { "UserMediaStream": { "UserInfo": { "UserId": "ann", "RoomId": "class", "RoomIdType": 1 }, "StreamType": 1 },
              "ImageWidth": 320, "ImageHeight": 360, "ZOrder": 2, "BackgroundImageUrl": "https://example.com/a.png" },
            { "LocationX": 320, "ImageWidth": 320, "ImageHeight": 360 },
        ] },
    } }))
    .unwrap();
    let mut spec = mix(json!({})).unwrap();
    let fetches = layout::set_video(&mut spec, request.video_params.unwrap()).unwrap();
    let places: Vec<_> = fetches.iter().map(|fetch| fetch.place).collect();
    assert_eq!(places, [values::Place::Placeholder(0), values::Place::Background]);
    assert_eq!(spec.video.unwrap().background_rgb, 0x33cc00);
    let video = spec.layout.cells[0].video.as_ref().unwrap();
    assert_eq!(
        (video.track, video.room.room.to_string()),
        (TrackSource::Screen, "class".to_owned())
    );
    assert_eq!((spec.layout.cells[0].z, spec.layout.cells[1].x), (2, 320));
    assert!(spec.layout.placeholders && spec.layout.hears_all);
}

#[test]
fn a_single_stream_is_one_members_camera_or_screen() {
    let single = |more: Value| {
        started(merged(
            json!({ "WithTranscoding": 0, "SingleSubscribeParams": {
                "UserMediaStream": { "UserInfo": { "UserId": "ann" }, "StreamType": 1 } } }),
            more,
        ))
    };
    let Work::Singles(singles) = single(json!({})).unwrap().work else {
        panic!("a single stream")
    };
    assert!(singles.selection.takes(&"ann".parse().unwrap(), TrackSource::Screen));
    assert!(!singles.selection.takes(&"bob".parse().unwrap(), TrackSource::Screen));
    let other_rate = json!({ "AudioParams": { "AudioEncode": { "SampleRate": 16000, "Channel": 2, "BitRate": 64 } } });
    assert_eq!(single(other_rate).unwrap_err().code, "UnsupportedOperation");
    assert_eq!(
        single(json!({ "SingleSubscribeParams": {} })).unwrap_err().code,
        "MissingParameter"
    );
}

#[test]
fn each_mistake_has_the_code_of_the_contract() {
    assert_eq!(code(json!({ "RoomId": "" })), "InvalidParameter");
    assert_eq!(code(json!({ "RoomIdType": 2 })), "InvalidParameter");
    assert_eq!(
        code(json!({ "AgentParams": { "UserId": "robot", "UserSig": "wrong" } })),
        "AuthFailure"
    );
    assert_eq!(
        code(json!({ "AgentParams": { "UserId": "robot", "MaxIdleTime": 4 } })),
        "InvalidParameter"
    );
    assert_eq!(code(json!({ "PublishCdnParams": [] })), "MissingParameter");
    assert_eq!(
        code(json!({ "PublishCdnParams": [{ "PublishCdnUrl": "http://example.com/a" }] })),
        "InvalidParameter"
    );
    assert_eq!(code(json!({ "WithTranscoding": 2 })), "InvalidParameter");
    assert_eq!(code(json!({ "AudioParams": {} })), "MissingParameter");
    for unsupported in [
        json!({ "SeiParams": { "LayoutVolume": { "AppData": "x" } } }),
        json!({ "FeedBackRoomParams": [{ "RoomId": "1" }] }),
        json!({ "RecordParams": { "UniRecord": 2 } }),
    ] {
        assert_eq!(code(unsupported), "UnsupportedOperation");
    }
    assert!(started(json!({ "RecordParams": { "UniRecord": 1 }, "SeiParams": {} })).is_ok());
    let names = started(json!({ "AgentParams": { "UserId": "robot", "MaxIdleTime": 4 } })).unwrap_err();
    assert_eq!(names.message, "AgentParams.MaxIdleTime must be 5 to 86400, not 4");
}

#[test]
fn an_update_changes_what_it_names_and_neither_kind_nor_tracks() {
    let Started { room, robot, work, .. } = started(json!({})).unwrap();
    let task = MediaTask {
        id: "t1".parse().unwrap(),
        purpose: Purpose::Publishing,
        room,
        robot,
        started_by: "key".to_owned(),
        work,
        max_idle_seconds: 60,
        sequence: 0,
        state: rotunda_proto::media_task::TaskState::Running,
        known_until_unix_ms: 0,
        is_settled: false,
        begun_unix_ms: 0,
        end: None,
        of_member: None,
    };
    let update = |more: Value| {
        let body = json!({ "SdkAppId": 7, "TaskId": "t1", "SequenceNumber": 1, "WithTranscoding": 1 });
        check::update(&task, read(&merged(body, more)).unwrap(), &[])
    };
    let Work::Mix { spec } = update(json!({
        "VideoParams": { "LayoutParams": { "MixLayoutMode": 1 } },
        "PublishCdnParams": [{ "PublishCdnUrl": "rtmp://cdn.example.com/live/two" }],
    }))
    .unwrap()
    .0
    else {
        panic!("a mix")
    };
    assert_eq!(spec.layout.template, Template::Float);
    assert_eq!(spec.video.unwrap().width, 1280);
    assert_eq!(spec.push_urls, ["rtmp://cdn.example.com/live/two"]);
    assert_eq!(
        update(json!({ "WithTranscoding": 0 })).unwrap_err().code,
        "InvalidParameter"
    );
    let other_audio = json!({ "AudioParams": { "AudioEncode": { "SampleRate": 16000, "Channel": 1, "BitRate": 64 } } });
    assert_eq!(update(other_audio).unwrap_err().code, "InvalidParameter");
    assert_eq!(update(json!({})).unwrap().0, task.work, "absent fields stay");
}
