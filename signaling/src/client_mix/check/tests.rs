use rotunda_proto::ids::RoomId;
use serde_json::{Value, json};

use super::*;

fn check(config: Value) -> Checked<MixSpec> {
    let room = RoomKey {
        app: 7.try_into().unwrap(),
        room: "1001".parse().unwrap(),
    };
    spec(&room, &"ann".parse().unwrap(), &serde_json::from_value(config).unwrap())
}

fn manual(user: Value) -> Value {
    json!({ "mode": "manual", "videoWidth": 640, "videoHeight": 360, "mixUsers": [user] })
}

#[test]
fn pure_audio_needs_nothing_and_goes_out_under_the_callers_stream() {
    let spec = check(json!({ "mode": "pureAudio" })).unwrap();
    assert!(spec.video.is_none());
    assert_eq!(spec.stream_id.as_str(), "7_1001_ann_main");
    assert_eq!(
        (spec.audio.sample_rate, spec.audio.bitrate_kbps, spec.audio.channels),
        (48_000, 64, 1)
    );
}

#[test]
fn manual_mixes_exactly_the_list() {
    let spec = check(json!({
        "mode": "manual", "streamId": "show", "videoWidth": 641, "videoHeight": 360, "videoGOP": 3,
        "mixUsers": [
            { "userId": "ann", "width": 641, "height": 360, "zOrder": 0 },
            { "userId": "bob", "x": 400, "y": 200, "width": 160, "height": 90, "zOrder": 1, "streamType": "sub", "renderMode": 2 },
            { "userId": "cat", "pureAudio": true },
        ]
    }))
    .unwrap();
    let video = spec.video.unwrap();
    assert_eq!((video.size(), video.framerate, video.gop_seconds), ((640, 360), 15, 3));
    assert_eq!(video.bitrate_kbps, 346);
    let cells = spec.layout.cells;
    let bob = cells[1].video.as_ref().unwrap();
    assert_eq!((bob.user.as_str(), bob.track), ("bob", TrackSource::Screen));
    assert_eq!((cells[1].z, cells[1].render_mode), (1, Some(RenderMode::ScaleOnBlack)));
    assert_eq!(cells[2].input, CellInput::AudioOnly);
}

#[test]
fn a_list_may_have_members_of_other_rooms() {
    let spec = check(json!({
        "mode": "manual", "videoWidth": 640, "videoHeight": 360,
        "mixUsers": [
            { "userId": "ann", "width": 320, "height": 360 },
            { "userId": "ann", "roomId": "1001", "x": 320, "width": 320, "height": 360 },
            { "userId": "bob", "roomId": 1001, "pureAudio": true },
        ]
    }))
    .unwrap();
    let rooms: Vec<String> = spec
        .layout
        .cells
        .iter()
        .map(|cell| cell.video.as_ref().unwrap().room.to_string())
        .collect();
    assert_eq!(rooms, ["7/1001", "7/text:1001", "7/1001"]);
    let other = RoomKey {
        room: RoomId::Name("1001".parse().unwrap()),
        ..spec.room.clone()
    };
    assert_eq!(spec.layout.other_rooms(&spec.room), [other]);
}

#[test]
fn a_placeholder_may_be_for_members_of_another_room() {
    let remote = |room: Value| json!({ "userId": "$PLACE_HOLDER_REMOTE$", "roomId": room, "width": 9, "height": 9 });
    let users = [remote(json!(5)), remote(json!(1001)), remote(Value::Null)];
    let spec =
        check(json!({ "mode": "presetLayout", "videoWidth": 640, "videoHeight": 360, "mixUsers": users })).unwrap();
    let rooms: Vec<Option<String>> = spec
        .layout
        .cells
        .iter()
        .map(|cell| Some(cell.room.as_ref()?.to_string()))
        .collect();
    assert_eq!(rooms, [Some("7/5".to_owned()), None, None]);
}

