use std::time::Duration;

use super::*;
use crate::wire::descriptor::{Descriptor, PictureId, Tl0};
use proptest::prelude::*;

const TYPES: PayloadTypes = PayloadTypes {
    media: 96,
    rtx: Some(97),
    red: None,
    dependency: false,
};

fn want(user: &str) -> Option<Want> {
    Some(Want {
        user: user.parse().unwrap(),
        source: TrackSource::Camera,
        max_height: None,
    })
}

fn packet(seq: u64, time: u32, picture: u16, starts_keyframe: bool, arrived: Instant) -> Arc<Packet> {
    Arc::new(Packet {
        seq: SeqNo::new(seq),
        time,
        marker: true,
        payload: vec![0; 10].into(),
        descriptor: Descriptor {
            starts_keyframe,
            picture_id: Some(PictureId {
                value: picture,
                offset: 2,
                wide: true,
                counted: true,
            }),
            tl0: Some(Tl0 {
                value: picture as u8,
                offset: 4,
            }),
            ..Descriptor::default()
        },
        dependency: None,
        arrived,
        captured: arrived,
        audio_level: None,
        orientation: None,
    })
}

fn slot() -> Slot {
    Slot::new(Mid::from("7"), MediaKind::Video, 1000.into(), Some(1001.into()), 77)
}

fn source(stream: StreamId) -> Source {
    Source {
        stream,
        payload_type: 96,
        clock_rate: 90_000,
    }
}

/// The slot is to show all of this stream.
fn aim(slot: &mut Slot, stream: StreamId) {
    let point = OperatingPoint::default();
    slot.retarget(Shown { stream, point }, 96, point);
}

/// The packet as the viewer gets it.
fn forward(slot: &mut Slot, stream: StreamId, packet: &Arc<Packet>) -> Option<Rewritten> {
    match slot.takes(stream, 96, packet) {
        Take::Leave => return None,
        Take::Switch => slot.switch(source(stream), packet, TYPES, Pace::RealTime),
        Take::Forward => {}
    }
    slot.rewrite(packet)
}

#[test]
fn a_slot_begins_with_a_keyframe_and_its_numbers_go_on_over_a_change_of_source() {
    let start = rotunda_proto::clock::Clock.now();
    let (ann, bob) = (StreamId(1), StreamId(2));
    let mut slot = slot();
    slot.set_want(want("ann"));
    aim(&mut slot, ann);
    assert!(forward(&mut slot, ann, &packet(500, 9000, 30, false, start)).is_none());
    let first = forward(&mut slot, ann, &packet(501, 12_000, 31, true, start)).unwrap();
    assert_eq!(first.seq.get(), 77);
    let second = forward(&mut slot, ann, &packet(502, 15_000, 32, false, start)).unwrap();
    assert_eq!(
        (
            second.seq.get(),
            second.time - first.time,
            second.picture_id - first.picture_id
        ),
        (78, 3000, 1)
    );

    slot.set_want(want("bob"));
    aim(&mut slot, bob);
    assert!(
        forward(&mut slot, ann, &packet(503, 18_000, 33, false, start)).is_none(),
        "ann is not wanted any more"
    );
    let later = start + Duration::from_millis(200);
    let third = forward(&mut slot, bob, &packet(90_000, 5, 0x7fff, true, later)).unwrap();
    assert_eq!(
        (third.seq.get(), third.time - second.time, third.picture_id),
        (79, 18_000, second.picture_id + 1)
    );
    assert_eq!(third.tl0, second.tl0 + 1);
    let fourth = forward(&mut slot, bob, &packet(90_001, 3005, 0, false, later)).unwrap();
    assert_eq!(
        (fourth.seq.get(), fourth.picture_id),
        (80, third.picture_id + 1),
        "the picture id wraps at 15 bits"
    );
    assert!(
        forward(&mut slot, bob, &packet(89_999, 0, 0, false, later)).is_none(),
        "from before the switch"
    );
}

