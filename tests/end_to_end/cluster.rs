//! Two signaling nodes and one SFU node, each a process of its own, on NATS.

use std::time::{Duration, Instant};

use crate::support::cluster::{Client, about, start};
use crate::support::{eventually, outage};
use rotunda_bus::testing::NatsServer;
use rotunda_proto::clock::Clock;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_room_over_two_signaling_nodes_survives_the_death_of_one_and_an_outage_of_nats() {
    let Some(mut nats) = NatsServer::start() else { return };
    let sfu = start("sfu-1", "sfu", &nats, None);
    let one = start("signaling-1", "signaling", &nats, Some(&sfu));
    let two = start("signaling-2", "signaling", &nats, Some(&sfu));

    // Members of both nodes are in one room.
    let mut ann = Client::enter(&one, "ann").await;
    let mut bob = Client::enter(&two, "bob").await;
    ann.hears("bob enters", SOON, about("memberEntered", "bob")).await;
    assert_eq!(bob.ask(json!({"op": "publish", "source": "audio"})).await, "");
    ann.hears("bob publishes", SOON, about("publishing", "bob")).await;

    // A second login by the other node kicks the first.
    let mut kicked = Client::enter(&one, "eve").await;
    ann.hears("eve enters", SOON, about("memberEntered", "eve")).await;
    let eve = Client::log_in(&two, "eve").await;
    kicked
        .hears("eve is kicked", SOON, |value| value["event"] == "kicked")
        .await;
    ann.hears("eve has left", SOON, about("memberLeft", "eve")).await;
    drop(eve);
    ann.events.clear();

    // A lost WebSocket is resumed by the other node, and nobody sees the member leave.
    let mut gil = Client::enter(&one, "gil").await;
    assert_eq!(gil.ask(json!({"op": "publish", "source": "audio"})).await, "");
    let token = gil.token.clone();
    drop(gil);
    let mut gil = Client::resume(&two, "gil", &token).await;
    gil.hears("the room again", SOON, |value| value["event"] == "room")
        .await;
    assert_eq!(
        gil.ask(json!({"op": "mute", "source": "audio", "muted": true})).await,
        ""
    );
    let is_muted =
        |value: &Value| value["event"] == "publishing" && value["userId"] == "gil" && value["audio"] == "muted";
    bob.hears("gil is muted", SOON, is_muted).await;
    assert!(!ann.events.iter().any(about("memberLeft", "gil")), "{:?}", ann.events);
    drop(gil);
    let mut gil = Client::resume(&one, "gil", &token).await;

    // Media between members of different nodes.
    let _cat = one.join(&["1001", "--user", "cat"]);
    let _dan = two.join(&["1001", "--user", "dan"]);
    eventually("media is forwarded", 60, || {
        (sfu.metric("rotunda_sfu_packets_forwarded_total") > 200.0).then_some(())
    });

    // While NATS is away media goes on, and who wants to enter is told to try later.
    nats.stop();
    let away: Instant = Clock.now();
    eventually("the node knows", 20, || {
        (one.metric("rotunda_bus_away") == 1.0).then_some(())
    });
    let mut fay = Client::log_in(&one, "fay").await;
    assert_eq!(fay.ask(json!({"op": "enterRoom", "roomId": 1001})).await, "try_later");
    while Clock.now() < away + outage() {
        let before = sfu.metric("rotunda_sfu_packets_forwarded_total");
        let pause = Duration::from_secs(5);
        tokio::join!(
            ann.listen(pause),
            bob.listen(pause),
            gil.listen(pause),
            fay.listen(pause)
        );
        let more = sfu.metric("rotunda_sfu_packets_forwarded_total") - before;
        assert!(more > 50.0, "media goes on while NATS is away: {more} packets in 5 s");
    }
    nats.resume();
    eventually("the bus is back", 20, || {
        (one.metric("rotunda_bus_away") == 0.0).then_some(())
    });
    eprintln!("NATS was away for {:?}", Clock.now() - away);
    let clock = Clock;
    let deadline = clock.now() + SOON;
    while !fay.ask(json!({"op": "enterRoom", "roomId": 1001})).await.is_empty() {
        assert!(clock.now() < deadline, "fay cannot enter");
        clock.sleep_until(clock.now() + Duration::from_millis(200)).await;
    }
    ann.hears("fay enters", SOON, about("memberEntered", "fay")).await;
    let left = ann.events.iter().filter(|event| event["event"] == "memberLeft").count();
    assert_eq!(left, 0, "nobody was thrown out: {:?}", ann.events);

    // A node that is killed frees the seats of its members.
    two.kill();
    let killed = Clock.now();
    ann.hears("bob has left", Duration::from_secs(15), about("memberLeft", "bob"))
        .await;
    let took = Clock.now() - killed;
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(bob);
}
