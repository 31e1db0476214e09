//! One publisher with three sizes, and one viewer behind a link with a rate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::simulation::{Link, Simulation, narrow};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sends {
    Simulcast,
    LayersInOneStream,
}

/// Ann publishes about 0.1, 0.4 and 1.3 Mbit/s (0.2, 0.6 and 1.4 with `rich`), and bob watches over a link that carries 3 Mbit/s.
pub struct Viewing {
    pub room: Simulation,
    pub bob: usize,
    jitter: Duration,
}

impl Viewing {
    pub fn new(sends: Sends, rich: bool, jitter: Duration, seed: u64) -> Self {
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

    pub fn carry(&mut self, kilobits: u64, time: Duration) -> &mut Self {
        self.room.peers[self.bob].down = Link {
            jitter: self.jitter,
            ..narrow(kilobits)
        };
        self.room.run(time);
        self
    }

    /// Kilobits a second.
    pub fn estimate(&self) -> u64 {
        let session = self.room.peers[self.bob].session;
        self.room.workers[0].estimate_of(session).expect("an estimate") / 1000
    }

    /// Heights shown, one after the other, in the last `time`.
    pub fn heights(&self, time: Duration) -> Vec<u16> {
        let since = self.room.now - time;
        let later = self.room.peers[self.bob].video(0).iter().filter(|got| got.at > since);
        // The largest size of each picture; what was missed comes later.
        let mut largest: BTreeMap<u32, u16> = BTreeMap::new();
        for got in later {
            let height = largest.entry(got.count).or_default();
            *height = got.height.max(*height);
        }
        // It may not have come to its end.
        largest.pop_last();
        let mut heights: Vec<u16> = largest.into_values().collect();
        heights.dedup();
        heights
    }
}
