//! Events of rooms and media: their bodies and their signature. Another system than the callbacks of recordings and mixes, by contract.
//! Pure.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rotunda_events::{Fact, LeftBecause, What};
use rotunda_proto::ids::{RoomId, TrackSource, UserId};
use rotunda_proto::signaling::Role;
use serde_json::{Value, json};
use sha2::Sha256;

use super::call_events;

/// `TerminalType`: another one than the contract knows.
const OTHER_TERMINAL: u32 = 100;
/// `UserType`: every client here speaks WebRTC.
const WEB_RTC: u32 = 1;
/// Our own group and event: the video of a mix shows another layout.
const MIXES: u32 = 101;
const MIX_LAYOUT: u32 = 10_101;
/// Our own group and events: users of waiting rooms.
const WAITING_ROOMS: u32 = 102;
const KNOCKED: u32 = 10_201;
const KNOCK_ENDED: u32 = 10_202;
/// `Reason` of an entry.
const NORMAL: u32 = 1;

/// The body of a fact's event, without the time of its sending. None: there is no event of it.
pub fn body(fact: &Fact) -> Option<Value> {
    let (group, event, more) = match &fact.what {
        What::RoomMade { user } => (1, 101, json!({ "UserId": user })),
        What::RoomEnded => (1, 102, json!({})),
        What::Entered { user, role, .. } => {
            let more = json!({
                "UserId": user, "Role": number(*role), "TerminalType": OTHER_TERMINAL, "UserType": WEB_RTC, "Reason": NORMAL,
            });
            (1, 103, more)
        }
        What::Left { user, reason, .. } => {
            let reason = match reason {
                LeftBecause::Asked => 1,
                LeftBecause::CutOff | LeftBecause::NodeDied => 2,
                LeftBecause::Removed => 3,
            };
            (1, 104, json!({ "UserId": user, "Reason": reason }))
        }
        What::RoleChanged { user, role, .. } => (1, 105, json!({ "UserId": user, "Role": number(*role) })),
        What::Knocked { user, .. } => (WAITING_ROOMS, KNOCKED, user_alone(user)),
        What::KnockEnded { user, outcome, by, .. } => {
            let more = json!({ "UserId": user, "Outcome": outcome.as_str(), "By": by });
            (WAITING_ROOMS, KNOCK_ENDED, more)
        }
        What::Published { user, source, .. } => {
            let event = match source {
                TrackSource::Camera => 201,
                TrackSource::Audio => 203,
                TrackSource::Screen => 205,
            };
            (2, event, user_alone(user))
        }
        What::Unpublished { user, source, .. } => {
            let event = match source {
                TrackSource::Camera => 202,
                TrackSource::Audio => 204,
                TrackSource::Screen => 206,
            };
            (2, event, json!({ "UserId": user, "Reason": 0 }))
        }
        What::MixLayout { stream_id, layout, .. } => {
            let more = json!({
                "StreamId": stream_id, "Revision": layout.revision, "ProgramMs": layout.program_ms, "Canvas": layout.canvas,
                "Regions": layout.regions,
            });
            (MIXES, MIX_LAYOUT, more)
        }
        what => call_events::event(what)?,
    };
    Some(enveloped(fact, group, event, &more))
}

/// An event in the form of all events.
pub fn enveloped(fact: &Fact, group: u32, event: u32, more: &Value) -> Value {
    let room = match &fact.room.room {
        RoomId::Number(number) => json!(number.get()),
        RoomId::Name(name) => json!(name.as_str()),
    };
    let mut info = json!({ "RoomId": room, "EventTs": fact.at_unix_ms / 1000, "EventMsTs": fact.at_unix_ms });
    for (name, value) in more.as_object().into_iter().flatten() {
        if !value.is_null() {
            info[name] = value.clone();
        }
    }
    json!({ "EventGroupId": group, "EventType": event, "EventInfo": info })
}

fn user_alone(user: &UserId) -> Value {
    json!({ "UserId": user })
}

