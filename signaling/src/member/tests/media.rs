//! A member and the SFU, which is played by the test.

use rotunda_proto::custom_message::CustomMessage;
use rotunda_proto::ids::{SessionId, TrackSource};
use rotunda_proto::room::{Seats, seats_key};
use rotunda_proto::sfu::{self, Command, SlotMap, control_subject, session_subject};
use rotunda_proto::signaling::{Lines, MediaState, PublisherView};
use rotunda_proto::statistics::{DISCONNECTED, NetworkQuality, Statistics};

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout;

use super::*;

/// Ann with a media session at an SFU that says yes to everything.
pub(super) struct Connected {
    pub test: Test,
    session: SessionId,
    /// It answers nothing meanwhile.
    pub sfu_is_deaf: Arc<AtomicBool>,
    next_id: u64,
    /// What the SFU was told to let in, each time.
    ingress: mpsc::UnboundedReceiver<BTreeSet<TrackSource>>,
    /// What the SFU was told to show, each time.
    slots: mpsc::UnboundedReceiver<SlotMap>,
    /// Sessions that the SFU was told to close.
    closed: mpsc::UnboundedReceiver<SessionId>,
}

impl Connected {
    pub async fn ask(&mut self, request: Request) -> Result<Reply, ErrorCode> {
        self.next_id += 1;
        let id = self.next_id;
        ask(&mut self.test, id, request).await
    }

    /// What the SFU was told to let in last, since this was asked.
    pub fn let_in(&mut self) -> Option<BTreeSet<TrackSource>> {
        std::iter::from_fn(|| self.ingress.try_recv().ok()).last()
    }

    /// What the SFU was told to show last, since this was asked.
    pub fn shown(&mut self) -> Option<SlotMap> {
        std::iter::from_fn(|| self.slots.try_recv().ok()).last()
    }

    /// Somebody else publishes.
    pub async fn is_joined_by(&mut self, user: &UserId, source: TrackSource) {
        self.seats_change(|seats| {
            crate::seats::take(seats, Default::default(), user, source, TrackState::On).unwrap();
        })
        .await;
        assert!(matches!(self.next_event().await, Event::Publishing { .. }));
    }

    /// By somebody else.
    async fn seats_change(&mut self, mut change: impl FnMut(&mut Seats) + Send) {
        let changed = |seats: Option<Seats>| {
            let mut seats = seats.unwrap_or_default();
            change(&mut seats);
            Ok::<_, Infallible>((Some(seats), ()))
        };
        let test = &self.test;
        let Ok(()) = test.bus.update(&seats_key(&test.room), changed).await.unwrap();
    }

    /// By a new WebSocket.
    async fn come_back(&mut self) {
        (self.test.messages, self.test.attachment) = attach(&self.test.member).await;
    }

    async fn sfu_tells(&self, event: sfu::Event) {
        let subject = event.subject(&self.test.room);
        self.test.bus.tell(&subject, &event).await.unwrap();
    }

    /// Whom the sound slots carry, when that is told next.
    async fn next_sounds(&mut self) -> Vec<Option<UserId>> {
        loop {
            if let ServerMessage::Event(Event::Slots { audio, .. }) = self.test.messages.recv().await.unwrap() {
                return audio;
            }
        }
    }

    /// The next event that is of interest: of what is told on its own at the beginning, nothing is.
    pub async fn next_event(&mut self) -> Event {
        loop {
            match self.test.messages.recv().await.unwrap() {
                ServerMessage::Event(
                    Event::MemberCount { .. }
                    | Event::Slots { .. }
                    | Event::Permissions { .. }
                    | Event::Room { .. }
                    | Event::Speakers { .. },
                ) => {}
                ServerMessage::Event(event) => return event,
                other => panic!("no event: {other:?}"),
            }
        }
    }
}

