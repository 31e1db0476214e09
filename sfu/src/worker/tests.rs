mod audio_slots;
mod codecs;
mod custom_messages;
mod layers;
mod layers_in_one_stream;
mod link_layers;
mod narrow_link;
mod nodes;
mod outage;
mod quality;
mod receiver_estimate;
mod relay;
mod schedules;
mod sleeping_layers;
mod steady_link;
mod tree;
mod turns;
mod viewing;

use std::collections::HashSet;
use std::time::Duration;

use str0m::net::Protocol;

use super::simulation::{self, Counted, Got, Link, Simulation, lossy, ms};

/// Sequence numbers that are missing between the first and the last.
fn missing(got: &[Got]) -> u64 {
    let seqs: HashSet<u64> = got.iter().map(|got| got.seq).collect();
    match (seqs.iter().min(), seqs.iter().max()) {
        (Some(first), Some(last)) => last - first + 1 - seqs.len() as u64,
        _ => 0,
    }
}

/// Between two packets that came one after the other.
fn longest_gap(got: &[Got]) -> Duration {
    let gaps = got.windows(2).map(|pair| pair[1].at - pair[0].at);
    gaps.max().unwrap()
}

#[test]
fn a_viewer_gets_every_packet_of_a_watched_publisher_from_a_keyframe_on() {
    let mut room = Simulation::new(1);
    let (ann, bob) = (
        room.join("ann", Link::default(), Link::default()),
        room.join("bob", Link::default(), Link::default()),
    );
    room.publish(ann);
    room.run(ms(1000));
    room.watch(bob, &[ann]);
    room.run(ms(3000));
    let bob = &room.peers[bob];
    let video = bob.video(0);
    assert!(video.len() > 3 * 85, "{}", video.len());
    assert!(video.iter().all(|got| got.from == ann as u8));
    assert_eq!(missing(video), 0);
    assert!(bob.audio(0).len() > 140, "{}", bob.audio(0).len());
    assert_eq!(missing(bob.audio(0)), 0);
}

#[test]
fn viewers_who_come_together_share_one_keyframe_request() {
    let mut room = Simulation::new(2);
    let ann = room.join("ann", Link::default(), Link::default());
    let viewers: Vec<usize> = (0..5)
        .map(|index| room.join(&format!("viewer{index}"), Link::default(), Link::default()))
        .collect();
    room.publish(ann);
    // Long enough that no cached frame is young enough to be shown.
    room.run(ms(5000));
    let asked = room.peers[ann].keyframe_requests.len();
    for viewer in &viewers {
        room.watch(*viewer, &[ann]);
    }
    room.run(ms(900));
    assert_eq!(room.peers[ann].keyframe_requests.len() - asked, 1);
    for viewer in viewers {
        assert!(room.peers[viewer].video(0).len() > 50);
    }
}

#[test]
fn a_new_viewer_right_after_a_keyframe_gets_the_cached_frames_without_another_request() {
    let mut room = Simulation::new(3);
    let ann = room.join("ann", Link::default(), Link::default());
    let (bob, cat) = (
        room.join("bob", Link::default(), Link::default()),
        room.join("cat", Link::default(), Link::default()),
    );
    room.publish(ann);
    room.run(ms(3000));
    room.watch(bob, &[ann]);
    room.run(ms(400));
    let asked = room.peers[ann].keyframe_requests.len();
    room.watch(cat, &[ann]);
    let begun = room.now;
    room.run(ms(300));
    let first = room.peers[cat].video(0).first().copied().unwrap();
    assert!(first.at - begun < ms(30), "a frame at once: {:?}", first.at - begun);
    assert_eq!(room.peers[ann].keyframe_requests.len(), asked);
    assert_eq!(missing(room.peers[cat].video(0)), 0);
}

