//! Explains why a message is not a request, by the name of the field. Pure.

use rotunda_proto::call::CallMedia;
use rotunda_proto::ids::{CallId, DeviceId, RecordId, RoomId, SdkAppId, StreamId, TrackSource, UserId};
use rotunda_proto::push_state::PushSource;
use rotunda_proto::signaling::{Lines, Role};
use rotunda_proto::transcoding::TranscodingConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest explanation, in characters. It repeats text of the client.
const LONGEST: usize = 400;

/// The id of a message that could not be read, if it has one, and an explanation. `error`: of the reader.
///
/// Serde reads `op` first and buffers the other fields, so its error does not name the wrong field.
pub fn explain(text: &str, error: &serde_json::Error) -> (Option<u64>, String) {
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return (None, shortened(format!("write JSON: {error}")));
    };
    let Some(fields) = message.as_object() else {
        return (None, "write a JSON object".to_owned());
    };
    let id = fields.get("id").and_then(Value::as_u64);
    let op = fields.get("op").and_then(Value::as_str).unwrap_or_default();
    let wrong = fields.iter().find_map(|(name, value)| {
        let mistake = mistake_of(op, name)?(value)?;
        Some(format!("{name}: {mistake}"))
    });
    let explanation = wrong.unwrap_or_else(|| match error.to_string() {
        unknown if unknown.starts_with("unknown variant") => format!("op: {unknown}"),
        other => other,
    });
    (id, shortened(explanation))
}

type Mistake = fn(&Value) -> Option<String>;

/// How each field is read. None: no request has such a field.
fn mistake_of(op: &str, field: &str) -> Option<Mistake> {
    Some(match field {
        "id" => unless::<u64>,
        "op" | "offer" | "userSig" | "data" | "url" => unless::<String>,
        "resumeToken" | "privateMapKey" | "pass" | "after" => unless::<Option<String>>,
        "roomId" => unless::<RoomId>,
        "sdkAppId" => unless::<SdkAppId>,
        "userId" => unless::<UserId>,
        "streamId" => unless::<Option<StreamId>>,
        "userDefineRecordId" => unless::<Option<RecordId>>,
        "source" if op.ends_with("PublishCdnStream") => unless::<PushSource>,
        "source" => unless::<TrackSource>,
        "role" => unless::<Role>,
        "maxHeight" => unless::<Option<u16>>,
        "muted" | "admit" | "required" => unless::<bool>,
        "cmdId" => unless::<u8>,
        "lines" => unless::<Lines>,
        "config" => unless::<Option<TranscodingConfig>>,
        "callId" => unless::<CallId>,
        "deviceId" => unless::<DeviceId>,
        "userIds" => unless::<Vec<UserId>>,
        "media" => unless::<CallMedia>,
        "timeoutSeconds" | "pageSize" => unless::<Option<u32>>,
        "groupId" | "userData" | "nickname" | "avatarUrl" | "bellUrl" => unless::<Option<String>>,
        _ => return None,
    })
}

fn unless<T: DeserializeOwned>(value: &Value) -> Option<String> {
    T::deserialize(value).err().map(|error| error.to_string())
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::signaling::RequestEnvelope;
    use std::collections::BTreeSet;

    fn explained(text: &str) -> String {
        let error = serde_json::from_str::<RequestEnvelope>(text).unwrap_err();
        explain(text, &error).1
    }

    #[test]
    fn an_invalid_room_id_is_named_with_its_value_and_the_allowed_ones() {
        let rule = "a number from 1 to 4294967294, or a text of 1 to 64 letters";
        for (room, shown) in [
            ("0", "not 0"),
            ("-5", "not -5"),
            ("4294967295", "not 4294967295"),
            ("\"a/b\"", "not \"a/b\""),
            ("null", "null"),
        ] {
            let explanation = explained(&format!(r#"{{"id":1,"op":"enterRoom","roomId":{room}}}"#));
            assert!(explanation.starts_with("roomId: "), "{explanation}");
            assert!(
                explanation.contains(rule) && explanation.contains(shown),
                "{explanation}"
            );
        }
        let long = explained(&format!(
            r#"{{"id":1,"op":"enterRoom","roomId":"{}"}}"#,
            "x".repeat(100_000)
        ));
        assert!(long.len() < 300, "{long}");
    }

    #[test]
    fn every_other_mistake_is_named_too() {
        for (text, begins) in [
            (r#"{"id":1,"op":"publish","source":"video"}"#, "source: unknown variant"),
            (
                r#"{"id":1,"op":"startPublishCdnStream","source":"audio","url":"rtmp://a/b/c"}"#,
                "source: unknown variant `audio`, expected one of `camera`, `screen`, `mix`",
            ),
            (
                r#"{"id":1,"op":"login","sdkAppId":"7","userId":"a","userSig":"x"}"#,
                "sdkAppId: write a number",
            ),
            (
                r#"{"id":1,"op":"login","sdkAppId":7,"userId":"a b","userSig":"x"}"#,
                "userId: write a text",
            ),
            (
                r#"{"id":1,"op":"setMixTranscodingConfig","config":{"mode":"x"}}"#,
                "config: unknown variant `x`",
            ),
            (r#"{"id":-1,"op":"exitRoom"}"#, "id: "),
            (r#"{"id":1,"op":"dance"}"#, "op: unknown variant `dance`"),
            (r#"{"id":1,"op":"enterRoom"}"#, "missing field `roomId`"),
            (r#"{"id":1}"#, "missing field `op`"),
            ("[1]", "write a JSON object"),
            ("{", "write JSON: "),
        ] {
            let explanation = explained(text);
            assert!(explanation.starts_with(begins), "{text}: {explanation}");
        }
    }

    /// The names of all properties of a schema.
    fn properties(schema: &Value, names: &mut BTreeSet<String>) {
        if let Some(Value::Object(fields)) = schema.get("properties") {
            names.extend(fields.keys().cloned());
        }
        for variant in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            properties(variant, names);
        }
    }

    #[test]
    fn every_field_of_a_request_is_known_here() {
        let schema = serde_json::to_value(schemars::schema_for!(RequestEnvelope)).unwrap();
        let mut names = BTreeSet::new();
        properties(&schema, &mut names);
        assert!(names.contains("roomId") && names.contains("maxHeight"), "{names:?}");
        for name in names {
            assert!(mistake_of("", &name).is_some(), "{name}");
        }
    }
}
