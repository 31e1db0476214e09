//! Requests and replies.

use std::collections::BTreeMap;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, MAX_BYTES, SharedBus};

use crate::{Cluster, on_every_bus, soon};

on_every_bus!(
    a_request_reaches_its_server_and_the_answer_its_caller,
    nobody_there_is_said_at_once,
    a_server_that_drops_a_request_is_known_at_once,
    a_server_that_does_not_answer_is_a_timeout,
    several_servers_share_the_load,
    a_server_that_has_gone_gets_no_more,
    a_request_larger_than_the_limit_is_refused,
);

const LIMIT: Duration = Duration::from_secs(5);

fn serve_name(mut requests: rotunda_bus::Requests, name: &'static str) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            requests.next().await.answer(&name);
        }
    })
}

async fn a_request_reaches_its_server_and_the_answer_its_caller(cluster: Cluster) {
    let mut requests = cluster.one.serve("double").await.unwrap();
    tokio::spawn(async move {
        loop {
            let request = requests.next().await;
            let number: u32 = request.parse().unwrap();
            request.answer(&(number * 2));
        }
    });
    for number in 0..50_u32 {
        let doubled: u32 = soon("an answer", cluster.two.call("double", &number)).await.unwrap();
        assert_eq!(doubled, number * 2);
    }
}

async fn nobody_there_is_said_at_once(cluster: Cluster) {
    let nobody = soon("an answer", cluster.one.call::<_, u32>("triple", &1)).await;
    assert!(matches!(nobody, Err(BusError::NoResponder(_))), "{nobody:?}");
}

async fn a_server_that_drops_a_request_is_known_at_once(cluster: Cluster) {
    let mut requests = cluster.one.serve("dropped").await.unwrap();
    let server = tokio::spawn(async move { drop(requests.next().await) });
    let answer = soon("an answer", cluster.two.call::<_, u32>("dropped", &1)).await;
    assert!(matches!(answer, Err(BusError::Unanswered(_))), "{answer:?}");
    server.await.unwrap();
}

async fn a_server_that_does_not_answer_is_a_timeout(cluster: Cluster) {
    let mut requests = cluster.one.serve("silent").await.unwrap();
    let server = tokio::spawn(async move {
        let _kept = requests.next().await;
        std::future::pending::<()>().await;
    });
    let limit = Duration::from_millis(300);
    let answer = soon("an answer", cluster.two.request("silent", "1".into(), limit)).await;
    assert!(matches!(answer, Err(BusError::Timeout(_))), "{answer:?}");
    server.abort();
}

async fn ask(bus: &SharedBus, times: usize) -> BTreeMap<String, usize> {
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..times {
        let name: String = soon("an answer", bus.call("shared", &())).await.unwrap();
        *answered.entry(name).or_default() += 1;
    }
    answered
}

async fn several_servers_share_the_load(cluster: Cluster) {
    serve_name(cluster.one.serve("shared").await.unwrap(), "one");
    serve_name(cluster.two.serve("shared").await.unwrap(), "two");
    let answered = ask(&cluster.two, 100).await;
    assert_eq!(answered.values().sum::<usize>(), 100);
    assert!(
        answered.len() == 2 && answered.values().all(|count| *count > 10),
        "{answered:?}"
    );
}

async fn a_server_that_has_gone_gets_no_more(cluster: Cluster) {
    let gone = serve_name(cluster.one.serve("shared").await.unwrap(), "gone");
    serve_name(cluster.two.serve("shared").await.unwrap(), "stays");
    gone.abort();
    crate::until("nobody asks the server that has gone", || async {
        let name = cluster.two.call::<_, String>("shared", &()).await;
        name.is_ok_and(|name| name == "stays")
    })
    .await;
    crate::until("only one answers", || async {
        let mut names = Vec::new();
        for _ in 0..10 {
            names.push(cluster.two.call::<_, String>("shared", &()).await.ok());
        }
        names.iter().all(|name| name.as_deref() == Some("stays"))
    })
    .await;
}

async fn a_request_larger_than_the_limit_is_refused(cluster: Cluster) {
    let mut requests = cluster.one.serve("large").await.unwrap();
    tokio::spawn(async move {
        loop {
            let request = requests.next().await;
            let length = request.payload.len();
            request.answer(&length);
        }
    });
    let largest = cluster.two.request("large", vec![b'x'; MAX_BYTES].into(), LIMIT).await;
    assert_eq!(largest.unwrap(), MAX_BYTES.to_string());
    let larger = cluster
        .two
        .request("large", vec![b'x'; MAX_BYTES + 1].into(), LIMIT)
        .await;
    assert!(matches!(larger, Err(BusError::TooLarge { .. })), "{larger:?}");
}
