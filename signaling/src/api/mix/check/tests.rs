//! Requests as clients write them, and the specifications that they become.

use rotunda_proto::mix::PictureId;

use super::*;
use crate::api::tencent::read;
use serde_json::{Value, json};

fn good() -> Value {
    json!({
        "OutputParams": { "StreamId": "s1" },
        "EncodeParams": {
            "AudioSampleRate": 48000, "AudioBitrate": 64, "AudioChannels": 2, "VideoWidth": 1280,
            "VideoHeight": 720, "VideoBitrate": 1500, "VideoFramerate": 15, "VideoGop": 3
        },
        "LayoutParams": { "Template": 1 }
    })
}

/// As a JSON body.
fn check(mut body: Value) -> Checked<MixSpec> {
    body["SdkAppId"] = json!(1);
    body["RoomId"] = json!(1001);
    read::start(&body, read::RoomKind::Number).and_then(start)
}

#[test]
fn a_complete_request_becomes_a_spec() {
    let spec = check(good()).unwrap();
    assert_eq!(spec.layout.template, Template::Grid);
    assert_eq!(spec.video.unwrap().width, 1280);
    assert!(spec.record.is_none());
}

#[test]
fn each_mistake_has_its_documented_code() {
    let set = |path: &str, value: Value| {
        let mut body = good();
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    let cell = |cell: Value| set("/LayoutParams", json!({ "Template": 4, "PresetLayoutConfig": [cell] }));
    for (body, code) in [
        (set("/OutputParams", Value::Null), "MissingParameter.OutputParams"),
        (set("/OutputParams", json!({})), "MissingParameter.OutputParams"),
        (
            set("/OutputParams", json!({ "StreamId": "" })),
            "MissingParameter.StreamId",
        ),
        (
            set("/OutputParams", json!({ "StreamId": "a b" })),
            "InvalidParameter.StreamId",
        ),
        (
            set("/OutputParams", json!({ "StreamId": "s", "RecordId": "a/b" })),
            "InvalidParameter.RecordId",
        ),
        (
            set("/OutputParams", json!({ "StreamId": "s", "PureAudioStream": 2 })),
            "InvalidParameter.PureAudioStream",
        ),
        (
            set("/OutputParams", json!({ "StreamId": "s", "RecordAudioOnly": 2 })),
            "InvalidParameter.RecordAudioOnly",
        ),
        (set("/EncodeParams", Value::Null), "MissingParameter.EncodeParams"),
        (
            set("/EncodeParams/AudioBitrate", Value::Null),
            "MissingParameter.AudioEncodeParams",
        ),
        (
            set("/EncodeParams/AudioSampleRate", json!(11025)),
            "InvalidParameter.AudioEncodeParams",
        ),
        (
            set("/EncodeParams/VideoGop", Value::Null),
            "MissingParameter.VideoEncodeParams",
        ),
        (set("/EncodeParams/VideoGop", json!(6)), "InvalidParameter.EncodeParams"),
        (
            set("/EncodeParams/VideoWidth", json!(1922)),
            "InvalidParameter.VideoResolution",
        ),
        (
            set("/LayoutParams", json!({ "Template": 4 })),
            "MissingParameter.PresetLayoutConfig",
        ),
        (
            cell(json!({ "ImageWidth": 1281 })),
            "InvalidParameter.PresetLayoutConfig",
        ),
        (
            cell(json!({ "MixInputType": 3 })),
            "InvalidParameter.PresetLayoutConfig",
        ),
        (
            set(
                "/LayoutParams",
                json!({ "Template": 3, "SmallVideoLayoutParams": { "ImageWidth": 9 } }),
            ),
            "InvalidParameter.SmallVideoLayoutParams",
        ),
        (
            set("/LayoutParams", json!({ "Template": 2, "MainVideoStreamType": 7 })),
            "InvalidParameter.MainVideoStreamType",
        ),
        (
            set("/LayoutParams", json!({ "Template": 2, "MainVideoRightAlign": 7 })),
            "InvalidParameter.MainVideoRightAlign",
        ),
    ] {
        assert_eq!(
            check(body.clone()).map_err(|error| error.code).unwrap_err(),
            code,
            "{body}"
        );
    }
    let mut push = good();
    for (publish, code) in [
        (json!({ "PublishCdnUrls": ["rtmp://a/b"] }), "MissingParameter.BizId"),
        (json!({ "BizId": 1 }), "MissingParameter.PublishCdnUrls"),
        (
            json!({ "BizId": 1, "PublishCdnUrls": ["http://a"] }),
            "InvalidParameter.PublishCdnUrls",
        ),
        (
            json!({ "BizId": 1, "PublishCdnUrls": ["rtmp://user:secret@a/live/key"] }),
            "InvalidParameter.PublishCdnUrls",
        ),
        (
            json!({ "BizId": 1, "PublishCdnUrls": ["rtmp://a/live/1", "rtmp://a/live/2"] }),
            "InvalidParameter.PublishCdnUrls",
        ),
    ] {
        push["PublishCdnParams"] = publish;
        assert_eq!(check(push.clone()).unwrap_err().code, code);
    }
}

#[test]
fn pictures_are_named_by_id_or_by_url() {
    let mut body = good();
    body["EncodeParams"]["BackgroundImageId"] = json!(5);
    body["LayoutParams"] = json!({
        "Template": 4, "PlaceHolderMode": 1, "PresetLayoutConfig": [{ "ImageWidth": 90, "PlaceImageId": 6 }],
        "WaterMarkParams": {
            "WaterMarkId": 7, "WaterMarkWidth": 100, "WaterMarkHeight": 50, "LocationX": 1180, "LocationY": 670
        }
    });
    let layout = check(body.clone()).unwrap().layout;
    assert_eq!(layout.pictures().map(PictureId::get).collect::<Vec<_>>(), [5, 7, 6]);
    assert!(layout.placeholders);
    let watermark = layout.watermark.unwrap();
    assert_eq!(
        (watermark.x, watermark.y, watermark.width, watermark.height),
        (1180, 670, 100, 50)
    );
    body["EncodeParams"]["BackgroundImageUrl"] = json!("https://example.com/a.png");
    body["LayoutParams"]["WaterMarkParams"]["WaterMarkUrl"] = json!("http://example.com/b.png");
    body["SdkAppId"] = json!(1);
    body["RoomId"] = json!(1001);
    let request = read::start(&body, read::RoomKind::Number).unwrap();
    let urls = picture_urls(&request.body).unwrap();
    assert_eq!(urls.background.unwrap().as_str(), "https://example.com/a.png");
    assert_eq!(urls.watermark.unwrap().as_str(), "http://example.com/b.png");
}

#[test]
fn on_a_canvas_of_odd_sides_cells_may_reach_its_asked_edges() {
    let mut body = good();
    body["EncodeParams"]["VideoWidth"] = json!(641);
    body["EncodeParams"]["VideoHeight"] = json!(361);
    let with = |width: u16| {
        let cell = json!({ "LocationX": 321, "ImageWidth": width, "ImageHeight": 361 });
        let mut body = body.clone();
        body["LayoutParams"] = json!({ "Template": 4, "PresetLayoutConfig": [cell] });
        check(body)
    };
    let spec = with(320).unwrap();
    assert_eq!(spec.video.unwrap().size(), (640, 360), "I420 has even sides");
    let cell = &spec.layout.cells[0];
    assert_eq!((cell.x, cell.width, cell.height), (321, 320, 361));
    let refused = with(321).unwrap_err();
    assert!(refused.message.contains("641x361"), "{}", refused.message);
}

#[test]
fn a_style_is_read_and_checked() {
    let with = |style: Value| {
        let mut body = good();
        body["LayoutParams"]["Style"] = style;
        check(body)
    };
    let all = json!({ "ShowNames": 1, "Margin": 8, "CornerRadius": 12, "SpeakingColor": 65280 });
    let style = with(all).unwrap().layout.style;
    assert_eq!((style.names, style.margin, style.corner_radius), (true, 8, 12));
    assert_eq!(style.speaking_rgb, Some(0xff00));
    assert_eq!((style.loudest_dwell, style.animated, style.sei), (None, false, false));
    let more = json!({ "LoudestAsMain": 1, "Animated": 1, "LayoutSei": 1 });
    let style = with(more).unwrap().layout.style;
    assert_eq!((style.loudest_dwell, style.animated, style.sei), (Some(3), true, true));
    let refused = with(json!({ "LoudestAsMain": 1, "LoudestDwell": 61 })).unwrap_err();
    assert_eq!(
        refused.message,
        "LayoutParams.Style.LoudestDwell must be 1 to 60, not 61"
    );
    let refused = with(json!({ "Margin": 201 })).unwrap_err();
    assert_eq!(refused.message, "LayoutParams.Style.Margin must be 0 to 200, not 201");
    assert_eq!(with(json!({ "Colour": 1 })).unwrap_err().code, "UnknownParameter");
}

#[test]
fn mistakes_in_pictures_and_the_audio_codec_are_named() {
    let refused = |path: &str, value: Value| {
        let mut body = good();
        body["SdkAppId"] = json!(1);
        body["RoomId"] = json!(1001);
        let (object, field) = path.split_once('/').unwrap();
        body[object][field] = value;
        let request = read::start(&body, read::RoomKind::Number);
        let request = request.and_then(|request| picture_urls(&request.body).and_then(|_| start(request)));
        let error = request.unwrap_err();
        (error.code, error.message)
    };
    let long = format!("http://a/{}", "x".repeat(512));
    for url in [json!("ftp://a/b.png"), json!("no address"), json!(long)] {
        let (code, _) = refused("EncodeParams/BackgroundImageUrl", url);
        assert_eq!(code, "InvalidParameter.BackgroundImageUrl");
    }
    let (code, message) = refused(
        "LayoutParams/WaterMarkParams",
        json!({ "WaterMarkId": 1, "WaterMarkWidth": 2000, "WaterMarkHeight": 10 }),
    );
    assert_eq!(code, "InvalidParameter");
    assert!(message.contains("WaterMarkParams: 2000x10 at 0,0"), "{message}");
    let (_, message) = refused("LayoutParams/WaterMarkParams", json!({ "WaterMarkWidth": 10 }));
    assert!(message.contains("WaterMarkId or WaterMarkUrl"), "{message}");
    let (code, _) = refused("EncodeParams/AudioCodec", json!(3));
    assert_eq!(code, "InvalidParameter.AudioEncodeParams");
    let mut mono = good();
    mono["EncodeParams"]["AudioCodec"] = json!(2);
    assert!(check(mono.clone()).is_ok());
    mono["EncodeParams"]["AudioChannels"] = json!(1);
    assert_eq!(
        check(mono.clone()).unwrap_err().code,
        "InvalidParameter.AudioEncodeParams"
    );
    mono["EncodeParams"]["AudioCodec"] = json!(1);
    mono["EncodeParams"]["AudioSampleRate"] = json!(8000);
    assert_eq!(check(mono).unwrap_err().code, "InvalidParameter.AudioEncodeParams");
}

#[test]
fn rooms_are_checked_by_their_kind() {
    let key = |room| room_key(Some(1), room).map_err(|error| error.code);
    assert_eq!(key(RoomField::Number(None)), Err("MissingParameter.RoomId"));
    assert_eq!(key(RoomField::Number(Some(0))), Err("InvalidParameterValue.RoomId"));
    assert_eq!(
        key(RoomField::Name(Some("\n".into()))),
        Err("InvalidParameter.StrRoomId")
    );
    assert_eq!(
        room_key(None, RoomField::Number(Some(1))).unwrap_err().code,
        "MissingParameter.SdkAppId"
    );
    assert_ne!(
        key(RoomField::Number(Some(123))),
        key(RoomField::Name(Some("123".into())))
    );
}

#[test]
fn a_recording_without_a_stream_is_named_after_itself() {
    let mut body = good();
    body["OutputParams"] = json!({ "RecordId": "film" });
    assert_eq!(check(body).unwrap().stream_id.as_str(), "film");
}

#[test]
fn fields_that_a_template_does_not_use_are_not_checked() {
    let mut body = good();
    body["LayoutParams"] = json!({
        "Template": 1, "MainVideoUserId": "", "SmallVideoLayoutParams": { "UserId": "", "StreamType": 0 },
        "MixVideoUids": null, "PresetLayoutConfig": [],
    });
    body["PublishCdnParams"] = json!({ "BizId": 0, "PublishCdnUrls": [] });
    let spec = check(body).unwrap();
    assert_eq!((spec.layout.small, spec.push_urls.len()), (None, 0));
}

#[test]
fn push_addresses_of_every_kind_are_accepted() {
    for url in [
        "rtmp://[2001:db8::1]:1936/live/key",
        "rtmp://a/live/?streamname=x&key=y",
        "rtmps://a/live/key?txSecret=1",
    ] {
        let mut body = good();
        body["PublishCdnParams"] = json!({ "BizId": 1, "PublishCdnUrls": [url] });
        assert_eq!(check(body).unwrap().push_urls, [url]);
    }
}

#[test]
fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
    let message = |path: &str, value: Value| {
        let mut body = good();
        *body.pointer_mut(path).unwrap() = value;
        check(body).unwrap_err().message
    };
    assert_eq!(
        message("/EncodeParams/VideoGop", json!(6)),
        "EncodeParams.VideoGop must be 1 to 5, not 6"
    );
    assert_eq!(
        message("/OutputParams/StreamId", json!("a b")),
        "OutputParams.StreamId must be a text of 1 to 64 letters, digits, _ and -, not \"a b\""
    );
    let cell = json!({ "Template": 4, "PresetLayoutConfig": [{}, { "ImageWidth": 1281, "ImageHeight": 9 }] });
    assert_eq!(
        message("/LayoutParams", cell),
        "LayoutParams.PresetLayoutConfig.1: 1281x9 at 0,0 is not within the canvas of 1280x720"
    );
    let number = room_key(Some(1), RoomField::Number(Some(4_294_967_295))).unwrap_err();
    assert_eq!(
        number.message,
        "RoomId must be a number from 1 to 4294967294, not 4294967295"
    );
    let name = room_key(Some(1), RoomField::Name(Some("x".repeat(100)))).unwrap_err();
    assert!(
        name.message.starts_with("StrRoomId must be a text of 1 to 64 letters")
            && name.message.ends_with(&format!("not \"{}\"…", "x".repeat(40))),
        "{}",
        name.message
    );
}

