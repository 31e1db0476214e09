//! Parameters of GET and form: dotted names (`LayoutParams.MixVideoUids.0`) to JSON. Pure.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Deepest nesting and most parameters that are looked at.
const MAX_DEPTH: usize = 6;
const MAX_PARAMETERS: usize = 2000;

/// Fields that are texts whatever they look like; all other values that are whole numbers are numbers.
const TEXTS: [&str; 8] = [
    "StreamId",
    "RecordId",
    "MainVideoUserId",
    "UserId",
    "StrRoomId",
    "MixVideoUids",
    "PublishCdnUrls",
    "Action",
];

/// Decoded names and values, in the order sent.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .take(MAX_PARAMETERS)
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Dotted names as nested objects and lists; names nested too deep are left out.
pub fn nest(pairs: &[(String, String)]) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, text) in pairs {
        let path: Vec<&str> = name.split('.').collect();
        if path.len() <= MAX_DEPTH {
            put(&mut root, &path, value(&path, text));
        }
    }
    lists(root)
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

fn value(path: &[&str], text: &str) -> Value {
    // The field is the last name that is no index.
    let field = path.iter().rev().find(|name| name.parse::<usize>().is_err());
    if field.is_some_and(|field| TEXTS.contains(field)) {
        return Value::String(text.to_owned());
    }
    match text.parse::<u64>() {
        Ok(number) => number.into(),
        Err(_) => match text.to_ascii_lowercase().as_str() {
            "true" => true.into(),
            "false" => false.into(),
            _ => Value::String(text.to_owned()),
        },
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
            nest(&pairs(text)),
            json!({
                "SdkAppId": 1,
                "OutputParams": { "StreamId": "123" },
                "LayoutParams": {
                    "MixVideoUids": ["1", "b"],
                    "PresetLayoutConfig": [{ "UserId": "x y", "ImageWidth": 320 }],
                },
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_without_a_panic(text in "[A-Za-z0-9.=&%+]{0,200}") {
            nest(&pairs(&text));
        }
    }
}
