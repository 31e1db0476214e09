//! A viewer who cannot decode what a publisher sends is told so.

use rotunda_proto::ids::TrackSource;
use rotunda_proto::sfu::Event;
use str0m::format::Codec;

use super::simulation::{Link, Simulation, ms};

/// The publishers, sources and codecs that the server has said cannot be decoded.
fn refusals(room: &Simulation) -> Vec<(String, TrackSource, String)> {
    let told = room.events.iter().filter_map(|(_, event)| match event {
        Event::CodecNotSupported {
            user, source, codec, ..
        } => Some((user.to_string(), *source, codec.clone())),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_codec_that_a_viewer_cannot_decode_is_told_once_by_name() {
    let mut room = Simulation::new(41);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join_with_codec("bob", Codec::H264);
    let cat = room.join("cat", Link::default(), Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(1_500));
    let asked = room.peers[ann].keyframe_requests.len();
    room.run(ms(6_000));
    assert_eq!(
        refusals(&room),
        [("ann".to_owned(), TrackSource::Camera, "VP8".to_owned())]
    );
    assert!(room.peers[bob].video(0).is_empty());
    assert!(room.peers[bob].audio(0).len() > 200, "bob can decode her audio");
    let now = room.peers[ann].keyframe_requests.len();
    assert_eq!(now, asked, "nobody asks for keyframes that bob could not show");
    room.watch(cat, &[ann]);
    room.run(ms(2_000));
    assert!(room.peers[cat].video(0).len() > 100);
    assert_eq!(refusals(&room).len(), 1, "it is nothing to the others");
}

#[test]
fn it_is_named_again_for_another_publisher_and_not_for_one_that_can_be_decoded() {
    let mut room = Simulation::new(42);
    let ann = room.join("ann", Link::default(), Link::default());
    let dan = room.join("dan", Link::default(), Link::default());
    let bob = room.join_with_codec("bob", Codec::H264);
    let cat = room.join("cat", Link::default(), Link::default());
    room.publish(ann);
    room.publish(dan);
    room.watch(bob, &[ann]);
    room.watch(cat, &[ann]);
    room.run(ms(2_000));
    room.watch(bob, &[dan]);
    room.watch(cat, &[dan]);
    room.run(ms(2_000));
    let users: Vec<_> = refusals(&room).into_iter().map(|(user, ..)| user).collect();
    assert_eq!(users, ["ann", "dan"]);
}
