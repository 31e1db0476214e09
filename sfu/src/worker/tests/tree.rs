//! A room on more nodes than a node sends to itself: its media goes from node to node, by the fan-out tree of the publisher's node.

use std::time::Duration;

use super::simulation::{Link, Simulation, lossy, ms};
use super::{longest_gap, missing};

/// A node of which others receive, though it is not the origin, and one of those.
#[derive(Debug, Clone, Copy)]
struct Branch {
    inner: usize,
    leaf: usize,
}

/// A room on so many nodes of one worker each, with one peer on each node; peer and node have the same number.
fn on_nodes(seed: u64, nodes: usize, fan_out: usize, link: Link) -> Simulation {
    let mut room = Simulation::with_tree(seed, nodes, fan_out, link);
    for node in 0..nodes {
        let peer = room.join(&format!("peer{node}"), Link::default(), Link::default());
        assert_eq!((peer, room.peers[peer].worker), (node, node));
    }
    room
}

/// A branch of the origin's tree: the inner node has the lowest number of its kind.
fn branch(room: &Simulation, origin: usize) -> Branch {
    let parents = room.parents(origin);
    let below = parents.iter().enumerate();
    let mut below = below.filter_map(|(leaf, parent)| Some((leaf, parent.filter(|parent| *parent != origin)?)));
    let (leaf, inner) = below.next().expect("some node is not a child of the origin");
    Branch { inner, leaf }
}

fn others(nodes: usize, origin: usize) -> Vec<usize> {
    (0..nodes).filter(|node| *node != origin).collect()
}

/// Packets that each node sends to each other one, as (from, to, packets), those that send any.
fn carried(room: &mut Simulation) -> Vec<(usize, usize, u64)> {
    let nodes = room.workers.len();
    let mut carried = Vec::new();
    for from in 0..nodes {
        for to in others(nodes, from) {
            let packets = room.carried(from, to).packets;
            if packets > 0 {
                carried.push((from, to, packets));
            }
        }
    }
    carried
}

#[test]
fn every_viewer_gets_every_packet_and_no_node_sends_more_copies_than_the_limit() {
    for (nodes, fan_out) in [(7, 2), (5, 1), (4, 8)] {
        let mut room = on_nodes(90, nodes, fan_out, Link::default());
        room.publish(0);
        room.run(ms(1000));
        for viewer in others(nodes, 0) {
            room.watch(viewer, &[0]);
        }
        room.run(ms(500));
        carried(&mut room);
        room.run(ms(3000));
        let parents = room.parents(0);
        let copies = carried(&mut room);
        assert_eq!(copies.len(), nodes - 1, "one copy for each node: {copies:?}");
        for (from, to, packets) in copies {
            assert_eq!(parents[to], Some(from));
            assert!(
                (400..=460).contains(&packets),
                "{packets} of 3 s of camera and microphone"
            );
        }
        for viewer in others(nodes, 0) {
            let viewer = &room.peers[viewer];
            assert!(viewer.video(0).len() > 3 * 85, "{}", viewer.video(0).len());
            assert_eq!(missing(viewer.video(0)), 0);
            assert_eq!(missing(viewer.audio(0)), 0);
            assert!(longest_gap(viewer.video(0)) < ms(150));
        }
        assert!(room.peers[0].keyframe_requests.len() <= 2, "one for all of them");
    }
}

#[test]
fn an_inner_node_forwards_what_nobody_watches_there_and_releases_it_again() {
    let mut room = on_nodes(91, 6, 2, Link::default());
    let Branch { inner, leaf } = branch(&room, 0);
    room.publish(0);
    room.run(ms(1000));
    room.watch(leaf, &[0]);
    room.run(ms(500));
    carried(&mut room);
    room.run(ms(2000));
    let video: Vec<(usize, usize)> = carried(&mut room)
        .into_iter()
        .filter(|(_, _, packets)| *packets > 150)
        .map(|(from, to, _)| (from, to))
        .collect();
    assert!(video.contains(&(inner, leaf)), "{video:?}");
    assert_eq!(video.len(), 2, "the way to the leaf, and no other: {video:?}");
    assert_eq!(missing(room.peers[leaf].video(0)), 0);
    room.watch(leaf, &[]);
    room.run(ms(6000));
    carried(&mut room);
    room.run(ms(1000));
    let packets = carried(&mut room).into_iter().map(|(_, _, packets)| packets).max();
    assert!(packets < Some(60), "the microphone alone: {packets:?}");
    room.watch(leaf, &[0]);
    room.run(ms(700));
    let last = room.peers[leaf].video(0).last().unwrap();
    assert!(last.at + ms(100) > room.now, "seen again");
}