#[test]
fn a_layer_is_shown_until_the_next_one_has_its_keyframe() {
    let start = rotunda_proto::clock::Clock.now();
    let (low, high) = (StreamId(1), StreamId(2));
    let mut slot = slot();
    slot.set_want(want("ann"));
    aim(&mut slot, low);
    forward(&mut slot, low, &packet(1, 0, 0, true, start)).unwrap();
    aim(&mut slot, high);
    assert_eq!(slot.waits_for(), Some(high));
    assert!(forward(&mut slot, high, &packet(50, 0, 0, false, start)).is_none());
    assert!(forward(&mut slot, low, &packet(2, 3000, 1, false, start)).is_some());
    assert!(forward(&mut slot, high, &packet(51, 0, 1, true, start)).is_some());
    assert!(forward(&mut slot, low, &packet(3, 6000, 2, false, start)).is_none());
    assert_eq!(slot.waits_for(), None);
}

#[test]
fn a_missed_packet_of_the_shown_stream_is_found_again_as_it_was_sent() {
    let start = rotunda_proto::clock::Clock.now();
    let mut slot = slot();
    slot.set_want(want("ann"));
    aim(&mut slot, StreamId(1));
    let sent: Vec<_> = (0..20u64)
        .map(|index| {
            // Two sources, ten packets each.
            let stream = StreamId(1 + index / 10);
            aim(&mut slot, stream);
            let sent = packet(
                100 + 1000 * (index / 10) + index,
                index as u32 * 3000,
                index as u16,
                true,
                start,
            );
            (stream, sent.seq, forward(&mut slot, stream, &sent).unwrap(), sent)
        })
        .collect();
    for (stream, seq, rewritten, source) in sent {
        let origin = slot.origin(rewritten.seq.on_wire());
        if stream == StreamId(1) {
            assert!(origin.is_none(), "another stream is shown");
            continue;
        }
        let origin = origin.unwrap();
        assert_eq!((origin.stream, origin.seq), (stream, seq));
        let again = slot.rewrite_again(&origin, &source).unwrap();
        assert_eq!(
            (again.seq, again.time, again.picture_id),
            (rewritten.seq, rewritten.time, rewritten.picture_id)
        );
    }
}

#[test]
fn cached_frames_go_by_quickly_and_the_present_follows_in_its_own_time() {
    let start = rotunda_proto::clock::Clock.now();
    let ann = StreamId(1);
    let mut slot = slot();
    slot.set_want(want("ann"));
    aim(&mut slot, ann);
    let past: Vec<_> = (0..30)
        .map(|index| packet(index, index as u32 * 3000, index as u16, index == 0, start))
        .collect();
    slot.switch(source(ann), &past[0], TYPES, Pace::CatchUp);
    let times: Vec<u32> = past.iter().map(|packet| slot.rewrite(packet).unwrap().time).collect();
    assert!(
        times.windows(2).all(|pair| pair[0] < pair[1]) && times[29] - times[0] < 3000,
        "{times:?}"
    );
    slot.finish_catch_up(&past[29]);
    let next = forward(&mut slot, ann, &packet(30, 90_000, 30, false, start)).unwrap();
    assert_eq!((next.seq.get(), next.time - times[29]), (77 + 30, 3000));
}

proptest! {
    /// Whatever the sources do, the viewer sees one stream: numbers without a gap where the source had none.
    #[test]
    fn sequence_numbers_are_continuous_over_any_order_of_switches(turns in proptest::collection::vec((0u64..3, 1u64..40, any::<u32>()), 1..30)) {
        let start = rotunda_proto::clock::Clock.now();
        let mut slot = slot();
        slot.set_want(want("ann"));
        let mut positions = [1u64 << 20, 65_530, 3];
        let mut expected = 77;
        for (stream, count, time) in turns {
            aim(&mut slot, StreamId(stream));
            for index in 0..count {
                let seq = positions[stream as usize];
                positions[stream as usize] += 1;
                let sent = packet(seq, time.wrapping_add(index as u32), seq as u16, index == 0, start);
                let rewritten = forward(&mut slot, StreamId(stream), &sent).unwrap();
                prop_assert_eq!(rewritten.seq.get(), expected);
                expected += 1;
            }
        }
    }
}
