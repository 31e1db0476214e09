//! Mixes and the nodes that run them: a full one, a dead one, and one that shuts down.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_runs_as_many_mixes_as_it_may_and_a_place_is_free_again_when_one_ends() {
    let fixture = Fixture::with(Config {
        max_tasks: 1,
        ..Config::default()
    })
    .await;
    fixture.open_room(1).await;
    fixture.open_room(2).await;
    let events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    assert_eq!(fixture.start(&spec(1, "one")).await, Ok(()));
    // The second waits for a place.
    fixture.wish(spec(2, "two")).await;
    fixture.bus.remove(&roster_key(&room(1))).await.unwrap();
    assert_eq!(fixture.stopped(events).await, StopReason::RoomEmpty);
    assert_eq!(fixture.start(&spec(2, "two")).await, Ok(()));
    assert_eq!(fixture.hub.streams(), [stream("two")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mix_of_a_dead_node_is_carried_on_with_its_program_time_going_on() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let wanted = spec(1, "one");
    let began = Clock.unix() - Duration::from_secs(3600);
    let task = MixTask {
        // An earlier incarnation of the node.
        owner: Some(Incarnation::new(node(), 77)),
        epoch: 1,
        reached: 1,
        program_began_unix_ms: Some(began.as_millis() as u64),
        ..started(
            None,
            &Wish {
                id: MixId(5),
                origin: Origin::Api,
                started_by: "key".to_owned(),
                spec: wanted.clone(),
            },
        )
    };
    let key = task_key(&room(1), &Origin::Api);
    fixture.bus.store(&key, &task, None).await.unwrap();
    let reader = async {
        loop {
            if let Some(reader) = fixture.hub.subscribe(&stream("one")) {
                return reader;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut reader = tokio::time::timeout(LIMIT, reader).await.unwrap();
    for track in [Track::Video, Track::Audio] {
        let frame = async {
            loop {
                let frame = reader.next().await.unwrap();
                if frame.track == track {
                    return frame;
                }
            }
        };
        let frame = tokio::time::timeout(LIMIT, frame).await.unwrap();
        let seconds = frame.pts.ticks() as f64 / f64::from(frame.pts.rate());
        assert!((3600.0..3640.0).contains(&seconds), "{track:?} goes on at {seconds} s");
    }
    let (task, _) = fixture.bus.load::<MixTask>(&key).await.unwrap().unwrap();
    assert_eq!((task.id, task.epoch), (MixId(5), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_shuts_down_lets_another_one_carry_its_mix_on() {
    let first = Fixture::new().await;
    first.open_room(1).await;
    let mut events = first.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    assert_eq!(first.start(&spec(1, "one")).await, Ok(()));
    let second = Fixture::on(first.bus.clone(), "mcu-2", Config::default()).await;
    first.shutdown.cancel();
    tokio::time::timeout(LIMIT, first.service.finish()).await.unwrap();
    let carried_on = async {
        while second.hub.streams().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, carried_on).await.unwrap();
    // Nobody is told of an end.
    while let Ok(heard) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        let Heard::Message(message) = heard else { continue };
        let event: Event = message.parse().unwrap();
        assert!(!matches!(event, Event::Stopped { .. }), "{event:?}");
    }
}
