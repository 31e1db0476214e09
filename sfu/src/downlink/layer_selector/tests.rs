//! Random streams of layers, in which every frame says (to the test) which frames it needs.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use str0m::media::{MediaKind, Mid};

use super::*;
use crate::downlink::slot::{self, Pace, PayloadTypes, Rewritten, Slot, Take, Want};
use crate::ingress::layer::Shown;
use crate::ingress::packet::StreamId;
use source::{Frame, Says, Shape, Source};

const STREAM: StreamId = StreamId(1);
const TYPES: PayloadTypes = PayloadTypes {
    media: 96,
    rtx: Some(97),
    red: None,
    dependency: true,
};

/// A slot that is shown the stream up to a point that changes.
struct Viewer {
    slot: Slot,
    top: OperatingPoint,
}

impl Viewer {
    fn new(top: OperatingPoint) -> Self {
        let mut slot = Slot::new(Mid::from("7"), MediaKind::Video, 1000.into(), Some(1001.into()), 77);
        slot.set_want(Some(Want {
            user: "ann".parse().unwrap(),
            source: rotunda_proto::ids::TrackSource::Camera,
            max_height: None,
        }));
        let shown = Shown {
            stream: STREAM,
            point: top,
        };
        slot.retarget(shown, 96, top);
        Self { slot, top }
    }

