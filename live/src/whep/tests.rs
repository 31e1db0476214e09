use std::net::SocketAddr;
use std::time::Duration;

use rotunda_client::Peer;
use rotunda_media::codec::OpusDecoder;
use rotunda_media::codec::h264::{nal_type, nal_units};
use rotunda_media::program::{ProgramHub, ProgramWriter};
use str0m::media::{Direction, MediaData, MediaKind};
use str0m::{Event, Rtc};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::*;
use crate::hls::program::TestProgram;

/// Fails a test that waits for something that does not come, on a machine however slow.
const PATIENCE: Duration = Duration::from_secs(60);

struct Test {
    whep: Whep,
    hub: ProgramHub,
    stream: StreamKey,
    program: Option<tokio::task::JoinHandle<ProgramWriter>>,
    end_program: CancellationToken,
}

impl Test {
    /// A program that has run for some time, whose last keyframe is 0.8 s old, and no other comes soon.
    async fn start(players: usize) -> Self {
        let config = Config {
            whep_players: players,
            whep_advertise: vec!["127.0.0.1".parse().unwrap()],
            ..Config::default()
        };
        let hub = ProgramHub::new();
        let stream: StreamKey = "1/s".parse().unwrap();
        let writer = hub.open(&stream).unwrap();
        let mut source = TestProgram::new();
        for frame in source.run(1.0, 1.0) {
            writer.write(frame);
        }
        let end_program = CancellationToken::new();
        let ended = end_program.clone();
        let program = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = ended.cancelled() => return writer,
                    () = Clock.sleep_until(Clock.now() + Duration::from_millis(200)) => {}
                }
                // 600 s between keyframes.
                for frame in source.run(0.2, 600.0) {
                    writer.write(frame);
                }
            }
        });
        Self {
            whep: Whep::start(&config, CancellationToken::new()).await.unwrap(),
            hub,
            stream,
            program: Some(program),
            end_program,
        }
    }

    fn begin(&self, offer: &str) -> Result<Begun, WhepError> {
        self.begin_of(&self.stream, offer)
    }

    fn begin_of(&self, stream: &StreamKey, offer: &str) -> Result<Begun, WhepError> {
        let (hub, read) = (self.hub.clone(), stream.clone());
        self.whep.begin(stream, Arc::new(move || hub.subscribe(&read)), offer)
    }
}

struct Watcher {
    peer: Peer,
    socket: UdpSocket,
    local: SocketAddr,
    is_over: bool,
}

impl Watcher {
    async fn offer() -> (Self, String) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        let config = Rtc::builder().clear_codecs().enable_opus(true, false).enable_h264(true);
        let mut peer = Peer::new(Clock.now(), local, config).unwrap();
        let (offer, ()) = peer
            .offer(|changes| {
                for kind in [MediaKind::Audio, MediaKind::Video] {
                    changes.add_media(kind, Direction::RecvOnly, None, None, None);
                }
            })
            .unwrap();
        let watcher = Self {
            peer,
            socket,
            local,
            is_over: false,
        };
        (watcher, offer)
    }

    fn accept(&mut self, answer: &str) {
        self.peer.handle_answer(Clock.now(), answer).unwrap();
    }

    /// The next frame; None: the session is over.
    async fn next(&mut self) -> Option<MediaData> {
        let mut buffer = vec![0; 2048];
        loop {
            while let Some(event) = self.peer.poll_event() {
                match event {
                    Event::MediaData(frame) => return Some(frame),
                    Event::Closed => self.is_over = true,
                    Event::IceConnectionStateChange(str0m::IceConnectionState::Disconnected) => self.is_over = true,
                    _ => {}
                }
            }
            if self.is_over {
                return None;
            }
            while let Some(transmit) = self.peer.poll_transmit() {
                self.socket
                    .send_to(&transmit.contents, transmit.destination)
                    .await
                    .unwrap();
            }
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, from) = received.unwrap();
                    self.peer.handle_datagram_at(Clock.now(), from, self.local, &buffer[..length]).unwrap();
                }
                () = Clock.sleep_until(self.peer.poll_timeout()) => self.peer.handle_timeout(Clock.now()).unwrap(),
            }
        }
    }

    /// So many frames of each kind.
    async fn frames(&mut self, count: usize) -> (Vec<MediaData>, Vec<MediaData>) {
        let (mut audio, mut video) = (Vec::new(), Vec::new());
        let receive = async {
            while audio.len() < count || video.len() < count {
                let frame = self.next().await.expect("the session goes on");
                match frame.params.spec().codec {
                    str0m::format::Codec::Opus => audio.push(frame),
                    _ => video.push(frame),
                }
            }
        };
        timeout(PATIENCE, receive).await.expect("audio and video arrive");
        (audio, video)
    }

    async fn end(&mut self) {
        let end = async { while self.next().await.is_some() {} };
        timeout(PATIENCE, end).await.expect("the session ends");
    }
}

