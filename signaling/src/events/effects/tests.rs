use rotunda_events::{PushChange, PushState};
use rotunda_proto::call::{CallEndReason, CallMedia, CallRecord, Gone, RecordedParty};
use rotunda_proto::config::Application;
use rotunda_proto::ids::{CallId, MembershipId, MixId, RoomId, RoomKey};
use rotunda_proto::media_task::TaskRef;
use rotunda_proto::mix::{MixSpec, NotMixable};
use rotunda_proto::mix_task::Origin;
use rotunda_proto::signaling::Role;
use serde_json::{Value, json};

use super::*;

const AT: u64 = 1_764_028_799_500; // 2025-11-24T23:59:59.500Z

fn room(app: u32) -> RoomKey {
    RoomKey {
        app: app.try_into().unwrap(),
        room: RoomId::Number(7.try_into().unwrap()),
    }
}

fn event(app: u32, what: What) -> StreamedEvent {
    let fact = Fact {
        id: "the-id".to_owned(),
        room: room(app),
        at_unix_ms: AT,
        what,
    };
    StreamedEvent {
        sequence: 9,
        body: serde_json::to_string(&fact).unwrap(),
    }
}

/// Application 1 wants callbacks, 2 does not.
fn effects_of(app: u32, what: What) -> Effects {
    let applications = Applications::new(vec![
        Application {
            callback_url: Some("http://receiver/".to_owned()),
            ..Application::new(1.try_into().unwrap(), "key")
        },
        Application::new(2.try_into().unwrap(), "key"),
    ]);
    effects(&event(app, what), &applications)
}

fn not_mixable() -> What {
    What::NotMixable {
        mix: MixId(5),
        stream_id: "film".parse().unwrap(),
        track: NotMixable {
            user_id: "ann".parse().unwrap(),
            room_id: None,
            source: rotunda_proto::ids::TrackSource::Camera,
            codec: "AV1".to_owned(),
        },
    }
}

#[test]
fn every_fact_is_in_the_journal_and_a_member_who_enters_leads_to_nothing_else() {
    let what = What::Entered {
        user: "ann".parse().unwrap(),
        membership: MembershipId(1),
        role: Role::Audience,
    };
    let effects = effects_of(1, what);
    let entry = effects.entry.unwrap();
    assert_eq!((entry.event.as_str(), entry.kind.as_str()), ("the-id", "entered"));
    assert_eq!(entry.room, room(1).token());
    assert_eq!(
        (effects.callbacks, effects.usage, effects.presence),
        (vec![], vec![], vec![])
    );
}

#[test]
fn a_callback_is_made_where_the_application_wants_one() {
    let callbacks = effects_of(1, not_mixable()).callbacks;
    let body: Value = serde_json::from_str(&callbacks[0].body).unwrap();
    assert_eq!(
        (&body["event_type"], &body["event_time"]),
        (&json!(1001), &json!(AT / 1000))
    );
    assert_eq!(
        (callbacks[0].id.as_str(), callbacks[0].url.as_str()),
        ("the-id", "http://receiver/")
    );
    for app in [2, 3] {
        assert_eq!(effects_of(app, not_mixable()).callbacks, []);
    }
}

#[test]
fn an_event_of_a_room_is_told_in_a_queue_of_its_own_where_the_application_wants_it() {
    let of_events = Application {
        event_callback_url: Some("http://events/".to_owned()),
        ..Application::new(1.try_into().unwrap(), "key")
    };
    let applications = Applications::new(vec![of_events]);
    let told = |app, what| effects(&event(app, what), &applications).callbacks;
    let [callback] = <[_; 1]>::try_from(told(1, What::RoomEnded)).unwrap();
    assert_eq!(
        (callback.id.as_str(), callback.url.as_str()),
        ("event-the-id", "http://events/")
    );
    assert_eq!(callback.room, format!("events/{}", room(1).token()));
    let body: Value = serde_json::from_str(&callback.body).unwrap();
    assert_eq!((&body["EventGroupId"], &body["EventType"]), (&json!(1), &json!(102)));
    assert_eq!(told(1, not_mixable()), [], "no callback_url");
    assert_eq!(effects_of(1, What::RoomEnded).callbacks, [], "no event_callback_url");
}

#[test]
fn a_mix_that_ends_counts_and_is_told() {
    let ended = |replaced_by: Option<&str>, started_unix_ms| What::MixEnded {
        mix: MixId(5),
        stream_id: "film".parse().unwrap(),
        record_id: None,
        replaced_by: replaced_by.map(|by| by.parse().unwrap()),
        started_unix_ms,
        reason: "asked".to_owned(),
    };
    let asked = effects_of(1, ended(None, Some(AT - 2500)));
    let body: Value = serde_json::from_str(&asked.callbacks[0].body).unwrap();
    assert_eq!((&body["event_type"], &body["errcode"]), (&json!(0), &json!(1)));
    let app = room(1).app;
    assert_eq!(asked.usage, [UsageRow::new(app, "2025-11-24", "mix_ms", 2500)]);
    let replaced = effects_of(1, ended(Some("next"), None));
    assert_eq!(replaced.usage, []);
    let body: Value = serde_json::from_str(&replaced.callbacks[0].body).unwrap();
    assert_eq!((&body["event_type"], &body["errcode"]), (&json!(0), &json!(2)));
}

#[test]
fn attendance_is_usage_and_a_peak_of_its_minute() {
    let attendance = What::Attendance {
        node: "node-1".parse().unwrap(),
        anchor_ms: 0,
        audience_ms: 60_000_000,
        peak: 1000,
    };
    let effects = effects_of(2, attendance);
    let app = room(2).app;
    assert_eq!(
        effects.usage,
        [UsageRow::new(app, "2025-11-24", "audience_ms", 60_000_000)]
    );
    let present = &effects.presence[0];
    assert_eq!((present.minute as u64, present.members), (AT / 60_000, 1000));
    assert!(present.place.ends_with("/node-1"));
}

