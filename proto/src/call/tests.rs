//! Every transition of a call, and its races: each order of two changes has one outcome.

use super::*;
use crate::ids::NodeId;

const RING: Option<u64> = Some(30_000);

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn node(name: &str) -> Incarnation {
    Incarnation::new(name.parse::<NodeId>().unwrap(), 1)
}

/// A device by the user's name: `ann`, or `ann/2` for the second one.
fn device(name: &str) -> Device {
    let (user_name, number) = name.split_once('/').unwrap_or((name, "1"));
    Device {
        user: user(user_name),
        device: format!("device-{number}").parse().unwrap(),
        node: node("node-1"),
    }
}

/// Ann calls these users, who are all online.
fn ann_calls(invitees: &[&str]) -> Call {
    let found: Vec<_> = invitees.iter().map(|name| (user(name), Found::Online)).collect();
    begin(&found, invitees.len() > 1)
}

fn begin(invitees: &[(UserId, Found)], is_group: bool) -> Call {
    let new = NewCall {
        app: 1.try_into().unwrap(),
        id: CallId(7),
        inviter: device("ann"),
        media: CallMedia::Video,
        is_group,
        group_id: is_group.then(|| "team".to_owned()),
        user_data: None,
    };
    Call::begin(new, invitees, RING, 1000)
}

fn state(call: &Call, name: &str) -> &'static str {
    match call.party(&user(name)).map(|party| &party.state) {
        Some(PartyState::Ringing { .. }) => "ringing",
        Some(PartyState::Joined { .. }) => "joined",
        Some(PartyState::Gone { why, .. }) => match why {
            Gone::Rejected => "rejected",
            Gone::Busy => "busy",
            Gone::NoAnswer => "no answer",
            Gone::Cancelled => "cancelled",
            Gone::Left => "left",
            Gone::Lost => "lost",
        },
        None => "nobody",
    }
}

fn end(call: &Call) -> Option<CallEndReason> {
    call.ended.as_ref().map(|ended| ended.reason)
}

fn round(call: &Call, name: &str) -> u64 {
    match call.party(&user(name)).unwrap().state {
        PartyState::Ringing { round, .. } => round,
        _ => panic!("{name} does not ring"),
    }
}

#[test]
fn an_accepted_call_ends_when_one_of_two_hangs_up() {
    let mut call = ann_calls(&["bob"]);
    assert_eq!((state(&call, "ann"), state(&call, "bob")), ("joined", "ringing"));
    assert!(!call.has_joined(&user("bob")), "who rings may not enter the room");
    call.accept(&device("bob"), 5000).unwrap();
    assert!(call.has_joined(&user("bob")));
    call.hang_up(&device("bob"), 65_000).unwrap();
    assert_eq!(end(&call), Some(CallEndReason::HangUp));
    let record = call.record().unwrap();
    assert_eq!(record.duration_ms(), 60_000);
    assert_eq!(
        record.parties[0].joined_ms, 64_000,
        "ann was in it from the invitation on"
    );
    assert!(!call.has_joined(&user("ann")), "nobody may enter an ended call");
    assert!(record.parties.iter().all(|party| !party.missed));
}

#[test]
fn a_call_that_nobody_takes_ends_with_the_reason() {
    let rejected = |call: &mut Call| call.reject(&device("bob"), 2000);
    let unanswered = |call: &mut Call| {
        let round = round(call, "bob");
        call.expire(&user("bob"), round, 2000)
    };
    let cancelled = |call: &mut Call| call.hang_up(&device("ann"), 2000);
    type Change = fn(&mut Call) -> Result<(), CallRefusal>;
    let cases: [(Change, _, _); 3] = [
        (rejected, CallEndReason::Rejected, "rejected"),
        (unanswered, CallEndReason::NoAnswer, "no answer"),
        (cancelled, CallEndReason::Cancelled, "cancelled"),
    ];
    for (change, reason, bob) in cases {
        let mut call = ann_calls(&["bob"]);
        change(&mut call).unwrap();
        assert_eq!((end(&call), state(&call, "bob")), (Some(reason), bob));
        assert_eq!(call.record().unwrap().duration_ms(), 0);
    }
    let busy = begin(&[(user("bob"), Found::Busy)], false);
    assert_eq!(end(&busy), Some(CallEndReason::Busy));
}

