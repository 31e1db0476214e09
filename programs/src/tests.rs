//! Two and three nodes in one process, over real connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rotunda_bus::{BusExt, ClusterNode, InProcess, SharedBus};
use rotunda_listen::{Binding, Listeners, Policy, Security, TrustedProxies};
use rotunda_media::program::{
    Absence, AbsenceReason, AudioHeader, Frame, ProgramHeader, ProgramHub, ProgramReader, ProgramWriter, ReadError,
    Track, VideoHeader,
};
use rotunda_media::time::MediaTime;
use rotunda_proto::clock::Clock;
use rotunda_proto::mix::AudioEncode;
use rotunda_proto::mix_layout::{CanvasSize, ShownLayout};
use rotunda_proto::program::{ProgramDescriptor, program_key};
use rotunda_proto::ticket::ClusterSecret;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::messages::{self, Read, ToSource, VERSION};
use crate::nodes::{ProgramNode, node_key};
use crate::{ClusterTls, Config, Programs, ReadFrom, Service, Surroundings, grpc, pull};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(60);

struct Node {
    hub: ProgramHub,
    programs: Programs,
    _service: Service,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn tls(secret: &str) -> ClusterTls {
    ClusterTls::new(&ClusterSecret::new(secret)).unwrap()
}

async fn node(bus: &SharedBus, name: &str) -> Node {
    let stop = CancellationToken::new();
    let tls = tls("ours");
    let limit = Duration::from_secs(30);
    let policy = Policy {
        trusted: TrustedProxies::new(Vec::new()),
        proxy_protocol: false,
        per_address: 100,
        header: limit,
        body: limit,
        idle: limit,
    };
    let listeners = Listeners::new(policy, Some(tls.listener()));
    let listener = listeners.bind(Binding {
        name: "programs",
        address: "127.0.0.1:0".parse().unwrap(),
        open: 100,
        plain: 100,
        security: Security::Tls,
    });
    let hub = ProgramHub::new();
    let surroundings = Surroundings {
        node: ClusterNode::alone(bus.clone(), name.parse().unwrap()),
        tls,
        hub: hub.clone(),
        listener: listener.await.unwrap(),
        hosts: vec!["127.0.0.1".to_owned()],
    };
    let config = Config {
        kept_mb: 1,
        ..Config::default()
    };
    let (programs, service) = Programs::start(&config, surroundings, stop.clone()).unwrap();
    Node {
        hub,
        programs,
        _service: service,
        stop,
    }
}

fn descriptor(node: &str, started_unix_ms: u64) -> ProgramDescriptor {
    ProgramDescriptor {
        stream_id: "film".parse().unwrap(),
        room: serde_json::from_value(serde_json::json!({ "app": 1, "room": 1 })).unwrap(),
        node: node.parse().unwrap(),
        audio: AudioEncode {
            sample_rate: 48_000,
            bitrate_kbps: 64,
            channels: 2,
        },
        video: None,
        record: None,
        push_urls: Vec::new(),
        started_unix_ms,
        single: None,
        task: None,
    }
}

/// A program that runs at node `mcu`.
async fn begin(bus: &SharedBus, mcu: &Node) -> (ProgramDescriptor, ProgramWriter) {
    let program = descriptor("mcu", 1);
    let writer = mcu.hub.open(&program.stream()).unwrap();
    bus.store(&program_key(&program.stream()), &program, None)
        .await
        .unwrap();
    (program, writer)
}

fn header(width: u16) -> Arc<ProgramHeader> {
    Arc::new(ProgramHeader {
        video: Some(VideoHeader {
            width,
            height: 2,
            framerate: 1,
            bitrate_kbps: 1,
            sps: Bytes::from_static(&[0x67, 1]),
            pps: Bytes::from_static(&[0x68, 2]),
        }),
        audio: AudioHeader {
            sample_rate: 48_000,
            channels: 2,
            bitrate_kbps: 1,
            config: Bytes::from_static(&[0x11, 0x90]),
        },
    })
}

/// A frame each second, a keyframe each three seconds.
fn frame(second: u64, bytes: usize) -> Arc<Frame> {
    Arc::new(Frame {
        track: Track::Video,
        pts: MediaTime::new(second, 1),
        duration: 1,
        is_key: second.is_multiple_of(3),
        data: vec![0; bytes].into(),
        header: header(2),
    })
}

async fn next(reader: &mut ProgramReader) -> Result<u64, ReadError> {
    let frame = timeout(SOON, reader.next()).await.expect("something comes");
    frame.map(|frame| frame.pts.ticks())
}

async fn seconds(reader: &mut ProgramReader, count: usize) -> Vec<u64> {
    let mut seconds = Vec::new();
    for _ in 0..count {
        seconds.push(next(reader).await.unwrap());
    }
    seconds
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            Clock.sleep_until(Clock.now() + Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, waited).await.expect("it becomes so");
}

#[tokio::test]
async fn readers_on_another_node_share_one_connection_and_get_the_program_as_it_is() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let (mcu, live) = (node(&bus, "mcu").await, node(&bus, "live").await);
    let (program, writer) = begin(&bus, &mcu).await;
    for second in 0..5 {
        writer.write(frame(second, 10));
    }
    assert!(mcu.programs.is_made_here(&program) && !live.programs.is_made_here(&program));
    let mut one = live.programs.subscribe(&program, ReadFrom::Keyframe).unwrap();
    assert_eq!(seconds(&mut one, 2).await, [3, 4], "since the last keyframe");
    let mut two = live.programs.subscribe(&program, ReadFrom::Keyframe).unwrap();
    assert_eq!(seconds(&mut two, 2).await, [3, 4]);
    assert_eq!(writer.readers(), 1, "one feed for the other node");
    assert!(one.zero().is_some_and(|zero| zero < Clock.unix()));