#[test]
fn placeholders_are_known_in_every_spelling_of_the_contract() {
    let cells = |name: &str| {
        let user = json!({ "userId": name, "width": 100, "height": 100 });
        let config = json!({ "mode": "presetLayout", "videoWidth": 640, "videoHeight": 360, "mixUsers": [user] });
        check(config).map(|spec| spec.layout.cells)
    };
    for main in ["$PLACE_HOLDER_LOCAL_MAIN$", "$PLACE HOLDER_LOCAL_MAIN$"] {
        let cell = &cells(main).unwrap()[0];
        assert_eq!(cell.video.as_ref().unwrap().user.as_str(), "ann");
        assert_eq!(cell.input, CellInput::AudioVideo);
    }
    let sub = &cells("$PLACE_HOLDER_LOCAL_SUB$").unwrap()[0];
    assert_eq!(sub.video.as_ref().unwrap().track, TrackSource::Screen);
    assert_eq!(sub.input, CellInput::VideoOnly);
    for remote in ["$PLACE_HOLDER_REMOTE$", "$PLACEHOLDER_REMOTES$"] {
        assert!(cells(remote).unwrap()[0].video.is_none());
    }
    assert!(cells("bob").unwrap_err().contains("$PLACE_HOLDER_REMOTE$, not \"bob\""));
}

#[test]
fn a_local_placeholder_is_there_once_and_a_remote_one_as_often_as_wanted() {
    let twice = |name: &str| {
        let user = json!({ "userId": name, "width": 100, "height": 100 });
        check(json!({ "mode": "presetLayout", "videoWidth": 640, "videoHeight": 360, "mixUsers": [user, user] }))
    };
    assert!(twice("$PLACE_HOLDER_REMOTE$").is_ok());
    assert!(twice("$PLACE_HOLDER_LOCAL_MAIN$").unwrap_err().contains("twice"));
}

#[test]
fn a_shared_screen_sets_the_canvas_unless_the_caller_does() {
    let spec = check(json!({ "mode": "screenSharing" })).unwrap();
    assert!(spec.layout.size_by_main);
    assert_eq!(spec.layout.template, Template::Presenter);
    assert_eq!(spec.layout.main.unwrap().user.as_str(), "ann");
    let spec = check(json!({ "mode": "screenSharing", "videoWidth": 1920, "videoHeight": 1080 })).unwrap();
    assert!(!spec.layout.size_by_main);
    assert_eq!(spec.video.unwrap().height, 1080);
}

#[test]
fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
    let refused = |config: Value| check(config).unwrap_err();
    let base = json!({ "mode": "pureAudio" });
    let with = |field: &str, value: Value| {
        let mut config = base.clone();
        config[field] = value;
        refused(config)
    };
    assert_eq!(
        with("audioBitrate", json!(16)),
        "audioBitrate must be 32 to 192, not 16"
    );
    assert!(with("audioSampleRate", json!(8000)).starts_with("audioSampleRate must be 12000"));
    assert!(with("audioChannels", json!(3)).starts_with("audioChannels must be 1 to 2"));
    assert!(with("backgroundImage", json!("x")).contains("not \"x\""));
    assert!(refused(json!({ "mode": "manual" })).starts_with("videoWidth must be 16 to 1920, not 0"));
    let mut empty = manual(json!({ "userId": "a" }));
    empty["mixUsers"] = json!([]);
    assert!(refused(empty).starts_with("mixUsers is empty"));
    let mut fast = manual(json!({ "userId": "a" }));
    fast["videoFramerate"] = json!(31);
    assert_eq!(refused(fast), "videoFramerate must be 1 to 30, not 31");
    assert_eq!(
        refused(manual(json!({ "userId": "a", "x": 600, "width": 100, "height": 10 }))),
        "mixUsers.0: 100x10 at 600,0 is not within the canvas of 640x360"
    );
    assert!(refused(manual(json!({ "userId": "a", "zOrder": 16 }))).starts_with("mixUsers.0.zOrder"));
    let local = json!({ "userId": "$PLACE_HOLDER_LOCAL_MAIN$", "roomId": 5, "width": 9, "height": 9 });
    let local = json!({ "mode": "presetLayout", "videoWidth": 640, "videoHeight": 360, "mixUsers": [local] });
    assert!(refused(local).contains("mixUsers.0.roomId"));
    assert!(refused(manual(json!({ "userId": "" }))).starts_with("mixUsers.0.userId"));
}

#[test]
fn without_a_stream_id_the_mix_goes_out_on_the_callers_own_one() {
    let room = RoomKey {
        app: 7.try_into().unwrap(),
        room: RoomId::Name("a room".parse().unwrap()),
    };
    let config: TranscodingConfig = serde_json::from_value(json!({ "mode": "pureAudio" })).unwrap();
    let spec = spec(&room, &"ann".parse().unwrap(), &config).unwrap();
    assert_eq!(spec.stream_id.as_str(), "7_a%20room_ann_main");
}