#[test]
fn an_invitee_without_a_device_has_missed_the_call_unless_one_comes() {
    let mut call = begin(&[(user("bob"), Found::Offline)], false);
    let bobs_round = round(&call, "bob");
    let mut reached = call.clone();
    call.expire(&user("bob"), bobs_round, 31_000).unwrap();
    assert_eq!(end(&call), Some(CallEndReason::Offline));
    assert!(call.record().unwrap().parties[1].missed);
    reached.reach(&user("bob")).unwrap();
    reached.expire(&user("bob"), bobs_round, 31_000).unwrap();
    assert_eq!(end(&reached), Some(CallEndReason::NoAnswer));
    assert!(!reached.record().unwrap().parties[1].missed);
}

#[test]
fn of_two_devices_that_answer_at_once_one_has_the_call() {
    let mut call = ann_calls(&["bob"]);
    call.accept(&device("bob/1"), 2000).unwrap();
    let accepted = call.clone();
    assert_eq!(call.accept(&device("bob/2"), 2000), Err(CallRefusal::AnsweredElsewhere));
    assert_eq!(call.reject(&device("bob/2"), 2000), Err(CallRefusal::AnsweredElsewhere));
    assert_eq!(call.hang_up(&device("bob/2"), 2000), Err(CallRefusal::NotInCall));
    assert_eq!(call, accepted);
    call.accept(&device("bob/1"), 2500).unwrap();
    assert_eq!(call, accepted, "a repeated acceptance changes nothing");
}

#[test]
fn of_two_devices_that_reject_and_accept_the_first_decides() {
    let mut call = ann_calls(&["bob", "cat"]);
    call.reject(&device("bob/1"), 2000).unwrap();
    assert_eq!(call.accept(&device("bob/2"), 2000), Err(CallRefusal::AnsweredElsewhere));
    assert_eq!(
        call.reject(&device("bob/1"), 2000),
        Ok(()),
        "a repeated rejection changes nothing"
    );
    assert_eq!((state(&call, "bob"), end(&call)), ("rejected", None));
}

#[test]
fn accepting_and_cancelling_at_once_end_in_one_order_or_the_other() {
    let mut accepted_first = ann_calls(&["bob"]);
    accepted_first.accept(&device("bob"), 2000).unwrap();
    accepted_first.hang_up(&device("ann"), 2001).unwrap();
    assert_eq!(end(&accepted_first), Some(CallEndReason::HangUp));
    let mut cancelled_first = ann_calls(&["bob"]);
    cancelled_first.hang_up(&device("ann"), 2000).unwrap();
    assert_eq!(cancelled_first.accept(&device("bob"), 2001), Err(CallRefusal::Over));
    assert_eq!(end(&cancelled_first), Some(CallEndReason::Cancelled));
}

#[test]
fn a_timer_ends_neither_an_accepted_nor_a_later_invitation() {
    let mut call = ann_calls(&["bob", "cat"]);
    let (bobs, cats) = (round(&call, "bob"), round(&call, "cat"));
    call.accept(&device("bob"), 30_999).unwrap();
    assert_eq!(call.expire(&user("bob"), bobs, 31_000), Err(CallRefusal::NotInvited));
    call.expire(&user("cat"), cats, 31_000).unwrap();
    assert_eq!((state(&call, "cat"), end(&call)), ("no answer", None));
    call.invite(&device("bob"), &[(user("cat"), Found::Online)], RING, 9, 32_000)
        .unwrap();
    assert_eq!(call.expire(&user("cat"), cats, 32_000), Err(CallRefusal::NotInvited));
    assert_eq!(state(&call, "cat"), "ringing");
}

#[test]
fn a_group_call_goes_on_until_one_is_left() {
    let mut call = ann_calls(&["bob", "cat", "dan"]);
    call.accept(&device("bob"), 2000).unwrap();
    call.reject(&device("cat"), 2000).unwrap();
    call.hang_up(&device("ann"), 3000).unwrap();
    assert_eq!(end(&call), None, "dan rings");
    call.accept(&device("dan"), 4000).unwrap();
    call.hang_up(&device("bob"), 5000).unwrap();
    assert_eq!(end(&call), Some(CallEndReason::HangUp));
    assert_eq!(
        state(&call, "dan"),
        "left",
        "with the last one the call is over for the one who is left"
    );
}

#[test]
fn a_group_call_that_nobody_takes_is_over_when_the_last_one_does_not() {
    let mut call = begin(&[(user("bob"), Found::Busy), (user("cat"), Found::Online)], true);
    assert_eq!(end(&call), None);
    call.reject(&device("cat"), 2000).unwrap();
    assert_eq!(end(&call), Some(CallEndReason::Rejected));
}

