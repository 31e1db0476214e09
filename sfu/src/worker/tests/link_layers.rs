//! Simulcast layers between nodes: each goes to the nodes where it is watched, and a link is asked for no more than it carries.

use super::simulation::{Link, Simulation, ms, narrow};
use super::{longest_gap, missing};

/// Ann at the first node, with layers of 216, 432 and 864 kbit/s, and viewers at the next ones.
fn with_viewers<const VIEWERS: usize>(seed: u64, fan_out: usize) -> (Simulation, usize, [usize; VIEWERS]) {
    let mut room = Simulation::with_tree(seed, VIEWERS + 1, fan_out, Link::default());
    let ann = room.join_with_simulcast("ann");
    let viewers = std::array::from_fn(|index| room.join_as_viewer(&format!("viewer{index}"), Link::default()));
    room.publish(ann);
    (room, ann, viewers)
}

fn height(room: &Simulation, viewer: usize) -> u16 {
    room.peers[viewer].video(0).last().unwrap().height
}

/// The heights that a viewer saw, one after the other, each with the milliseconds since a moment.
fn heights(room: &Simulation, viewer: usize, since: std::time::Instant) -> Vec<(u128, u16)> {
    let got = room.peers[viewer].video(0).iter().filter(|got| got.at >= since);
    let mut heights: Vec<(u128, u16)> = got.map(|got| ((got.at - since).as_millis(), got.height)).collect();
    heights.dedup_by_key(|(_, height)| *height);
    heights
}

/// The time of the last packet of that height or more.
fn last_as_high(room: &Simulation, viewer: usize, height: u16) -> std::time::Instant {
    let got = room.peers[viewer].video(0).iter();
    got.filter(|got| got.height >= height).map(|got| got.at).max().unwrap()
}

#[test]
fn a_layer_goes_to_the_nodes_where_it_is_watched() {
    let (mut room, ann, [bob, cat]) = with_viewers(110, 8);
    room.watch(bob, &[ann]);
    room.watch_at(cat, &[(ann, Some(180))]);
    room.run(ms(6000));
    assert_eq!((height(&room, bob), height(&room, cat)), (720, 180));
    for to in [1, 2] {
        room.carried(0, to);
    }
    room.run(ms(2000));
    // Of 30 frames a second 4 packets and 1 packet, for bob the lowest layer as well; and 50 of the microphone.
    let (to_bob, to_cat) = (room.carried(0, 1).packets, room.carried(0, 2).packets);
    assert!((380..=420).contains(&to_bob), "{to_bob}");
    assert!((150..=170).contains(&to_cat), "{to_cat}");
    // What is asked for comes soon, and what is not asked for any more goes on for a moment only.
    let asked_at = room.now;
    room.watch(cat, &[ann]);
    room.watch_at(bob, &[(ann, Some(360))]);
    room.run(ms(3000));
    assert_eq!((height(&room, bob), height(&room, cat)), (360, 720));
    let first = room.peers[cat].video(0).iter().find(|got| got.height == 720).unwrap();
    assert!(first.at - asked_at < ms(1500), "{:?}", first.at - asked_at);
    for viewer in [bob, cat] {
        let gap = longest_gap(room.peers[viewer].video(0));
        assert!(gap < ms(300), "{gap:?}");
        assert_eq!(missing(room.peers[viewer].video(0)), 0);
    }
}

#[test]
fn a_narrow_link_is_asked_for_smaller_layers_in_place_of_losses() {
    let (mut room, ann, [bob, cat]) = with_viewers(111, 8);
    for viewer in [bob, cat] {
        room.watch(viewer, &[ann]);
    }
    room.run(ms(8000));
    assert_eq!((height(&room, bob), height(&room, cat)), (720, 720));
    // Both links carry the two smaller layers and the microphone, and not the largest one.
    room.set_node_links(narrow(900));
    let narrow_at = room.now;
    room.run(ms(5000));
    for viewer in [bob, cat] {
        let seen = heights(&room, viewer, narrow_at);
        assert_eq!(height(&room, viewer), 360, "viewer {viewer}: {seen:?}");
        let last = last_as_high(&room, viewer, 720);
        assert!(last - narrow_at < ms(3000), "{:?}", last - narrow_at);
    }
    let settled = room.now;
    room.run(ms(8000));
    for viewer in [bob, cat] {
        let got: Vec<_> = room.peers[viewer]
            .video(0)
            .iter()
            .filter(|got| got.at >= settled)
            .copied()
            .collect();
        assert!(got.iter().all(|got| got.height == 360));
        assert_eq!(missing(&got), 0);
        assert!(longest_gap(&got) < ms(150), "{:?}", longest_gap(&got));
    }
    // It is wide again: the largest layer is tried, and stays.
    room.set_node_links(Link::default());
    room.run(ms(20_000));
    for viewer in [bob, cat] {
        assert_eq!(height(&room, viewer), 720, "viewer {viewer}");
    }
}