#[test]
fn the_death_of_an_inner_node_interrupts_its_leaves_for_less_than_a_second_and_loses_no_video() {
    for seed in 92..96 {
        let mut room = on_nodes(seed, 7, 2, Link::default());
        let origin = (seed % 7) as usize;
        let Branch { inner, .. } = branch(&room, origin);
        let behind: Vec<usize> = room
            .parents(origin)
            .iter()
            .enumerate()
            .filter(|(_, parent)| **parent == Some(inner))
            .map(|(node, _)| node)
            .collect();
        room.publish(origin);
        for viewer in others(7, origin) {
            room.watch(viewer, &[origin]);
        }
        // The keyframe is too old for the cache of frames.
        room.run(ms(4000));
        let asked = room.peers[origin].keyframe_requests.len();
        room.kill_node(inner);
        room.vanish(inner);
        room.run(ms(4000));
        for viewer in others(7, origin) {
            if viewer == inner {
                continue;
            }
            let got = room.peers[viewer].video(0);
            assert!(got.last().unwrap().at + ms(100) > room.now, "viewer {viewer}");
            assert_eq!(missing(got), 0, "viewer {viewer}");
            let gap = longest_gap(got);
            let bound = if behind.contains(&viewer) { ms(800) } else { ms(150) };
            assert!(gap < bound, "viewer {viewer}: {gap:?}");
            let audio = longest_gap(room.peers[viewer].audio(0));
            assert!(audio < ms(800), "viewer {viewer}: {audio:?} of audio");
        }
        assert_eq!(
            room.peers[origin].keyframe_requests.len(),
            asked,
            "nobody needed a keyframe"
        );
    }
}

/// The next parent of a leaf has the track only since its own viewer came, a moment before.
#[test]
fn a_node_whose_new_parent_has_just_begun_to_receive_loses_no_video() {
    let mut tried = 0;
    for (seed, offset) in (130..145).zip((420..).step_by(15)) {
        let mut room = on_nodes(seed, 7, 2, Link::default());
        let origin = (seed % 7) as usize;
        let Branch { inner, leaf } = branch(&room, origin);
        room.publish(origin);
        room.watch(leaf, &[origin]);
        room.run(ms(4000));
        room.kill_node(inner);
        room.vanish(inner);
        let next = room.parents(origin)[leaf].expect("the leaf has a parent");
        if next == origin {
            continue;
        }
        tried += 1;
        room.run(ms(offset));
        room.watch(next, &[origin]);
        room.run(ms(2000));
        for viewer in [leaf, next] {
            let got = room.peers[viewer].video(0);
            assert!(got.last().unwrap().at + ms(100) > room.now, "{seed}: {viewer}");
            assert_eq!(missing(got), 0, "{seed}: {viewer} after {offset} ms");
        }
        let gap = longest_gap(room.peers[leaf].video(0));
        assert!(gap < ms(800), "{seed}: {gap:?} after {offset} ms");
    }
    assert!(
        tried >= 5,
        "{tried} leaves have another inner node as their next parent"
    );
}

#[test]
fn a_node_that_comes_or_leaves_changes_the_tree_without_a_gap() {
    let mut room = Simulation::with_tree(96, 8, 2, Link::default());
    let join = |room: &mut Simulation| {
        let name = format!("peer{}", room.peers.len());
        room.join(&name, Link::default(), Link::default())
    };
    let ann = join(&mut room);
    room.publish(ann);
    let mut viewers = Vec::new();
    for _ in 1..8 {
        let viewer = join(&mut room);
        room.watch(viewer, &[ann]);
        viewers.push(viewer);
        room.run(ms(700));
    }
    room.run(ms(2000));
    let Branch { inner, .. } = branch(&room, ann);
    room.leave(inner);
    room.run(ms(3000));
    for viewer in viewers.into_iter().filter(|viewer| *viewer != inner) {
        let got = room.peers[viewer].video(0);
        assert_eq!(missing(got), 0, "viewer {viewer}");
        let gap = longest_gap(got);
        assert!(gap < ms(200), "viewer {viewer}: {gap:?}");
        assert!(got.last().unwrap().at + ms(100) > room.now, "viewer {viewer}");
    }
}

#[test]
fn losses_between_the_nodes_of_a_tree_are_not_seen_by_viewers() {
    let mut room = on_nodes(97, 6, 2, lossy(0.05));
    room.publish(0);
    for viewer in others(6, 0) {
        room.watch(viewer, &[0]);
    }
    room.run(ms(2000));
    let asked = room.peers[0].keyframe_requests.len();
    room.run(ms(20_000));
    room.pause(0);
    room.run(ms(600));
    for viewer in others(6, 0) {
        let got = room.peers[viewer].video(0);
        assert!(got.len() > 21 * 85, "{}", got.len());
        assert_eq!(missing(got), 0, "of {}", got.len());
        let gap = longest_gap(got);
        assert!(gap < ms(250), "{gap:?}");
    }
    assert_eq!(
        room.peers[0].keyframe_requests.len(),
        asked,
        "no viewer needed a keyframe"
    );
}

