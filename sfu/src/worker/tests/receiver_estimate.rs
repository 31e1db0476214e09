//! Viewers who report no arrival times, and say themselves what their link carries (REMB).

use std::net::SocketAddr;

use str0m::net::Protocol;

use super::simulation::{Simulation, ms};

impl Simulation {
    /// A REMB of a peer, as it is on the wire (draft-alvestrand-rmcat-remb-03 §2.2).
    fn says_bits(&mut self, peer: usize, bits: u32) {
        let exponent = 32_u32.saturating_sub(bits.leading_zeros()).saturating_sub(18);
        let mut packet = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
        packet.extend_from_slice(b"REMB");
        packet.extend_from_slice(&(1 << 24 | exponent << 18 | bits >> exponent).to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
        let sealed = self.sealed_report(peer, &packet).unwrap();
        let from: SocketAddr = self.peers[peer].address;
        self.inject(from, Protocol::Udp, &sealed);
    }

    /// The height of what a viewer was sent last.
    fn shown(&self, viewer: usize) -> u16 {
        self.peers[viewer].video(0).last().map_or(0, |got| got.height)
    }
}

#[test]
fn a_viewer_whose_own_estimate_falls_gets_a_smaller_layer_and_later_the_best_again() {
    let mut room = Simulation::new(51);
    let ann = room.join_with_simulcast("ann");
    room.without_feedback = true;
    let bob = room.join("bob", Default::default(), Default::default());
    room.publish(ann);
    room.watch(bob, &[ann]);
    room.run(ms(5_000));
    assert_eq!(room.shown(bob), 720, "nothing is known of bob's link");
    for bits in [2_000_000, 2_000_000, 350_000] {
        room.says_bits(bob, bits);
        room.run(ms(1_000));
    }
    room.run(ms(1_000));
    assert_eq!(room.shown(bob), 180);
    for _ in 0..14 {
        room.says_bits(bob, 360_000);
        room.run(ms(1_000));
    }
    assert_eq!(room.shown(bob), 720, "bob's estimate has not fallen for ten seconds");
}
