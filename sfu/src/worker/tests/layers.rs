//! Layers that nobody watches are paused, and come back when somebody does.

use std::time::Instant;

use rotunda_proto::sfu::{Client, Event};

use super::simulation::{Simulation, ms};
use super::{longest_gap, missing};

impl Simulation {
    fn active(&self, peer: usize) -> Vec<bool> {
        self.peers[peer].layers.iter().map(|layer| layer.active).collect()
    }

    fn layer_events(&self) -> Vec<(Instant, Vec<String>)> {
        let told = self.events.iter().filter_map(|(at, event)| match event {
            Event::Layers { active, .. } => Some((*at, active.clone())),
            _ => None,
        });
        told.collect()
    }

    /// The height of the newest frame in a viewer's first slot.
    fn height(&self, viewer: usize) -> u16 {
        self.peers[viewer].video(0).last().map_or(0, |got| got.height)
    }
}

#[test]
fn without_a_viewer_only_the_lowest_layer_is_sent_after_five_seconds() {
    let mut room = Simulation::new(31);
    let ann = room.join_with_simulcast("ann");
    room.publish(ann);
    room.run(ms(2_500));
    assert_eq!(room.active(ann), [true, true, true]);
    room.run(ms(2_500));
    assert_eq!(room.active(ann), [true, false, false]);
    room.run(ms(20_000));
    assert_eq!(room.layer_events().len(), 1, "{:?}", room.layer_events());
}

#[test]
fn a_publisher_by_whip_cannot_be_told_and_its_layers_are_ready_at_once() {
    let mut room = Simulation::new(36);
    room.client = Client::MediaAlone;
    let ann = room.join_with_simulcast("ann");
    room.publish(ann);
    let bob = room.join("bob", Default::default(), Default::default());
    room.run(ms(8_000));
    assert_eq!(room.layer_events(), []);
    assert_eq!(room.active(ann), [true, true, true]);
    room.watch(bob, &[ann]);
    room.run(ms(1_500));
    assert_eq!(room.height(bob), 720);
}

#[test]
fn a_viewer_of_the_best_layer_keeps_it_and_the_layers_between_are_paused() {
    let mut room = Simulation::new(32);
    let ann = room.join_with_simulcast("ann");
    let bob = room.join("bob", Default::default(), Default::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(12_000));
    assert_eq!(room.active(ann), [true, false, true]);
    assert_eq!(room.height(bob), 720);
}

#[test]
fn a_small_view_does_not_keep_the_large_layers_alive() {
    let mut room = Simulation::new(33);
    let ann = room.join_with_simulcast("ann");
    let bob = room.join("bob", Default::default(), Default::default());
    room.publish(ann);
    room.watch_at(bob, &[(ann, Some(180))]);
    room.run(ms(12_000));
    assert_eq!(room.active(ann), [true, false, false]);
    assert_eq!(room.height(bob), 180);
}

#[test]
fn a_new_viewer_sees_the_lowest_at_once_and_the_best_soon_after() {
    let mut room = Simulation::new(34);
    let ann = room.join_with_simulcast("ann");
    let bob = room.join("bob", Default::default(), Default::default());
    room.publish(ann);
    room.run(ms(8_000));
    assert_eq!(room.active(ann), [true, false, false]);
    let begun = room.now;
    room.watch(bob, &[ann]);
    room.run(ms(200));
    let better = &room.active(ann)[1..];
    assert!(better.contains(&true), "asked for at once: {better:?}");
    let first = room.peers[bob].video(0)[0];
    assert!(first.at - begun < ms(150), "{:?}", first.at - begun);
    room.run(ms(3_000));
    let video = room.peers[bob].video(0);
    let best = video.iter().find(|got| got.height == 720).expect("the best layer");
    assert!(best.at - begun < ms(1_500), "{:?}", best.at - begun);
    assert_eq!(missing(video), 0);
    let longest = longest_gap(video);
    assert!(longest < ms(200), "frames all the time: {longest:?}");
}

#[test]
fn a_viewer_who_changes_the_size_twice_a_second_does_not_make_layers_flap() {
    let mut room = Simulation::new(35);
    let ann = room.join_with_simulcast("ann");
    let bob = room.join("bob", Default::default(), Default::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(8_000));
    let told = room.layer_events().len();
    for turn in 0..30 {
        let height = if turn % 2 == 0 { Some(180) } else { None };
        room.watch_at(bob, &[(ann, height)]);
        room.run(ms(500));
    }
    assert_eq!(room.layer_events().len(), told, "{:?}", room.layer_events());
}

#[test]
fn a_publisher_that_pauses_nothing_is_shown_as_before() {
    let mut room = Simulation::new(36);
    let ann = room.join_with_simulcast("ann");
    let bob = room.join("bob", Default::default(), Default::default());
    room.peers[ann].obeys = false;
    room.publish(ann);
    room.run(ms(8_000));
    room.watch(bob, &[ann]);
    room.run(ms(4_000));
    assert_eq!(room.height(bob), 720);
    assert!(longest_gap(room.peers[bob].video(0)) < ms(200));
}

#[test]
fn a_layer_that_does_not_wake_leaves_the_viewer_with_the_next_one() {
    let mut room = Simulation::new(37);
    let ann = room.join_with_simulcast("ann");
    let bob = room.join("bob", Default::default(), Default::default());
    room.publish(ann);
    room.run(ms(8_000));
    // From now on requests do not reach the publisher.
    room.peers[ann].obeys = false;
    room.watch(bob, &[ann]);
    room.run(ms(9_000));
    let video = room.peers[bob].video(0);
    assert!(video.iter().all(|got| got.height == 180));
    let longest = longest_gap(video);
    assert!(longest < ms(200), "{longest:?}");
}
