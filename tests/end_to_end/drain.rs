//! A signaling node that ends moves its members to another node first.

use std::time::Duration;

use crate::support::cluster::{Client, about, start, start_with};
use crate::support::eventually;
use rotunda_bus::testing::NatsServer;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;

/// Everything happens at once, but not on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn told_to_move(event: &Value) -> bool {
    event["event"] == "kicked" && event["reason"] == "shutdown"
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_node_that_drains_enter_again_at_another_node() {
    let Some(nats) = NatsServer::start() else { return };
    let sfu = start("sfu-1", "sfu", &nats, None);
    let drained = [("ROTUNDA__SERVER__DRAIN_SECONDS", "40")];
    let mut one = start_with("signaling-1", "signaling", &nats, Some(&sfu), &drained);
    let two = start("signaling-2", "signaling", &nats, Some(&sfu));
    let mut ann = Client::enter(&two, "ann").await;
    let mut bob = Client::enter(&one, "bob").await;
    assert_eq!(bob.ask(json!({"op": "publish", "source": "audio"})).await, "");
    let mut cat = Client::enter(&one, "cat").await;
    ann.hears("cat enters", SOON, about("memberEntered", "cat")).await;
    ann.hears("bob publishes", SOON, about("publishing", "bob")).await;

    one.terminate();
    eventually("the node is not ready", 60, || {
        (one.request("/readyz", &[]) == (503, "draining".to_owned())).then_some(())
    });
    match connect_async(format!("ws://127.0.0.1:{}/ws", one.http)).await {
        Err(Error::Http(answer)) => {
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers()["retry-after"], "1");
        }
        other => panic!("a node that drains took a new client: {other:?}"),
    }

    cat.hears("cat is to move", SOON, told_to_move).await;
    ann.events.clear();
    let _cat = Client::enter(&two, "cat").await;
    bob.hears("bob is to move", SOON, told_to_move).await;
    let mut bob = Client::enter(&two, "bob").await;
    assert_eq!(bob.ask(json!({"op": "publish", "source": "audio"})).await, "");
    ann.hears("bob publishes again", SOON, |event| {
        about("publishing", "bob")(event) && event["audio"] == "on"
    })
    .await;

    let ended = eventually("the node ends by itself", 120, || one.ended());
    assert!(ended.success());
    let log = one.log();
    assert!(
        log.contains("evacuation: members moved node=\"signaling-2\" members=2"),
        "{log}"
    );
    assert!(log.contains("evacuation: nobody is left"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_draining() {
    let Some(nats) = NatsServer::start() else { return };
    let drained = [("ROTUNDA__SERVER__DRAIN_SECONDS", "3000")];
    let mut one = start_with("signaling-1", "signaling", &nats, None, &drained);
    let mut ann = Client::log_in(&one, "ann").await;
    one.terminate();
    eventually("the node drains", 60, || {
        (one.request("/readyz", &[]).0 == 503).then_some(())
    });
    assert!(one.ended().is_none());
    one.terminate();
    ann.hears("ann is told", SOON, told_to_move).await;
    assert!(eventually("the node ends", 60, || one.ended()).success());
}