#[tokio::test]
async fn a_viewer_sees_the_program_from_its_last_keyframe_on_and_hears_it() {
    let test = Test::start(10).await;
    let (mut watcher, offer) = Watcher::offer().await;
    let begun = test.begin(&offer).unwrap();
    watcher.accept(&begun.answer);
    let (audio, video) = watcher.frames(20).await;
    let kinds: Vec<u8> = nal_units(&video[0].data).map(nal_type).collect();
    assert_eq!(kinds, [7, 8, 5], "the first frame is a keyframe with parameter sets");
    let times = |frames: &[MediaData]| frames.iter().map(|frame| frame.time.as_seconds()).collect::<Vec<_>>();
    let is_regular = |pair: &[f64]| (pair[1] - pair[0] - 1.0 / 15.0).abs() < 0.001;
    assert!(times(&video).windows(2).all(is_regular), "{:?}", times(&video));
    let mut decoder = OpusDecoder::new(2).unwrap();
    let mut pcm = Vec::new();
    for packet in &audio {
        decoder.decode(Some(&packet.data), &mut pcm).unwrap();
    }
    let loudest = pcm.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
    assert!(loudest > 0.3, "the program's tone: {loudest}");

    assert!(test.whep.end(&begun.id));
    watcher.end().await;
    assert!(!test.whep.end(&begun.id), "it has ended");
}

#[tokio::test]
async fn the_end_of_the_program_ends_its_sessions_and_their_places_are_free_again() {
    let mut test = Test::start(1).await;
    let (mut watcher, offer) = Watcher::offer().await;
    let begun = test.begin(&offer).unwrap();
    watcher.accept(&begun.answer);
    watcher.frames(1).await;
    let full = test.begin(&offer).unwrap_err();
    assert!(matches!(full, WhepError::Full), "{full}");
    test.end_program.cancel();
    drop(test.program.take().unwrap().await.unwrap());
    watcher.end().await;
    let place = timeout(PATIENCE, test.whep.places.acquire()).await;
    drop(place.expect("the place is free").unwrap());
    let gone = test.begin(&offer).unwrap_err();
    assert!(matches!(gone, WhepError::NoSuchStream), "{gone}");
}

#[tokio::test]
async fn an_offer_that_cannot_be_answered_takes_no_place() {
    let test = Test::start(1).await;
    for offer in ["", "v=0\r\n", "m=nonsense\r\n"] {
        let refused = test.begin(offer).unwrap_err();
        assert!(matches!(refused, WhepError::Offer(_)), "{refused}");
    }
    let (_, offer) = Watcher::offer().await;
    let unknown = test.begin_of(&"1/other".parse().unwrap(), &offer).unwrap_err();
    assert!(matches!(unknown, WhepError::NoSuchStream), "{unknown}");
    assert!(test.begin(&offer).is_ok(), "no place was lost");
}
