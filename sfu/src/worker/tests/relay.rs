//! A room whose members are on different workers is like any other.

use rotunda_proto::custom_message::{ORDERED, write};
use rotunda_proto::sfu::Event;

use super::missing;
use super::simulation::{Link, Simulation, lossy, ms};

/// A room on three workers, and so many in it, one after the other on the next worker.
fn on_three_workers<const PEERS: usize>(seed: u64) -> (Simulation, [usize; PEERS]) {
    let mut room = Simulation::with_workers(seed, 3);
    let peers = std::array::from_fn(|index| room.join(&format!("peer{index}"), Link::default(), Link::default()));
    for (index, peer) in peers.iter().enumerate() {
        assert_eq!(room.peers[*peer].worker, index % 3);
    }
    (room, peers)
}

#[test]
fn viewers_at_other_workers_get_every_packet_from_the_newest_keyframe_on() {
    let (mut room, [ann, bob, cat, dan]) = on_three_workers(61);
    room.publish(ann);
    room.run(ms(1000));
    for viewer in [bob, cat, dan] {
        room.watch(viewer, &[ann]);
    }
    room.run(ms(3000));
    for viewer in [bob, cat, dan] {
        let viewer = &room.peers[viewer];
        assert!(viewer.video(0).len() > 3 * 85, "{}", viewer.video(0).len());
        assert_eq!(missing(viewer.video(0)), 0);
        assert!(viewer.audio(0).len() > 140, "{}", viewer.audio(0).len());
    }
    assert!(room.peers[ann].keyframe_requests.len() <= 2, "one for all of them");
}

#[test]
fn a_viewer_at_a_worker_that_was_not_in_the_room_sees_the_newest_frames_at_once() {
    let mut room = Simulation::with_workers(62, 2);
    let ann = room.join("ann", Link::default(), Link::default());
    room.publish(ann);
    room.run(ms(500));
    let asked = room.peers[ann].keyframe_requests.len();
    let bob = room.join("bob", Link::default(), Link::default());
    assert_eq!(room.peers[bob].worker, 1);
    room.watch(bob, &[ann]);
    room.run(ms(250));
    assert!(
        room.peers[bob].video(0).len() > 10,
        "{}",
        room.peers[bob].video(0).len()
    );
    assert_eq!(room.peers[ann].keyframe_requests.len(), asked);
}

#[test]
fn losses_of_a_viewer_are_repaired_by_its_own_worker() {
    let mut room = Simulation::with_workers(63, 2);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), lossy(0.1));
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(8000));
    let got = room.peers[bob].video(0);
    assert!(
        missing(got) * 200 < got.len() as u64,
        "{} of {}",
        missing(got),
        got.len()
    );
}

#[test]
fn a_forbidden_publisher_is_not_seen_at_any_worker() {
    let (mut room, [ann, bob, cat]) = on_three_workers(64);
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch(cat, &[ann]);
    room.run(ms(2000));
    room.forbid(ann);
    let forbidden = room.now;
    room.run(ms(1000));
    for viewer in [bob, cat] {
        let last = room.peers[viewer].video(0).last().unwrap().at;
        assert!(last <= forbidden + ms(20), "only what was on its way");
    }
    room.publish(ann);
    room.run(ms(1000));
    assert!(room.peers[bob].video(0).last().unwrap().at > forbidden + ms(1000));
}

#[test]
fn layers_are_paused_and_woken_by_the_viewers_of_all_workers() {
    let mut room = Simulation::with_workers(65, 3);
    let ann = room.join_with_simulcast("ann");
    let [bob, cat] = ["bob", "cat"].map(|name| room.join(name, Link::default(), Link::default()));
    let active = |room: &Simulation| {
        room.peers[ann]
            .layers
            .iter()
            .map(|layer| layer.active)
            .collect::<Vec<_>>()
    };
    let height = |room: &Simulation, viewer: usize| room.peers[viewer].video(0).last().unwrap().height;
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch_at(cat, &[(ann, Some(180))]);
    room.run(ms(12_000));
    assert_eq!(active(&room), [true, false, true]);
    assert_eq!((height(&room, bob), height(&room, cat)), (720, 180));
    room.watch(bob, &[]);
    room.run(ms(6_000));
    assert_eq!(active(&room), [true, false, false], "nobody watches it at any worker");
    room.watch_at(cat, &[(ann, Some(360))]);
    room.run(ms(2_000));
    assert_eq!(active(&room), [true, true, false]);
    assert_eq!(height(&room, cat), 360);
}

