//! This version reads the documents and messages about programs of a node of the version before. `recorded` has those of version 0.1.0. Parameter sets of the video are shortened.

use serde_json::{Value, json};

use crate::claims::Claim;
use crate::kept::{again, is_kept, recorded};
use crate::messages::{FromSource, ToSource};
use crate::nodes::ProgramNode;

const RECORDED: &str = include_str!("recorded/0.1.0.jsonl");

fn again_as(what: &str, value: &Value) -> Value {
    match what {
        "program node" => again::<ProgramNode>(value),
        "claim" => again::<Claim>(value),
        "to source" => again::<ToSource>(value),
        "from source" => again::<FromSource>(value),
        other => panic!("a recording of an unknown kind: {other}"),
    }
}

#[test]
fn what_the_version_before_has_written_means_the_same() {
    let mut kinds: Vec<String> = Vec::new();
    for (what, value) in recorded(RECORDED) {
        let after = again_as(&what, &value);
        assert!(is_kept(&value, &after), "{what}\nbefore: {value}\nafter:  {after}");
        kinds.push(what);
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["claim", "from source", "program node", "to source"]);
}

/// The version after this one may write more about the same things.
#[test]
fn what_a_later_version_adds_is_skipped() {
    for (what, mut value) in recorded(RECORDED) {
        let before = again_as(&what, &value);
        // The fields of a message are inside its kind.
        let message = match (what.as_str(), value.as_object_mut()) {
            ("to source" | "from source", Some(kind)) => kind.values_mut().next().unwrap(),
            ("program node" | "claim", Some(_)) => &mut value,
            // A kind without fields.
            _ => continue,
        };
        message["of_a_later_version"] = json!({ "x": [1] });
        assert_eq!(again_as(&what, &value), before, "{what}: {value}");
    }
}