#[test]
fn a_running_group_call_can_be_joined_by_invitees_and_by_those_who_know_its_group() {
    let mut call = ann_calls(&["bob", "cat"]);
    call.accept(&device("bob"), 2000).unwrap();
    call.reject(&device("cat"), 2000).unwrap();
    call.join(&device("cat"), None, 9, 3000).unwrap();
    assert_eq!(state(&call, "cat"), "joined");
    assert_eq!(call.join(&device("eve"), None, 9, 3000), Err(CallRefusal::NotInvited));
    assert_eq!(
        call.join(&device("eve"), Some("other"), 9, 3000),
        Err(CallRefusal::NotInvited)
    );
    assert_eq!(call.join(&device("eve"), Some("team"), 3, 3000), Err(CallRefusal::Full));
    call.join(&device("eve"), Some("team"), 9, 3000).unwrap();
    assert_eq!(state(&call, "eve"), "joined");
    assert_eq!(
        call.join(&device("eve/2"), Some("team"), 9, 3000),
        Err(CallRefusal::AnsweredElsewhere)
    );
    let mut single = ann_calls(&["bob"]);
    assert_eq!(single.join(&device("bob"), None, 9, 3000), Err(CallRefusal::NotAGroup));
}

#[test]
fn those_who_are_in_it_add_people_up_to_the_limit_and_others_do_not() {
    let mut call = ann_calls(&["bob"]);
    let cat = [(user("cat"), Found::Online)];
    assert_eq!(
        call.invite(&device("bob"), &cat, RING, 9, 2000),
        Err(CallRefusal::NotInCall)
    );
    call.accept(&device("bob"), 2000).unwrap();
    assert_eq!(call.invite(&device("bob"), &cat, RING, 2, 2000), Err(CallRefusal::Full));
    call.invite(&device("bob"), &cat, RING, 3, 2000).unwrap();
    assert!(call.is_group);
    assert_eq!(call.party(&user("cat")).unwrap().invited_by, user("bob"));
    let before = call.clone();
    call.invite(&device("ann"), &[(user("bob"), Found::Online)], RING, 3, 2000)
        .unwrap();
    assert_eq!(state(&call, "bob"), "joined", "who is in it stays so");
    assert_eq!(call.parties, before.parties);
}

#[test]
fn only_a_device_in_the_call_switches_its_media() {
    let mut call = ann_calls(&["bob"]);
    assert_eq!(
        call.switch_media(&device("bob"), CallMedia::Audio),
        Err(CallRefusal::NotInCall)
    );
    call.switch_media(&device("ann"), CallMedia::Audio).unwrap();
    assert_eq!(call.media, CallMedia::Audio);
}

#[test]
fn a_device_that_has_come_back_by_another_node_is_not_lost_with_the_first() {
    let mut call = ann_calls(&["bob"]);
    call.accept(&device("bob"), 2000).unwrap();
    let back = Device {
        node: node("node-2"),
        ..device("bob")
    };
    call.return_by(&back).unwrap();
    assert_eq!(call.lose(&device("bob"), 3000), Err(CallRefusal::NotInCall));
    call.lose(&back, 4000).unwrap();
    assert_eq!(end(&call), Some(CallEndReason::Lost));
    assert_eq!(state(&call, "bob"), "lost");
}

#[test]
fn when_the_inviter_s_node_dies_before_an_answer_the_call_is_cancelled() {
    let mut call = ann_calls(&["bob"]);
    call.lose(&device("ann"), 2000).unwrap();
    assert_eq!(end(&call), Some(CallEndReason::Cancelled));
}

#[test]
fn nothing_changes_an_ended_call() {
    let mut call = ann_calls(&["bob"]);
    call.reject(&device("bob"), 2000).unwrap();
    let over = call.clone();
    let (ann, bob) = (device("ann"), device("bob"));
    let refused = [
        call.accept(&bob, 3000),
        call.reject(&bob, 3000),
        call.hang_up(&ann, 3000),
        call.lose(&ann, 3000),
        call.expire(&user("bob"), 1, 3000),
        call.join(&bob, None, 9, 3000),
        call.invite(&ann, &[], RING, 9, 3000),
        call.switch_media(&ann, CallMedia::Audio),
        call.reach(&user("bob")),
        call.return_by(&ann),
    ];
    assert!(refused.iter().all(|result| *result == Err(CallRefusal::Over)));
    assert_eq!(call, over);
}

/// Documents wait on the bus while servers are replaced.
#[test]
fn a_document_keeps_its_form() {
    let call = ann_calls(&["bob"]);
    let json = serde_json::to_value(&call).unwrap();
    assert_eq!(json["parties"][1]["state"]["state"], "ringing");
    assert_eq!(json["id"], "0000000000000007");
    assert_eq!(serde_json::from_value::<Call>(json).unwrap(), call);
}
