//! A viewer's link that is dead for a while and comes back.

use std::time::Duration;

use rotunda_proto::sfu::Event;

use super::simulation::{Link, Simulation, lossy, ms};

/// Bob watches ann, and hears and says nothing for so long. Answers the room and the two of them.
fn after_silence(seconds: u64) -> (Simulation, [usize; 2]) {
    let mut room = Simulation::new(91);
    let [ann, bob] = ["ann", "bob"].map(|name| room.join(name, Link::default(), Link::default()));
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(5_000));
    (room.peers[bob].up, room.peers[bob].down) = (lossy(1.0), lossy(1.0));
    room.run(Duration::from_secs(seconds));
    (room.peers[bob].up, room.peers[bob].down) = (Link::default(), Link::default());
    (room, [ann, bob])
}

fn is_lost(room: &Simulation) -> bool {
    let mut events = room.events.iter();
    events.any(|(_, event)| matches!(event, Event::Disconnected { .. }))
}

#[test]
fn a_viewer_who_is_back_within_half_a_minute_goes_on_in_the_session_with_a_keyframe() {
    for seconds in [1, 10, 20, 25, 28] {
        let (mut room, [ann, bob]) = after_silence(seconds);
        assert!(!is_lost(&room), "{seconds} s");
        let back = room.now;
        room.restart_ice(bob);
        room.run(ms(2_000));
        let asked = room.peers[ann].keyframe_requests.iter().find(|at| **at >= back);
        let asked = *asked.expect("a keyframe") - back;
        assert!(asked < ms(500), "{seconds} s: a keyframe after {asked:?}");
        let video = room.peers[bob].video(0).iter().filter(|got| got.at > back + asked);
        assert!(video.count() > 100, "{seconds} s");
    }
}

#[test]
fn a_peer_that_is_silent_for_longer_has_left() {
    let (room, _) = after_silence(31);
    assert!(is_lost(&room));
}

/// Ann publishes and keeps her path open by indications alone (RFC 8445 §11), as GStreamer's `webrtcbin` does.
fn with_indications_alone() -> (Simulation, [usize; 2]) {
    let mut room = Simulation::new(92);
    let [ann, bob] = ["ann", "bob"].map(|name| room.join(name, Link::default(), Link::default()));
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(5_000));
    room.peers[ann].checks = false;
    (room, [ann, bob])
}

#[test]
fn a_publisher_whose_packets_come_is_alive_without_ice_checks() {
    let (mut room, [ann, bob]) = with_indications_alone();
    room.run(Duration::from_secs(90));
    assert!(!is_lost(&room));
    let newest = room.peers[bob].video(0).last().unwrap().at;
    assert!(room.now - newest < ms(200));
    // Requests for keyframes still reach the publisher.
    let asked = room.peers[ann].keyframe_requests.len();
    room.watch(bob, &[]);
    room.run(ms(2_000));
    room.watch(bob, &[ann]);
    room.run(ms(1_000));
    assert_eq!(room.peers[ann].keyframe_requests.len(), asked + 1);
}

#[test]
fn a_viewer_whose_reports_come_is_alive_without_ice_checks() {
    let (mut room, [ann, bob]) = with_indications_alone();
    (room.peers[ann].checks, room.peers[bob].checks) = (true, false);
    room.run(Duration::from_secs(60));
    assert!(!is_lost(&room));
}

#[test]
fn indications_prove_nothing_unless_they_are_signed() {
    for signed in [false, true] {
        let (mut room, [ann, _]) = with_indications_alone();
        room.peers[ann].up = lossy(1.0);
        for _ in 0..40 {
            if is_lost(&room) {
                break;
            }
            let mut indication = room.sealed_check_of_kind(ann, 0x11, &[]);
            if !signed {
                *indication.last_mut().unwrap() ^= 1;
            }
            let from = room.peers[ann].address;
            room.inject(from, str0m::net::Protocol::Udp, &indication);
            room.run(Duration::from_secs(1));
        }
        assert_eq!(is_lost(&room), !signed);
    }
}