fn number(role: Role) -> u32 {
    match role {
        Role::Anchor => 20,
        Role::Audience => 21,
    }
}

/// The body as it is sent now. None: it is a callback of the other system.
pub fn sent(body: &str, unix_now: Duration) -> Option<String> {
    let mut body: Value = serde_json::from_str(body).ok()?;
    body.get("EventGroupId")?;
    body["CallbackTs"] = json!(unix_now.as_millis() as u64);
    Some(body.to_string())
}

/// The header `Sign` of a body.
pub fn signature(key: &str, body: &str) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        return String::new();
    };
    mac.update(body.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use rotunda_events::KnockOutcome;
    use rotunda_proto::ids::{MembershipId, MixId, RoomKey};
    use rotunda_proto::mix_layout::{CanvasSize, LayoutRegion, ShownLayout};

    use super::*;

    fn fact(room: &str, what: What) -> Fact {
        Fact {
            id: "id".to_owned(),
            room: RoomKey {
                app: 7.try_into().unwrap(),
                room: room.parse().unwrap(),
            },
            at_unix_ms: 1_687_770_731_831,
            what,
        }
    }

    fn ann() -> UserId {
        "ann".parse().unwrap()
    }

    #[test]
    fn the_signatures_are_the_documented_ones() {
        let body = "{\n\t\"EventGroupId\":\t2,\n\t\"EventType\":\t204,\n\t\"CallbackTs\":\t1664209748188,\n\t\"EventInfo\":\t{\n\t\t\"RoomId\":\t8489,\n\t\t\"EventTs\":\t1664209748,\n\t\t\"EventMsTs\":\t1664209748180,\n\t\t\"UserId\":\t\"user_85034614\",\n\t\t\"Reason\":\t0\n\t}\n}";
        assert_eq!(body.len(), 207);
        assert_eq!(
            signature("123654", body),
            "kkoFeO3Oh2ZHnjtg8tEAQhtXK16/KI05W3BQff8IvGA="
        );
        let body = r#"{"EventGroupId":1,"EventType":103,"CallbackTs":1687770731932,"EventInfo":{"RoomId":12345,"EventTs":1687770731,"EventMsTs":1687770731831,"UserId":"test","Role":21,"TerminalType":2,"UserType":3,"Reason":1}}"#;
        assert_eq!(
            signature("testkey", body),
            "X7yXoh3FTlqVbBDfgSe7pnPtfUOYxGfI4O52bmTqfkU="
        );
    }

    #[test]
    fn a_new_layout_of_a_mix_is_told_with_its_regions() {
        let layout = ShownLayout {
            revision: 7,
            program_ms: 1_500,
            canvas: CanvasSize { w: 1280, h: 720 },
            regions: vec![LayoutRegion {
                uid: ann(),
                room: None,
                stream: 0,
                x: 0,
                y: 0,
                w: 640,
                h: 720,
                z: 1,
            }],
        };
        let what = What::MixLayout {
            mix: MixId(1),
            stream_id: "grid".parse().unwrap(),
            layout,
        };
        let told = body(&fact("5", what)).unwrap();
        assert_eq!(
            (&told["EventGroupId"], &told["EventType"]),
            (&json!(101), &json!(10_101))
        );
        let info = &told["EventInfo"];
        assert_eq!(
            (&info["StreamId"], &info["Revision"], &info["ProgramMs"]),
            (&json!("grid"), &json!(7), &json!(1_500))
        );
        assert_eq!(info["Canvas"], json!({ "w": 1280, "h": 720 }));
        let region = json!({ "uid": "ann", "stream": 0, "x": 0, "y": 0, "w": 640, "h": 720, "z": 1 });
        assert_eq!(info["Regions"], json!([region]));
    }

    #[test]
    fn an_entry_is_told_with_role_and_kind_of_room() {
        let entered = |room| {
            let what = What::Entered {
                user: ann(),
                membership: MembershipId(1),
                role: Role::Audience,
            };
            body(&fact(room, what)).unwrap()
        };
        assert_eq!(
            entered("1001"),
            json!({ "EventGroupId": 1, "EventType": 103, "EventInfo": {
                "RoomId": 1001, "EventTs": 1_687_770_731, "EventMsTs": 1_687_770_731_831_u64, "UserId": "ann", "Role": 21,
                "TerminalType": 100, "UserType": 1, "Reason": 1,
            } })
        );
        assert_eq!(entered("text:1001")["EventInfo"]["RoomId"], "1001");
    }

    #[test]
    fn rooms_exits_and_media_have_their_numbers() {
        let numbers = |what| {
            let body = body(&fact("1001", what))?;
            let reason = body["EventInfo"]["Reason"].as_u64();
            Some((body["EventGroupId"].as_u64()?, body["EventType"].as_u64()?, reason))
        };
        let left = |reason| What::Left {
            user: ann(),
            membership: MembershipId(1),
            reason,
            stayed_ms: 0,
        };
        assert_eq!(numbers(What::RoomMade { user: Some(ann()) }), Some((1, 101, None)));
        assert_eq!(numbers(What::RoomEnded), Some((1, 102, None)));
        assert_eq!(numbers(left(LeftBecause::Asked)), Some((1, 104, Some(1))));
        assert_eq!(numbers(left(LeftBecause::CutOff)), Some((1, 104, Some(2))));
        assert_eq!(numbers(left(LeftBecause::Removed)), Some((1, 104, Some(3))));
        let sources = [
            (TrackSource::Camera, 201),
            (TrackSource::Audio, 203),
            (TrackSource::Screen, 205),
        ];
        for (source, number) in sources {
            let (user, membership) = (ann(), MembershipId(1));
            let begun = What::Published {
                user,
                membership,
                source,
            };
            assert_eq!(numbers(begun), Some((2, number, None)));
            let user = ann();
            let ended = What::Unpublished {
                user,
                membership,
                source,
            };
            assert_eq!(numbers(ended), Some((2, number + 1, Some(0))));
        }
        let become_anchor = What::RoleChanged {
            user: ann(),
            membership: MembershipId(1),
            role: Role::Anchor,
        };
        assert_eq!(numbers(become_anchor.clone()), Some((1, 105, None)));
        assert_eq!(body(&fact("1001", become_anchor)).unwrap()["EventInfo"]["Role"], 20);
        let stream_id = "s".parse().unwrap();
        assert_eq!(
            numbers(What::LiveBegun {
                stream_id,
                single: None
            }),
            None
        );
    }

    #[test]
    fn a_knock_is_told_with_its_outcome_and_the_moderator() {
        let (user, membership) = (ann(), MembershipId(1));
        let knocked = body(&fact("5", What::Knocked { user, membership })).unwrap();
        assert_eq!(
            (
                &knocked["EventGroupId"],
                &knocked["EventType"],
                &knocked["EventInfo"]["UserId"]
            ),
            (&json!(102), &json!(10_201), &json!("ann"))
        );
        let ended = |outcome, by| {
            let user = ann();
            let what = What::KnockEnded {
                user,
                membership,
                outcome,
                by,
            };
            body(&fact("5", what)).unwrap()["EventInfo"].clone()
        };
        let admitted = ended(KnockOutcome::Admitted, Some("bob".parse().unwrap()));
        assert_eq!(
            (&admitted["Outcome"], &admitted["By"]),
            (&json!("admitted"), &json!("bob"))
        );
        let gave_up = ended(KnockOutcome::GaveUp, None);
        assert_eq!((&gave_up["Outcome"], gave_up.get("By")), (&json!("gave_up"), None));
    }

    #[test]
    fn only_an_event_gets_the_time_of_its_sending() {
        let event = body(&fact("1001", What::RoomEnded)).unwrap().to_string();
        let sent_body: Value = serde_json::from_str(&sent(&event, Duration::from_millis(5)).unwrap()).unwrap();
        assert_eq!(sent_body["CallbackTs"], 5);
        assert_eq!(sent(r#"{"event_type":100}"#, Duration::ZERO), None);
    }
}