#[test]
fn a_slot_shows_one_and_then_the_other_in_one_stream() {
    let mut room = Simulation::new(4);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), Link::default());
    let cat = room.join("cat", Link::default(), Link::default());
    room.publish(ann);
    room.publish(bob);
    room.watch(cat, &[ann]);
    room.run(ms(2000));
    room.watch(cat, &[bob]);
    room.run(ms(2000));
    let video = room.peers[cat].video(0);
    assert_eq!(missing(video), 0);
    let turn = video.iter().position(|got| got.from == bob as u8).unwrap();
    assert!(video[..turn].iter().all(|got| got.from == ann as u8));
    assert!(video[turn..].iter().all(|got| got.from == bob as u8));
    let step = video[turn].time.wrapping_sub(video[turn - 1].time);
    assert!(step > 0 && step < 90_000, "{step}");
}

#[test]
fn a_peer_that_moves_is_sent_to_its_new_address_from_the_first_nominating_check_on() {
    let mut room = Simulation::new(6);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(2000));
    let before = room.peers[bob].address;
    let address = std::net::SocketAddr::from(([10, 2, 0, 9], 6000));
    room.peers[bob].address = address;
    // RFC 8445 §7.1: priority, that it controls, and that it nominates.
    let priority = [0, 0x24, 0, 4, 0x6e, 0, 1, 0xff];
    let controlling = [0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let nominating = [&priority[..], &controlling, &[0, 0x25, 0, 0]].concat();
    let check = room.sealed_check(bob, &nominating);
    let forged = check.iter().rev().copied().collect::<Vec<u8>>();
    room.inject(address, Protocol::Udp, &forged);
    let had = room.peers[bob].video(0).len();
    room.run(ms(40));
    assert_eq!(room.peers[bob].video(0).len(), had, "what was sent to {before} is lost");
    room.inject(address, Protocol::Udp, &check);
    room.run(ms(100));
    let came = room.peers[bob].video(0).len() - had;
    assert!(came > 5, "{came} packets");
}

#[test]
fn a_publisher_that_was_cut_off_is_asked_for_a_keyframe_as_soon_as_it_is_back() {
    let mut room = Simulation::new(7);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(4000));
    let asked = room.peers[ann].keyframe_requests.len();
    room.run(ms(2000));
    assert_eq!(room.peers[ann].keyframe_requests.len(), asked, "nobody has a reason");
    room.peers[ann].up = lossy(1.0);
    room.run(ms(2000));
    room.peers[ann].up = Link::default();
    room.run(ms(200));
    assert_eq!(room.peers[ann].keyframe_requests.len(), asked + 1);
}

#[test]
fn losses_on_a_viewer_s_link_are_repaired_and_are_nobody_else_s() {
    let mut room = Simulation::new(5);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), lossy(0.1));
    let cat = room.join("cat", Link::default(), Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.watch(cat, &[ann]);
    room.run(ms(6000));
    let (bob, cat) = (room.peers[bob].video(0), room.peers[cat].video(0));
    assert_eq!(missing(cat), 0);
    // A packet that was lost in the last moments may still be on its way.
    let settled = &bob[..bob.len() - 60];
    assert!(missing(settled) <= 3, "{} of {}", missing(settled), settled.len());
}

#[test]
fn on_a_link_that_loses_a_third_audio_and_video_are_nearly_whole_and_in_time() {
    let mut room = Simulation::new(12);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", lossy(0.3), lossy(0.3));
    room.publish(ann);
    room.watch(bob, &[ann]);
    // Until the viewer's reports have told of it.
    room.run(ms(12_000));
    let first = room.peers[bob].heard[&0].last().copied().unwrap();
    room.run(ms(10_000));
    let heard = room.peers[bob].heard[&0].range(first..).count();
    assert!(heard >= 485, "{heard} of 500 audio packets");
    let video = room.peers[bob].video(0);
    let (missed, all) = (missing(video), video.len());
    assert!(missed * 100 <= all as u64, "{missed} of {all}");
    assert!(video.last().unwrap().at + ms(150) > room.now);
}