#[test]
fn members_of_other_rooms_are_named_beside_their_user_or_cell() {
    let mut body = good();
    body["LayoutParams"] = json!({
        "Template": 4,
        "PresetLayoutConfig": [
            { "UserId": "ann", "RoomId": 7, "ImageWidth": 100, "ImageHeight": 100 },
            { "UserId": "ann", "RoomId": 0, "StrRoomId": "7", "ImageWidth": 100, "ImageHeight": 100 },
            { "StrRoomId": "class", "ImageWidth": 100, "ImageHeight": 100 },
            { "UserId": "bob", "ImageWidth": 100, "ImageHeight": 100 },
        ],
    });
    let spec = check(body).unwrap();
    let cells = spec.layout.cells.iter();
    let cells = cells.map(|cell| {
        (
            cell.video.as_ref().map(|video| video.member().to_string()),
            cell.room.as_ref().map(RoomKey::to_string),
        )
    });
    let (user, room) = (
        |text: &str| (Some(text.to_owned()), None),
        |text: &str| (None, Some(text.to_owned())),
    );
    let expected = [
        user("1/7/ann"),
        user("1/text:7/ann"),
        room("1/class"),
        user("1/1001/bob"),
    ];
    assert_eq!(cells.collect::<Vec<_>>(), expected);
    let others: Vec<String> = spec
        .layout
        .other_rooms(&spec.room)
        .iter()
        .map(RoomKey::to_string)
        .collect();
    assert_eq!(others, ["1/7", "1/text:7", "1/class"]);
}

