//! A turn leaves nothing for the next one that is not due later.

use str0m::net::Protocol;

use super::simulation::{Link, Simulation, lossy, ms};

/// RFC 8445 §7.1: priority, that the peer controls, and that it nominates.
pub(super) const NOMINATING: [u8; 24] = [
    0, 0x24, 0, 4, 0x6e, 0, 1, 0xff, 0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x25, 0, 0,
];

/// Ann has published to bob and sends nothing now, so that nothing else makes the worker's thread wake.
fn still_room() -> (Simulation, [usize; 2]) {
    let mut room = Simulation::new(71);
    let [ann, bob] = ["ann", "bob"].map(|name| room.join(name, Link::default(), Link::default()));
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(3000));
    room.pause(ann);
    // The packets on their way have come, and the last request is long enough ago.
    room.run(ms(1500));
    (room, [ann, bob])
}

#[test]
fn a_keyframe_is_asked_for_in_the_turn_in_which_a_viewer_moves() {
    let (mut room, [ann, bob]) = still_room();
    room.peers[bob].address = ([10, 2, 0, 9], 6000).into();
    let check = room.sealed_check(bob, &NOMINATING);
    let before = room.in_flight(ann);
    room.inject(room.peers[bob].address, Protocol::Udp, &check);
    room.run(ms(0));
    assert_eq!(room.in_flight(ann), before + 1);
}

#[test]
fn a_viewer_who_waits_for_a_keyframe_leaves_nothing_for_the_next_turn() {
    let (mut room, [ann, bob]) = still_room();
    room.watch(bob, &[]);
    // Requests do not reach ann, so each of her frames finds that bob's slot still waits.
    room.peers[ann].down = lossy(1.0);
    room.publish_without_keyframe(ann);
    room.watch(bob, &[ann]);
    room.run(ms(4000));
    let asked = room.statistics(ann).uplink[0].keyframe_requests;
    assert!(asked >= 4, "{asked}");
    assert!(room.turns > 100);
    assert_eq!(room.unfinished_turns, 0);
}