    let larger = Frame {
        header: header(4),
        ..Frame::clone(&frame(6, 20_000))
    };
    writer.write(Arc::new(larger));
    for reader in [&mut one, &mut two] {
        let frame = timeout(SOON, reader.next()).await.unwrap().unwrap();
        assert_eq!((frame.pts.ticks(), frame.is_key, frame.data.len()), (6, true, 20_000));
        assert_eq!(frame.header.video.as_ref().map(|video| video.width), Some(4));
    }
    let absence = Absence {
        track: Track::Audio,
        from: Duration::from_secs(6),
        to: Duration::from_secs(7),
        reason: AbsenceReason::Muted,
    };
    writer.tell_absence(absence);
    writer.write(frame(7, 10));
    assert_eq!(next(&mut one).await, Ok(7));
    // It is told before the next frame.
    writer.write(frame(8, 10));
    assert_eq!(next(&mut one).await, Ok(8));
    assert_eq!(one.take_absence(), Some(absence));
    let layout = ShownLayout {
        revision: 4,
        program_ms: 8_000,
        canvas: CanvasSize { w: 2, h: 2 },
        regions: Vec::new(),
    };
    writer.tell_layout(layout.clone());
    writer.write(frame(9, 10));
    writer.write(frame(10, 10));
    assert_eq!((next(&mut one).await, next(&mut one).await), (Ok(9), Ok(10)));
    assert_eq!(one.take_layout().as_deref(), Some(&layout));
    drop(writer);
    assert_eq!(next(&mut one).await, Err(ReadError::Ended));
}

/// Forwards connections, and can cut them.
struct Wire {
    address: String,
    is_whole: watch::Sender<bool>,
    /// The connections that are open, and those that there have been.
    connections: watch::Sender<Connections>,
}

#[derive(Default)]
struct Connections {
    open: usize,
    all: usize,
}

