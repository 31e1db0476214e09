//! A publisher whose sizes and frame rates are layers of one stream: each viewer is sent as many of them as are of use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rotunda_proto::ids::TrackSource;
use str0m::format::Codec;

use super::simulation::{Got, Simulation, lossy, ms};
use super::{longest_gap, missing};
use crate::wire::dependency::Dependency;
use crate::wire::dependency::tests::{dependency, l2t2_key};

/// By picture: the height of its largest size, and how many packets came of it.
fn pictures(got: &[Got]) -> BTreeMap<u32, (u16, usize)> {
    let mut pictures = BTreeMap::new();
    for got in got {
        let (height, packets) = pictures.entry(got.count).or_insert((0, 0));
        *height = got.height.max(*height);
        *packets += 1;
    }
    pictures
}

/// Packets of a picture up to a height.
fn whole(height: u16) -> usize {
    match height {
        180 => 2,
        360 => 2 + 4,
        _ => 2 + 4 + 8,
    }
}

#[test]
fn viewers_of_one_stream_get_the_sizes_that_they_ask_for() {
    let mut room = Simulation::with_workers(41, 2);
    let ann = room.join_with_layers_in_one_stream("ann");
    let wishes = [Some(180), Some(360), None];
    let viewers = wishes.map(|wish| {
        let viewer = room.join_as_viewer(&format!("viewer{}", wish.unwrap_or(720)), Default::default());
        (viewer, wish)
    });
    room.publish(ann);
    for (viewer, wish) in viewers {
        room.watch_at(viewer, &[(ann, wish)]);
    }
    room.run(ms(3_000));
    let begun = room.now;
    room.run(ms(4_000));
    for (viewer, wish) in viewers {
        let got = room.peers[viewer].video(0);
        assert_eq!(missing(got), 0, "one stream without gaps");
        let later: Vec<Got> = got.iter().copied().filter(|got| got.at > begun + ms(50)).collect();
        let (first, last) = (later[0].count, later[later.len() - 1].count);
        let pictures = pictures(&later);
        assert_eq!(pictures.len() as u32, last - first + 1, "every picture");
        let height = wish.unwrap_or(720);
        for (count, (shown, packets)) in pictures.range(first + 1..last) {
            assert_eq!((*shown, *packets), (height, whole(height)), "picture {count}");
        }
    }
}

#[test]
fn a_smaller_size_comes_with_the_next_frame_and_a_larger_one_with_one_keyframe() {
    let mut room = Simulation::with_workers(42, 2);
    let ann = room.join_with_layers_in_one_stream("ann");
    let bob = room.join_as_viewer("bob", Default::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(4_000));
    let asked = room.peers[ann].keyframe_requests.len();
    room.watch_at(bob, &[(ann, Some(180))]);
    let down = room.now;
    room.run(ms(2_000));
    assert_eq!(room.peers[ann].keyframe_requests.len(), asked, "down costs no keyframe");
    room.watch(bob, &[ann]);
    let up = room.now;
    room.run(ms(2_000));
    assert_eq!(room.peers[ann].keyframe_requests.len(), asked + 1);
    let got = room.peers[bob].video(0);
    assert_eq!(missing(got), 0);
    let longest = longest_gap(got);
    assert!(longest < ms(100), "{longest:?}");
    let large = got.iter().filter(|got| got.height > 180);
    let between = large.clone().filter(|got| got.at > down + ms(60) && got.at < up);
    assert_eq!(between.count(), 0);
    let again = large.clone().find(|got| got.at > up).expect("the large picture again");
    assert!(again.at - up < ms(250), "{:?}", again.at - up);
    let mut pictures = pictures(got);
    // It may not have come to its end.
    pictures.pop_last();
    for (count, (height, packets)) in pictures {
        assert_eq!(packets, whole(height), "picture {count} of height {height}");
    }
}

#[test]
fn losses_among_layers_are_repaired() {
    let mut room = Simulation::with_workers(43, 2);
    let ann = room.join_with_layers_in_one_stream("ann");
    let bob = room.join_as_viewer("bob", lossy(0.08));
    room.publish(ann);
    room.watch_at(bob, &[(ann, Some(360))]);
    room.run(ms(8_000));
    let got = room.peers[bob].video(0);
    let pictures = pictures(got);
    // Before, the sizes were not known; what was lost in the last moments may still be on its way.
    let last = got.iter().map(|got| got.count).max().unwrap();
    let settled: Vec<_> = (10..last - 15).map(|count| pictures.get(&count)).collect();
    assert!(settled.len() > 180, "{}", settled.len());
    let is_whole = |picture: &(u16, usize)| picture.0 <= 360 && picture.1 == whole(picture.0);
    let torn = settled.iter().filter(|picture| !picture.is_some_and(is_whole));
    assert!(torn.clone().count() <= 2, "{:?}", torn.collect::<Vec<_>>());
}

