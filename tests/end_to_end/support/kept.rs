//! Whether recorded documents and messages of another version mean the same in this one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads it as this version does, and writes it again.
pub fn again<T: Serialize + DeserializeOwned>(value: &Value) -> Value {
    let read: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    serde_json::to_value(read).unwrap()
}

/// Whether all of `before` is in `after`, which may say more.
pub fn is_kept(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().all(|(name, value)| match after.get(name) {
            Some(after) => is_kept(value, after),
            None => value.is_null(),
        }),
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| is_kept(before, after))
        }
        // Figures of single precision.
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap());
            (one - other).abs() <= one.abs() * 1e-6
        }
        _ => before == after,
    }
}

/// The recordings, one a line: its kind and its value.
pub fn recorded(lines: &str) -> impl Iterator<Item = (String, Value)> {
    lines.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let what = line["is"].as_str().unwrap().to_owned();
        (what, line["value"].take())
    })
}