#[test]
fn a_viewer_at_another_worker_gets_the_size_asked_for_whatever_is_paused_by_then() {
    for after in (0..8).map(|second| ms(1000 * second)) {
        for join in [
            Simulation::join_with_simulcast,
            Simulation::join_with_layers_in_one_stream,
        ] {
            let mut room = Simulation::with_workers(67, 2);
            let ann = join(&mut room, "ann");
            room.publish(ann);
            room.run(after);
            let bob = room.join_as_viewer("bob", Link::default());
            assert_eq!(room.peers[bob].worker, 1);
            for height in [180, 360, 720] {
                room.watch_at(bob, &[(ann, Some(height))]);
                room.run(ms(2_500));
                let shown = room.peers[bob].video(0).last().unwrap().height;
                assert_eq!(shown, height, "after {after:?}");
            }
        }
    }
}

#[test]
fn messages_reach_everybody_and_speakers_are_told_once() {
    let mut room = Simulation::with_workers(66, 3);
    room.with_channels = true;
    let peers = ["ann", "bob", "cat", "dan"].map(|name| room.join(name, Link::default(), Link::default()));
    room.publish(peers[1]);
    room.run(ms(2000));
    room.send_message(peers[0], ORDERED, b"\x07hello");
    room.run(ms(200));
    let hello = write(&room.peers[peers[0]].user, 7, 1, b"hello");
    for peer in &peers[1..] {
        let got: Vec<_> = room.peers[*peer]
            .messages
            .iter()
            .map(|(_, bytes)| bytes.clone())
            .collect();
        assert_eq!(got, std::slice::from_ref(&hello));
    }
    assert!(room.peers[peers[0]].messages.is_empty());
    let told = room
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Speakers { .. }));
    assert!(told.count() <= 2, "by one of the workers");
}

#[test]
fn a_room_that_leaves_a_worker_leaves_nothing_there() {
    let mut room = Simulation::with_workers(67, 3);
    let before: Vec<_> = room.workers.iter().map(|worker| worker.remembered()).collect();
    let peers: Vec<usize> = (0..9)
        .map(|index| room.join(&format!("peer{index}"), Link::default(), Link::default()))
        .collect();
    for (index, peer) in peers.iter().enumerate() {
        room.publish(*peer);
        room.watch(*peer, &[peers[(index + 1) % 9], peers[(index + 4) % 9]]);
    }
    room.run(ms(2000));
    for (index, peer) in peers.iter().enumerate() {
        if index % 2 == 0 {
            room.leave(*peer);
        } else {
            room.vanish(*peer);
        }
        room.run(ms(100));
    }
    room.run(ms(60_000));
    let after: Vec<_> = room.workers.iter().map(|worker| worker.remembered()).collect();
    assert_eq!(after, before);
}

#[test]
fn a_member_who_enters_again_at_another_worker_is_seen_from_there() {
    let (mut room, [ann, bob, cat]) = on_three_workers(68);
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch(cat, &[ann]);
    room.run(ms(2000));
    let again = room.join("peer0", Link::default(), Link::default());
    assert_ne!(room.peers[again].worker, room.peers[bob].worker);
    // A session that is not the newest is not seen any more, wherever it is.
    let elsewhere = room.join("dan", Link::default(), Link::default());
    let last = room.join("peer0", Link::default(), Link::default());
    assert_ne!(room.peers[last].worker, room.peers[again].worker);
    room.publish(last);
    room.leave(ann);
    room.leave(again);
    room.watch(elsewhere, &[last]);
    room.run(ms(2000));
    for viewer in [bob, cat, elsewhere] {
        let newest = room.peers[viewer].video(0).last().unwrap();
        assert_eq!(usize::from(newest.from), last, "viewer {viewer}");
        assert!(newest.at + ms(100) > room.now);
    }
}
