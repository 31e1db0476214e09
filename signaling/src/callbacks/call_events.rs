//! Events of calls, in the form and with the signature of the events of rooms. The contract has none of them: the numbers are
//! Rotunda's own. Pure.

use rotunda_events::{Fact, What};
use rotunda_proto::call::{CallMedia, Gone};
use serde_json::{Value, json};

use super::room_events::enveloped;

/// `EventGroupId` of calls.
const CALLS: u32 = 100;
const STARTED: u32 = 10_001;
const ANSWERED: u32 = 10_002;
const ENDED: u32 = 10_003;
const PUSH: u32 = 10_004;

/// The group, the type and the fields of a fact's event, if it has one.
pub fn event(what: &What) -> Option<(u32, u32, Value)> {
    let (event, fields) = match what {
        What::CallStarted {
            call,
            inviter,
            invitees,
            media,
            is_group,
        } => {
            let fields = json!({
                "CallId": call, "Inviter": inviter, "Invitees": invitees, "CallType": number(*media), "IsGroup": is_group,
            });
            (STARTED, fields)
        }
        What::CallAnswered { call, user } => (ANSWERED, json!({ "CallId": call, "UserId": user })),
        What::CallEnded { record } => {
            let parties = record.parties.iter().map(|party| {
                json!({ "UserId": party.user, "Outcome": outcome(party.outcome, party.joined_ms), "JoinedMs": party.joined_ms })
            });
            let fields = json!({
                "CallId": record.call, "Inviter": record.inviter, "CallType": number(record.media), "IsGroup": record.is_group,
                "Reason": record.reason.number(), "ReasonText": record.reason.as_str(), "DurationMs": record.duration_ms(),
                "Parties": parties.collect::<Vec<_>>(),
            });
            (ENDED, fields)
        }
        _ => return None,
    };
    Some((CALLS, event, fields))
}

/// The body of a push request. None: the fact asks for none.
pub fn push(fact: &Fact) -> Option<Value> {
    let What::CallPush {
        call,
        user,
        inviter,
        invited_by,
        media,
        is_group,
        user_data,
        ring_ms,
    } = &fact.what
    else {
        return None;
    };
    let fields = json!({
        "CallId": call, "UserId": user, "Inviter": inviter, "InvitedBy": invited_by, "CallType": number(*media), "IsGroup": is_group,
        "UserData": user_data, "RingsUntilMsTs": ring_ms.map(|ring| fact.at_unix_ms + ring),
    });
    Some(enveloped(fact, CALLS, PUSH, &fields))
}

/// `CallType` of the contract.
pub fn number(media: CallMedia) -> u32 {
    match media {
        CallMedia::Audio => 1,
        CallMedia::Video => 2,
    }
}

/// The outcome of a user: `answered` if they have been in the call.
pub fn outcome(gone: Gone, joined_ms: u64) -> &'static str {
    match gone {
        Gone::Left | Gone::Lost => "answered",
        _ if joined_ms > 0 => "answered",
        Gone::Rejected => "rejected",
        Gone::Busy => "busy",
        Gone::NoAnswer => "noAnswer",
        Gone::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::call::{CallEndReason, CallRecord, RecordedParty, call_room};
    use rotunda_proto::ids::{CallId, UserId};

    use super::super::room_events;
    use super::*;

    fn fact(what: What) -> Fact {
        Fact {
            id: "id".to_owned(),
            room: call_room(7.try_into().unwrap(), CallId(5)),
            at_unix_ms: 1_700_000_000_123,
            what,
        }
    }

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    #[test]
    fn the_end_of_a_call_has_its_reason_its_duration_and_its_users() {
        let party = |name, outcome, joined_ms| RecordedParty {
            user: user(name),
            outcome,
            joined_ms,
            missed: false,
        };
        let record = CallRecord {
            call: CallId(5),
            inviter: user("ann"),
            media: CallMedia::Video,
            is_group: true,
            group_id: None,
            started_unix_ms: 1000,
            answered_unix_ms: Some(2000),
            ended_unix_ms: 62_000,
            reason: CallEndReason::HangUp,
            parties: vec![party("ann", Gone::Left, 61_000), party("bob", Gone::Rejected, 0)],
        };
        let body = room_events::body(&fact(What::CallEnded {
            record: Box::new(record),
        }));
        assert_eq!(
            body.unwrap(),
            json!({ "EventGroupId": 100, "EventType": 10_003, "EventInfo": {
                "RoomId": "@call:0000000000000005", "EventTs": 1_700_000_000, "EventMsTs": 1_700_000_000_123_u64,
                "CallId": "0000000000000005", "Inviter": "ann", "CallType": 2, "IsGroup": true,
                "Reason": 1, "ReasonText": "hangUp", "DurationMs": 60_000,
                "Parties": [
                    { "UserId": "ann", "Outcome": "answered", "JoinedMs": 61_000 },
                    { "UserId": "bob", "Outcome": "rejected", "JoinedMs": 0 },
                ],
            } })
        );
    }

    #[test]
    fn a_push_request_says_until_when_the_call_rings_and_is_no_event() {
        let fact = fact(What::CallPush {
            call: CallId(5),
            user: user("bob"),
            inviter: user("ann"),
            invited_by: user("ann"),
            media: CallMedia::Audio,
            is_group: false,
            user_data: None,
            ring_ms: Some(30_000),
        });
        let body = push(&fact).unwrap();
        assert_eq!(
            (&body["EventType"], &body["EventInfo"]["UserId"]),
            (&json!(10_004), &json!("bob"))
        );
        assert_eq!(body["EventInfo"]["RingsUntilMsTs"], 1_700_000_030_123_u64);
        assert_eq!(room_events::body(&fact), None);
    }
}