impl Wire {
    /// In front of a node, for those who connect from now on.
    async fn before(bus: &SharedBus, name: &str) -> Self {
        let key = node_key(&name.parse().unwrap());
        let mut known = None;
        let announced = async {
            while known.is_none() {
                known = bus.load::<ProgramNode>(&key).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, announced).await.unwrap();
        let (document, revision) = known.unwrap();
        let target = document.addresses[0].clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let document = ProgramNode {
            // The first one does not answer.
            addresses: vec!["127.0.0.1:1".to_owned(), address.clone()],
        };
        bus.store(&key, &document, Some(revision)).await.unwrap();
        let (is_whole, whole) = watch::channel(true);
        let connections = watch::Sender::new(Connections::default());
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut one, _)) = listener.accept().await {
                let (target, mut whole, counted) = (target.clone(), whole.clone(), counted.clone());
                tokio::spawn(async move {
                    if !*whole.borrow() {
                        return;
                    }
                    let mut two = TcpStream::connect(target).await.unwrap();
                    counted.send_modify(|connections| {
                        connections.open += 1;
                        connections.all += 1;
                    });
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut one, &mut two) => {}
                        _ = whole.wait_for(|is_whole| !is_whole) => {}
                    }
                    counted.send_modify(|connections| connections.open -= 1);
                });
            }
        });
        Self {
            address,
            is_whole,
            connections,
        }
    }

    /// Returns when no connection is open any more; there was one.
    async fn cut(&self) {
        assert!(self.connections.borrow().open > 0, "nothing to cut");
        self.is_whole.send_replace(false);
        let mut connections = self.connections.subscribe();
        let cut = connections.wait_for(|connections| connections.open == 0);
        timeout(SOON, cut).await.expect("all are cut").unwrap();
    }

    fn mend(&self) {
        self.is_whole.send_replace(true);
    }

    /// Connections that there have been.
    fn count(&self) -> usize {
        self.connections.borrow().all
    }
}

#[tokio::test]
async fn an_interruption_loses_nothing_that_is_kept() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let (mcu, recorder) = (node(&bus, "mcu").await, node(&bus, "recorder").await);
    let wire = Wire::before(&bus, "mcu").await;
    let (program, writer) = begin(&bus, &mcu).await;
    writer.write(frame(0, 10));
    let mut reader = recorder.programs.subscribe(&program, ReadFrom::Unwritten).unwrap();
    assert_eq!(next(&mut reader).await, Ok(0));
    wire.cut().await;
    for second in 1..20 {
        writer.write(frame(second, 10));
    }
    wire.mend();
    writer.write(frame(20, 10));
    assert_eq!(seconds(&mut reader, 20).await, (1..21).collect::<Vec<_>>());
    assert!(wire.count() > 1, "it has connected once more");
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_in_whole_gops_and_told() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let (mcu, recorder) = (node(&bus, "mcu").await, node(&bus, "recorder").await);
    let wire = Wire::before(&bus, "mcu").await;
    let (program, writer) = begin(&bus, &mcu).await;
    writer.write(frame(0, 10));
    let mut reader = recorder.programs.subscribe(&program, ReadFrom::Unwritten).unwrap();
    assert_eq!(next(&mut reader).await, Ok(0));
    wire.cut().await;
    // Of a window of 1 MiB: two GOPs of 450 kB stay.
    for second in 1..15 {
        writer.write(frame(second, 150_000));
        until(|| writer.unread() == 0).await;
    }
    wire.mend();
    assert_eq!(next(&mut reader).await, Err(ReadError::Lost(8)));
    assert_eq!(seconds(&mut reader, 6).await, [9, 10, 11, 12, 13, 14]);
}

