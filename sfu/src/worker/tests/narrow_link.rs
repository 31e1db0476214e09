//! A viewer's link that carries little for a while and then more: the estimate follows, and what he is shown follows that.

use std::time::Duration;

use super::simulation::{Link, Simulation, ms, narrow};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sends {
    Simulcast,
    LayersInOneStream,
}

/// Ann publishes about 0.1, 0.4 and 1.3 Mbit/s (0.2, 0.6 and 1.4 with `rich`), and bob watches over a link that carries 3 Mbit/s.
struct Viewing {
    room: Simulation,
    bob: usize,
    jitter: Duration,
}

impl Viewing {
    fn new(sends: Sends, rich: bool, jitter: Duration, seed: u64) -> Self {
        let mut room = Simulation::new(seed);
        let ann = match sends {
            Sends::Simulcast => room.join_with_simulcast("ann"),
            Sends::LayersInOneStream => room.join_with_layers_in_one_stream("ann"),
        };
        let bytes = match (sends, rich) {
            (Sends::Simulcast, _) => [300, 700, 1100],
            (Sends::LayersInOneStream, false) => [300; 3],
            (Sends::LayersInOneStream, true) => [420; 3],
        };
        for (layer, bytes) in room.peers[ann].layers.iter_mut().zip(bytes) {
            layer.bytes = bytes;
        }
        let bob = room.join_as_viewer("bob", Link { jitter, ..narrow(3000) });
        room.publish(ann);
        room.watch(bob, &[ann]);
        Self { room, bob, jitter }
    }

    fn carry(&mut self, kilobits: u64, time: Duration) -> &mut Self {
        self.room.peers[self.bob].down = Link {
            jitter: self.jitter,
            ..narrow(kilobits)
        };
        self.room.run(time);
        self
    }

    /// Kilobits a second.
    fn estimate(&self) -> u64 {
        let session = self.room.peers[self.bob].session;
        self.room.workers[0].estimate_of(session).expect("an estimate") / 1000
    }

    /// Heights shown, one after the other, in the last `time`.
    fn heights(&self, time: Duration) -> Vec<u16> {
        let since = self.room.now - time;
        let later = self.room.peers[self.bob]
            .pictures(0)
            .iter()
            .filter(|got| got.at > since);
        // The largest size of each picture.
        let mut largest: Vec<(u32, u16)> = Vec::new();
        for got in later {
            match largest.last_mut().filter(|(count, _)| *count == got.count) {
                Some((_, height)) => *height = got.height.max(*height),
                None => largest.push((got.count, got.height)),
            }
        }
        let mut heights: Vec<u16> = largest.into_iter().map(|(_, height)| height).collect();
        heights.dedup();
        heights
    }
}

#[test]
fn a_link_that_widens_from_90_to_1000_kilobits_is_known_and_used_within_ten_seconds() {
    for sends in [Sends::Simulcast, Sends::LayersInOneStream] {
        let mut known = Vec::new();
        for seed in 1..10 {
            let jitter = ms(if seed % 2 == 0 { 0 } else { 5 });
            let mut viewing = Viewing::new(sends, false, jitter, seed);
            viewing.carry(3000, ms(5_000)).carry(90, ms(25_000));
            assert_eq!(viewing.heights(ms(10_000)), [180], "{sends:?}, seed {seed}");
            let within = |viewing: &mut Viewing| (800..=1200).contains(&viewing.carry(1000, ms(1_000)).estimate());
            known.push((1..30).find(|_| within(&mut viewing)).unwrap_or(30));
            viewing.carry(1000, ms(10_000));
            assert!(viewing.heights(ms(10_000)).contains(&360), "{sends:?}, seed {seed}");
        }
        known.sort();
        // Handshakes have random lengths, so that no two runs are the same; most are as they should be.
        assert!(known[6] <= 10, "{sends:?}: after {known:?} s");
    }
}

#[test]
fn the_next_size_is_tried_before_the_estimate_has_room_to_spare() {
    for seed in 1..13 {
        let mut viewing = Viewing::new(Sends::LayersInOneStream, true, ms(10), seed);
        viewing
            .carry(3000, ms(5_000))
            .carry(120, ms(25_000))
            .carry(1000, ms(20_000));
        let heights = viewing.heights(ms(20_000));
        assert!(heights.contains(&360), "seed {seed}: {heights:?}");
    }
}

#[test]
fn a_link_that_halves_and_widens_again_is_followed() {
    for sends in [Sends::Simulcast, Sends::LayersInOneStream] {
        let mut viewing = Viewing::new(sends, false, ms(2), 7);
        if sends == Sends::Simulcast {
            // The middle size is more than the narrow link carries, so that it is noticed.
            viewing.room.peers[0].layers[1].bytes = 1000;
        }
        for kilobits in [1000, 500, 1000] {
            viewing.carry(kilobits, ms(15_000));
            let estimate = viewing.estimate();
            let bounds = kilobits * 8 / 10..=kilobits * 12 / 10;
            assert!(bounds.contains(&estimate), "{sends:?}: {estimate} of {kilobits} kbit/s");
        }
    }
}
