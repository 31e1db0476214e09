//! A member and the SFU; the test stands in for the SFU.

use rotunda_proto::ids::{SessionId, TrackSource};
use rotunda_proto::room::{Seats, seats_key};
use rotunda_proto::sfu::{self, Command, SlotMap, control_subject, events_subject, member_session_subject};
use rotunda_proto::signaling::{Lines, MediaState, PublisherView};
use rotunda_proto::statistics::{DISCONNECTED, NetworkQuality, SentMedia, Statistics};

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout;

use super::*;

/// Ann with a media session at an SFU that confirms every command.
pub(super) struct Connected {
    pub test: Test,
    pub session: SessionId,
    /// While set, the SFU does not answer.
    pub sfu_is_deaf: Arc<AtomicBool>,
    next_id: u64,
    /// Every `SetIngress` that the SFU got.
    ingress: mpsc::UnboundedReceiver<BTreeSet<TrackSource>>,
    /// Every `SetSlots` that the SFU got.
    pub slots: mpsc::UnboundedReceiver<SlotMap>,
    /// Every session that the SFU was asked to close.
    pub closed: mpsc::UnboundedReceiver<SessionId>,
}

impl Connected {
    pub async fn ask(&mut self, request: Request) -> Result<Reply, ErrorCode> {
        self.next_id += 1;
        let id = self.next_id;
        ask(&mut self.test, id, request).await
    }

    /// The last `SetIngress` since the previous call.
    pub fn last_ingress(&mut self) -> Option<BTreeSet<TrackSource>> {
        std::iter::from_fn(|| self.ingress.try_recv().ok()).last()
    }

    /// The last `SetSlots` since the previous call.
    pub fn shown(&mut self) -> Option<SlotMap> {
        std::iter::from_fn(|| self.slots.try_recv().ok()).last()
    }

    /// Another member publishes.
    pub async fn is_joined_by(&mut self, user: &UserId, source: TrackSource) {
        self.seats_change(|seats| {
            crate::seats::take_alone(seats, Default::default(), user, source, TrackState::On).unwrap();
        })
        .await;
        assert!(matches!(self.next_event().await, Event::Publishing { .. }));
    }

    /// Another member changes the seats.
    pub async fn seats_change(&mut self, mut change: impl FnMut(&mut Seats) + Send) {
        let changed = |seats: Option<Seats>| {
            let mut seats = seats.unwrap_or_default();
            change(&mut seats);
            Ok::<_, Infallible>((Some(seats), ()))
        };
        let test = &self.test;
        let Ok(()) = test.bus.update(&seats_key(&test.room), changed).await.unwrap();
    }

    /// Attaches a new WebSocket.
    pub async fn come_back(&mut self) {
        (self.test.messages, self.test.attachment) = attach(&self.test.member).await;
    }

    pub async fn sfu_tells(&self, event: sfu::Event) {
        let subject = match event.of_session() {
            Some(session) => member_session_subject(&"node-1".parse().unwrap(), session),
            None => events_subject(&self.test.room),
        };
        self.test.bus.tell(&subject, &event).await.unwrap();
    }

    /// The publishers in the audio slots, by the next event about them.
    async fn next_audio_slots(&mut self) -> Vec<Option<UserId>> {
        loop {
            if let ServerMessage::Event(Event::Slots { audio, .. }) = self.test.messages.recv().await.unwrap() {
                return audio;
            }
        }
    }

    /// The next event, except those that every session begins with.
    pub async fn next_event(&mut self) -> Event {
        loop {
            match self.test.messages.recv().await.unwrap() {
                ServerMessage::Event(
                    Event::MemberCount { .. }
                    | Event::Slots { .. }
                    | Event::Permissions { .. }
                    | Event::WaitingRoom { .. }
                    | Event::Room { .. }
                    | Event::Speakers { .. },
                ) => {}
                ServerMessage::Event(event) => return event,
                other => panic!("no event: {other:?}"),
            }
        }
    }
}

pub(super) async fn ask(test: &mut Test, id: u64, request: Request) -> Result<Reply, ErrorCode> {
    let number = test.attachment;
    test.member
        .send(ToMember::Request {
            number,
            id,
            request: Box::new(request),
        })
        .await
        .unwrap();
    loop {
        match test.messages.recv().await.unwrap() {
            ServerMessage::Ok { id: of, reply, .. } if of == id => return Ok(reply),
            ServerMessage::Failed { id: of, error } if of == Some(id) => return Err(error.code),
            _ => {}
        }
    }
}

fn measured() -> Statistics {
    Statistics {
        quality: NetworkQuality {
            uplink_network_quality: 2,
            downlink_network_quality: 1,
            uplink_rtt: None,
            uplink_loss: 3,
            downlink_rtt: Some(48),
            downlink_loss: 0,
        },
        downlink_wanted: 1_500_000,
        ..Statistics::default()
    }
}

