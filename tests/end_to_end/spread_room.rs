//! One room on several SFU nodes, each a process of its own, on NATS.

use crate::support::{Server, eventually};
use rotunda_bus::testing::NatsServer;

const VIDEO: &str = r#"rotunda_sfu_packets_forwarded_total{kind="video"}"#;
const AUDIO: &str = r#"rotunda_sfu_packets_forwarded_total{kind="audio"}"#;

/// A process with one role.
fn start(name: &str, role: &str, nats: &NatsServer, first: Option<&Server>) -> Server {
    let urls = format!("[\"{}\"]", nats.url());
    let settings = [
        ("ROTUNDA__SERVER__NODE", name),
        ("ROTUNDA__BUS__URLS", urls.as_str()),
        ("ROTUNDA__BUS__LEASE_SECONDS", "5"),
        ("ROTUNDA__SFU__NODE_ROOM_SESSIONS", "2"),
    ];
    Server::start_role(&["--roles", role], first, &settings)
}

fn sessions(sfu: &Server) -> f64 {
    sfu.metric("rotunda_sfu_sessions")
}

fn waits_for_sessions(sfu: &Server, count: f64) {
    eventually(&format!("{count} sessions"), 60, || {
        (sessions(sfu) == count).then_some(())
    });
}

/// Waits until a node has given its members so much more of a kind of media.
fn waits_for(what: &str, sfu: &Server, media: &str, packets: f64) {
    let before = sfu.metric(media);
    eventually(what, 60, || (sfu.metric(media) >= before + packets).then_some(()));
}

#[test]
fn a_room_spreads_over_nodes_and_survives_the_death_of_one() {
    let Some(nats) = NatsServer::start() else { return };
    let one = start("sfu-1", "sfu", &nats, None);
    let two = start("sfu-2", "sfu", &nats, Some(&one));
    let signaling = start("signaling-1", "signaling", &nats, Some(&one));

    // A node takes two sessions of the room, so that two of the viewers are on another node than the publisher.
    let _members = signaling.load(&[
        "--room",
        "1001",
        "--publishers",
        "1",
        "--viewers",
        "3",
        "--seconds",
        "3600",
    ]);
    for sfu in [&one, &two] {
        waits_for_sessions(sfu, 2.0);
        waits_for("its viewers see the publisher", sfu, VIDEO, 300.0);
    }
    eventually("media goes from one node to the other", 60, || {
        let relayed = [&one, &two].map(|sfu| sfu.metric("rotunda_sfu_link_packets_total"));
        (relayed[0] + relayed[1] > 200.0).then_some(())
    });
    let of_members = |sfu: &Server| sfu.metric("rotunda_sfu_packets_received_total");
    let (home, other) = match of_members(&one) > of_members(&two) {
        true => (one, two),
        false => (two, one),
    };
    assert_eq!(of_members(&other), 0.0, "its video comes from the other node alone");

    // The node of the viewers dies. The others go on, and who comes next is on a third node.
    let three = start("sfu-3", "sfu", &nats, Some(&home));
    other.kill();
    eventually("the link is lost", 60, || {
        (home.metric("rotunda_sfu_links_lost_total") > 0.0).then_some(())
    });
    waits_for("the viewer beside the publisher goes on", &home, VIDEO, 200.0);
    assert_eq!(sessions(&home), 2.0);
    let _cat = signaling.join(&["1001", "--user", "cat", "--mark", "3"]);
    eventually("cat is on the third node", 60, || {
        (sessions(&three) >= 1.0).then_some(())
    });
    waits_for("cat hears the publisher", &three, AUDIO, 200.0);
}
