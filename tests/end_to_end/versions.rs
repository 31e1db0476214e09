//! Nodes of two versions are in one cluster during a rolling update: what the version before has written and sent is understood.
//!
//! `recorded` has the documents, messages and facts of two nodes of version 0.1.0, as the bus saw them: members, a room on both nodes, a mix
//! and recordings; and, of later, calls and tasks of the server API. SDP and tickets are shortened. The messages about programs are in the
//! crate `rotunda-programs`.

use rotunda_bus::lease::LeaseDocument;
use rotunda_events::Fact;
use rotunda_proto::call::{Call, DeviceDocument, Engagement};
use rotunda_proto::media_task::MediaTask;
use rotunda_proto::mix::{self, MixNode, RunningMix};
use rotunda_proto::mix_task::MixTask;
use rotunda_proto::program::ProgramDescriptor;
use rotunda_proto::recording::RecordingFile;
use rotunda_proto::room::{LoginDocument, MemberCounts, RoomInfo, Roster, Seats};
use rotunda_proto::sfu::{self, NodeInfo};
use serde_json::{Value, json};

use crate::support::kept::{self, again, is_kept};

const RECORDED: &str = include_str!("recorded/0.1.0.jsonl");
const CALLS_AND_TASKS: &str = include_str!("recorded/0.1.0-calls.jsonl");

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
        "call" => again::<Call>(value),
        "call user" => again::<Engagement>(value),
        "call device" => again::<DeviceDocument>(value),
        "media task" => again::<MediaTask>(value),
        "fact" => again::<Fact>(value),
        other => panic!("a recording of an unknown kind: {other}"),
    }
}

fn recorded() -> impl Iterator<Item = (String, Value)> {
    let all = kept::recorded(RECORDED).chain(kept::recorded(CALLS_AND_TASKS));
    all.map(|(what, mut value)| {
        if matches!(what.as_str(), "running mix" | "program") {
            // By this a mixer knows its own document; all others skip it.
            value.as_object_mut().unwrap().remove("owner");
        }
        (what, value)
    })
}

#[test]
fn what_the_version_before_has_written_means_the_same() {
    assert!(recorded().count() > 80);
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
