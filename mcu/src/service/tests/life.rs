//! A mix from its start to each of its ends, and starts that are refused.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mix_runs_through_a_relayout_until_it_is_stopped_even_without_an_sfu() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let first = spec(1, "one");
    assert_eq!(fixture.start(&first).await, Ok(()));
    let stream_id = stream("one");
    let mut reader = fixture.hub.subscribe(&stream_id).unwrap();
    let mut second = first.clone();
    if let Some(video) = &mut second.video {
        (video.width, video.height) = (640, 360);
    }
    let mut last = [None, None];
    let mut frames = 0;
    let mut asked = false;
    let wait = async {
        loop {
            let frame = reader.next().await.unwrap();
            let place = &mut last[usize::from(frame.track == Track::Audio)];
            assert!(place.is_none_or(|before| before < frame.pts.ticks()));
            *place = Some(frame.pts.ticks());
            frames += 1;
            if frames > 20 && !std::mem::replace(&mut asked, true) {
                assert_eq!(fixture.start(&second).await, Ok(()));
            }
            if frame.header.video.as_ref().unwrap().width == 640 && last[0].is_some_and(|pts| pts > 90_000) {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
    let (running, _) = fixture
        .bus
        .load::<RunningMix>(&running_key(&room(1), &Origin::Api))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(running.spec, second);
    let (program, _) = fixture
        .bus
        .load::<ProgramDescriptor>(&program_key(&stream_id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((program.node, program.video), (node(), second.video));

    assert!(fixture.ask_to_stop(1).await);
    let end = async { while !matches!(reader.next().await, Err(ReadError::Ended)) {} };
    tokio::time::timeout(LIMIT, end).await.unwrap();
    fixture.gone(1).await;
    assert_eq!(
        fixture.bus.get(&running_key(&room(1), &Origin::Api)).await.unwrap(),
        None
    );
    assert_eq!(fixture.bus.get(&program_key(&stream_id)).await.unwrap(), None);
    assert!(!fixture.ask_to_stop(1).await);
    fixture.shutdown.cancel();
    tokio::time::timeout(LIMIT, fixture.service.finish()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_refused_without_a_room_or_with_another_rooms_stream() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.start(&spec(1, "one")).await, Err(Refusal::RoomNotExist));
    fixture.open_room(1).await;
    fixture.open_room(2).await;
    assert_eq!(fixture.start(&spec(1, "one")).await, Ok(()));
    assert_eq!(fixture.start(&spec(2, "one")).await, Err(Refusal::StreamIdInUse));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_encoder_refuses_is_the_callers_answer_at_the_start_and_at_a_change() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let good = spec(1, "one");
    let mut bad = good.clone();
    // AAC has no such rate.
    bad.audio.sample_rate = 12_345;
    let is_named =
        |answer: Result<(), Refusal>| matches!(answer, Err(Refusal::Encoder { reason }) if !reason.is_empty());
    assert!(is_named(fixture.start(&bad).await));
    assert_eq!(fixture.start(&good).await, Ok(()));
    assert!(is_named(fixture.start(&bad).await));
    let key = running_key(&room(1), &Origin::Api);
    let (running, _) = fixture.bus.load::<RunningMix>(&key).await.unwrap().unwrap();
    assert_eq!(running.spec, good, "the mix goes on as before");
    fixture.shutdown.cancel();
    tokio::time::timeout(LIMIT, fixture.service.finish()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_and_stop_at_any_speed_end_as_the_last_command_says() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    fixture.open_room(2).await;
    let (one, two) = (spec(1, "one"), spec(2, "two"));
    let mut moved = one.clone();
    moved.layout.template = Template::Grid;
    for _ in 0..5 {
        // Nothing waits for what these make run.
        let wish = |spec: &MixSpec| fixture.wish(spec.clone());
        wish(&one).await;
        assert!(fixture.ask_to_stop(1).await);
        wish(&moved).await;
        wish(&two).await;
    }
    let (last_one, last_two) = tokio::join!(fixture.start(&moved), fixture.start(&two));
    assert_eq!((last_one, last_two), (Ok(()), Ok(())));
    let mut running = fixture.hub.streams();
    running.sort();
    assert_eq!(running, [stream("one"), stream("two")]);
    fixture.shutdown.cancel();
    tokio::time::timeout(LIMIT, fixture.service.finish()).await.unwrap();
    assert!(fixture.hub.streams().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mix_ends_when_its_room_is_empty() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    assert_eq!(fixture.start(&spec(1, "one")).await, Ok(()));
    fixture.bus.remove(&roster_key(&room(1))).await.unwrap();
    assert_eq!(fixture.stopped(events).await, StopReason::RoomEmpty);
    assert!(fixture.hub.streams().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mix_that_another_one_replaces_says_by_which_and_what_was_to_be_recorded() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    let mut first = spec(1, "first");
    first.record = Some(RecordSpec {
        record_id: "film".parse().unwrap(),
        audio_only: false,
        files: rotunda_proto::recording::FileWishes::default(),
    });
    assert_eq!(fixture.start(&first).await, Ok(()));
    assert_eq!(fixture.start(&spec(1, "second")).await, Ok(()));
    let replaced = StopReason::Replaced {
        record: Some("film".parse().unwrap()),
        by: "second".parse().unwrap(),
    };
    assert_eq!(fixture.stopped(events).await, replaced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_mix_ends_when_the_member_has_left_and_others_stay() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let members = |names: &[&str]| Roster {
        members: names
            .iter()
            .map(|name| RosterMember {
                user: name.parse().unwrap(),
                entered_unix_ms: 0,
                holder: Holder {
                    membership: MembershipId(1),
                    node: Incarnation::new("node-1".parse().unwrap(), 1),
                },
            })
            .collect(),
    };
    let key = roster_key(&room(1));
    let set = |roster: Roster| {
        let (bus, key) = (fixture.bus.clone(), key.clone());
        async move {
            let changed = bus.update(&key, |_: Option<Roster>| {
                Ok::<_, Infallible>((Some(roster.clone()), ()))
            });
            changed.await.unwrap().unwrap();
        }
    };
    set(members(&["alice", "bob"])).await;
    let events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    let mut spec = spec(1, "one");
    spec.layout.local_user = Some(RoomUser {
        room: spec.room.clone(),
        user: "alice".parse().unwrap(),
    });
    assert_eq!(fixture.start(&spec).await, Ok(()));
    let mut program = fixture.hub.subscribe(&stream("one")).unwrap();
    for _ in 0..20 {
        program.next().await.unwrap();
    }
    drop(program);
    set(members(&["bob"])).await;
    assert_eq!(fixture.stopped(events).await, StopReason::Asked);
    fixture.gone(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_every_mix_and_takes_the_node_back() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    assert_eq!(fixture.start(&spec(1, "one")).await, Ok(()));
    fixture.shutdown.cancel();
    assert_eq!(fixture.stopped(events).await, StopReason::Shutdown);
    tokio::time::timeout(LIMIT, fixture.service.finish()).await.unwrap();
    assert_eq!(fixture.bus.get(&node_key(&node())).await.unwrap(), None);
}
