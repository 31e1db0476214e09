//! The quality that members are told, and the figures of their streams.

use rotunda_proto::ids::TrackSource;

use super::simulation::{Link, Simulation, lossy, ms};

#[test]
fn a_good_connection_is_excellent_both_ways_and_told_every_ten_seconds() {
    let mut room = Simulation::new(21);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(32_000));
    let told = room.qualities(bob);
    let (_, last) = *told.last().unwrap();
    assert_eq!(last.downlink_network_quality, 1, "{last:?}");
    assert_eq!(last.uplink_network_quality, 0, "bob sends nothing");
    let round_trip = last.downlink_rtt.unwrap();
    assert!((18..=30).contains(&round_trip), "twice 10 ms: {round_trip}");
    let settled: Vec<_> = told.iter().filter(|(_, quality)| *quality == last).collect();
    assert!(told.len() <= 6, "nobody is told the same every two seconds: {told:?}");
    for pair in settled.windows(2) {
        assert!(pair[1].0 - pair[0].0 <= ms(10_200));
    }
    let (_, ann) = *room.qualities(ann).last().unwrap();
    assert_eq!(ann.uplink_network_quality, 1, "{ann:?}");
}

#[test]
fn losses_are_those_of_the_direction_in_which_they_happen() {
    let mut room = Simulation::new(22);
    let ann = room.join("ann", lossy(0.2), Link::default());
    let bob = room.join("bob", Link::default(), lossy(0.1));
    room.publish(ann);
    room.publish(bob);
    room.watch(ann, &[bob]);
    room.watch(bob, &[ann]);
    room.run(ms(20_000));
    let (ann, bob) = (
        room.qualities(ann).last().unwrap().1,
        room.qualities(bob).last().unwrap().1,
    );
    assert!((11..=30).contains(&ann.uplink_loss), "{ann:?}");
    assert!(ann.uplink_network_quality >= 4, "{ann:?}");
    assert!(ann.downlink_loss <= 1, "{ann:?}");
    assert!((2..=19).contains(&bob.downlink_loss), "{bob:?}");
    assert!(bob.downlink_network_quality >= 2, "{bob:?}");
    assert_eq!(bob.uplink_loss, 0, "{bob:?}");
}

#[test]
fn jitter_is_measured_on_the_way_up_and_neither_resends_nor_sizes_of_frames_count() {
    let mut room = Simulation::new(26);
    let steady = room.join("steady", lossy(0.1), Link::default());
    let shaky = Link {
        jitter: ms(60),
        ..Link::default()
    };
    let shaky = room.join("shaky", shaky, Link::default());
    room.publish(steady);
    room.publish(shaky);
    room.run(ms(10_000));
    let jitter = |peer| {
        let sent = room.statistics(peer).uplink;
        let camera = sent.into_iter().find(|stream| stream.source == TrackSource::Camera);
        camera.unwrap().jitter
    };
    assert!(jitter(steady) <= 5, "{}", jitter(steady));
    assert!((8..=40).contains(&jitter(shaky)), "{}", jitter(shaky));
}

#[test]
fn a_score_that_changes_is_told_within_a_few_seconds() {
    let mut room = Simulation::new(23);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(12_000));
    let changed = room.now;
    room.peers[bob].down = lossy(0.3);
    room.run(ms(8_000));
    let worse = room
        .qualities(bob)
        .into_iter()
        .find(|(at, quality)| *at > changed && quality.downlink_network_quality >= 4);
    let (at, _) = worse.unwrap_or_else(|| panic!("bob is not notified: {:?}", room.qualities(bob)));
    assert!(at - changed <= ms(6_500), "{:?}", at - changed);
}

#[test]
fn statistics_name_every_stream_and_slot_with_its_rates() {
    let mut room = Simulation::new(24);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), lossy(0.1));
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(9_000));
    let sent = room.statistics(ann);
    let camera = sent
        .uplink
        .iter()
        .find(|stream| stream.source == TrackSource::Camera)
        .unwrap();
    // 3 packets of 900 bytes every 33 ms.
    assert!((600_000..=700_000).contains(&camera.bitrate), "{camera:?}");
    assert_eq!((camera.codec.as_str(), camera.height), ("VP8", Some(360)));
    assert!(matches!(camera.framerate, Some(29..=31)), "{camera:?}");
    assert_eq!((camera.lost, camera.loss), (0, 0));
    assert!(camera.packets > 700 && camera.keyframe_requests >= 1, "{camera:?}");
    assert!(
        sent.uplink
            .iter()
            .any(|stream| stream.codec.eq_ignore_ascii_case("opus") && stream.framerate.is_none())
    );
    assert!(sent.downlink.is_empty(), "she watches nobody");
    let got = room.statistics(bob);
    assert!(got.uplink.is_empty());
    assert_eq!(got.downlink.len(), 2, "one video, one audio: {got:?}");
    let video = got
        .downlink
        .iter()
        .find(|slot| slot.source == TrackSource::Camera)
        .unwrap();
    assert_eq!(video.user_id, room.peers[ann].user);
    assert!((600_000..=700_000).contains(&video.bitrate), "{video:?}");
    assert!(video.resent > 30, "{video:?}");
    assert!((2..=19).contains(&got.quality.downlink_loss), "{got:?}");
    assert!(
        got.downlink_estimate.is_some() && got.downlink_wanted > 600_000,
        "{got:?}"
    );
    assert_eq!(got.paused_slots, 0);
}

#[test]
fn a_member_who_has_left_has_no_statistics() {
    let mut room = Simulation::new(25);
    let ann = room.join("ann", Link::default(), Link::default());
    room.publish(ann);
    room.run(ms(5_000));
    assert_eq!(room.statistics(ann).quality.uplink_network_quality, 1);
    room.leave(ann);
    assert!(room.find_statistics(ann).is_err());
}