    fn receive(&mut self, packet: &Arc<Packet>) -> Option<Rewritten> {
        match self.slot.takes(STREAM, 96, packet) {
            Take::Leave => return None,
            Take::Switch => {
                let source = slot::Source {
                    stream: STREAM,
                    payload_type: 96,
                    clock_rate: 90_000,
                };
                self.slot.switch(source, packet, TYPES, Pace::RealTime);
            }
            Take::Forward => {}
        }
        self.slot.rewrite(packet)
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let says = prop_oneof![Just(Says::Dependencies), Just(Says::Vp9), Just(Says::Vp8)];
    (says, 1u8..=3, 1u8..=3, any::<bool>()).prop_map(|(says, spatial, temporal, key_only)| Shape {
        says,
        spatial: if says == Says::Vp8 { 1 } else { spatial },
        temporal,
        key_only: key_only && says != Says::Vp8,
    })
}

/// For each picture: packets a frame, another target perhaps, and whether a keyframe comes unasked.
fn pictures() -> impl Strategy<Value = Vec<(usize, Option<[u8; 2]>, bool)>> {
    let target = proptest::option::weighted(0.2, any::<[u8; 2]>());
    vec((1usize..4, target, proptest::bool::weighted(0.03)), 1..120)
}

fn target(shape: Shape, [spatial, temporal]: [u8; 2]) -> OperatingPoint {
    OperatingPoint {
        spatial: spatial % shape.spatial,
        temporal: temporal % shape.temporal,
    }
}

fn top(shape: Shape) -> OperatingPoint {
    OperatingPoint {
        spatial: shape.spatial - 1,
        temporal: shape.temporal - 1,
    }
}

#[test]
fn fewer_layers_come_with_the_next_frame_and_more_with_the_next_keyframe() {
    let shape = Shape {
        says: Says::Vp9,
        spatial: 3,
        temporal: 1,
        key_only: true,
    };
    let mut source = Source::new(shape, rotunda_proto::clock::Clock.now());
    let mut viewer = Viewer::new(top(shape));
    let shown = |viewer: &mut Viewer, frames: Vec<Frame>| {
        let packets = frames.iter().flat_map(|frame| &frame.packets);
        let sent: Vec<_> = packets
            .map(|packet| viewer.receive(packet).map(|sent| sent.marker))
            .collect();
        sent
    };
    assert_eq!(
        shown(&mut viewer, source.picture(true, 1)),
        [Some(false), Some(false), Some(true)]
    );
    let mut frames = source.picture(false, 1);
    let rest = frames.split_off(1);
    assert_eq!(shown(&mut viewer, frames), [Some(false)]);
    viewer.slot.set_point(
        OperatingPoint {
            spatial: 1,
            temporal: 0,
        },
        viewer.top,
    );
    assert_eq!(
        shown(&mut viewer, rest),
        [Some(false), Some(true)],
        "a picture that has begun is sent to its end"
    );
    assert_eq!(
        shown(&mut viewer, source.picture(false, 1)),
        [Some(false), Some(true), None]
    );
    viewer.slot.set_point(viewer.top, viewer.top);
    assert_eq!(viewer.slot.waits_for(), Some(STREAM), "a keyframe is to be asked for");
    assert_eq!(
        shown(&mut viewer, source.picture(false, 1)),
        [Some(false), Some(true), None]
    );
    assert_eq!(
        shown(&mut viewer, source.picture(true, 1)),
        [Some(false), Some(false), Some(true)]
    );
    assert_eq!(viewer.slot.waits_for(), None);
}

#[test]
fn a_loss_among_layers_that_are_not_shown_is_none() {
    for says in [Says::Vp9, Says::Dependencies] {
        let shape = Shape {
            says,
            spatial: 3,
            temporal: 1,
            key_only: true,
        };
        let mut source = Source::new(shape, rotunda_proto::clock::Clock.now());
        let mut viewer = Viewer::new(top(shape));
        viewer.slot.set_point(OperatingPoint::default(), viewer.top);
        let mut late = Vec::new();
        let mut seqs = Vec::new();
        for at in 0..20 {
            let packets = source.picture(at == 0, 4).into_iter().flat_map(|frame| frame.packets);
            for (index, packet) in packets.enumerate() {
                // One of the second size, and the last ones of the third.
                if at % 2 == 1 && [5, 10, 11].contains(&index) {
                    late.push(packet);
                } else {
                    seqs.extend(viewer.receive(&packet).map(|sent| sent.seq.get()));
                }
            }
        }
        assert_eq!(seqs, (77..77 + 20 * 4).collect::<Vec<_>>(), "{says:?}");
        assert!(late.iter().all(|packet| viewer.receive(packet).is_none()));
    }
}

#[test]
fn a_higher_frame_rate_comes_back_without_a_keyframe() {
    for says in [Says::Vp8, Says::Vp9, Says::Dependencies] {
        let shape = Shape {
            says,
            spatial: 1,
            temporal: 3,
            key_only: false,
        };
        let mut source = Source::new(shape, rotunda_proto::clock::Clock.now());
        let mut viewer = Viewer::new(top(shape));
        let mut pictures = |viewer: &mut Viewer, count: usize| {
            let shown = (0..count).filter(|_| {
                let is_key = source.seq == 60_000;
                viewer.receive(&source.picture(is_key, 1)[0].packets[0]).is_some()
            });
            shown.count()
        };
        assert_eq!(pictures(&mut viewer, 8), 8);
        viewer.slot.set_point(OperatingPoint::default(), viewer.top);
        assert_eq!(pictures(&mut viewer, 8), 2);
        viewer.slot.set_point(
            OperatingPoint {
                temporal: 1,
                ..OperatingPoint::default()
            },
            viewer.top,
        );
        pictures(&mut viewer, 4);
        assert_eq!(pictures(&mut viewer, 8), 4);
        viewer.slot.set_point(viewer.top, viewer.top);
        pictures(&mut viewer, 8);
        assert_eq!(pictures(&mut viewer, 8), 8, "{says:?}");
        assert_eq!(viewer.slot.waits_for(), None);
    }
}

proptest! {
    /// Over every change of what is wanted.
    #[test]
    fn shown_packets_can_be_decoded_and_are_one_stream_without_gaps(shape in shapes(), pictures in pictures()) {
        let mut source = Source::new(shape, rotunda_proto::clock::Clock.now());
        let mut viewer = Viewer::new(top(shape));
        let mut wanted = top(shape);
        let mut shown = BTreeSet::new();
        let (mut next, mut next_picture) = (77, None);
        // A keyframe comes some pictures after it was asked for.
        let mut asked = Some(0);
        for (at, (packets, change, unasked)) in pictures.into_iter().enumerate() {
            if let Some(change) = change {
                wanted = target(shape, change);
                viewer.slot.set_point(wanted, viewer.top);
            }
            if viewer.slot.waits_for().is_some() && asked.is_none() {
                asked = Some(at + 2);
            }
            let is_key = unasked || asked.is_some_and(|asked| asked <= at);
            if is_key {
                asked = None;
            }
            let frames = source.picture(is_key, packets);
            let mut markers = Vec::new();
            let mut picture = None;
            for frame in &frames {
                let sent: Vec<_> = frame.packets.iter().filter_map(|packet| viewer.receive(packet)).collect();
                prop_assert!(sent.is_empty() || sent.len() == packets, "a part of a frame");
                for sent in &sent {
                    prop_assert_eq!(sent.seq.get(), next);
                    next += 1;
                    markers.push(sent.marker);
                    picture = Some(sent.picture_id);
                }
                if !sent.is_empty() {
                    for need in &frame.needs {
                        prop_assert!(shown.contains(need), "{:?} needs {}, which was not shown", frame.point, need);
                    }
                    prop_assert!(frame.point.is_within(wanted), "{:?} is more than {:?}", frame.point, wanted);
                    shown.insert(frame.number);
                }
            }
            let ends = markers.iter().filter(|marker| **marker).count();
            prop_assert_eq!(ends, usize::from(!markers.is_empty()), "a picture has one end");
            prop_assert!(markers.last().is_none_or(|last| *last));
            if shape.says == Says::Vp8 && let Some(picture) = picture {
                prop_assert!(next_picture.is_none_or(|next| next == picture), "picture ids have no gaps");
                next_picture = Some((picture + 1) & 0x7fff);
            }
        }
    }

    /// Whatever was wanted before, and whatever was lost on the way here.
    #[test]
    fn wanted_layers_are_shown_soon_after_a_keyframe(shape in shapes(), pictures in pictures(), last in any::<[u8; 2]>()) {
        let mut source = Source::new(shape, rotunda_proto::clock::Clock.now());
        let mut viewer = Viewer::new(top(shape));
        for (at, (packets, change, unasked)) in pictures.into_iter().enumerate() {
            if let Some(change) = change {
                viewer.slot.set_point(target(shape, change), viewer.top);
            }
            for frame in source.picture(at == 0 || unasked, packets) {
                // Every fifth picture does not arrive.
                if at == 0 || at % 5 > 0 {
                    frame.packets.iter().for_each(|packet| { viewer.receive(packet); });
                }
            }
        }
        let wanted = target(shape, last);
        viewer.slot.set_point(wanted, viewer.top);
        for frame in source.picture(true, 1) {
            let is_shown = viewer.receive(&frame.packets[0]).is_some();
            prop_assert_eq!(is_shown, frame.point.is_within(wanted));
        }
        for _ in 0..8 {
            for frame in source.picture(false, 1) {
                let is_shown = viewer.receive(&frame.packets[0]).is_some();
                prop_assert_eq!(is_shown, frame.point.is_within(wanted));
            }
        }
    }

    /// Missing packets that are certainly not wanted leave no gap, and no wanted packet is dropped.
    #[test]
    fn wanted_packets_are_shown_however_late_they_come(shape in shapes(), wanted in any::<[u8; 2]>(), fates in vec(0u8..10, 64)) {
        let mut source = Source::new(shape, rotunda_proto::clock::Clock.now());
        let mut viewer = Viewer::new(top(shape));
        let wanted = target(shape, wanted);
        viewer.slot.set_point(wanted, viewer.top);
        let mut late: Vec<(usize, Arc<Packet>)> = Vec::new();
        for at in 0..400 {
            let arrived = source.picture(at == 0, 3).into_iter().flat_map(|frame| frame.packets);
            let mut now: Vec<_> = Vec::new();
            for (index, packet) in arrived.enumerate() {
                match fates[(at * 9 + index) % fates.len()] {
                    0 if at > 0 => late.push((at + 2, packet)),
                    _ => now.push(packet),
                }
            }
            now.extend(late.extract_if(.., |(due, _)| *due <= at).map(|(_, packet)| packet));
            for packet in now {
                let is_wanted = layer_of(&packet).point.is_within(wanted);
                prop_assert_eq!(viewer.receive(&packet).is_some(), is_wanted, "{:?}", layer_of(&packet));
            }
        }
    }

    /// Packets that never come, and some that come late.
    #[test]
    fn sent_packets_are_found_again_and_no_number_is_used_twice(
        shape in shapes(),
        pictures in pictures(),
        fates in vec(0u8..12, 64),
    ) {
        let mut source = Source::new(shape, rotunda_proto::clock::Clock.now());
        let mut viewer = Viewer::new(top(shape));
        let mut late: Vec<(usize, Arc<Packet>)> = Vec::new();
        let (mut sent, mut disturbed, mut at) = (BTreeMap::new(), 0, 0);
        for (number, (packets, change, unasked)) in pictures.into_iter().enumerate() {
            if let Some(change) = change {
                viewer.slot.set_point(target(shape, change), viewer.top);
            }
            for packet in source.picture(number == 0 || unasked, packets).into_iter().flat_map(|frame| frame.packets) {
                at += 1;
                let fate = fates[at % fates.len()];
                if at > 1 && fate < 2 {
                    disturbed += 1;
                    if fate == 1 {
                        late.push((at + 5, packet));
                    }
                    continue;
                }
                let mut arrived = vec![packet];
                arrived.extend(late.extract_if(.., |(due, _)| *due <= at).map(|(_, packet)| packet));
                for packet in arrived {
                    if let Some(rewritten) = viewer.receive(&packet) {
                        let before = sent.insert(rewritten.seq.get(), (packet, rewritten));
                        prop_assert!(before.is_none(), "a number for two packets");
                    }
                }
            }
        }
        let span = sent.keys().next_back().zip(sent.keys().next()).map_or(0, |(last, first)| (last - first + 1) as usize);
        prop_assert!(span <= sent.len() + disturbed, "a gap where nothing was lost");
        // In six pictures there are not more changes than are remembered.
        let newest = source.picture;
        let recent = sent.iter().rev().take_while(|(_, (packet, _))| packet.time / 3000 + 6 > newest);
        for (seq, (packet, rewritten)) in recent {
            let origin = viewer.slot.origin(*seq as u16).unwrap();
            prop_assert_eq!((origin.stream, origin.seq), (STREAM, packet.seq));
            let again = viewer.slot.rewrite_again(&origin, packet);
            let parts = |sent: &Rewritten| (sent.seq, sent.time, sent.picture_id, sent.marker, sent.frame);
            prop_assert_eq!(again.as_ref().map(parts), Some(parts(rewritten)));
        }
    }
}