#[test]
fn audio_that_a_viewer_misses_is_retransmitted_on_a_nack() {
    let heard = |asks: bool| {
        let mut room = Simulation::new(13);
        room.with_audio_nack = asks;
        let ann = room.join("ann", Link::default(), Link::default());
        let bob = room.join("bob", Link::default(), lossy(0.1));
        room.publish(ann);
        room.watch(bob, &[ann]);
        room.run(ms(10_000));
        let packets = room.peers[bob].audio(0).len();
        let resent = room.statistics(bob).downlink.iter().map(|slot| slot.resent).min();
        (packets, resent)
    };
    let (without, resent) = heard(false);
    assert!(without < 465 && resent == Some(0), "{without} {resent:?}");
    let (with, resent) = heard(true);
    assert!(with > 480 && resent > Some(20), "{with} {resent:?}");
}

#[test]
fn a_publisher_s_losses_do_not_lower_the_viewers_estimates() {
    let mut room = Simulation::new(6);
    let ann = room.join("ann", lossy(0.2), Link::default());
    let bob = room.join("bob", Link::default(), Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(1000));
    let before = room.workers[0].estimate_of(room.peers[bob].session).unwrap();
    room.run(ms(8000));
    let after = room.workers[0].estimate_of(room.peers[bob].session).unwrap();
    assert!(after >= before, "{before} -> {after}");
}

#[test]
fn a_forbidden_publisher_is_not_heard_from_the_next_packet_on() {
    let mut room = Simulation::new(7);
    let ann = room.join("ann", Link::default(), Link::default());
    // With losses, so that the viewer also asks for packets from before.
    let bob = room.join("bob", Link::default(), lossy(0.2));
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(2000));
    room.forbid(ann);
    // Packets were on their way: the batch window and the link.
    room.run(ms(20));
    let (video, audio) = (room.peers[bob].video(0).len(), room.peers[bob].audio(0).len());
    room.run(ms(2000));
    assert_eq!(
        (room.peers[bob].video(0).len(), room.peers[bob].audio(0).len()),
        (video, audio)
    );
    room.publish(ann);
    room.run(ms(1500));
    assert!(room.peers[bob].video(0).len() > video + 60);
}

#[test]
fn a_permission_that_is_told_again_disturbs_nothing() {
    let mut room = Simulation::new(14);
    let ann = room.join("ann", Link::default(), Link::default());
    let bob = room.join("bob", Link::default(), Link::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(3000));
    let asked = room.peers[ann].keyframe_requests.len();
    for _ in 0..30 {
        room.permit(ann);
        room.run(ms(100));
    }
    assert_eq!(room.peers[ann].keyframe_requests.len(), asked);
    let video = room.peers[bob].video(0);
    assert_eq!(missing(video), 0);
    assert!(longest_gap(video) < ms(50), "{:?}", longest_gap(video));
    // Taken away twice, it stays taken away.
    room.forbid(ann);
    room.forbid(ann);
    room.run(ms(20));
    let had = room.peers[bob].video(0).len();
    room.run(ms(500));
    assert_eq!(room.peers[bob].video(0).len(), had);
}

#[test]
fn hundreds_of_sessions_that_come_and_go_leave_nothing_behind() {
    for workers in [1, 3] {
        hundreds_come_and_go(workers);
    }
}

fn hundreds_come_and_go(workers: usize) {
    let mut room = Simulation::with_workers(9, workers);
    let remembered = |room: &Simulation| {
        room.workers
            .iter()
            .map(|worker| worker.remembered())
            .collect::<Vec<_>>()
    };
    let before = remembered(&room);
    let mut here = std::collections::VecDeque::new();
    for index in 0..400 {
        let peer = room.join(&format!("peer{index}"), Link::default(), lossy(0.02));
        room.publish(peer);
        if let Some(other) = here.back() {
            room.watch(peer, &[*other]);
            room.watch(*other, &[peer]);
        }
        here.push_back(peer);
        // Some stay for no time at all, some until their slots flow.
        room.run(ms(if index % 5 == 0 { 0 } else { 60 }));
        if here.len() > 4
            && let Some(gone) = here.pop_front()
        {
            if index % 3 == 0 {
                room.vanish(gone);
            } else {
                room.leave(gone);
            }
        }
    }
    for peer in here {
        room.leave(peer);
    }
    // A peer that vanished without a message times out.
    room.run(Duration::from_secs(60));
    assert_eq!(remembered(&room), before);
    let (sessions, tracks) = room.workers[0].capacities();
    // 133 vanish, and are missed within some 20 s: in the 22 s of this, few leave before the end.
    assert!(sessions <= 145 && tracks <= 2 * 145, "{sessions} {tracks}");
}