#[tokio::test]
async fn another_recorder_begins_where_the_disk_of_the_last_one_ends() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let (mcu, first) = (node(&bus, "mcu").await, node(&bus, "first").await);
    let (program, writer) = begin(&bus, &mcu).await;
    for second in 0..3 {
        writer.write(frame(second, 10));
    }
    let mut reader = first.programs.subscribe(&program, ReadFrom::Unwritten).unwrap();
    // From the first reader on another node on, frames are kept.
    assert_eq!(seconds(&mut reader, 3).await, [0, 1, 2]);
    for second in 3..10 {
        writer.write(frame(second, 10));
    }
    assert_eq!(seconds(&mut reader, 7).await, (3..10).collect::<Vec<_>>());
    reader.acknowledge(Duration::from_millis(4500));
    // That word may be on its way for a moment.
    let second = node(&bus, "second").await;
    let begun = async {
        loop {
            let mut reader = second.programs.subscribe(&program, ReadFrom::Unwritten).unwrap();
            if next(&mut reader).await == Ok(3) {
                return reader;
            }
            drop(reader);
            // Until nobody reads it there, a second reader would share the pull of the first.
            until(|| second.programs.follows() == 0).await;
        }
    };
    let mut reader = timeout(SOON, begun).await.unwrap();
    assert_eq!(seconds(&mut reader, 6).await, [4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_program_that_nobody_reads_is_followed_no_longer_and_again_for_the_next_reader() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let (mcu, live) = (node(&bus, "mcu").await, node(&bus, "live").await);
    let (program, writer) = begin(&bus, &mcu).await;
    writer.write(frame(0, 10));
    let mut reader = live.programs.subscribe(&program, ReadFrom::Keyframe).unwrap();
    assert_eq!(next(&mut reader).await, Ok(0));
    assert_eq!(live.programs.follows(), 1);
    drop(reader);
    until(|| live.programs.follows() == 0).await;
    let mut reader = live.programs.subscribe(&program, ReadFrom::Keyframe).unwrap();
    assert_eq!(next(&mut reader).await, Ok(0));
}

#[tokio::test]
async fn a_program_whose_node_is_gone_ends_with_its_document() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let (mcu, live) = (node(&bus, "mcu").await, node(&bus, "live").await);
    let wire = Wire::before(&bus, "mcu").await;
    let (program, writer) = begin(&bus, &mcu).await;
    writer.write(frame(0, 10));
    let mut reader = live.programs.subscribe(&program, ReadFrom::Keyframe).unwrap();
    assert_eq!(next(&mut reader).await, Ok(0));
    wire.cut().await;
    bus.remove(&program_key(&program.stream())).await.unwrap();
    assert_eq!(next(&mut reader).await, Err(ReadError::Ended));

    // Another program of the stream begins here.
    let later = descriptor("live", 2);
    let own = live.hub.open(&later.stream()).unwrap();
    let mut reader = live.programs.subscribe(&later, ReadFrom::Keyframe).unwrap();
    own.write(frame(0, 10));
    assert_eq!(next(&mut reader).await, Ok(0));
}

#[tokio::test]
async fn a_reader_that_asks_for_the_wrong_thing_is_told_what_is_wrong() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let mcu = node(&bus, "mcu").await;
    let wire = Wire::before(&bus, "mcu").await;
    let (program, writer) = begin(&bus, &mcu).await;
    writer.write(frame(0, 10));
    let good = Read {
        version: VERSION,
        node: "mcu".parse().unwrap(),
        stream: program.stream(),
        started_unix_ms: 1,
        from: ReadFrom::Keyframe,
        takes_layouts: true,
    };
    let refused = async |first: Bytes| {
        let channel = pull::connect_to(&tls("ours"), &wire.address).await.unwrap();
        let mut client = grpc::programs_client::ProgramsClient::new(channel);
        let asked = tokio_stream::iter([grpc::Message { framed: first }]);
        let answer = timeout(SOON, client.read(asked)).await.unwrap();
        answer.err().map(|status| (status.code(), status.message().to_owned()))
    };
    let read = |read: Read| messages::write(&ToSource::Read(read), &[]).unwrap();
    assert_eq!(refused(read(good.clone())).await, None);

    let version = Read {
        version: 2,
        ..good.clone()
    };
    let (code, message) = refused(read(version)).await.unwrap();
    assert_eq!(code, Code::FailedPrecondition);
    assert!(message.contains("version 1") && message.contains("not 2"), "{message}");

    let other = Read {
        node: "mcu-2".parse().unwrap(),
        ..good.clone()
    };
    let (code, message) = refused(read(other)).await.unwrap();
    assert_eq!(
        (code, message.as_str()),
        (Code::NotFound, "this is node mcu, not mcu-2")
    );

    let earlier = Read {
        started_unix_ms: 0,
        ..good.clone()
    };
    assert_eq!(refused(read(earlier)).await.unwrap().0, Code::NotFound);
    let half = read(good.clone()).slice(..20);
    let (code, message) = refused(half).await.unwrap();
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("cut off"), "{message}");
    let huge = refused(vec![0; 100_000].into()).await.unwrap();
    assert_eq!(huge.0, Code::OutOfRange);

    // A node of another cluster does not even get so far.
    assert!(pull::connect_to(&tls("theirs"), &wire.address).await.is_err());
}