#[test]
fn a_fact_of_a_newer_version_has_no_effects() {
    let event = StreamedEvent {
        sequence: 3,
        body: r#"{"id":"x","room":{"app":1,"room":7},"at_unix_ms":1,"kind":"hologram"}"#.to_owned(),
    };
    let effects = effects(&event, &Applications::new(Vec::new()));
    assert_eq!(
        effects,
        Effects {
            sequence: 3,
            ..Effects::default()
        }
    );
}

#[test]
fn a_mix_is_a_row_from_its_begin_to_its_end() {
    let spec: MixSpec = serde_json::from_value(serde_json::json!({
        "room": { "app": 1, "room": 1001 },
        "stream_id": "film",
        "audio": { "sample_rate": 48_000, "bitrate_kbps": 64, "channels": 2 },
        "video": null,
        "layout": { "template": "grid" },
        "record": null,
    }))
    .unwrap();
    let begun = What::MixBegun {
        mix: MixId(5),
        stream_id: "film".parse().unwrap(),
        started_unix_ms: None,
        output: None,
        origin: Origin::Client("ann".parse().unwrap()),
        spec: Some(Box::new(spec)),
    };
    let Some(MixTaskChange::Begun(row)) = effects_of(1, begun).mix else {
        panic!("it has begun");
    };
    assert_eq!((row.id.as_str(), row.origin.as_str()), ("0000000000000005", "client"));
    let ended = What::MixEnded {
        mix: MixId(5),
        stream_id: "film".parse().unwrap(),
        record_id: None,
        replaced_by: None,
        started_unix_ms: None,
        reason: "asked".to_owned(),
    };
    let Some(MixTaskChange::Ended { id, end }) = effects_of(1, ended).mix else {
        panic!("it has ended");
    };
    assert_eq!((id, end.reason.as_str()), (row.id, "asked"));
}

fn call_effects(what: What, application: Application) -> Effects {
    effects(&event(1, what), &Applications::new(vec![application]))
}

#[test]
fn an_ended_call_is_a_row_and_an_event() {
    let record = CallRecord {
        call: CallId(5),
        inviter: "ann".parse().unwrap(),
        media: CallMedia::Audio,
        is_group: false,
        group_id: None,
        started_unix_ms: 1000,
        answered_unix_ms: None,
        ended_unix_ms: 2000,
        reason: CallEndReason::Offline,
        parties: vec![RecordedParty {
            user: "bob".parse().unwrap(),
            outcome: Gone::NoAnswer,
            joined_ms: 0,
            missed: true,
        }],
    };
    let application = Application {
        event_callback_url: Some("http://events/".to_owned()),
        ..Application::new(1.try_into().unwrap(), "key")
    };
    let what = What::CallEnded {
        record: Box::new(record.clone()),
    };
    let effects = call_effects(what, application);
    assert_eq!(effects.call, Some(EndedCall::new(1.try_into().unwrap(), &record)));
    let bodies: Vec<Value> = effects
        .callbacks
        .iter()
        .map(|callback| serde_json::from_str(&callback.body).unwrap())
        .collect();
    assert_eq!(
        bodies.iter().map(|body| &body["EventType"]).collect::<Vec<_>>(),
        [&json!(10_003)]
    );
}

#[test]
fn an_invitee_without_a_device_is_a_push_request_in_a_queue_of_their_own() {
    let what = What::CallPush {
        call: CallId(5),
        user: "bob".parse().unwrap(),
        inviter: "ann".parse().unwrap(),
        invited_by: "ann".parse().unwrap(),
        media: CallMedia::Audio,
        is_group: false,
        user_data: None,
        ring_ms: Some(30_000),
    };
    let application = |url: Option<&str>| Application {
        call_push_url: url.map(str::to_owned),
        event_callback_url: Some("http://events/".to_owned()),
        ..Application::new(1.try_into().unwrap(), "key")
    };
    assert_eq!(call_effects(what.clone(), application(None)).callbacks, []);
    let pushes = call_effects(what, application(Some("http://push/"))).callbacks;
    let [push] = pushes.as_slice() else {
        panic!("{pushes:?}")
    };
    assert_eq!((push.url.as_str(), push.id.as_str()), ("http://push/", "push-the-id"));
    assert_eq!(push.room, format!("push/bob/{}", room(1).token()));
}

#[test]
fn a_push_is_told_whole_in_the_queue_of_its_task_and_is_in_the_journal_without_its_key() {
    let push = PushChange {
        task: TaskRef {
            id: "t1".parse().unwrap(),
            robot: "robot".parse().unwrap(),
        },
        url: "rtmp://cdn.example.com/live/SECRET".to_owned(),
        state: PushState::Running,
        error: None,
    };
    let application = Application {
        event_callback_url: Some("http://events/".to_owned()),
        ..Application::new(1.try_into().unwrap(), "key")
    };
    let effects = call_effects(What::PushChanged { push: Box::new(push) }, application);
    let entry = effects.entry.unwrap();
    assert_eq!(entry.kind, "push_changed");
    assert!(entry.body.contains("cdn.example.com") && !entry.body.contains("SECRET"));
    let [callback] = <[_; 1]>::try_from(effects.callbacks).unwrap();
    assert_eq!(callback.id, "event-the-id-401");
    assert_eq!(callback.room, format!("tasks/t1/{}", room(1).token()));
    assert!(callback.body.contains("SECRET"), "{}", callback.body);
}
