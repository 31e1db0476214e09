//! Members' own messages over data channels.

use rotunda_proto::custom_message::{CustomMessage, ORDERED, UNORDERED, write};
use rotunda_proto::sfu::Event;

use super::simulation::{self, Link, Simulation, lossy, ms};

/// The messages that a peer got on the channel of this label.
fn got(room: &Simulation, peer: usize, label: &str) -> Vec<Vec<u8>> {
    let messages = room.peers[peer].messages.iter();
    let of_label = messages.filter(|(of, _)| of == label);
    of_label.map(|(_, bytes)| bytes.clone()).collect()
}

/// Three in a room with channels, once these are open.
fn three(seed: u64, down: Link) -> (Simulation, [usize; 3]) {
    let mut room = Simulation::new(seed);
    room.with_channels = true;
    let peers = ["ann", "bob", "cat"].map(|name| room.join(name, Link::default(), down));
    room.run(ms(2_000));
    (room, peers)
}

#[test]
fn a_message_reaches_everybody_else_in_the_room_with_its_sender() {
    let (mut room, [ann, bob, cat]) = three(51, Link::default());
    room.send_message(ann, ORDERED, b"\x07hello");
    room.send_message(bob, UNORDERED, b"\x01hi");
    room.run(ms(200));
    let (hello, hi) = (
        write(&room.peers[ann].user, 7, 1, b"hello"),
        write(&room.peers[bob].user, 1, 1, b"hi"),
    );
    for peer in [bob, cat] {
        assert_eq!(got(&room, peer, ORDERED), std::slice::from_ref(&hello));
    }
    for peer in [ann, cat] {
        assert_eq!(got(&room, peer, UNORDERED), std::slice::from_ref(&hi));
    }
    assert!(got(&room, ann, ORDERED).is_empty(), "nobody gets their own");
}

#[test]
fn messages_stay_in_order_and_whole_on_a_lossy_link() {
    let (mut room, [ann, bob, _]) = three(52, lossy(0.1));
    for number in 0..60u8 {
        room.send_message(ann, ORDERED, &[1, number]);
        room.run(ms(40));
    }
    room.run(ms(5_000));
    let numbers: Vec<u8> = got(&room, bob, ORDERED)
        .iter()
        .filter_map(|bytes| bytes.last().copied())
        .collect();
    assert_eq!(numbers, (0..60).collect::<Vec<u8>>());
}

#[test]
fn too_large_or_too_many_messages_are_refused_by_name_and_reach_nobody() {
    let (mut room, [ann, bob, _]) = three(53, Link::default());
    room.send_message(ann, ORDERED, &[1; 1026]);
    room.run(ms(1_100));
    assert_eq!(got(&room, ann, ORDERED), [b"\x02custom_message_too_large".to_vec()]);
    assert!(got(&room, bob, ORDERED).is_empty());
    for number in 0..50 {
        room.send_message(ann, ORDERED, &[1, number]);
    }
    room.run(ms(100));
    let reached = got(&room, bob, ORDERED).len();
    assert!((30..=33).contains(&reached), "{reached}");
    let refusals = got(&room, ann, ORDERED);
    assert_eq!(refusals[1..], [b"\x02custom_message_rate".to_vec()]);
}

#[test]
fn a_room_of_many_is_served_in_turns_and_everybody_gets_every_message() {
    let mut room = Simulation::new(54);
    room.with_channels = true;
    let peers: Vec<usize> = (0..80)
        .map(|number| room.join(&format!("peer{number}"), Link::default(), Link::default()))
        .collect();
    room.run(ms(2_000));
    for number in 0..5 {
        room.send_message(peers[0], ORDERED, &[1, number]);
    }
    room.run(ms(300));
    for peer in &peers[1..] {
        let messages = got(&room, *peer, ORDERED);
        let numbers: Vec<u8> = messages.iter().filter_map(|bytes| bytes.last().copied()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4], "peer {peer}");
    }
}

#[test]
fn a_member_who_has_left_is_not_written_to_and_the_others_are() {
    let (mut room, [ann, bob, cat]) = three(55, Link::default());
    room.leave(bob);
    room.send_message(ann, ORDERED, b"\x01bye");
    room.run(ms(200));
    assert_eq!(got(&room, cat, ORDERED).len(), 1);
    assert!(got(&room, bob, ORDERED).is_empty());
}

#[test]
fn those_without_channels_are_told_of_a_message_once_and_theirs_reaches_all_channels() {
    let mut room = Simulation::with_workers(58, 2);
    room.with_channels = true;
    let [ann, bob] = ["ann", "bob"].map(|name| room.join(name, Link::default(), Link::default()));
    room.run(ms(2_000));
    room.send_message(ann, ORDERED, b"\x07hello");
    room.run(ms(200));
    let told = room.events.iter().filter_map(|(_, event)| match event {
        Event::CustomMessage { message } => Some(message),
        _ => None,
    });
    let hello = CustomMessage::new(&room.peers[ann].user, 7, 1, b"hello");
    assert_eq!(told.collect::<Vec<_>>(), [&hello]);
    let by_signaling = CustomMessage::new(&"eve".parse().unwrap(), 2, 1, b"hi")
        .to_channel()
        .unwrap();
    let (now, key) = (room.now, simulation::room_key());
    for worker in &mut room.workers {
        worker.carry_message(now, &key, by_signaling.clone().into());
    }
    room.run(ms(200));
    assert_eq!(got(&room, ann, ORDERED), std::slice::from_ref(&by_signaling));
    assert_eq!(got(&room, bob, ORDERED).last(), Some(&by_signaling));
}
