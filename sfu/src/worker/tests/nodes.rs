//! A room whose members are on different nodes is like any other.

use std::time::Duration;

use rotunda_proto::custom_message::{ORDERED, write};
use rotunda_proto::sfu::Event;

use super::missing;
use super::simulation::{Link, Simulation, lossy, ms};

/// A room on three nodes of one worker each, and so many in it, one after the other on the next node.
fn on_three_nodes<const PEERS: usize>(seed: u64, link: Link) -> (Simulation, [usize; PEERS]) {
    let mut room = Simulation::with_nodes(seed, 3, 1, link);
    let peers = std::array::from_fn(|index| room.join(&format!("peer{index}"), Link::default(), Link::default()));
    for (index, peer) in peers.iter().enumerate() {
        assert_eq!(room.peers[*peer].worker, index % 3);
    }
    (room, peers)
}

/// The longest time between two packets that a viewer got in a slot.
fn longest_pause(room: &Simulation, viewer: usize) -> Duration {
    let got = room.peers[viewer].video(0);
    let pauses = got.windows(2).map(|pair| pair[1].at - pair[0].at);
    pauses.max().unwrap_or(Duration::MAX)
}

#[test]
fn viewers_at_other_nodes_get_every_packet_from_the_newest_keyframe_on() {
    let (mut room, [ann, bob, cat, dan]) = on_three_nodes(71, Link::default());
    room.publish(ann);
    room.run(ms(1000));
    for viewer in [bob, cat, dan] {
        room.watch(viewer, &[ann]);
    }
    room.run(ms(3000));
    for viewer in [bob, cat, dan] {
        let viewer = &room.peers[viewer];
        assert!(viewer.video(0).len() > 3 * 80, "{}", viewer.video(0).len());
        assert_eq!(missing(viewer.video(0)), 0);
        assert!(viewer.audio(0).len() > 140, "{}", viewer.audio(0).len());
    }
    assert!(room.peers[ann].keyframe_requests.len() <= 2, "one for all of them");
}

#[test]
fn losses_between_the_nodes_are_not_seen_by_viewers() {
    let link = lossy(0.05);
    let (mut room, [ann, bob, cat]) = on_three_nodes(72, link);
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch(cat, &[ann]);
    room.run(ms(2000));
    let asked = room.peers[ann].keyframe_requests.len();
    room.run(ms(20_000));
    // What was lost at the end is on its way again.
    room.pause(ann);
    room.run(ms(500));
    for viewer in [bob, cat] {
        let got = room.peers[viewer].video(0);
        assert!(got.len() > 21 * 85, "{}", got.len());
        assert_eq!(missing(got), 0, "of {}", got.len());
        let pause = longest_pause(&room, viewer);
        assert!(pause < ms(200), "{pause:?}");
        assert_eq!(missing(room.peers[viewer].audio(0)), 0);
    }
    let asked = room.peers[ann].keyframe_requests.len() - asked;
    assert_eq!(asked, 0, "no viewer needed a keyframe");
    let carried = room.carried(0, 1);
    assert!(carried.retransmitted > 50, "{carried:?}");
}

#[test]
fn video_goes_to_another_node_once_and_only_while_somebody_there_watches_it() {
    let mut room = Simulation::with_nodes(73, 2, 2, Link::default());
    // Two workers a node: peers 0, 1 are at the first node, 2, 3 at the second.
    let peers = ["ann", "bob", "cat", "dan"].map(|name| room.join(name, Link::default(), Link::default()));
    let [ann, bob, cat, dan] = peers;
    let mut by_worker = peers;
    by_worker.sort_by_key(|peer| room.peers[*peer].worker);
    assert_eq!(by_worker, peers, "each at a worker of its own");
    room.publish(ann);
    room.publish(bob);
    room.run(ms(1000));
    room.carried(0, 2);
    room.run(ms(1000));
    let audio_alone = room.carried(0, 2).packets;
    assert!(
        (90..=110).contains(&audio_alone),
        "{audio_alone} packets of two microphones"
    );
    for viewer in [cat, dan] {
        room.watch(viewer, &[ann, bob]);
    }
    room.run(ms(1000));
    room.carried(0, 2);
    room.run(ms(1000));
    // Two cameras of 30 frames of 3 packets, and two microphones.
    let watched = room.carried(0, 2).packets;
    assert!((270..=300).contains(&watched), "{watched} packets: each once");
    for (from, to) in [(0, 3), (1, 2), (1, 3)] {
        assert_eq!(room.carried(from, to).packets, 0, "from {from} to {to}");
    }
    for viewer in [cat, dan] {
        for slot in [0, 1] {
            let got = room.peers[viewer].video(slot);
            assert!(got.len() > 150, "{}", got.len());
            assert_eq!(missing(got), 0);
        }
    }
    room.watch(cat, &[]);
    room.run(ms(4000));
    assert!(
        room.peers[dan].video(0).last().unwrap().at + ms(100) > room.now,
        "dan goes on"
    );
    room.watch(dan, &[]);
    room.run(ms(6000));
    room.carried(0, 2);
    room.run(ms(1000));
    let released = room.carried(0, 2).packets;
    assert!((90..=110).contains(&released), "{released}");
    let before = room.peers[cat].video(0).len();
    room.watch(cat, &[ann]);
    room.run(ms(700));
    assert!(room.peers[cat].video(0).len() > before + 20, "seen again");
}

