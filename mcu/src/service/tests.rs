mod not_mixable;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{Bus, Faults, Faulty, Heard, InProcess, Incarnation, Revision, SharedBus, Subscription};
use rotunda_events::{Fact, Facts};
use rotunda_media::program::{ReadError, Track};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MembershipId, MixId, NodeId, RoomId, RoomKey, RoomUser, SdkAppId, StreamKey};
use rotunda_proto::mix::{
    AudioEncode, EVENTS_SUBJECT, Event, Layout, MixSpec, RecordSpec, Refusal, RunningMix, StopReason, Template,
    VideoEncode, running_key,
};
use rotunda_proto::mix_task::{self, NoMix, Origin, Wish, started, task_key};
use rotunda_proto::program::{ProgramDescriptor, program_key};
use rotunda_proto::room::{
    Holder, Publisher, RoomInfo, Roster, RosterMember, Seats, TrackState, info_key, roster_key, seats_key,
};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

struct Fixture {
    bus: Arc<InProcess>,
    hub: ProgramHub,
    facts: Facts,
    shutdown: CancellationToken,
    service: Service,
}

fn node() -> NodeId {
    "mcu-1".parse().unwrap()
}

fn room(number: u64) -> RoomKey {
    RoomKey {
        app: SdkAppId::try_from(1).unwrap(),
        room: RoomId::Number(number.try_into().unwrap()),
    }
}

fn stream(id: &str) -> StreamKey {
    StreamKey {
        app: room(1).app,
        id: id.parse().unwrap(),
    }
}

