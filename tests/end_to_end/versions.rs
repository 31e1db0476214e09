//! Nodes of two versions are in one cluster during a rolling update: what the version before has written and sent is understood.
//!
//! `recorded` has the documents, messages and facts of two nodes of version 0.1.0, as NATS saw them: members, a room on both nodes, a mix
//! and recordings. SDP and tickets are shortened.

use rotunda_bus::lease::LeaseDocument;
use rotunda_events::Fact;
use rotunda_proto::mix::{self, MixNode, RunningMix};
use rotunda_proto::mix_task::MixTask;
use rotunda_proto::program::ProgramDescriptor;
use rotunda_proto::recording::RecordingFile;
use rotunda_proto::room::{LoginDocument, MemberCounts, RoomInfo, Roster, Seats};
use rotunda_proto::sfu::{self, NodeInfo};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const RECORDED: &str = include_str!("recorded/0.1.0.jsonl");

/// Reads it as this version does, and writes it again.
fn again<T: Serialize + DeserializeOwned>(value: &Value) -> Value {
    let read: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    serde_json::to_value(read).unwrap()
}

fn again_as(what: &str, value: &Value) -> Value {
    match what {
        "lease" => again::<LeaseDocument>(value),
        "sfu node" => again::<NodeInfo>(value),
        "mcu node" => again::<MixNode>(value),
        "login" => again::<LoginDocument>(value),
        "room count" => again::<MemberCounts>(value),
        "room info" => again::<RoomInfo>(value),
        "room roster" => again::<Roster>(value),
        "room seats" => again::<Seats>(value),
        "sfu command" => again::<sfu::Command>(value),
        "sfu reply" => again::<sfu::Reply>(value),
        "sfu event" => again::<sfu::Event>(value),
        "program" => again::<ProgramDescriptor>(value),
        "mix task" => again::<MixTask>(value),
        "running mix" => again::<RunningMix>(value),
        "mix event" => again::<mix::Event>(value),
        "file" => again::<RecordingFile>(value),
        "fact" => again::<Fact>(value),
        other => panic!("a recording of an unknown kind: {other}"),
    }
}

/// Whether all of `before` is in `after`, which may say more.
fn is_kept(before: &Value, after: &Value) -> bool {
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

fn recorded() -> impl Iterator<Item = (String, Value)> {
    RECORDED.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let what = line["is"].as_str().unwrap().to_owned();
        let mut value = line["value"].take();
        if matches!(what.as_str(), "running mix" | "program") {
            // By this a mixer knows its own document; all others skip it.
            value.as_object_mut().unwrap().remove("owner");
        }
        (what, value)
    })
}

#[test]
fn what_the_version_before_has_written_means_the_same() {
    assert!(recorded().count() > 50);
    for (what, value) in recorded() {
        let after = again_as(&what, &value);
        assert!(is_kept(&value, &after), "{what}\nbefore: {value}\nafter:  {after}");
    }
}

/// The version after this one may write more about the same things.
#[test]
fn what_a_later_version_adds_is_skipped() {
    for (what, mut value) in recorded() {
        let before = again_as(&what, &value);
        value["of_a_later_version"] = json!({"x": [1]});
        assert_eq!(again_as(&what, &value), before, "{what}: {value}");
    }
}
