//! Rooms with more microphones than slots: everybody hears the loudest six.

use std::collections::{BTreeMap, BTreeSet};

use rotunda_proto::sfu::Event;

use super::missing;
use super::simulation::{Got, Link, Simulation, lossy, ms};

const TALK: i8 = -25;
const QUIET: i8 = -80;

/// So many members with microphones, all silent, and one who only listens: the last.
fn room_of(microphones: usize, seed: u64) -> (Simulation, usize) {
    let mut room = Simulation::with_workers(seed, 2);
    room.audio_slots = 6;
    for number in 0..microphones {
        let peer = room.join(&format!("user{number}"), Link::default(), Link::default());
        room.speak(peer, QUIET);
        room.hear_loudest(peer, &[]);
    }
    let listener = room.join("listener", Link::default(), Link::default());
    room.hear_loudest(listener, &[]);
    room.run(ms(3000));
    (room, listener)
}

/// The speakers that a viewer's slots carried in the last so many milliseconds, slot by slot.
fn heard(room: &Simulation, viewer: usize, milliseconds: u64) -> BTreeMap<usize, BTreeSet<u8>> {
    let from = room.now - ms(milliseconds);
    let slots = (0..6).map(|slot| {
        let packets = room.peers[viewer].audio(slot).iter();
        (slot, packets.filter(|got| got.at >= from).map(|got| got.from).collect())
    });
    slots.filter(|(_, who): &(_, BTreeSet<u8>)| !who.is_empty()).collect()
}

fn everybody(heard: &BTreeMap<usize, BTreeSet<u8>>) -> BTreeSet<u8> {
    heard.values().flatten().copied().collect()
}

/// The speakers that the server has told a viewer for its slots.
fn told(room: &Simulation, viewer: usize) -> Vec<Option<String>> {
    let own = room.peers[viewer].session;
    let mut told = room.events.iter().rev().filter_map(|(_, event)| match event {
        Event::Voices { session, audio } if *session == own => Some(audio),
        _ => None,
    });
    let audio = told.next().cloned().unwrap_or_default();
    audio
        .into_iter()
        .map(|user| user.map(|user| user.to_string()))
        .collect()
}

/// Each slot is one stream without a gap, whose timestamps never go back.
fn is_continuous(packets: &[Got]) -> bool {
    missing(packets) == 0
        && packets.windows(2).all(|pair| {
            pair[1].seq == pair[0].seq + 1 && (960..96_000).contains(&pair[1].time.wrapping_sub(pair[0].time))
        })
}

#[test]
fn of_nine_microphones_six_are_heard_and_nobody_hears_their_own() {
    let (room, listener) = room_of(9, 41);
    assert_eq!(everybody(&heard(&room, listener, 1000)).len(), 6);
    for peer in 0..9 {
        let hears = everybody(&heard(&room, peer, 1000));
        assert!(!hears.contains(&(peer as u8)));
        assert!(hears.len() >= 5, "{hears:?}");
    }
}

#[test]
fn a_new_speaker_is_heard_from_the_first_syllable() {
    let (mut room, listener) = room_of(9, 42);
    let silent = everybody(&heard(&room, listener, 1000));
    let talker = (0..9).find(|peer| !silent.contains(peer)).unwrap();
    let first_loud = room.peers[usize::from(talker)].audio_count();
    let began = room.now;
    room.peers[usize::from(talker)].level = Some(TALK);
    room.run(ms(1000));
    let slot = *heard(&room, listener, 500)
        .iter()
        .find(|(_, who)| who.contains(&talker))
        .unwrap()
        .0;
    let packets = room.peers[listener].audio(slot);
    let first = packets.iter().find(|got| got.from == talker).unwrap();
    assert!(first.count <= first_loud, "{} is after {first_loud}", first.count);
    assert!(first.at - began < ms(80), "after {:?}", first.at - began);
    let counts: Vec<u32> = packets
        .iter()
        .filter(|got| got.from == talker)
        .map(|got| got.count)
        .collect();
    assert!(
        counts.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "every packet once, in order"
    );
    assert!(is_continuous(packets));
    let name = format!("user{talker}");
    assert_eq!(told(&room, listener)[slot].as_deref(), Some(&*name));
}