fn spec(number: u64, stream_id: &str) -> MixSpec {
    MixSpec {
        room: room(number),
        stream_id: stream_id.parse().unwrap(),
        audio: AudioEncode {
            sample_rate: 44_100,
            bitrate_kbps: 64,
            channels: 1,
        },
        video: Some(VideoEncode {
            width: 320,
            height: 180,
            bitrate_kbps: 200,
            framerate: 15,
            gop_seconds: 1,
            background_rgb: 0,
        }),
        layout: Layout::default(),
        record: None,
        push_urls: Vec::new(),
        task: None,
    }
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        Self::on(Arc::new(InProcess::new()), "mcu-1", config).await
    }

    async fn on(bus: Arc<InProcess>, name: &str, config: Config) -> Self {
        Self::with_view(bus.clone(), bus, name, config).await
    }

    /// `view`: the bus as the node sees it.
    async fn with_view(bus: Arc<InProcess>, view: SharedBus, name: &str, config: Config) -> Self {
        let store = Store::in_memory().await.unwrap();
        let facts = Facts::new(
            name.parse().unwrap(),
            rotunda_events::Table::new(store.clone()).shared(),
        );
        let (hub, shutdown) = (ProgramHub::new(), CancellationToken::new());
        let secret = ClusterSecret::new("ours");
        let service = Service::start(
            config,
            ClusterNode::alone(view, name.parse().unwrap()),
            secret,
            Resources {
                hub: hub.clone(),
                store,
                facts: facts.clone(),
                launcher: Launcher::inside(),
            },
            shutdown.clone(),
        )
        .await
        .unwrap();
        Self {
            bus,
            hub,
            facts,
            shutdown,
            service,
        }
    }

    async fn open_room(&self, number: u64) {
        let info = RoomInfo {
            room: room(number),
            sfu: "sfu-1".parse().unwrap(),
            more_sfu: Vec::new(),
            created_unix_ms: 0,
        };
        self.bus.store(&info_key(&room(number)), &info, None).await.unwrap();
        let alice = RosterMember {
            user: "alice".parse().unwrap(),
            entered_unix_ms: 0,
            holder: Holder {
                membership: MembershipId(1),
                node: Incarnation::new("node-1".parse().unwrap(), 1),
            },
        };
        self.bus
            .store(&roster_key(&room(number)), &Roster { members: vec![alice] }, None)
            .await
            .unwrap();
    }

    /// Writes a wish down, and waits for nothing. Answers the revisions of the task and of its document.
    async fn wish(&self, spec: MixSpec) -> (u64, Option<Revision>) {
        let key = task_key(&spec.room, &Origin::Api);
        let wish = Wish {
            id: MixId(rand::random()),
            origin: Origin::Api,
            started_by: "key".to_owned(),
            spec,
        };
        let written = self.bus.update_at(&key, |before: Option<MixTask>| {
            let after = started(before, &wish);
            let revision = after.revision;
            Ok::<_, Infallible>((Some(after), revision))
        });
        let Ok(written) = written.await.unwrap();
        (written.result, written.revision)
    }

    /// As the API does it: writes the wish down and waits until a revision of it is carried out or refused.
    async fn start(&self, spec: &MixSpec) -> Result<(), Refusal> {
        let key = task_key(&spec.room, &Origin::Api);
        let mut watch = self.bus.watch(&key).await.unwrap();
        let (revision, document) = self.wish(spec.clone()).await;
        let wait = async {
            loop {
                let WatchEvent::Change(change) = watch.next().await else {
                    continue;
                };
                if Some(change.revision) < document {
                    continue;
                }
                let Some(task) = change.parse::<MixTask>() else {
                    return Err(Refusal::RoomNotExist);
                };
                match task.refused {
                    Some(refused) if refused.revision == revision => return Err(refused.error),
                    _ if task.reached >= revision => return Ok(()),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap()
    }

    /// Writes down that the room's mix is to stop; answers whether there was one.
    async fn ask_to_stop(&self, number: u64) -> bool {
        let key = task_key(&room(number), &Origin::Api);
        let written = self.bus.update(&key, |before: Option<MixTask>| {
            Ok::<_, NoMix>((mix_task::stopped(before)?, ()))
        });
        written.await.unwrap().is_ok()
    }

    /// Waits until the room has no task.
    async fn gone(&self, number: u64) {
        let key = task_key(&room(number), &Origin::Api);
        let gone = async {
            while self.bus.get(&key).await.unwrap().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.unwrap();
    }

    async fn stopped(&self, mut events: Subscription) -> StopReason {
        let wait = async {
            loop {
                let Heard::Message(message) = events.next().await else {
                    continue;
                };
                if let Event::Stopped { reason, .. } = message.parse().unwrap() {
                    return reason;
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap()
    }
}

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
async fn the_revision_of_the_layout_grows_with_each_change_of_members_and_of_the_request() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let mut events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    let mut last = 0;
    let mut shown = async |above: Option<u64>| {
        let wait = async {
            loop {
                let Heard::Message(message) = events.next().await else {
                    continue;
                };
                let Some(Event::Health { health, .. }) = message.parse() else {
                    continue;
                };
                assert!(health.layout_revision >= last, "it only grows");
                last = health.layout_revision;
                if above.is_none_or(|above| last > above) {
                    return last;
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap()
    };
    let mut spec = spec(1, "one");
    assert_eq!(fixture.start(&spec).await, Ok(()));
    let empty = shown(None).await;
    let holder = Holder {
        membership: MembershipId(1),
        node: Incarnation::new("node-1".parse().unwrap(), 1),
    };
    let alice = Publisher {
        camera: Some(TrackState::On),
        ..Publisher::of("alice".parse().unwrap(), holder)
    };
    let seats = Seats {
        publishers: vec![alice],
        kept: Vec::new(),
    };
    fixture.bus.store(&seats_key(&room(1)), &seats, None).await.unwrap();
    let with_alice = shown(Some(empty)).await;
    spec.layout.style.margin = 8;
    assert_eq!(fixture.start(&spec).await, Ok(()));
    shown(Some(with_alice)).await;
    fixture.shutdown.cancel();
    tokio::time::timeout(LIMIT, fixture.service.finish()).await.unwrap();
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

#[tokio::test]
async fn a_preview_is_drawn_without_a_room() {
    use base64::Engine as _;
    use rotunda_proto::mix::VideoEncode;
    use rotunda_proto::mix_preview::{PreviewMember, PreviewReply, PreviewRequest, preview_subject};

    let fixture = Fixture::new().await;
    let mut spec = spec(1001, "preview");
    let member = |name: &str| PreviewMember {
        user: name.parse().unwrap(),
        room: None,
        sources: vec![rotunda_proto::ids::TrackSource::Camera],
    };
    let mut ask = PreviewRequest {
        spec: spec.clone(),
        members: vec![member("ann"), member("bob")],
    };
    ask.spec.video = None;
    let reply: PreviewReply = fixture.bus.call(&preview_subject(&node()), &ask).await.unwrap();
    assert_eq!(reply, PreviewReply::NoVideo);
    spec.video = Some(VideoEncode {
        width: 640,
        height: 360,
        bitrate_kbps: 500,
        framerate: 15,
        gop_seconds: 2,
        background_rgb: 0,
    });
    ask.spec = spec;
    let reply: PreviewReply = fixture.bus.call(&preview_subject(&node()), &ask).await.unwrap();
    let PreviewReply::Png { data, width, height } = reply else {
        panic!("{reply:?}");
    };
    let file = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let picture = rotunda_media::picture::Picture::decode(&file).unwrap();
    assert_eq!((picture.rect().width, picture.rect().height), (640, 360));
    assert_eq!((width, height), (640, 360));
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

/// The kinds of the facts that are in the stream, in their order.
async fn told(facts: &Facts) -> Vec<String> {
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
