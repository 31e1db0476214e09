//! Whatever happens in a room, in whatever order and over whatever links.

use std::time::Duration;

use proptest::prelude::*;

use super::simulation::{Link, Simulation, lossy, ms};

#[derive(Debug, Clone)]
enum Step {
    Watch { viewer: usize, watched: Vec<usize> },
    Publish(usize),
    Forbid(usize),
    Leave(usize),
    Wait(u64),
}

const PEERS: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let watched = proptest::sample::subsequence((0..PEERS).collect::<Vec<_>>(), 0..=3);
    prop_oneof![
        4 => (0..PEERS, watched).prop_map(|(viewer, watched)| Step::Watch { viewer, watched }),
        2 => (0..PEERS).prop_map(Step::Publish),
        1 => (0..PEERS).prop_map(Step::Forbid),
        1 => (0..PEERS).prop_map(Step::Leave),
        4 => (1u64..400).prop_map(Step::Wait),
    ]
}

/// PROPTEST_CASES=2000 runs thousands.
fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(40),
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    /// Whatever happens in a room: nobody gets media that they have not asked for or that may not be sent, each slot is one stream, and in
    /// the end all viewers see the publishers that they watch.
    #[test]
    fn no_order_of_events_breaks_a_room(seed in any::<u64>(), workers in 1usize..4, loss in 0.0f64..0.08, steps in proptest::collection::vec(step(), 1..25)) {
        let mut room = Simulation::with_workers(seed, workers);
        let down = lossy(loss);
        for index in 0..PEERS {
            room.join(&format!("peer{index}"), Link::default(), down);
        }
        room.run(ms(500));
        // A handshake whose packets are lost twice takes seconds, and is not what is looked at here.
        for _ in 0..200 {
            if room.peers.iter().all(|peer| peer.connected) {
                break;
            }
            room.run(ms(100));
        }
        let margin = ms(10 + 5 + 5);
        let mut watching: Vec<Vec<usize>> = vec![Vec::new(); PEERS];
        let mut permitted = [false; PEERS];
        let mut here = [true; PEERS];
        // A change is on its way for the margin: then everything that comes must be as it was asked for.
        let mut changed = [room.now; PEERS];
        let mut forbidden: Vec<Option<std::time::Instant>> = vec![Some(room.now); PEERS];
        for step in steps {
            match step {
                Step::Watch { viewer, watched } if here[viewer] => {
                    room.watch(viewer, &watched);
                    watching[viewer] = watched;
                    changed[viewer] = room.now;
                }
                Step::Publish(peer) if here[peer] => {
                    room.publish(peer);
                    permitted[peer] = true;
                    forbidden[peer] = None;
                }
                Step::Forbid(peer) if here[peer] => {
                    room.forbid(peer);
                    permitted[peer] = false;
                    forbidden[peer] = Some(room.now);
                }
                Step::Leave(peer) if here[peer] => {
                    room.leave(peer);
                    here[peer] = false;
                    permitted[peer] = false;
                    forbidden[peer] = Some(room.now);
                }
                Step::Wait(time) => {
                    room.run(ms(time));
                    for viewer in (0..PEERS).filter(|viewer| here[*viewer]) {
                        for (slot, got) in &room.peers[viewer].got {
                            let wanted = watching[viewer].get(slot % 3);
                            for got in got.iter().rev().take_while(|got| got.at > changed[viewer] + margin) {
                                prop_assert_eq!(Some(&usize::from(got.from)), wanted, "slot {} of {}", slot, viewer);
                                let gone = forbidden[usize::from(got.from)];
                                prop_assert!(gone.is_none_or(|at| got.at <= at + margin), "not permitted any more");
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        let since = room.now + Duration::from_millis(1500);
        room.run(ms(3000));
        for viewer in (0..PEERS).filter(|viewer| here[*viewer]) {
            for (slot, watched) in watching[viewer].iter().enumerate() {
                if *watched == viewer || !permitted[*watched] {
                    continue;
                }
                let video = room.peers[viewer].video(slot);
                prop_assert!(video.iter().any(|got| got.at > since), "video slot {} of {} is stuck", slot, viewer);
                prop_assert!(room.peers[viewer].audio(slot).iter().any(|got| got.at > since), "audio slot {} of {} is stuck", slot, viewer);
            }
        }
    }
}
