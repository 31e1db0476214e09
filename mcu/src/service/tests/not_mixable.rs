//! A published track that no mix can decode is named to all who can do something about it. The test plays the SFU node of the room.

use rotunda_bus::Requests;
use rotunda_proto::ids::{SessionId, TrackSource};
use rotunda_proto::mix::NotMixable;
use rotunda_proto::sfu::{self, Command, Reply, control_subject, session_subject};
use str0m::change::SdpOffer;
use str0m::{Candidate, Rtc};
use tokio::sync::mpsc;

use super::facts::told;
use super::*;

/// Answers each request. Sessions are opened, but no media ever comes.
async fn play_sfu(mut requests: Requests, opened: mpsc::UnboundedSender<SessionId>) {
    loop {
        let request = requests.next().await;
        match request.parse() {
            Ok(Command::Open { session, offer, .. }) => {
                let mut end = Rtc::builder().set_ice_lite(true).build(Clock.now());
                let nowhere = Candidate::host("127.0.0.1:9".parse().unwrap(), "udp").unwrap();
                end.add_local_candidate(nowhere);
                let offer = SdpOffer::from_sdp_string(&offer).unwrap();
                let answer = end.sdp_api().accept_offer(offer).unwrap().to_sdp_string();
                request.answer(&Reply::Opened { answer });
                let _test_is_over = opened.send(session);
            }
            _ => request.answer(&Reply::Done),
        }
    }
}

fn camera(user: &str) -> NotMixable {
    NotMixable {
        user_id: user.parse().unwrap(),
        room_id: None,
        source: TrackSource::Camera,
        codec: "H265".to_owned(),
    }
}

impl Fixture {
    /// These members publish a camera.
    async fn publish_cameras(&self, users: &[&str]) {
        let holder = Holder {
            membership: MembershipId(1),
            node: Incarnation::new("node-1".parse().unwrap(), 1),
        };
        let publisher = |user: &&str| Publisher {
            camera: Some(TrackState::On),
            ..Publisher::of(user.parse().unwrap(), holder.clone())
        };
        let seats = Seats {
            publishers: users.iter().map(publisher).collect(),
            kept: Vec::new(),
        };
        let key = seats_key(&room(1));
        let written = self
            .bus
            .update(&key, |_: Option<Seats>| Ok::<_, Infallible>((Some(seats.clone()), ())));
        let Ok(()) = written.await.unwrap();
    }

    /// Waits until the document of the running mix names these tracks as not mixable.
    async fn names(&self, tracks: &[NotMixable]) {
        let mut watch = self.bus.watch(&running_key(&room(1), &Origin::Api)).await.unwrap();
        let named = async {
            loop {
                if let WatchEvent::Change(change) = watch.next().await
                    && let Some(running) = change.parse::<RunningMix>()
                    && running.not_mixable == tracks
                {
                    return;
                }
            }
        };
        tokio::time::timeout(LIMIT, named).await.expect("the document");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_whose_codec_is_not_decoded_is_named_while_it_is_published_and_told_once() {
    let fixture = Fixture::new().await;
    let appending = fixture.facts.start();
    fixture.open_room(1).await;
    fixture.publish_cameras(&["alice", "bob"]).await;
    let node = "sfu-1".parse().unwrap();
    let requests = fixture.bus.serve(&control_subject(&node)).await.unwrap();
    let (opened, mut sessions) = mpsc::unbounded_channel();
    tokio::spawn(play_sfu(requests, opened));
    let mut events = fixture.bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    assert_eq!(fixture.start(&spec(1, "one")).await, Ok(()));

    let session = tokio::time::timeout(LIMIT, sessions.recv()).await.unwrap().unwrap();
    // The SFU tells it again to a session that is opened again.
    for user in ["alice", "alice", "bob"] {
        let unsupported = sfu::Event::CodecNotSupported {
            session,
            user: user.parse().unwrap(),
            source: TrackSource::Camera,
            codec: "H265".to_owned(),
        };
        let subject = session_subject(session);
        fixture.bus.tell(&subject, &unsupported).await.unwrap();
    }
    let cameras = [camera("alice"), camera("bob")];
    fixture.names(&cameras).await;
    fixture.publish_cameras(&["bob"]).await;
    fixture.names(&cameras[1..]).await;

    fixture.shutdown.cancel();
    tokio::time::timeout(LIMIT, fixture.service.finish()).await.unwrap();
    appending.finish().await;
    let mut told_live = Vec::new();
    while let Ok(heard) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        if let Heard::Message(message) = heard
            && let Some(Event::NotMixable { track, .. }) = message.parse()
        {
            told_live.push(track);
        }
    }
    assert_eq!(told_live, cameras);
    let kinds = told(&fixture.facts).await;
    let facts = kinds.iter().filter(|kind| *kind == "not_mixable");
    assert_eq!(facts.count(), 2, "{kinds:?}");
}