#[test]
fn a_forbidden_publisher_is_not_seen_behind_inner_nodes() {
    let mut room = on_nodes(98, 5, 1, Link::default());
    room.publish(0);
    for viewer in others(5, 0) {
        room.watch(viewer, &[0]);
    }
    room.run(ms(2000));
    room.forbid(0);
    let forbidden = room.now;
    room.run(ms(1000));
    for viewer in others(5, 0) {
        let last = room.peers[viewer].video(0).last().unwrap().at;
        assert!(
            last <= forbidden + ms(80),
            "only what was on its way: {:?}",
            last - forbidden
        );
    }
    room.publish(0);
    room.run(ms(1500));
    for viewer in others(5, 0) {
        assert!(room.peers[viewer].video(0).last().unwrap().at > forbidden + ms(1000));
    }
}

#[test]
fn layers_are_paused_and_woken_by_viewers_behind_inner_nodes() {
    let mut room = Simulation::with_tree(99, 4, 1, Link::default());
    let ann = room.join_with_simulcast("ann");
    for name in ["bob", "cat", "dan"] {
        room.join(name, Link::default(), Link::default());
    }
    // The ends of the chain.
    let mut chain = vec![ann];
    while let Some(next) = room
        .parents(ann)
        .iter()
        .position(|parent| *parent == chain.last().copied())
    {
        chain.push(next);
    }
    let &[_, _, middle, last] = chain.as_slice() else {
        panic!("{chain:?}")
    };
    let active = |room: &Simulation| {
        let layers = room.peers[ann].layers.iter();
        layers.map(|layer| layer.active).collect::<Vec<_>>()
    };
    let height = |room: &Simulation, viewer: usize| room.peers[viewer].video(0).last().unwrap().height;
    room.publish(ann);
    room.watch(last, &[ann]);
    room.watch_at(middle, &[(ann, Some(180))]);
    room.run(ms(12_000));
    assert_eq!(active(&room), [true, false, true]);
    assert_eq!((height(&room, last), height(&room, middle)), (720, 180));
    room.watch(last, &[]);
    room.run(ms(9_000));
    assert_eq!(active(&room), [true, false, false], "nobody watches it at any node");
    room.watch_at(last, &[(ann, Some(360))]);
    room.run(ms(3_000));
    assert_eq!(active(&room), [true, true, false]);
    assert_eq!(height(&room, last), 360);
}

#[test]
fn members_who_leave_or_vanish_leave_nothing_at_any_node() {
    let mut room = Simulation::with_tree(100, 6, 2, Link::default());
    let before: Vec<_> = room.workers.iter().map(|worker| worker.remembered()).collect();
    let peers: Vec<usize> = (0..12)
        .map(|index| room.join(&format!("peer{index}"), Link::default(), Link::default()))
        .collect();
    for (index, peer) in peers.iter().enumerate() {
        room.publish(*peer);
        room.watch(*peer, &[peers[(index + 1) % 12], peers[(index + 5) % 12]]);
    }
    room.run(ms(2000));
    for (index, peer) in peers.iter().enumerate() {
        match index % 2 {
            0 => room.leave(*peer),
            _ => room.vanish(*peer),
        }
        room.run(ms(100));
    }
    room.run(ms(60_000));
    let after: Vec<_> = room.workers.iter().map(|worker| worker.remembered()).collect();
    assert_eq!(after, before);
}

#[test]
fn a_publisher_who_moves_to_another_node_is_seen_by_its_tree() {
    let mut room = on_nodes(101, 6, 2, Link::default());
    room.publish(0);
    for viewer in others(6, 0) {
        room.watch(viewer, &[0]);
    }
    room.run(ms(2000));
    // On the node with the next number.
    let _first = room.join("first", Link::default(), Link::default());
    let again = room.join("peer0", Link::default(), Link::default());
    assert_ne!(room.peers[again].worker, 0);
    room.publish(again);
    room.run(ms(1000));
    room.leave(0);
    room.run(ms(2000));
    for viewer in others(6, 0) {
        let got = room.peers[viewer].video(0);
        let newest = got.last().unwrap();
        assert_eq!(usize::from(newest.from), again, "viewer {viewer}");
        assert!(newest.at + ms(100) > room.now);
        assert!(longest_gap(got) < ms(400), "viewer {viewer}: {:?}", longest_gap(got));
    }
}

/// Two inner nodes die, one after the other, while a link is lossy; and a node that is cut off for a moment is not lost.
#[test]
fn viewers_see_again_within_a_second_whatever_inner_nodes_die() {
    let mut room = on_nodes(102, 9, 2, lossy(0.02));
    room.publish(0);
    for viewer in others(9, 0) {
        room.watch(viewer, &[0]);
    }
    room.run(ms(3000));
    let mut dead = Vec::new();
    for _ in 0..2 {
        let Branch { inner, .. } = branch(&room, 0);
        room.kill_node(inner);
        room.vanish(inner);
        dead.push(inner);
        room.run(ms(1200));
        let alive = others(9, 0).into_iter().filter(|viewer| !dead.contains(viewer));
        for viewer in alive {
            let last = room.peers[viewer].video(0).last().unwrap().at;
            let silent: Duration = room.now - last;
            assert!(silent < ms(200), "viewer {viewer}: {silent:?}");
        }
        room.run(ms(3000));
    }
}
