//! Messages to subscribers.

use rotunda_bus::{Heard, Router, Subscription};

use crate::{Cluster, Kind, is_away, on_every_bus, soon, text, until};

on_every_bus!(
    a_message_reaches_every_subscriber_in_order,
    wildcards_stand_for_tokens,
    one_subscription_serves_many_readers,
    a_subscriber_that_was_cut_off_learns_that_it_lost_something,
);

async fn heard(subscription: &mut Subscription) -> String {
    match soon("a message", subscription.next()).await {
        Heard::Lost => "lost".to_owned(),
        Heard::Message(message) => format!("{}={}", message.subject, text(&message.payload)),
    }
}

async fn a_message_reaches_every_subscriber_in_order(cluster: Cluster) {
    let mut here = cluster.one.subscribe("news").await.unwrap();
    let mut there = cluster.two.subscribe("news").await.unwrap();
    for number in 0..20 {
        cluster.two.publish("news", format!("{number}").into()).await.unwrap();
    }
    for number in 0..20 {
        assert_eq!(heard(&mut here).await, format!("news={number}"));
        assert_eq!(heard(&mut there).await, format!("news={number}"));
    }
}

async fn wildcards_stand_for_tokens(cluster: Cluster) {
    let mut sessions = cluster.one.subscribe("sessions.node-1.*").await.unwrap();
    let mut all = cluster.one.subscribe("sessions.>").await.unwrap();
    for subject in [
        "sessions.node-2.1",
        "sessions.node-1.1",
        "sessions.node-1.1.x",
        "sessions.node-1.2",
    ] {
        cluster.two.publish(subject, "1".into()).await.unwrap();
    }
    assert_eq!(heard(&mut sessions).await, "sessions.node-1.1=1");
    assert_eq!(heard(&mut sessions).await, "sessions.node-1.2=1");
    for subject in ["node-2.1", "node-1.1", "node-1.1.x", "node-1.2"] {
        assert_eq!(heard(&mut all).await, format!("sessions.{subject}=1"));
    }
}

async fn one_subscription_serves_many_readers(mut cluster: Cluster) {
    let router = Router::open(&*cluster.one, "sessions.node-1.*").await.unwrap();
    let mut first = router.subscribe("sessions.node-1.1");
    let mut second = router.subscribe("sessions.node-1.2");
    for subject in ["1", "3", "2", "1"] {
        let subject = format!("sessions.node-1.{subject}");
        cluster.two.publish(&subject, "x".into()).await.unwrap();
    }
    assert_eq!(heard(&mut first).await, "sessions.node-1.1=x");
    assert_eq!(heard(&mut first).await, "sessions.node-1.1=x");
    assert_eq!(heard(&mut second).await, "sessions.node-1.2=x");
    if matches!(cluster.kind, Kind::InProcess) {
        return;
    }
    cluster.cut();
    let bus = cluster.one.clone();
    until("the bus is away", || is_away(&*bus)).await;
    cluster.mend();
    assert_eq!(heard(&mut first).await, "lost");
    assert_eq!(heard(&mut second).await, "lost");
}

async fn a_subscriber_that_was_cut_off_learns_that_it_lost_something(mut cluster: Cluster) {
    if matches!(cluster.kind, Kind::InProcess) {
        return;
    }
    let mut news = cluster.one.subscribe("news").await.unwrap();
    cluster.cut();
    let bus = cluster.one.clone();
    until("the bus is away", || is_away(&*bus)).await;
    cluster.mend();
    assert_eq!(heard(&mut news).await, "lost");
    let mut presence = cluster.two.presence();
    soon("the bus is here", presence.wait_for(|now| !now.is_away()))
        .await
        .unwrap();
    cluster.two.publish("news", "after".into()).await.unwrap();
    assert_eq!(heard(&mut news).await, "news=after");
}
