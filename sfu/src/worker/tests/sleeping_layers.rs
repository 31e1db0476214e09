//! Sizes inside one stream that nobody watches are paused, and come back when somebody wants them.

use std::time::Instant;

use rotunda_proto::sfu::{Client, Event};

use super::simulation::{Got, Simulation, ms};
use super::{longest_gap, missing};

impl Simulation {
    /// Largest sizes that publishers were asked for; None: all.
    fn asked_sizes(&self) -> Vec<Option<u16>> {
        let told = self.events.iter().filter_map(|(_, event)| match event {
            Event::SpatialLayers { max_height, .. } => Some(*max_height),
            _ => None,
        });
        told.collect()
    }

    fn sent_height(&self, publisher: usize) -> Option<u16> {
        self.peers[publisher].layers[0].max_height
    }
}

fn first_of(video: &[Got], height: u16, after: Instant) -> Instant {
    let found = video.iter().find(|got| got.height == height && got.at > after);
    found.expect("a frame of this height").at
}

#[test]
fn without_a_viewer_only_the_smallest_size_is_sent_after_five_seconds() {
    let mut room = Simulation::new(71);
    let ann = room.join_with_layers_in_one_stream("ann");
    room.publish(ann);
    room.run(ms(2_500));
    assert_eq!(room.sent_height(ann), None);
    room.run(ms(2_500));
    assert_eq!(room.sent_height(ann), Some(180));
    room.run(ms(20_000));
    assert_eq!(room.asked_sizes(), [Some(180)]);
}

#[test]
fn sizes_above_what_is_watched_are_paused_and_come_back_at_once_when_wanted() {
    for workers in [1, 2] {
        let mut room = Simulation::with_workers(72, workers);
        let ann = room.join_with_layers_in_one_stream("ann");
        let bob = room.join_as_viewer("bob", Default::default());
        room.publish(ann);
        room.watch_at(bob, &[(ann, Some(180))]);
        room.run(ms(6_000));
        assert_eq!(room.sent_height(ann), Some(180), "{workers} workers");
        for (wish, height) in [(Some(360), 360), (None, 720)] {
            let (wanted, asked) = (room.now, room.peers[ann].keyframe_requests.len());
            room.watch_at(bob, &[(ann, wish)]);
            room.run(ms(3_000));
            let came = first_of(room.peers[bob].video(0), height, wanted);
            assert!(came - wanted < ms(250), "{:?}", came - wanted);
            assert_eq!(
                room.peers[ann].keyframe_requests.len(),
                asked,
                "they come with a keyframe"
            );
        }
        room.watch_at(bob, &[(ann, Some(360))]);
        room.run(ms(5_000));
        assert_eq!(room.sent_height(ann), Some(360));
        assert_eq!(room.asked_sizes(), [Some(180), Some(360), None, Some(360)]);
        let video = room.peers[bob].video(0);
        assert_eq!(missing(video), 0);
        assert!(longest_gap(video) < ms(100), "{:?}", longest_gap(video));
    }
}

#[test]
fn a_viewer_of_the_smallest_layer_gets_no_more_when_another_one_wants_all() {
    let mut room = Simulation::with_workers(73, 2);
    let ann = room.join_with_layers_in_one_stream("ann");
    let bob = room.join_as_viewer("bob", Default::default());
    let eve = room.join_as_viewer("eve", Default::default());
    room.publish(ann);
    room.watch_at(bob, &[(ann, Some(180))]);
    room.run(ms(6_000));
    assert_eq!(room.sent_height(ann), Some(180));
    let wanted = room.now;
    room.watch(eve, &[ann]);
    room.run(ms(4_000));
    let video = room.peers[eve].video(0);
    assert!(first_of(video, 720, wanted) - wanted < ms(1_500));
    assert!(video[0].at - wanted < ms(150), "the smallest until then");
    assert!(longest_gap(video) < ms(200));
    assert!(
        room.peers[bob]
            .video(0)
            .iter()
            .filter(|got| got.at > wanted)
            .all(|got| got.height == 180)
    );
    assert_eq!(missing(room.peers[bob].video(0)), 0);
}

#[test]
fn a_viewer_who_changes_the_size_twice_a_second_does_not_make_sizes_flap() {
    let mut room = Simulation::new(74);
    let ann = room.join_with_layers_in_one_stream("ann");
    let bob = room.join_as_viewer("bob", Default::default());
    room.publish(ann);
    for turn in 0..30 {
        let height = if turn % 2 == 0 { Some(180) } else { None };
        room.watch_at(bob, &[(ann, height)]);
        room.run(ms(500));
    }
    assert_eq!(room.asked_sizes(), []);
}

#[test]
fn a_publisher_that_pauses_nothing_or_cannot_be_told_is_shown_as_before() {
    for client in [Client::Signaled, Client::MediaAlone] {
        let mut room = Simulation::new(75);
        room.client = client;
        let ann = room.join_with_layers_in_one_stream("ann");
        let bob = room.join_as_viewer("bob", Default::default());
        room.peers[ann].obeys = false;
        room.publish(ann);
        room.run(ms(8_000));
        assert_eq!(room.asked_sizes().is_empty(), client == Client::MediaAlone);
        room.watch(bob, &[ann]);
        room.run(ms(4_000));
        let video = room.peers[bob].video(0);
        assert_eq!(video.last().unwrap().height, 720);
        assert!(longest_gap(video) < ms(200));
    }
}

#[test]
fn sizes_that_do_not_wake_leave_the_viewer_with_what_comes() {
    let mut room = Simulation::new(76);
    let ann = room.join_with_layers_in_one_stream("ann");
    let bob = room.join_as_viewer("bob", Default::default());
    room.publish(ann);
    room.run(ms(8_000));
    // From now on requests do not reach the publisher.
    room.peers[ann].obeys = false;
    room.watch(bob, &[ann]);
    room.run(ms(9_000));
    let video = room.peers[bob].video(0);
    assert!(video.iter().all(|got| got.height == 180));
    assert!(longest_gap(video) < ms(200), "{:?}", longest_gap(video));
    assert_eq!(
        room.asked_sizes(),
        [Some(180), None],
        "and the publisher is not asked again and again"
    );
}
