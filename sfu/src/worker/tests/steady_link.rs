//! A viewer's link that carries the same all the time: the layers stay the same, too.

use super::simulation::ms;
use super::viewing::{Sends, Viewing};

/// Kilobits a second that leave room for a size, and not nearly enough for the next.
const CLEAR: [u64; 7] = [300, 400, 1000, 1300, 1600, 2000, 3000];
/// And of which a size takes two thirds to all.
const CLOSE: [u64; 7] = [450, 500, 550, 600, 650, 700, 800];

/// Changes of the height shown in the 60 s after the first 10, on a link that carries this, with 10 ms of jitter.
fn changes(sends: Sends, kilobits: u64, seed: u64) -> usize {
    let mut viewing = Viewing::new(sends, false, ms(10), seed);
    viewing.carry(kilobits, ms(10_000)).carry(kilobits, ms(60_000));
    viewing.heights(ms(60_000)).len() - 1
}

fn a_layer_does_not_flap(sends: Sends) {
    // A layer that just does not fit is tried after 15 s and after 30 s more: up and down again, each time.
    for (rates, most) in [(CLEAR, 1), (CLOSE, 4)] {
        for kilobits in rates {
            let changes = [1, 2, 3].map(|seed| changes(sends, kilobits, seed));
            assert!(
                changes.iter().sum::<usize>() <= most * changes.len(),
                "{sends:?} on {kilobits} kbit/s: {changes:?} changes a minute"
            );
        }
    }
}

#[test]
fn a_simulcast_layer_does_not_flap() {
    a_layer_does_not_flap(Sends::Simulcast);
}

#[test]
fn a_layer_inside_one_stream_does_not_flap() {
    a_layer_does_not_flap(Sends::LayersInOneStream);
}
