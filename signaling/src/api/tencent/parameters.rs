//! Parameters of GET and form: dotted names (`LayoutParams.MixVideoUids.0`) to JSON, all values as texts. Pure.

use percent_encoding::percent_decode_str;
use rotunda_proto::ids::shortened;
use serde_json::{Map, Value};

use crate::api::ApiError;

/// Deepest nesting and most parameters.
const MAX_DEPTH: usize = 6;
const MAX_PARAMETERS: usize = 2000;

/// Decoded names and values, in the order sent.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        // One more than the limit shows that there are too many.
        .take(MAX_PARAMETERS + 1)
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

/// The key of a form of which the first part is known.
pub fn secret_id(part: &[u8]) -> Option<String> {
    let name = b"SecretId=";
    let mut pairs = part.split(|byte| *byte == b'&').peekable();
    while let Some(pair) = pairs.next() {
        let is_whole = pairs.peek().is_some();
        if let Some(value) = pair.strip_prefix(name).filter(|_| is_whole) {
            return std::str::from_utf8(value).ok().map(decode);
        }
    }
    None
}

/// Dotted names as nested objects and lists.
///
/// Errors: `RequestSizeLimitExceeded` for too many; `UnknownParameter` for a name that is nested too deep.
pub fn nest(pairs: &[(String, String)]) -> Result<Value, ApiError> {
    if pairs.len() > MAX_PARAMETERS {
        let message = format!("a request may have at most {MAX_PARAMETERS} parameters");
        return Err(ApiError::new("RequestSizeLimitExceeded", message));
    }
    let mut root = Value::Object(Map::new());
    for (name, text) in pairs {
        let path: Vec<&str> = name.split('.').collect();
        if path.len() > MAX_DEPTH {
            let message = format!("{} is not a parameter of this action", shortened(name));
            return Err(ApiError::new("UnknownParameter", message));
        }
        put(&mut root, &path, Value::String(text.clone()));
    }
    // The request itself is no list, whatever its names look like.
    let Value::Object(fields) = root else { return Ok(root) };
    let fields = fields.into_iter().map(|(name, value)| (name, lists(value)));
    Ok(Value::Object(fields.collect()))
}

fn put(place: &mut Value, path: &[&str], value: Value) {
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    let (Value::Object(object), Some((first, rest))) = (place, path.split_first()) else {
        return;
    };
    if rest.is_empty() {
        object.insert((*first).to_owned(), value);
    } else {
        put(object.entry(*first).or_insert(Value::Null), rest, value);
    }
}

/// Objects whose names are all indices become lists, in the order of the indices.
fn lists(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    let indices: Option<Vec<usize>> = object.keys().map(|name| name.parse().ok()).collect();
    match indices {
        Some(indices) if !indices.is_empty() => {
            let mut items: Vec<(usize, Value)> = indices.into_iter().zip(object.into_iter().map(|(_, v)| v)).collect();
            items.sort_by_key(|(index, _)| *index);
            Value::Array(items.into_iter().map(|(_, item)| lists(item)).collect())
        }
        _ => Value::Object(object.into_iter().map(|(name, item)| (name, lists(item))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dotted_names_become_objects_and_lists() {
        let text = "SdkAppId=1&OutputParams.StreamId=123&LayoutParams.MixVideoUids.1=b&LayoutParams.MixVideoUids.0=1\
                    &LayoutParams.PresetLayoutConfig.0.UserId=x%20y&LayoutParams.PresetLayoutConfig.0.ImageWidth=320";
        assert_eq!(
            nest(&pairs(text)).unwrap(),
            json!({
                "SdkAppId": "1",
                "OutputParams": { "StreamId": "123" },
                "LayoutParams": {
                    "MixVideoUids": ["1", "b"],
                    "PresetLayoutConfig": [{ "UserId": "x y", "ImageWidth": "320" }],
                },
            })
        );
    }

    #[test]
    fn too_deep_and_too_many_parameters_are_errors_and_not_dropped() {
        let code = |text: &str| nest(&pairs(text)).map_err(|error| error.code);
        assert_eq!(code("a.b.c.d.e.f.g=1"), Err("UnknownParameter"));
        assert_eq!(code(&"a=1&".repeat(2001)), Err("RequestSizeLimitExceeded"));
        assert_eq!(code("0=1"), Ok(json!({ "0": "1" })));
    }

    #[test]
    fn the_key_of_a_form_is_found_in_its_first_part_when_it_is_there_whole() {
        assert_eq!(secret_id(b"A=1&SecretId=AK%49D&B=2").as_deref(), Some("AKID"));
        assert_eq!(secret_id(b"A=1&SecretId=AKI"), None);
        assert_eq!(secret_id(b"A=1&XSecretId=AKID&B=2"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_without_a_panic(text in "[A-Za-z0-9.=&%+]{0,200}") {
            let _refused = nest(&pairs(&text));
        }
    }
}