#[test]
fn guests_the_main_video_and_the_small_one_may_be_of_other_rooms() {
    let mut body = good();
    body["LayoutParams"] = json!({
        "Template": 3,
        "MainVideoUserId": "ann",
        "MainVideoStrRoomId": "hall",
        "SmallVideoLayoutParams": { "UserId": "ann", "StreamType": 0, "RoomId": 9, "ImageWidth": 100, "ImageHeight": 100 },
        "OtherRoomUsers": [{ "UserId": "cat", "RoomId": 9 }, { "UserId": "cat", "StrRoomId": "9" }],
    });
    let layout = check(body).unwrap().layout;
    assert_eq!(layout.main.unwrap().member().to_string(), "1/hall/ann");
    assert_eq!(layout.small.unwrap().video.unwrap().member().to_string(), "1/9/ann");
    let guests: Vec<String> = layout.guests.iter().map(RoomUser::to_string).collect();
    assert_eq!(guests, ["1/9/cat", "1/text:9/cat"]);
}

#[test]
fn mistakes_in_other_rooms_are_named() {
    let refused = |users: Value| {
        let mut body = good();
        body["LayoutParams"] = json!({ "Template": 1, "OtherRoomUsers": users });
        check(body).unwrap_err().message
    };
    let both = refused(json!([{ "UserId": "a", "RoomId": 7, "StrRoomId": "x" }]));
    assert!(
        both.contains("either LayoutParams.OtherRoomUsers.0.RoomId or"),
        "{both}"
    );
    let own = refused(json!([{ "UserId": "a", "RoomId": 1001 }]));
    assert!(own.contains("of another room than the mix's"), "{own}");
    let none = refused(json!([{ "UserId": "a" }]));
    assert!(none.contains("of another room than the mix's"), "{none}");
    let twice = refused(json!([{ "UserId": "a", "RoomId": 7 }, { "UserId": "a", "RoomId": 7 }]));
    assert!(twice.contains("OtherRoomUsers.1 is in the list twice"), "{twice}");
    let wrong = refused(json!([{ "UserId": "a", "RoomId": 4_294_967_295_u64 }]));
    assert!(wrong.contains("OtherRoomUsers.0.RoomId must be"), "{wrong}");
    let many: Vec<Value> = (0..17)
        .map(|n| json!({ "UserId": format!("u{n}"), "RoomId": 7 }))
        .collect();
    assert!(refused(json!(many)).contains("at most 16"));
}
