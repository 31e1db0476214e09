//! Requests as official SDKs make them, by POST and GET alike: correct ones are accepted, and an error names the field.

use serde_json::json;

use super::*;
use crate::api::tencent::parameters;

/// The parameters of a JSON body as GET sends them.
fn flattened(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    let below = |part: &str| {
        if name.is_empty() {
            part.to_owned()
        } else {
            format!("{name}.{part}")
        }
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => fields
            .iter()
            .for_each(|(part, value)| flattened(&below(part), value, pairs)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flattened(&below(&index.to_string()), item, pairs);
            }
        }
        Value::String(text) => pairs.push((name.to_owned(), text.clone())),
        other => pairs.push((name.to_owned(), other.to_string())),
    }
}

fn by_get(body: &Value) -> Value {
    let mut pairs = Vec::new();
    flattened("", body, &mut pairs);
    parameters::nest(&pairs).unwrap()
}

/// By POST and GET, which must be alike.
fn read(body: Value) -> Checked<StartRequest> {
    let posted = start(&body, RoomKind::Number);
    let got = start(&by_get(&body), RoomKind::Number);
    match (&posted, &got) {
        (Ok(posted), Ok(got)) => assert_eq!(format!("{posted:?}"), format!("{got:?}")),
        (Err(posted), Err(got)) => {
            assert_eq!(posted.code, got.code);
            let field = |message: &str| message.split(' ').next().unwrap().to_owned();
            assert_eq!(field(&posted.message), field(&got.message));
        }
        _ => panic!("POST: {posted:?}\nGET: {got:?}"),
    }
    posted
}

fn with(part: Value) -> Value {
    let mut body = json!({ "SdkAppId": 1, "RoomId": 1001 });
    let (Value::Object(body_fields), Value::Object(part)) = (&mut body, part) else {
        panic!("an object");
    };
    body_fields.extend(part);
    body
}

fn refused(part: Value) -> (&'static str, String) {
    let error = read(with(part)).unwrap_err();
    (error.code, error.message)
}

#[test]
fn null_and_empty_lists_and_objects_are_absent() {
    for empty in [json!(null), json!([]), json!({})] {
        let body = with(json!({
            "OutputParams": { "StreamId": "s", "RecordId": null },
            "EncodeParams": empty,
            "LayoutParams": {
                "Template": 1, "SmallVideoLayoutParams": empty, "PresetLayoutConfig": empty, "MixVideoUids": empty, "WaterMarkParams": empty
            },
            "PublishCdnParams": empty,
        }));
        let start = read(body).unwrap().body;
        assert!(start.encode_params.is_none() && start.publish_cdn_params.is_none());
        assert_eq!(start.output_params.unwrap().record_id, None);
        let layout = start.layout_params.unwrap_or_default();
        assert!(layout.small_video_layout_params.is_none() && layout.mix_video_uids.is_empty());
    }
}

#[test]
fn a_whole_number_may_have_a_fraction_part_or_be_a_text() {
    for fifteen in [json!(15), json!(15.0), json!("15"), json!("15.0")] {
        let body = with(json!({ "EncodeParams": { "VideoFramerate": fifteen } }));
        let encode = read(body).unwrap().body.encode_params.unwrap();
        assert_eq!(encode.video_framerate, Some(15));
    }
}

#[test]
fn a_value_that_is_not_a_number_is_refused_with_its_field_and_value() {
    for (value, shown) in [
        (json!(-1), "-1"),
        (json!(15.5), "15.5"),
        (json!("fifteen"), "\"fifteen\""),
        (json!("1.2.3"), "\"1.2.3\""),
        (json!(""), "\"\""),
    ] {
        let (code, message) = refused(json!({ "EncodeParams": { "VideoFramerate": value } }));
        assert_eq!(code, "InvalidParameter.EncodeParams");
        let prefix = "EncodeParams.VideoFramerate must be a whole number, 0 or more, not ";
        assert!(message.starts_with(prefix), "{message}");
        assert!(message.contains(shown.trim_matches('"')), "{message}");
    }
    let (code, message) =
        refused(json!({ "LayoutParams": { "PresetLayoutConfig": [{ "UserId": "a" }, { "ZOrder": true }] } }));
    assert_eq!(code, "InvalidParameter.PresetLayoutConfig");
    assert!(
        message.starts_with("LayoutParams.PresetLayoutConfig.1.ZOrder must be"),
        "{message}"
    );
}

#[test]
fn a_list_an_object_and_a_text_are_distinguished() {
    let field = |part: Value| refused(part).1.split(' ').next().unwrap().to_owned();
    assert_eq!(field(json!({ "OutputParams": 5 })), "OutputParams");
    assert_eq!(
        field(json!({ "LayoutParams": { "MixVideoUids": "ann" } })),
        "LayoutParams.MixVideoUids"
    );
    assert_eq!(
        field(json!({ "LayoutParams": { "PresetLayoutConfig": [7] } })),
        "LayoutParams.PresetLayoutConfig.0"
    );
    assert_eq!(
        field(json!({ "OutputParams": { "StreamId": { "a": 1 } } })),
        "OutputParams.StreamId"
    );
}

#[test]
fn unknown_fields_get_the_documented_error_with_their_name() {
    for (part, name) in [
        (json!({ "Layout": 1 }), "Layout"),
        (json!({ "OutputParams": { "StreamID": "s" } }), "OutputParams.StreamID"),
        (
            json!({ "LayoutParams": { "PresetLayoutConfig": [{ "Width": 5 }] } }),
            "LayoutParams.PresetLayoutConfig.0.Width",
        ),
        (json!({ "StrRoomId": "a" }), "StrRoomId"),
    ] {
        let (code, message) = refused(part);
        assert_eq!(code, "UnknownParameter");
        assert!(message.starts_with(&format!("{name} is not a parameter")), "{message}");
    }
    let (_, hint) = refused(json!({ "OutputParams": { "streamid": "s" } }));
    assert!(hint.ends_with("; write OutputParams.StreamId"), "{hint}");
    assert!(
        read(with(json!({ "Region": "ap-guangzhou", "Nonce": 5 }))).is_ok(),
        "common parameters are known"
    );
}

#[test]
fn an_invalid_room_id_is_refused_with_its_value_and_the_allowed_ones() {
    for (room, code) in [
        (json!(-5), "InvalidParameterValue.RoomId"),
        (json!("-5"), "InvalidParameterValue.RoomId"),
        (json!("class-1"), "InvalidParameter.RoomId"),
        (json!(1.5), "InvalidParameter.RoomId"),
    ] {
        let error = read(json!({ "SdkAppId": 1, "RoomId": room })).unwrap_err();
        assert_eq!(error.code, code, "{room}");
        assert!(
            error
                .message
                .contains("RoomId must be a number from 1 to 4294967294, not"),
            "{}",
            error.message
        );
        assert!(
            error.message.contains(room.to_string().trim_matches('"')),
            "{}",
            error.message
        );
    }
    let name = stop(&json!({ "SdkAppId": 1, "StrRoomId": 123 }), RoomKind::Name).unwrap();
    assert_eq!(name.room, RoomField::Name(Some("123".into())));
    let wrong = stop(&json!({ "SdkAppId": 1, "StrRoomId": [1] }), RoomKind::Name).unwrap_err();
    assert_eq!(wrong.code, "InvalidParameter.StrRoomId");
}