#[test]
fn a_client_with_a_password_fills_the_addresses_of_its_own_session_alone() {
    let mut room = Simulation::new(10);
    let ann = room.join("ann", Link::default(), Link::default());
    room.run(ms(500));
    let check = room.sealed_check(ann, &[]);
    for port in 1..5000 {
        room.inject(([192, 0, 2, 1], port).into(), str0m::net::Protocol::Udp, &check);
    }
    let addresses = |room: &Simulation| room.workers[0].remembered()[2];
    assert!(addresses(&room).1 <= 16, "{:?}", addresses(&room));
    room.leave(ann);
    assert_eq!(addresses(&room), ("addresses", 0));
}

#[test]
fn a_flood_of_nacks_brings_little_more_than_is_watched() {
    let mut room = Simulation::new(11);
    let [ann, bob] = ["ann", "bob"].map(|name| room.join(name, Link::default(), Link::default()));
    room.publish(ann);
    room.run(ms(500));
    room.watch(bob, &[ann]);
    room.run(ms(3000));
    let ssrc = room.slot_ssrc(bob).unwrap();
    let newest = room.peers[bob].video(0).last().unwrap().seq as u16;
    // Generic NACK (RFC 4585 §6.2.1): 14 entries of 17 packets each.
    let entries = 14u16;
    let mut nack = vec![0x81, 205, 0, 2 + entries as u8];
    nack.extend_from_slice(&[0, 0, 0, 1]);
    nack.extend_from_slice(&ssrc.to_be_bytes());
    for entry in 0..entries {
        nack.extend_from_slice(&newest.wrapping_sub(250 - entry * 17).to_be_bytes());
        nack.extend_from_slice(&[0xff, 0xff]);
    }
    let before = room.peers[bob].video(0).len();
    for _ in 0..100 {
        let sealed = room.sealed_report(bob, &nack).unwrap();
        let from = room.peers[bob].address;
        room.inject(from, str0m::net::Protocol::Udp, &sealed);
    }
    room.run(ms(3000));
    let resent = room
        .statistics(bob)
        .downlink
        .iter()
        .map(|slot| slot.resent)
        .max()
        .unwrap();
    assert!((200..5000).contains(&resent), "{resent} of 23,800");
    assert!(room.peers[bob].video(0).len() - before > 250, "bob still sees ann");
}

/// Allocations of the packet path in two seconds, with so many viewers.
fn allocations(viewers: usize) -> Counted {
    let mut room = Simulation::new(8);
    let ann = room.join("ann", Link::default(), Link::default());
    room.publish(ann);
    for index in 0..viewers {
        let viewer = room.join(&format!("viewer{index}"), Link::default(), Link::default());
        room.watch(viewer, &[ann]);
    }
    // Queues and logs have their size by then.
    room.run(ms(3000));
    room.counted = Some(Counted {
        publisher: ann,
        allocations: 0,
        sent: 0,
    });
    room.run(ms(2000));
    room.counted.unwrap()
}

#[test]
fn a_packet_for_one_more_viewer_allocates_nothing() {
    let (few, many) = (allocations(2), allocations(12));
    let packets = many.sent - few.sent;
    let more = many.allocations.saturating_sub(few.allocations);
    assert!(packets > 2500, "{packets}");
    assert!(more * 200 < packets, "{more} allocations for {packets} packets");
}