async fn ask(test: &mut Test, id: u64, request: Request) -> Result<Reply, ErrorCode> {
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

async fn connect(test: Test) -> Connected {
    connect_with(test, "v=0").await
}

async fn connect_with(test: Test, offer: &str) -> Connected {
    connect_and_answer(test, offer, Lines::default(), "v=0").await
}

async fn connect_and_answer(mut test: Test, offer: &str, lines: Lines, answer: &str) -> Connected {
    let mut commands = test
        .bus
        .serve(&control_subject(&"node-1".parse().unwrap()))
        .await
        .unwrap();
    let (opened, session) = oneshot::channel();
    let (let_in, ingress) = mpsc::unbounded_channel();
    let (show, slots) = mpsc::unbounded_channel();
    let (close, closed) = mpsc::unbounded_channel();
    let sfu_is_deaf = Arc::new(AtomicBool::new(false));
    let is_deaf = sfu_is_deaf.clone();
    let answer = answer.to_owned();
    tokio::spawn(async move {
        let mut opened = Some(opened);
        while let Some(request) = commands.recv().await {
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
                    let _nobody_looks = let_in.send(sources);
                    sfu::Reply::Done
                }
                Command::SetSlots { slots, .. } => {
                    let _nobody_looks = show.send(slots);
                    sfu::Reply::Done
                }
                Command::Close { session } => {
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
async fn a_member_is_told_the_quality_of_his_own_connection_and_not_of_another() {
    let mut ann = connected().await;
    let other = sfu::Event::Quality {
        session: SessionId(ann.session.0 ^ 1),
        quality: NetworkQuality::disconnected(),
    };
    ann.sfu_tells(other).await;
    let quality = measured().quality;
    let session = ann.session;
    ann.sfu_tells(sfu::Event::Quality { session, quality }).await;
    let told = ann.next_event().await;
    assert_eq!(told, Event::NetworkQuality { quality });
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
async fn a_member_is_given_his_statistics_once_he_is_connected() {
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
async fn a_codec_that_a_member_cannot_decode_is_named_to_him() {
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
async fn where_more_than_six_may_speak_the_sfu_says_whom_the_slots_carry() {
    let mut ann = connect(ann_in_a_room_for(Microphones::try_from(9).unwrap()).await).await;
    let (bob, cat): (UserId, UserId) = ("bob".parse().unwrap(), "cat".parse().unwrap());
    let mut slots = vec![None; 6];
    (slots[5], slots[2]) = (Some(bob.clone()), Some(cat));
    let tells = |audio| sfu::Event::Voices {
        session: ann.session,
        audio,
    };
    ann.sfu_tells(tells(slots.clone())).await;
    assert_eq!(ann.next_sounds().await, vec![None; 6], "before the SFU has chosen");
    assert_eq!(ann.next_sounds().await, slots);
    // Who comes back is told again.
    (ann.test.messages, ann.test.attachment) = attach(&ann.test.member).await;
    assert_eq!(ann.next_sounds().await, slots);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_told_again_which_layers_to_send() {
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
async fn who_comes_back_is_told_again_what_of_his_slots_he_cannot_decode() {
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
    })
    .await;
    assert!(
        matches!(ann.next_event().await, Event::NetworkQuality { .. }),
        "nothing of dan, whom she does not watch"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_for_one_session_is_on_a_subject_of_its_own() {
    let ann = connected().await;
    let quality = NetworkQuality::default();
    let session = ann.session;
    let event = sfu::Event::Quality { session, quality };
    assert_eq!(event.subject(&ann.test.room), session_subject(session));
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_after_his_media_was_lost_is_told_so_until_he_has_connected_again() {
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
async fn who_has_no_data_channel_is_told_what_others_say_and_nothing_twice() {
    let mut ann = connected().await;
    let says = |user: &str, count| sfu::Event::CustomMessage {
        message: CustomMessage::new(&user.parse().unwrap(), 3, count, b"hi"),
    };
    let told = |count| Event::CustomMessage {
        user_id: "bob".parse().unwrap(),
        cmd_id: 3,
        seq: count,
        data: "aGk=".into(),
    };
    ann.sfu_tells(says("bob", 1)).await;
    assert_eq!(ann.next_event().await, told(1));
    ann.sfu_tells(says("ann", 1)).await;
    ann.come_back().await;
    ann.sfu_tells(says("bob", 2)).await;
    assert_eq!(
        ann.next_event().await,
        told(2),
        "neither her own nor what was said before"
    );
}

#[tokio::test(start_paused = true)]
async fn who_has_a_data_channel_is_not_told_by_signaling_too() {
    let offer = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let mut ann = connect_with(ann_in_the_room().await, offer).await;
    let (session, user) = (ann.session, Some("ann".parse().unwrap()));
    ann.sfu_tells(sfu::Event::Connected { session, user }).await;
    let state = MediaState::Connected;
    assert_eq!(ann.next_event().await, Event::MediaState { state });
    let message = CustomMessage::new(&"bob".parse().unwrap(), 3, 1, b"hi");
    ann.sfu_tells(sfu::Event::CustomMessage { message }).await;
    advance(Duration::from_millis(500)).await;
    let lost = sfu::Event::Disconnected {
        session,
        user: None,
        reason: String::new(),
    };
    ann.sfu_tells(lost).await;
    assert!(matches!(ann.next_event().await, Event::NetworkQuality { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_message_from_before_the_connection_is_told_by_signaling_though_it_is_told_after_it() {
    let offer = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let mut ann = connect_with(ann_in_the_room().await, offer).await;
    let says = |count| sfu::Event::CustomMessage {
        message: CustomMessage::new(&"bob".parse().unwrap(), 3, count, b"hi"),
    };
    let (session, user) = (ann.session, Some("ann".parse().unwrap()));
    // Members are told together, a while after each event.
    ann.sfu_tells(says(1)).await;
    ann.sfu_tells(sfu::Event::Connected { session, user }).await;
    ann.sfu_tells(says(2)).await;
    advance(Duration::from_millis(500)).await;
    let lost = sfu::Event::Disconnected {
        session,
        user: None,
        reason: String::new(),
    };
    ann.sfu_tells(lost).await;
    let mut told = Vec::new();
    loop {
        match ann.next_event().await {
            Event::CustomMessage { seq, .. } => told.push(seq),
            Event::NetworkQuality { .. } => break,
            _ => {}
        }
    }
    assert_eq!(told, [1], "the second one waits for her data channel at the SFU");
}

#[tokio::test(start_paused = true)]
async fn a_message_by_signaling_reaches_those_with_and_without_a_data_channel() {
    let mut ann = connected().await;
    let mut told = ann
        .test
        .bus
        .subscribe(&sfu::events_subject(&ann.test.room))
        .await
        .unwrap();
    let send = |cmd_id, data: &str| Request::SendCustomMessage {
        cmd_id,
        data: data.to_owned(),
    };
    assert_eq!(ann.ask(send(0, "")).await, Err(ErrorCode::BadCustomMessage));
    assert_eq!(
        ann.ask(send(1, &"A".repeat(2000))).await,
        Err(ErrorCode::CustomMessageTooLarge)
    );
    assert_eq!(ann.ask(send(7, "aGk=")).await, Ok(Reply::Done {}));
    let event: sfu::Event = serde_json::from_slice(&told.recv().await.unwrap()).unwrap();
    let message = CustomMessage::new(&"ann".parse().unwrap(), 7, 1, b"hi");
    assert_eq!(sfu::Event::CustomMessage { message }, event);
    let mut refused = 0;
    for _ in 0..40 {
        refused += usize::from(ann.ask(send(7, "aGk=")).await == Err(ErrorCode::CustomMessageRate));
    }
    assert!(refused >= 10, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn who_has_heard_of_an_end_is_told_of_the_new_beginning_too_however_soon_it_comes() {
    let mut ann = connected().await;
    let (bob, camera): (UserId, _) = ("bob".parse().unwrap(), TrackSource::Camera);
    ann.is_joined_by(&bob, camera).await;

    // The room is told again after a while; who asks for something hears at once.
    ann.seats_change(|seats| crate::seats::give_back(seats, &bob, camera))
        .await;
    let request = Request::RequestVideo {
        user_id: bob.clone(),
        source: camera,
        max_height: None,
    };
    while ann.ask(request.clone()).await.is_ok() {}
    assert_eq!(ann.next_event().await, publishing(&bob, None));

    ann.seats_change(|seats| {
        crate::seats::take(seats, Default::default(), &bob, camera, TrackState::On).unwrap();
    })
    .await;
    let told = timeout(Duration::from_secs(1), ann.next_event()).await;
    assert_eq!(told, Ok(publishing(&bob, Some(TrackState::On))));
}

#[tokio::test(start_paused = true)]
async fn an_sfu_that_did_not_answer_is_told_again_also_when_nothing_happens() {
    let mut ann = connected().await;
    let bob: UserId = "bob".parse().unwrap();
    ann.is_joined_by(&bob, TrackSource::Camera).await;
    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    let request = Request::RequestVideo {
        user_id: bob.clone(),
        source: TrackSource::Camera,
        max_height: None,
    };
    ann.ask(request).await.unwrap();
    ann.test.pass(1).await;
    while ann.slots.try_recv().is_ok() {}
    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    let told = timeout(Duration::from_secs(30), ann.slots.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(told.video.iter().flatten().any(|want| want.user == bob));
}

async fn seats(test: &Test) -> Seats {
    let seats = test.bus.load::<Seats>(&seats_key(&test.room)).await.unwrap();
    seats.map(|(seats, _)| seats).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn an_unpublish_that_the_sfu_has_not_confirmed_is_not_called_done_and_nobody_is_told_before_it_is() {
    let (source, muted) = (TrackSource::Camera, false);
    let mut ann = connected().await;
    ann.ask(Request::Publish { source, muted }).await.unwrap();
    assert_eq!(ann.let_in(), Some([source].into()));

    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    assert_eq!(
        ann.ask(Request::Unpublish { source }).await,
        Err(ErrorCode::NoMediaNode)
    );
    ann.test.pass(3).await;
    assert_eq!(
        seats(&ann.test).await.publishers.len(),
        1,
        "the camera may still be forwarded"
    );

    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    ann.test.pass(2).await;
    assert_eq!(ann.let_in(), Some([].into()), "told again without another request");
    assert_eq!(seats(&ann.test).await.publishers, []);
    assert_eq!(ann.ask(Request::Unpublish { source }).await, Ok(Reply::Done {}));
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_the_sfu_has_not_confirmed_is_refused_and_taken_back() {
    let (source, muted) = (TrackSource::Camera, false);
    let mut ann = connected().await;
    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    let refused = ann.ask(Request::Publish { source, muted }).await;
    assert_eq!(refused, Err(ErrorCode::NoMediaNode));
    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    ann.test.pass(2).await;
    assert_eq!(ann.let_in(), Some([].into()), "the command may have arrived");
    assert_eq!(seats(&ann.test).await.publishers, []);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_end_the_sfu_has_not_confirmed_is_closed_again_after_its_member_has_left() {
    let mut ann = connected().await;
    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    ann.ask(Request::ExitRoom {}).await.unwrap();
    ann.test.pass(5).await;
    assert!(ann.closed.try_recv().is_err());
    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    ann.test.pass(2).await;
    assert_eq!(ann.closed.try_recv(), Ok(ann.session));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_who_logs_in_anew_keeps_the_cell_in_mixes_and_gives_it_up_by_leaving() {
    let mut ann = ann_in_the_room().await;
    let (bob, source): (UserId, _) = ("bob".parse().unwrap(), TrackSource::Camera);
    ask(&mut ann, 2, Request::Publish { source, muted: false })
        .await
        .unwrap();
    let roster = async |test: &Test| {
        test.bus
            .load::<Roster>(&roster_key(&test.room))
            .await
            .unwrap()
            .unwrap()
            .0
    };
    let entered = roster(&ann).await.members[0].clone();
    // Bob is there, so that the room goes on.
    let other = log_in(&ann.shared, &bob).await;
    let (messages, attachment) = attach(&other).await;
    let mut bob = Test {
        shared: ann.shared.clone(),
        bus: ann.bus.clone(),
        member: other,
        room: ann.room.clone(),
        messages,
        attachment,
    };
    let enter = || Request::EnterRoom {
        room_id: room().room,
        role: rotunda_proto::signaling::Role::Anchor,
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
    };
    ask(&mut bob, 1, enter()).await.unwrap();
    ask(&mut bob, 2, Request::Publish { source, muted: false })
        .await
        .unwrap();
    let cells = async |test: &Test| {
        let cells = seats(test).await.cells().into_iter();
        cells
            .map(|cell| (cell.user.to_string(), cell.camera.unwrap()))
            .collect::<Vec<_>>()
    };
    let (on, muted) = (TrackState::On, TrackState::Muted);
    let both = |ann| vec![("ann".to_owned(), ann), ("bob".to_owned(), on)];
    assert_eq!(cells(&bob).await, both(on));

    ann.member = log_in(&ann.shared, &"ann".parse().unwrap()).await;
    assert_eq!(cells(&bob).await, both(muted), "her cell waits for her");
    (ann.messages, ann.attachment) = attach(&ann.member).await;
    ask(&mut ann, 1, enter()).await.unwrap();
    assert_eq!(
        roster(&bob).await.members[0],
        entered,
        "the same place in the order of entering"
    );
    ask(&mut ann, 2, Request::Publish { source, muted: false })
        .await
        .unwrap();
    assert_eq!(cells(&bob).await, both(on));
    assert_eq!(seats(&bob).await.kept, []);

    ann.member.send(ToMember::Kick(KickReason::Kick)).await.unwrap();
    ann.member.closed().await;
    assert_eq!(cells(&bob).await, both(muted));
    bob.pass(31).await;
    assert_eq!(
        cells(&bob).await,
        [("bob".to_owned(), on)],
        "as long as a member may resume"
    );

    ask(&mut bob, 3, Request::ExitRoom {}).await.unwrap();
    assert!(seats(&bob).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_more_muted_member_than_a_room_can_show_is_refused_by_name() {
    let mut ann = connected().await;
    let mute = |number: usize| Request::MuteRemoteAudio {
        user_id: format!("user{number}").parse().unwrap(),
        muted: true,
    };
    for number in 0..1000 {
        // Nobody of them is in the room: the oldest make room.
        ann.ask(mute(number)).await.unwrap();
    }
    ann.seats_change(|seats| {
        for number in 0..100 {
            seats.publishers.push(rotunda_proto::room::Publisher {
                audio: Some(TrackState::On),
                ..rotunda_proto::room::Publisher::of(format!("user{number}").parse().unwrap())
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