pub(super) async fn connected() -> Connected {
    connect(ann_in_the_room().await).await
}

pub(super) async fn connect(test: Test) -> Connected {
    connect_with(test, "v=0").await
}

pub(super) async fn connect_with(test: Test, offer: &str) -> Connected {
    connect_and_answer(test, offer, Lines::default(), "v=0").await
}

async fn connect_and_answer(mut test: Test, offer: &str, lines: Lines, answer: &str) -> Connected {
    let mut commands = test
        .bus
        .serve(&control_subject(&"node-1".parse().unwrap()))
        .await
        .unwrap();
    let (opened, session) = oneshot::channel();
    let (sent, ingress) = mpsc::unbounded_channel();
    let (show, slots) = mpsc::unbounded_channel();
    let (close, closed) = mpsc::unbounded_channel();
    let sfu_is_deaf = Arc::new(AtomicBool::new(false));
    let is_deaf = sfu_is_deaf.clone();
    let answer = answer.to_owned();
    tokio::spawn(async move {
        let mut opened = Some(opened);
        loop {
            let request = commands.next().await;
            if is_deaf.load(Ordering::Relaxed) {
                continue;
            }
            let reply = match request.parse().unwrap() {
                Command::Open { session, .. } => {
                    opened.take().unwrap().send(session).unwrap();
                    let answer = answer.clone();
                    sfu::Reply::Opened { answer }
                }
                Command::SetIngress { sources, .. } => {
                    let _nobody_looks = sent.send(sources);
                    sfu::Reply::Done
                }
                Command::SetSlots { slots, .. } => {
                    let _nobody_looks = show.send(slots);
                    sfu::Reply::Done
                }
                Command::Close { session, .. } => {
                    let _nobody_looks = close.send(session);
                    sfu::Reply::Done
                }
                Command::Statistics { user, .. } => {
                    assert_eq!(user.as_str(), "ann");
                    let statistics = Box::new(measured());
                    sfu::Reply::Statistics { statistics }
                }
                _ => sfu::Reply::Done,
            };
            request.answer(&reply);
        }
    });
    let offer = offer.to_owned();
    ask(&mut test, 2, Request::Connect { offer, lines }).await.unwrap();
    Connected {
        test,
        session: session.await.unwrap(),
        sfu_is_deaf,
        next_id: 2,
        ingress,
        slots,
        closed,
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_gets_the_quality_of_their_own_connection_and_of_no_other() {
    let mut ann = connected().await;
    let other = sfu::Event::Quality {
        session: SessionId(ann.session.0 ^ 1),
        quality: NetworkQuality::disconnected(),
        sent: SentMedia::default(),
    };
    ann.sfu_tells(other).await;
    let quality = measured().quality;
    let session = ann.session;
    let sent = SentMedia {
        audio: 30_000,
        ..SentMedia::default()
    };
    ann.sfu_tells(sfu::Event::Quality { session, quality, sent }).await;
    let told = ann.next_event().await;
    assert_eq!(told, Event::NetworkQuality { quality });
    let log = ann.test.shared.session_events.quality();
    let points = log.of(&ann.test.room, &"ann".parse().unwrap(), 0, u64::MAX);
    let noted: Vec<_> = points.iter().map(|point| (point.round_trip, point.sent)).collect();
    assert_eq!(noted, [(Some(48), sent)], "the server API answers it later");
    let json = serde_json::to_value(&told).unwrap();
    let names = serde_json::json!({
        "event": "networkQuality", "uplinkNetworkQuality": 2, "downlinkNetworkQuality": 1,
        "uplinkLoss": 3, "downlinkRTT": 48, "downlinkLoss": 0,
    });
    assert_eq!(json, names);
    assert_eq!(serde_json::from_value::<Event>(json).unwrap(), told);
}

#[tokio::test(start_paused = true)]
async fn a_lost_media_session_has_the_quality_disconnected() {
    let mut ann = connected().await;
    let lost = sfu::Event::Disconnected {
        session: ann.session,
        user: None,
        reason: "the peer does not answer any more".into(),
    };
    ann.sfu_tells(lost).await;
    let Event::NetworkQuality { quality } = ann.next_event().await else {
        panic!("no quality");
    };
    assert_eq!(
        (quality.uplink_network_quality, quality.downlink_network_quality),
        (DISCONNECTED, DISCONNECTED)
    );
    let state = MediaState::Disconnected;
    assert_eq!(ann.next_event().await, Event::MediaState { state });
    assert_eq!(ann.ask(Request::GetStats {}).await, Err(ErrorCode::NotConnected));
}

#[tokio::test(start_paused = true)]
async fn a_connected_member_gets_their_statistics() {
    let mut test = ann_in_the_room().await;
    assert_eq!(
        ask(&mut test, 9, Request::GetStats {}).await,
        Err(ErrorCode::NotConnected)
    );
    let mut ann = connected().await;
    let statistics = Box::new(measured());
    assert_eq!(ann.ask(Request::GetStats {}).await, Ok(Reply::Stats { statistics }));
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_a_member_cannot_decode_is_named_to_them() {
    let mut ann = connected().await;
    let (session, source) = (ann.session, TrackSource::Camera);
    let user: UserId = "bob".parse().unwrap();
    let codec = "H265".to_owned();
    let event = sfu::Event::CodecNotSupported {
        session,
        user: user.clone(),
        source,
        codec,
    };
    ann.sfu_tells(event).await;
    let told = serde_json::to_value(ann.next_event().await).unwrap();
    let names = serde_json::json!({
        "event": "codecNotSupported", "userId": "bob", "source": "camera", "codec": "H265",
    });
    assert_eq!(told, names);
}

#[tokio::test(start_paused = true)]
async fn with_more_than_six_microphones_the_sfu_names_the_publishers_in_the_slots() {
    let mut ann = connect(ann_in_a_room_for(Microphones::try_from(9).unwrap()).await).await;
    let (bob, cat): (UserId, UserId) = ("bob".parse().unwrap(), "cat".parse().unwrap());
    let mut slots = vec![None; 6];
    (slots[5], slots[2]) = (Some(bob.clone()), Some(cat));
    let tells = |audio| sfu::Event::Voices {
        session: ann.session,
        audio,
    };
    ann.sfu_tells(tells(slots.clone())).await;
    assert_eq!(ann.next_audio_slots().await, vec![None; 6], "before the SFU has chosen");
    assert_eq!(ann.next_audio_slots().await, slots);
    // A member who comes back gets it again.
    (ann.test.messages, ann.test.attachment) = attach(&ann.test.member).await;
    assert_eq!(ann.next_audio_slots().await, slots);
}

#[tokio::test(start_paused = true)]
async fn a_member_who_comes_back_gets_the_layers_to_send_again() {
    let mut ann = connected().await;
    let (session, source) = (ann.session, TrackSource::Camera);
    let layers = |active: &[&str]| active.iter().map(ToString::to_string).collect::<Vec<_>>();
    for active in [layers(&["q"]), layers(&["q", "f"])] {
        let event = sfu::Event::Layers {
            session,
            source,
            active: active.clone(),
        };
        ann.sfu_tells(event).await;
        assert_eq!(ann.next_event().await, Event::Layers { source, active });
    }
    let max_height = Some(144);
    let event = sfu::Event::SpatialLayers {
        session,
        source: TrackSource::Screen,
        max_height,
    };
    ann.sfu_tells(event).await;
    let smallest = Event::SpatialLayers {
        source: TrackSource::Screen,
        max_height,
    };
    assert_eq!(ann.next_event().await, smallest);
    ann.come_back().await;
    let active = layers(&["q", "f"]);
    assert_eq!(ann.next_event().await, Event::Layers { source, active });
    assert_eq!(ann.next_event().await, smallest);
}

#[tokio::test(start_paused = true)]
async fn a_member_who_comes_back_gets_the_undecodable_codecs_of_their_slots_again() {
    let mut ann = connected().await;
    let source = TrackSource::Camera;
    let bob: UserId = "bob".parse().unwrap();
    ann.is_joined_by(&bob, source).await;
    let request = Request::RequestVideo {
        user_id: bob.clone(),
        source,
        max_height: None,
    };
    ann.ask(request).await.unwrap();
    let event = |user: &str| sfu::Event::CodecNotSupported {
        session: ann.session,
        user: user.parse().unwrap(),
        source,
        codec: "H265".into(),
    };
    let [of_bob, of_dan] = [event("bob"), event("dan")];
    for event in [of_bob, of_dan] {
        ann.sfu_tells(event).await;
        assert!(matches!(ann.next_event().await, Event::CodecNotSupported { .. }));
    }
    ann.come_back().await;
    let codec = "H265".to_owned();
    let user_id = bob;
    assert_eq!(
        ann.next_event().await,
        Event::CodecNotSupported { user_id, source, codec }
    );
    ann.sfu_tells(sfu::Event::Quality {
        session: ann.session,
        quality: measured().quality,
        sent: SentMedia::default(),
    })
    .await;
    assert!(
        matches!(ann.next_event().await, Event::NetworkQuality { .. }),
        "nothing of dan, whom she does not watch"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_report_of_the_connection_is_made_up_for_by_its_first_measurement() {
    let mut ann = connected().await;
    let (session, quality) = (ann.session, measured().quality);
    let sent = SentMedia::default();
    ann.sfu_tells(sfu::Event::Quality { session, quality, sent }).await;
    let state = MediaState::Connected;
    while ann.next_event().await != (Event::MediaState { state }) {}
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_media_was_lost_is_notified_on_every_return_until_they_connect_again() {
    let mut ann = connected().await;
    let lost = sfu::Event::Disconnected {
        session: ann.session,
        user: Some("ann".parse().unwrap()),
        reason: "the peer does not answer any more".to_owned(),
    };
    ann.sfu_tells(lost).await;
    let state = MediaState::Disconnected;
    while ann.next_event().await != (Event::MediaState { state }) {}
    ann.come_back().await;
    while ann.next_event().await != (Event::MediaState { state }) {}
}

#[tokio::test(start_paused = true)]
async fn a_member_who_knows_of_an_end_is_notified_of_the_new_beginning_however_soon_it_comes() {
    let mut ann = connected().await;
    let (bob, camera): (UserId, _) = ("bob".parse().unwrap(), TrackSource::Camera);
    ann.is_joined_by(&bob, camera).await;

    // The room is notified after a while; a member with a request gets the state at once.
    ann.seats_change(|seats| crate::seats::release(seats, &bob, crate::seats::membership_of(&bob), camera))
        .await;
    let request = Request::RequestVideo {
        user_id: bob.clone(),
        source: camera,
        max_height: None,
    };
    while ann.ask(request.clone()).await.is_ok() {}
    assert_eq!(ann.next_event().await, publishing(&bob, None));

    ann.seats_change(|seats| {
        crate::seats::take_alone(seats, Default::default(), &bob, camera, TrackState::On).unwrap();
    })
    .await;
    let told = timeout(Duration::from_secs(1), ann.next_event()).await;
    assert_eq!(told, Ok(publishing(&bob, Some(TrackState::On))));
}

pub(super) async fn seats(test: &Test) -> Seats {
    let seats = test.bus.load::<Seats>(&seats_key(&test.room)).await.unwrap();
    seats.map(|(seats, _)| seats).unwrap_or_default()
}

fn some_publisher(number: u64) -> rotunda_proto::room::Publisher {
    let holder = rotunda_proto::room::Holder {
        membership: rotunda_proto::ids::MembershipId(number),
        node: rotunda_proto::incarnation::Incarnation::new("node-1".parse().unwrap(), 1),
    };
    rotunda_proto::room::Publisher::of(format!("user{number}").parse().unwrap(), holder)
}

#[tokio::test(start_paused = true)]
async fn one_more_muted_member_than_a_room_can_show_is_refused_by_name() {
    let mut ann = connected().await;
    let mute = |number: usize| Request::MuteRemoteAudio {
        user_id: format!("user{number}").parse().unwrap(),
        muted: true,
    };
    for number in 0..1000 {
        // None of them is in the room, so the oldest are forgotten first.
        ann.ask(mute(number)).await.unwrap();
    }
    ann.seats_change(|seats| {
        for number in 0..100 {
            seats.publishers.push(rotunda_proto::room::Publisher {
                audio: Some(TrackState::On),
                ..some_publisher(number)
            });
        }
    })
    .await;
    ann.test.pass(1).await;
    let mut refused = Vec::new();
    for number in 0..100 {
        refused.extend(ann.ask(mute(number)).await.err());
    }
    assert!(!refused.is_empty() && refused.iter().all(|code| *code == ErrorCode::TooManyMuted));
}

#[tokio::test(start_paused = true)]
async fn a_source_whose_line_was_refused_for_its_codec_takes_no_seat() {
    let offer = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\nm=video 9 X 96\r\na=mid:1\r\na=rtpmap:96 H266/90000\r\n";
    let answer = offer.replace("m=video 9", "m=video 0");
    let lines = Lines {
        microphone: Some("0".to_owned()),
        camera: Some("1".to_owned()),
        ..Lines::default()
    };
    let mut ann = connect_and_answer(ann_in_the_room().await, offer, lines, &answer).await;
    let publish = |source| Request::Publish { source, muted: false };
    let refused = ann.ask(publish(TrackSource::Camera)).await;
    assert_eq!(refused, Err(ErrorCode::CodecNotSupported));
    assert!(seats(&ann.test).await.is_empty());
    ann.ask(publish(TrackSource::Audio)).await.unwrap();
}

fn publishing(user: &UserId, camera: Option<TrackState>) -> Event {
    Event::Publishing {
        publisher: PublisherView {
            user_id: user.clone(),
            audio: None,
            camera,
            screen: None,
        },
    }
}