/// Frame numbers of the newest structure, as a viewer reads the descriptors.
fn read(descriptors: &[(Vec<u8>, bool)]) -> Vec<(Dependency, bool)> {
    let mut known = None;
    let mut all = Vec::new();
    for (bytes, marker) in descriptors {
        let read = Dependency::read(bytes, known.as_ref()).expect("a descriptor that can be read");
        known = Some(Arc::clone(&read.structure));
        all.push((read, *marker));
    }
    all
}

#[test]
fn the_dependency_descriptor_goes_on_from_one_publisher_to_the_other_and_says_what_is_sent() {
    let mut room = Simulation::new(44);
    let ann = room.join_with_codec("ann", Codec::Av1);
    let bob = room.join_with_codec("bob", Codec::Av1);
    let eve = room.join_as_viewer("eve", Default::default());
    room.peers[eve].tolerant = true;
    room.run(ms(500));
    let structure = Arc::new(l2t2_key());
    // Two sizes; every other picture is of the higher rate.
    let templates = |picture: u32| match (picture, picture % 2) {
        (0, _) => [0, 3],
        (_, 0) => [1, 4],
        _ => [2, 5],
    };
    let send = |room: &mut Simulation, publisher: usize, picture: u32, first_frame: u16| {
        for (spatial, template) in (0..).zip(templates(picture)) {
            let frame = first_frame.wrapping_add(2 * picture as u16 + spatial);
            let is_key = picture == 0 && spatial == 0;
            let mut bytes = Vec::new();
            dependency(&structure, template, frame, is_key).write(frame, None, &mut bytes);
            // N: a coded video sequence begins.
            let payload = [if is_key { 0x18 } else { 0x10 }, 0x32, 1, 2, 3];
            let seq = 100 + 2 * picture + u32::from(spatial);
            room.send_av1(publisher, [seq, picture * 2970], spatial == 1, &payload, bytes);
        }
        room.run(ms(33));
    };
    let all: BTreeSet<_> = [TrackSource::Camera].into();
    for publisher in [ann, bob] {
        let session = room.peers[publisher].session;
        room.workers[0].set_ingress(room.now, session, all.clone()).unwrap();
    }
    room.watch(eve, &[ann]);
    (0..20).for_each(|picture| send(&mut room, ann, picture, 65_520));
    // From here on the smaller size alone.
    room.watch_at(eve, &[(ann, Some(180))]);
    (20..40).for_each(|picture| send(&mut room, ann, picture, 65_520));
    room.watch_at(eve, &[(bob, None)]);
    (0..20).for_each(|picture| send(&mut room, bob, picture, 9));

    let got = read(&room.peers[eve].dependencies);
    let frames: Vec<u16> = got.iter().map(|(dependency, _)| dependency.frame).collect();
    assert_eq!(frames.len(), 40 + 20 + 40, "{frames:?}");
    let steps: Vec<u16> = frames.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps[..40].iter().all(|step| *step == 1), "both sizes: {steps:?}");
    assert!(
        steps[40..59].iter().all(|step| *step == 2),
        "every other frame: {steps:?}"
    );
    assert!(
        steps[59..].iter().all(|step| *step == 1),
        "the other publisher's go on: {steps:?}"
    );
    let active: Vec<_> = got.iter().map(|(dependency, _)| dependency.active).collect();
    assert_eq!(active[40], Some(0b0011), "the targets of the smaller size");
    assert_eq!(active.iter().flatten().count(), 1);
    let has_structure: Vec<_> = (0..100).filter(|at| got[*at].0.carries_structure).collect();
    assert_eq!(has_structure, [0, 60]);
    let markers: Vec<bool> = got.iter().map(|(_, marker)| *marker).collect();
    assert_eq!(markers[..4], [false, true, false, true]);
    assert!(
        markers[40..60].iter().all(|marker| *marker),
        "what is sent ends the picture"
    );
}