#[test]
fn the_events_name_the_sent_speakers_after_any_number_of_changes() {
    let (mut room, listener) = room_of(9, 43);
    for step in 0..40_usize {
        for peer in 0..9 {
            let talks = (peer + step) % 9 < 4;
            room.peers[peer].level = Some(if talks { TALK } else { QUIET });
        }
        room.run(ms(900));
        let hears = heard(&room, listener, 300);
        for (slot, name) in told(&room, listener).iter().enumerate() {
            let who: Vec<String> = hears
                .get(&slot)
                .into_iter()
                .flatten()
                .map(|peer| format!("user{peer}"))
                .collect();
            assert_eq!(
                who,
                name.iter().cloned().collect::<Vec<_>>(),
                "slot {slot} in step {step}"
            );
        }
        for peer in (0..9).filter(|peer| (peer + step) % 9 < 4) {
            assert!(everybody(&hears).contains(&(peer as u8)), "{peer} talks in step {step}");
        }
    }
    for slot in 0..6 {
        assert!(is_continuous(room.peers[listener].audio(slot)), "slot {slot}");
    }
    // The past that was sent first has not added up: timestamps are less than a pre-roll and a bit ahead.
    for slot in 0..6 {
        let packets = room.peers[listener].audio(slot);
        let (first, last) = (packets[0], packets[packets.len() - 1]);
        let ticks = last.time.wrapping_sub(first.time) as f64 / 48.0;
        let real = (last.at - first.at).as_millis() as f64;
        assert!((ticks - real).abs() < 1000.0, "slot {slot}: {ticks} ms in {real} ms");
    }
}

#[test]
fn a_speaker_who_leaves_or_is_forbidden_makes_room_at_once() {
    let (mut room, listener) = room_of(8, 44);
    for peer in 0..8 {
        room.peers[peer].level = Some(TALK);
    }
    room.run(ms(1000));
    let hears = everybody(&heard(&room, listener, 500));
    let mut six = hears.iter().copied();
    let (gone, forbidden) = (six.next().unwrap(), six.next().unwrap());
    room.leave(usize::from(gone));
    room.forbid(usize::from(forbidden));
    room.run(ms(500));
    let hears = everybody(&heard(&room, listener, 300));
    assert_eq!(hears.len(), 6);
    assert!(!hears.contains(&gone) && !hears.contains(&forbidden));
}

#[test]
fn a_muted_speaker_costs_the_listener_nothing() {
    let (mut room, listener) = room_of(6, 45);
    room.hear_loudest(listener, &[2, 4]);
    room.run(ms(1000));
    assert_eq!(everybody(&heard(&room, listener, 500)), [0, 1, 3, 5].into());
    room.hear_loudest(listener, &[]);
    room.run(ms(1000));
    assert_eq!(everybody(&heard(&room, listener, 500)).len(), 6);
}

#[test]
fn on_a_lossy_link_the_slots_go_on_over_every_change() {
    let (mut room, _) = room_of(9, 46);
    let far = room.join("far", Link::default(), lossy(0.1));
    room.hear_loudest(far, &[]);
    for step in 0..20_usize {
        for peer in 0..9 {
            room.peers[peer].level = Some(if (peer + step) % 9 < 4 { TALK } else { QUIET });
        }
        room.run(ms(900));
    }
    let hears = everybody(&heard(&room, far, 300));
    let told: BTreeSet<u8> = (0..9)
        .filter(|peer| told(&room, far).contains(&Some(format!("user{peer}"))))
        .collect();
    assert_eq!(hears, told);
    assert_eq!(hears.len(), 6);
}

/// How long a worker with a thousand listeners is busy with a new voice: prints it. Run by name, with `--no-capture`.
#[test]
#[ignore = "takes a minute; see docs/performance.md"]
fn a_new_voice_reaches_a_thousand_listeners() {
    const LISTENERS: usize = 1000;
    let mut room = Simulation::with_workers(47, 1);
    room.audio_slots = 6;
    for number in 0..9 {
        let peer = room.join(&format!("user{number}"), Link::default(), Link::default());
        room.speak(peer, QUIET);
        room.hear_loudest(peer, &[]);
    }
    let listeners: Vec<usize> = (0..LISTENERS)
        .map(|number| {
            let listener = room.join(&format!("listener{number}"), Link::default(), Link::default());
            room.hear_loudest(listener, &[]);
            listener
        })
        .collect();
    room.run(ms(3000));
    let mut took = Vec::new();
    for step in 0..9 {
        for peer in 0..9 {
            room.peers[peer].level = Some(if peer == step { TALK } else { QUIET });
        }
        room.run(ms(200));
        let before = everybody(&heard(&room, listeners[0], 100));
        let talker = (step + 1) % 9;
        if before.contains(&(talker as u8)) {
            continue;
        }
        room.peers[talker].level = Some(TALK);
        room.longest = std::time::Duration::ZERO;
        room.run(ms(100));
        took.push(room.longest);
        for listener in &listeners {
            let hears = everybody(&heard(&room, *listener, 30));
            assert!(hears.contains(&(talker as u8)), "{talker} in step {step}");
        }
    }
    took.sort();
    println!("a new voice took a worker {took:.1?}");
    assert!(took[0] < ms(5), "{took:?}");
}
