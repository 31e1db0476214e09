//! A room on more SFU nodes than a node sends its members' media to: three processes, in which each sends to one other.

use std::time::Duration;

use rotunda_bus::testing::NatsServer;

use crate::support::cluster::{start, start_with};
use crate::support::viewer::{sees, watch_ann};
use crate::support::{Server, eventually};

/// Each node takes one session of the room, and sends to one other node.
const NARROW: [(&str, &str); 2] = [
    ("ROTUNDA__SFU__NODE_ROOM_SESSIONS", "1"),
    ("ROTUNDA__SFU__NODE_FAN_OUT", "1"),
];

fn start_sfu(name: &str, nats: &NatsServer, first: Option<&Server>) -> Server {
    start_with(name, "sfu", nats, first, &NARROW)
}

/// Packets of media from one node to another.
fn sent(from: &Server, to: &str) -> f64 {
    from.metric(&format!("rotunda_sfu_link_packets_total{{peer=\"{to}\"}}"))
}

fn has_session(node: &Server) {
    eventually("the node has a session", 60, || {
        (node.metric("rotunda_sfu_sessions") == 1.0).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn media_goes_by_an_inner_node_and_by_another_way_when_that_is_killed() {
    let Some(nats) = NatsServer::start() else { return };
    let one = start_sfu("sfu-1", &nats, None);
    let signaling = start("signaling-1", "signaling", &nats, Some(&one));
    let _ann = signaling.join(&["1001", "--user", "ann", "--mark", "3"]);
    has_session(&one);
    let two = start_sfu("sfu-2", &nats, Some(&one));
    let (bob, _watching) = watch_ann(&signaling, "bob").await;
    has_session(&two);
    sees("bob sees ann", &bob, 30);
    let three = start_sfu("sfu-3", &nats, Some(&one));
    let (cat, _watching) = watch_ann(&signaling, "cat").await;
    has_session(&three);
    sees("cat sees ann", &cat, 30);

    // Which of the two is the inner node depends on their names alone.
    let is_inner = |node: &Server, leaf: &str| sent(node, leaf) > 100.0;
    let two_is_inner = eventually("one of them sends to the other", 60, || {
        match (is_inner(&two, "sfu-3"), is_inner(&three, "sfu-2")) {
            (false, false) => None,
            (two, three) => {
                assert!(two != three, "a loop");
                Some(two)
            }
        }
    });
    let (inner, leaf, leaf_name, leaf_sees) = match two_is_inner {
        true => (two, three, "sfu-3", cat),
        false => (three, two, "sfu-2", bob),
    };
    let before = sent(&one, leaf_name);
    sees("the leaf sees ann by the inner node", &leaf_sees, 60);
    assert_eq!(sent(&one, leaf_name), before, "the publisher's node sends one copy");

    leaf_sees.lock().unwrap().longest_pause = Duration::ZERO;
    inner.kill();
    sees("the leaf sees ann without the inner node", &leaf_sees, 90);
    let seen = *leaf_sees.lock().unwrap();
    eprintln!("the longest pause between two frames: {:?}", seen.longest_pause);
    assert!(seen.longest_pause < Duration::from_secs(2), "{seen:?}");
    assert_eq!(seen.backwards, 0);
    assert!(sent(&one, leaf_name) > before, "it comes from the publisher's node");
    assert!(leaf.metric("rotunda_sfu_tree_moves_total") >= 1.0);
}
