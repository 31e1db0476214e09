//! A viewer's link that carries the same all the time: what he is shown stays the same, too.

use super::simulation::ms;
use super::viewing::{Sends, Viewing};

/// Kilobits a second: just below what a size takes, just above it, and what has room to spare.
const RATES: [u64; 14] = [
    300, 400, 450, 500, 550, 600, 650, 700, 800, 1000, 1300, 1600, 2000, 3000,
];

/// Changes of the height shown in the 60 s after the first 10, on a link that carries this, with 10 ms of jitter.
fn changes(sends: Sends, kilobits: u64, seed: u64) -> usize {
    let mut viewing = Viewing::new(sends, false, ms(10), seed);
    viewing.carry(kilobits, ms(10_000)).carry(kilobits, ms(60_000));
    viewing.heights(ms(60_000)).len() - 1
}

fn a_picture_does_not_flap(sends: Sends) {
    for kilobits in RATES {
        let changes = [1, 2, 3].map(|seed| changes(sends, kilobits, seed));
        let most = changes.iter().max();
        assert!(
            most <= Some(&2),
            "{sends:?} on {kilobits} kbit/s: {changes:?} changes a minute"
        );
    }
}

#[test]
fn a_picture_of_several_streams_does_not_flap() {
    a_picture_does_not_flap(Sends::Simulcast);
}

#[test]
fn a_picture_of_layers_in_one_stream_does_not_flap() {
    a_picture_does_not_flap(Sends::LayersInOneStream);
}