#[test]
fn a_viewer_at_a_node_that_was_not_in_the_room_sees_the_newest_frames_soon() {
    let mut room = Simulation::with_nodes(74, 2, 1, Link::default());
    let ann = room.join("ann", Link::default(), Link::default());
    room.publish(ann);
    room.run(ms(500));
    let asked = room.peers[ann].keyframe_requests.len();
    let bob = room.join("bob", Link::default(), Link::default());
    assert_eq!(room.peers[bob].worker, 1);
    room.watch(bob, &[ann]);
    room.run(ms(400));
    assert!(
        room.peers[bob].video(0).len() > 10,
        "{}",
        room.peers[bob].video(0).len()
    );
    assert!(room.peers[ann].keyframe_requests.len() <= asked + 1);
}

#[test]
fn a_forbidden_publisher_is_not_seen_at_any_node() {
    let (mut room, [ann, bob, cat]) = on_three_nodes(75, Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch(cat, &[ann]);
    room.run(ms(2000));
    room.forbid(ann);
    let forbidden = room.now;
    room.run(ms(1000));
    for viewer in [bob, cat] {
        let last = room.peers[viewer].video(0).last().unwrap().at;
        assert!(last <= forbidden + ms(40), "only what was on its way");
    }
    room.publish(ann);
    room.run(ms(1000));
    assert!(room.peers[bob].video(0).last().unwrap().at > forbidden + ms(1000));
}

#[test]
fn layers_are_paused_and_woken_by_the_viewers_of_all_nodes() {
    let mut room = Simulation::with_nodes(76, 3, 1, lossy(0.02));
    let ann = room.join_with_simulcast("ann");
    let [bob, cat] = ["bob", "cat"].map(|name| room.join(name, Link::default(), Link::default()));
    let active = |room: &Simulation| {
        let layers = room.peers[ann].layers.iter();
        layers.map(|layer| layer.active).collect::<Vec<_>>()
    };
    let height = |room: &Simulation, viewer: usize| room.peers[viewer].video(0).last().unwrap().height;
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch_at(cat, &[(ann, Some(180))]);
    room.run(ms(12_000));
    assert_eq!(active(&room), [true, false, true]);
    assert_eq!((height(&room, bob), height(&room, cat)), (720, 180));
    room.watch(bob, &[]);
    room.run(ms(9_000));
    assert_eq!(active(&room), [true, false, false], "nobody watches it at any node");
    room.watch_at(cat, &[(ann, Some(360))]);
    room.run(ms(3_000));
    assert_eq!(active(&room), [true, true, false]);
    assert_eq!(height(&room, cat), 360);
}

#[test]
fn a_viewer_at_another_node_gets_the_size_asked_for_whatever_is_paused_by_then() {
    for join in [
        Simulation::join_with_simulcast,
        Simulation::join_with_layers_in_one_stream,
    ] {
        for after in (0..8).step_by(2).map(|second| ms(1000 * second)) {
            let mut room = Simulation::with_nodes(77, 2, 1, Link::default());
            let ann = join(&mut room, "ann");
            room.publish(ann);
            room.run(after);
            let bob = room.join_as_viewer("bob", Link::default());
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
fn messages_reach_everybody_and_speakers_are_told_by_one_node() {
    let mut room = Simulation::with_nodes(78, 2, 2, Link::default());
    room.with_channels = true;
    let peers = ["ann", "bob", "cat", "dan", "eve"].map(|name| room.join(name, Link::default(), Link::default()));
    room.speak(peers[1], -20);
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
    let told = told.count();
    assert!((1..=2).contains(&told), "{told}: by one of the workers");
}

#[test]
fn the_death_of_a_node_ends_its_members_media_and_no_others() {
    let (mut room, [ann, bob, cat, dan]) = on_three_nodes(79, Link::default());
    assert_eq!(room.peers[dan].worker, 0);
    let replicas = |room: &Simulation, worker: usize| {
        let remembered = room.workers[worker].remembered();
        remembered.into_iter().find(|(what, _)| *what == "replicas").unwrap().1
    };
    for publisher in [ann, bob, cat] {
        room.publish(publisher);
    }
    room.watch(cat, &[ann, bob]);
    room.watch(dan, &[cat, bob]);
    room.run(ms(2000));
    let (of_ann, of_dan) = (replicas(&room, 2), replicas(&room, 0));
    room.kill_node(1);
    room.vanish(bob);
    room.run(ms(4000));
    assert!(
        replicas(&room, 2) < of_ann && replicas(&room, 0) < of_dan,
        "those of the dead node are gone"
    );
    let (got, from_ann) = (room.peers[cat].video(0), ann as u8);
    assert!(got.iter().all(|packet| packet.from == from_ann));
    assert_eq!(missing(got), 0);
    assert!(longest_pause(&room, cat) < ms(150) && longest_pause(&room, dan) < ms(150));
    assert!(got.last().unwrap().at + ms(100) > room.now);
    // Its member comes back at another node.
    let again = room.join("peer1", Link::default(), Link::default());
    assert_ne!(room.peers[again].worker, 1, "the simulation places peers in turn");
    room.publish(again);
    room.run(ms(1000));
    let newest = room.peers[cat].video(1).last().unwrap();
    assert_eq!(usize::from(newest.from), again);
}

#[test]
fn a_room_that_leaves_a_node_leaves_nothing_there() {
    let mut room = Simulation::with_nodes(80, 2, 2, Link::default());
    let before: Vec<_> = room.workers.iter().map(|worker| worker.remembered()).collect();
    let peers: Vec<usize> = (0..8)
        .map(|index| room.join(&format!("peer{index}"), Link::default(), Link::default()))
        .collect();
    for (index, peer) in peers.iter().enumerate() {
        room.publish(*peer);
        room.watch(*peer, &[peers[(index + 1) % 8], peers[(index + 4) % 8]]);
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
fn a_member_who_enters_again_at_another_node_is_seen_from_there() {
    let (mut room, [ann, bob, cat]) = on_three_nodes(81, Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch(cat, &[ann]);
    room.run(ms(2000));
    let elsewhere = room.join("dan", Link::default(), Link::default());
    let again = room.join("peer0", Link::default(), Link::default());
    assert_ne!(room.peers[again].worker, room.peers[ann].worker);
    room.publish(again);
    room.run(ms(200));
    room.leave(ann);
    room.watch(elsewhere, &[again]);
    room.run(ms(2000));
    for viewer in [bob, cat, elsewhere] {
        let newest = room.peers[viewer].video(0).last().unwrap();
        assert_eq!(usize::from(newest.from), again, "viewer {viewer}");
        assert!(newest.at + ms(100) > room.now);
    }
}

#[test]
fn a_publisher_who_moves_to_another_node_is_seen_without_a_pause() {
    let (mut room, [ann, bob, cat]) = on_three_nodes(82, Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch(cat, &[ann]);
    room.run(ms(2000));
    let dan = room.join("dan", Link::default(), Link::default());
    room.watch(dan, &[ann]);
    // Her session at another node is connected, and is not told to publish yet.
    let again = room.join("peer0", Link::default(), Link::default());
    assert_ne!(room.peers[again].worker, room.peers[ann].worker);
    room.run(ms(2000));
    for viewer in [bob, cat, dan] {
        let newest = room.peers[viewer].video(0).last().unwrap();
        assert_eq!(usize::from(newest.from), ann, "viewer {viewer}");
        assert!(newest.at + ms(100) > room.now);
    }
    // From now on it is the one that publishes; the former one still sends for a second.
    room.publish(again);
    room.run(ms(1000));
    room.leave(ann);
    room.run(ms(2000));
    for viewer in [bob, cat, dan] {
        let newest = room.peers[viewer].video(0).last().unwrap();
        assert_eq!(usize::from(newest.from), again, "viewer {viewer}");
        assert!(newest.at + ms(100) > room.now);
        assert!(longest_pause(&room, viewer) < ms(300), "viewer {viewer}");
    }
}
