//! The revision of the layout that a mix shows, and previews of a layout.

use super::*;

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
