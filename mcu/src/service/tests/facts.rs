//! The facts that a node tells about its mixes.

use super::*;

/// The kinds of the facts that are in the stream, in their order.
pub(super) async fn told(facts: &Facts) -> Vec<String> {
    let stream = facts.stream();
    let of = stream.incarnation().await.unwrap();
    let events = stream.read(&of, 0, 100).await.unwrap().into_iter();
    let facts = events.map(|event| serde_json::from_str::<Fact>(&event.body).unwrap());
    facts.map(|fact| fact.what.kind().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_a_mix_is_told_once_although_the_bus_loses_messages_and_is_away() {
    let inner = Arc::new(InProcess::new());
    let faults = Faults {
        lose: 1.0,
        ..Faults::none(7)
    };
    let view = Arc::new(Faulty::new(inner.clone(), faults));
    let fixture = Fixture::with_view(inner, view.clone(), "mcu-1", Config::default()).await;
    let appending = fixture.facts.start();
    fixture.open_room(1).await;
    assert_eq!(fixture.start(&spec(1, "one")).await, Ok(()));
    while told(&fixture.facts).await.len() < 2 {
        fixture.facts.appended().await;
    }
    assert_eq!(told(&fixture.facts).await, ["mix_begun", "mix_layout"]);

    view.cut();
    fixture.shutdown.cancel();
    fixture.service.finish().await;
    appending.finish().await;
    assert_eq!(told(&fixture.facts).await, ["mix_begun", "mix_layout", "mix_ended"]);
}