#[test]
fn nodes_behind_a_narrow_link_of_a_tree_show_what_comes_through_it() {
    let (mut room, ann, viewers) = with_viewers::<3>(112, 1);
    for viewer in viewers {
        room.watch(viewer, &[ann]);
    }
    room.run(ms(8000));
    room.set_node_links(narrow(900));
    let narrow_at = room.now;
    room.run(ms(10_000));
    let settled = room.now;
    room.run(ms(4000));
    for viewer in viewers {
        let seen = heights(&room, viewer, narrow_at);
        assert_eq!(height(&room, viewer), 360, "viewer {viewer}: {seen:?}");
        let got: Vec<_> = room.peers[viewer]
            .video(0)
            .iter()
            .filter(|got| got.at >= settled)
            .copied()
            .collect();
        assert_eq!(missing(&got), 0);
    }
}

/// Ann at the first node, with three sizes in one stream of 432, 864 and 1,728 kbit/s, and viewers at the next ones.
fn with_viewers_of_one_stream<const VIEWERS: usize>(
    seed: u64,
    fan_out: usize,
) -> (Simulation, usize, [usize; VIEWERS]) {
    let mut room = Simulation::with_tree(seed, VIEWERS + 1, fan_out, Link::default());
    let ann = room.join_with_layers_in_one_stream("ann");
    let viewers = std::array::from_fn(|index| room.join_as_viewer(&format!("viewer{index}"), Link::default()));
    room.publish(ann);
    for viewer in viewers {
        room.watch(viewer, &[ann]);
    }
    room.run(ms(8000));
    (room, ann, viewers)
}

/// The largest height of the pictures of the last second.
fn largest(room: &Simulation, viewer: usize) -> u16 {
    let got = room.peers[viewer].video(0).iter();
    let late = got.filter(|got| got.at + ms(1000) > room.now);
    late.map(|got| got.height).max().unwrap()
}

#[test]
fn sizes_inside_one_stream_go_to_the_nodes_where_they_are_watched() {
    let (mut room, ann, [bob, cat]) = with_viewers_of_one_stream(113, 8);
    room.watch_at(cat, &[(ann, Some(180))]);
    room.run(ms(4000));
    for to in [1, 2] {
        room.carried(0, to);
    }
    room.run(ms(2000));
    // Of 30 pictures a second 14 packets and 2 packets; and 50 of the microphone.
    let (to_bob, to_cat) = (room.carried(0, 1).packets, room.carried(0, 2).packets);
    assert!((920..=980).contains(&to_bob), "{to_bob}");
    assert!((210..=235).contains(&to_cat), "{to_cat}");
    let asked_at = room.now;
    room.watch(cat, &[ann]);
    room.run(ms(3000));
    let first = room.peers[cat]
        .video(0)
        .iter()
        .find(|got| got.at > asked_at && got.height == 720);
    let after = first.unwrap().at - asked_at;
    assert!(after < ms(1500), "{after:?}");
    for viewer in [bob, cat] {
        let got = room.peers[viewer].video(0);
        assert_eq!((largest(&room, viewer), missing(got)), (720, 0));
        assert!(longest_gap(got) < ms(150), "{:?}", longest_gap(got));
    }
}

#[test]
fn a_narrow_link_is_asked_for_smaller_sizes_inside_one_stream() {
    for (seed, fan_out) in [(114, 8), (115, 1)] {
        let (mut room, _, viewers) = with_viewers_of_one_stream::<2>(seed, fan_out);
        for viewer in viewers {
            assert_eq!(largest(&room, viewer), 720);
        }
        // Each link carries the two smaller sizes and the microphone, and not the largest one.
        room.set_node_links(narrow(2000));
        let narrow_at = room.now;
        room.run(ms(6000));
        for viewer in viewers {
            let seen = heights(&room, viewer, narrow_at);
            assert_eq!(largest(&room, viewer), 360, "viewer {viewer} with {fan_out}: {seen:?}");
        }
        let settled = room.now;
        room.run(ms(6000));
        for viewer in viewers {
            let got = room.peers[viewer].video(0).iter().filter(|got| got.at >= settled);
            let got: Vec<_> = got.copied().collect();
            assert!(got.iter().all(|got| got.height <= 360));
            assert_eq!(missing(&got), 0, "viewer {viewer} with {fan_out}");
            assert!(longest_gap(&got) < ms(150), "{:?}", longest_gap(&got));
        }
        room.set_node_links(Link::default());
        room.run(ms(20_000));
        for viewer in viewers {
            assert_eq!(largest(&room, viewer), 720, "viewer {viewer} with {fan_out}");
        }
    }
}
