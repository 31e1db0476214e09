use std::sync::Arc;

use rotunda_bus::{Bus, Heard, InProcess, Incarnation, Subscription};
use rotunda_media::program::{ReadError, Track};
use rotunda_proto::ids::{MembershipId, NodeId, RoomId, SdkAppId, StreamKey};
use rotunda_proto::mix::{
    AudioEncode, ControlError, EVENTS_SUBJECT, Event, Layout, MixSpec, RecordSpec, Reply, RunningMix, StopReason,
    VideoEncode, running_key,
};
use rotunda_proto::program::{ProgramDescriptor, program_key};
use rotunda_proto::room::{Holder, RoomInfo, Roster, RosterMember, info_key, roster_key};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

struct Fixture {
    bus: Arc<InProcess>,
    hub: ProgramHub,
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
    }
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let (bus, hub, shutdown) = (Arc::new(InProcess::new()), ProgramHub::new(), CancellationToken::new());
        let secret = ClusterSecret::new("ours");
        let service = Service::start(
            config,
            ClusterNode::alone(bus.clone(), node()),
            secret,
            hub.clone(),
            rotunda_store::Store::in_memory_unopened(),
            shutdown.clone(),
        )
        .await
        .unwrap();
        Self {
            bus,
            hub,
            shutdown,
            service,
        }
    }

    async fn open_room(&self, number: u64) {
        let info = RoomInfo {
            room: room(number),
            sfu: "sfu-1".parse().unwrap(),
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

    async fn command(&self, command: Command) -> Reply {
        self.bus.call(&control_subject(&node()), &command).await.unwrap()
    }

    async fn start(&self, spec: &MixSpec) -> Reply {
        self.command(Command::Start {
            spec: Box::new(spec.clone()),
        })
        .await
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

fn refused(error: ControlError) -> Reply {
    Reply::Refused { error }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mix_runs_through_a_relayout_until_it_is_stopped_even_without_an_sfu() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let first = spec(1, "one");
    assert_eq!(fixture.start(&first).await, Reply::Done);
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
                assert_eq!(fixture.start(&second).await, Reply::Done);
            }
            if frame.header.video.as_ref().unwrap().width == 640 && last[0].is_some_and(|pts| pts > 90_000) {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
    let (running, _) = fixture
        .bus
        .load::<RunningMix>(&running_key(&room(1)))
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

    assert_eq!(fixture.command(Command::Stop { room: room(1) }).await, Reply::Done);
    let end = async { while !matches!(reader.next().await, Err(ReadError::Ended)) {} };
    tokio::time::timeout(LIMIT, end).await.unwrap();
    assert_eq!(fixture.bus.get(&running_key(&room(1))).await.unwrap(), None);
    assert_eq!(fixture.bus.get(&program_key(&stream_id)).await.unwrap(), None);
    assert_eq!(
        fixture.command(Command::Stop { room: room(1) }).await,
        refused(ControlError::NoSuchMix)
    );
    fixture.shutdown.cancel();
    tokio::time::timeout(LIMIT, fixture.service.finish()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mix_ends_when_its_room_is_empty() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    let events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    assert_eq!(fixture.start(&spec(1, "one")).await, Reply::Done);
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
    });
    assert_eq!(fixture.start(&first).await, Reply::Done);
    assert_eq!(fixture.start(&spec(1, "second")).await, Reply::Done);
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
    assert_eq!(fixture.start(&spec(1, "one")).await, Reply::Done);
    fixture.shutdown.cancel();
    assert_eq!(fixture.stopped(events).await, StopReason::Shutdown);
    tokio::time::timeout(LIMIT, fixture.service.finish()).await.unwrap();
    assert_eq!(fixture.bus.get(&node_key(&node())).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_refused_without_a_room_or_with_another_rooms_stream() {
    let fixture = Fixture::new().await;
    assert_eq!(
        fixture.start(&spec(1, "one")).await,
        refused(ControlError::RoomNotExist)
    );
    fixture.open_room(1).await;
    fixture.open_room(2).await;
    assert_eq!(fixture.start(&spec(1, "one")).await, Reply::Done);
    assert_eq!(
        fixture.start(&spec(2, "one")).await,
        refused(ControlError::StreamIdInUse)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_and_stop_at_any_speed_end_as_the_last_command_says() {
    let fixture = Fixture::new().await;
    fixture.open_room(1).await;
    fixture.open_room(2).await;
    let events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    let (one, two) = (spec(1, "one"), spec(2, "two"));
    let stop = || fixture.command(Command::Stop { room: room(1) });
    let results = tokio::join!(
        fixture.start(&one),
        stop(),
        fixture.start(&one),
        stop(),
        fixture.start(&one),
        fixture.start(&two)
    );
    assert_eq!(
        results,
        (
            Reply::Done,
            Reply::Done,
            Reply::Done,
            Reply::Done,
            Reply::Done,
            Reply::Done
        )
    );
    let mut running = fixture.hub.streams();
    running.sort();
    assert_eq!(running, [stream("one"), stream("two")]);
    fixture.shutdown.cancel();
    assert_eq!(fixture.stopped(events).await, StopReason::Asked);
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
    assert_eq!(fixture.start(&spec(1, "one")).await, Reply::Done);
    assert_eq!(fixture.start(&spec(2, "two")).await, refused(ControlError::NoCapacity));
    fixture.bus.remove(&roster_key(&room(1))).await.unwrap();
    assert_eq!(fixture.stopped(events).await, StopReason::RoomEmpty);
    let free = async {
        while fixture.start(&spec(2, "two")).await != Reply::Done {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, free).await.unwrap();
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
    let PreviewReply::Png { data } = reply else {
        panic!("{reply:?}");
    };
    let file = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let picture = rotunda_media::picture::Picture::decode(&file).unwrap();
    assert_eq!((picture.rect().width, picture.rect().height), (640, 360));
}
