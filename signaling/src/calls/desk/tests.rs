//! What is due when, in virtual time.

use rotunda_proto::call::{CallMedia, Found, NewCall};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::NodeId;

use super::*;

const RETURN: Duration = Duration::from_secs(15);

fn node(name: &str) -> Incarnation {
    Incarnation::new(name.parse::<NodeId>().unwrap(), 1)
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn device(name: &str, at: &str) -> Device {
    Device {
        user: user(name),
        device: "phone".parse().unwrap(),
        node: node(at),
    }
}

fn key() -> CallKey {
    (1.try_into().unwrap(), CallId(7))
}

/// Ann at node-1 calls bob for 30 s.
fn call() -> Call {
    let new = NewCall {
        app: key().0,
        id: key().1,
        inviter: device("ann", "node-1"),
        media: CallMedia::Audio,
        is_group: false,
        group_id: None,
        user_data: None,
    };
    Call::begin(new, &[(user("bob"), Found::Online)], Some(30_000), 0)
}

struct Test {
    desk: Desk,
    began: Instant,
}

impl Test {
    fn at(own: &str) -> Self {
        Self {
            desk: Desk::new(node(own), RETURN),
            began: Clock.now(),
        }
    }

    fn time(&self, seconds: u64) -> Instant {
        self.began + Duration::from_secs(seconds)
    }

    fn know(&mut self, seconds: u64, call: Option<&Call>) {
        let now = self.time(seconds);
        self.desk.handle_call(now, key(), call.cloned());
    }

    fn alive(&mut self, seconds: u64, nodes: &[&str]) {
        let alive = nodes.iter().map(|name| node(name)).collect();
        let now = self.time(seconds);
        self.desk.handle_living(now, Some(&alive));
    }

    fn due(&mut self, seconds: u64) -> Vec<Due> {
        let now = self.time(seconds);
        self.desk.handle_timeout(now)
    }

    fn next(&self) -> Option<u64> {
        self.desk
            .poll_timeout()
            .map(|at| at.duration_since(self.began).as_secs())
    }
}

fn expire(round: u64) -> Due {
    Due::Expire {
        call: key(),
        user: user("bob"),
        round,
    }
}

#[test]
fn an_invitation_expires_first_at_the_node_of_the_inviter_and_is_due_again_until_it_has() {
    let (mut own, mut other) = (Test::at("node-1"), Test::at("node-2"));
    own.know(0, Some(&call()));
    other.know(0, Some(&call()));
    assert_eq!((own.next(), other.next()), (Some(30), Some(33)));
    assert_eq!(own.due(29), []);
    assert_eq!(own.due(30), [expire(1)]);
    assert_eq!(own.next(), Some(32), "the change may have failed");
    let mut expired = call();
    expired.expire(&user("bob"), 1, 30_000).unwrap();
    own.know(31, Some(&expired));
    assert_eq!(own.due(40), []);
    assert_eq!(own.due(41), [Due::Forget { call: key() }]);
    own.know(41, None);
    assert_eq!(own.next(), None);
}

#[test]
fn another_change_of_the_call_does_not_put_an_invitation_off() {
    let mut test = Test::at("node-1");
    test.know(0, Some(&call()));
    let mut changed = call();
    changed
        .switch_media(&device("ann", "node-1"), CallMedia::Video)
        .unwrap();
    test.know(20, Some(&changed));
    assert_eq!(test.next(), Some(30));
    changed.accept(&device("bob", "node-2"), 25_000).unwrap();
    test.know(25, Some(&changed));
    assert_eq!(test.next(), None, "an accepted call has no time");
}

#[test]
fn a_call_without_a_limit_rings_until_somebody_acts() {
    let mut endless = call();
    let bob = endless.parties.last_mut().unwrap();
    bob.state = PartyState::Ringing {
        ring_ms: None,
        round: 1,
    };
    let mut test = Test::at("node-1");
    test.know(0, Some(&endless));
    assert_eq!(test.next(), None);
}

#[test]
fn a_device_whose_node_has_died_is_lost_unless_it_returns_by_another_one() {
    let mut accepted = call();
    accepted.accept(&device("bob", "node-2"), 1000).unwrap();
    let mut test = Test::at("node-1");
    test.alive(0, &["node-1", "node-2"]);
    test.know(1, Some(&accepted));
    assert_eq!(test.next(), None);
    test.alive(5, &["node-1"]);
    let lose = Due::Lose {
        call: key(),
        user: user("bob"),
        device: "phone".parse().unwrap(),
        node: node("node-2"),
    };
    assert_eq!(test.due(20), [lose]);
    let mut returned = accepted.clone();
    returned.return_by(&device("bob", "node-1")).unwrap();
    test.know(21, Some(&returned));
    assert_eq!(test.next(), None);
}

#[test]
fn a_node_that_is_listed_late_loses_nobody() {
    let mut accepted = call();
    accepted.accept(&device("bob", "node-2"), 1000).unwrap();
    let mut test = Test::at("node-1");
    test.alive(0, &["node-1"]);
    test.know(1, Some(&accepted));
    assert_eq!(test.next(), Some(16));
    test.alive(3, &["node-1", "node-2"]);
    assert_eq!(test.next(), None);
    test.desk.handle_living(test.time(4), None);
    assert_eq!(test.next(), None, "while the bus is away nobody is dead");
}

#[test]
fn a_device_of_this_node_has_its_time_to_come_back() {
    let mut test = Test::at("node-1");
    let phone: DeviceKey = (key().0, user("bob"), "phone".parse().unwrap());
    test.desk.handle_lost(test.time(0), phone.clone());
    assert_eq!(test.next(), Some(15));
    test.desk.handle_back(phone.clone());
    assert_eq!(test.next(), None);
    test.desk.handle_lost(test.time(20), phone.clone());
    assert_eq!(test.due(35), [Due::Unregister { device: phone }]);
    assert_eq!(test.next(), None);
}

#[test]
fn a_user_who_has_left_is_removed_from_the_room_unless_they_have_joined_again() {
    let mut accepted = call();
    accepted.accept(&device("bob", "node-2"), 1000).unwrap();
    let mut test = Test::at("node-1");
    test.know(0, Some(&accepted));
    test.desk.handle_left(test.time(0), key(), user("bob"));
    assert_eq!(test.due(5), [], "bob is in the call");
    test.desk.handle_left(test.time(5), key(), user("cat"));
    let eject = Due::Eject {
        call: key(),
        user: user("cat"),
    };
    assert_eq!(test.due(10), [eject]);
    assert_eq!(test.next(), None);
}
