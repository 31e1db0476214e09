//! Protection against loss, as much as the viewer's reports ask for.
//!
//! Audio packets carry the packets before them (RFC 2198). Video packets are retransmitted before they are asked for (RFC 4588),
//! which saves the round trip of a NACK that may be lost, too. Both end when the link is good again.

use std::time::Duration;

use crate::ingress::track::MOST_OLDER;

/// Share lost from which an audio packet carries one, two, three older packets.
const REDUNDANCY: [f32; MOST_OLDER] = [0.02, 0.08, 0.18];
/// Share lost from which video is sent a second, third and fourth time: when a third is lost, one packet in a hundred is left to be
/// asked for.
const REPEATS: [f32; MOST_REPEATS] = [0.12, 0.2, 0.26];
/// Protection ends when the loss is below this part of the share that brought it.
const RELIEF: f32 = 0.25;
/// Least weight of a new report. The first ones weigh more, as nothing else is known.
const WEIGHT: f32 = 0.3;
/// Most unasked retransmissions of a video packet.
const MOST_REPEATS: usize = 3;
/// Time between two sendings of a packet: losses come in bursts.
pub const REPEAT_AFTER: Duration = Duration::from_millis(15);

#[derive(Debug, Clone, Copy, Default)]
pub struct Protection {
    reports: u32,
    /// The viewer reports on every packet.
    exact: bool,
    /// Share lost, of 1; smoothed.
    share: f32,
    older: usize,
    repeats: usize,
}

impl Protection {
    /// `fraction_lost`: of 256, as in a reception report (RFC 3550 §6.4.1). Some receivers count retransmissions as received, so it
    /// counts only where nothing more exact is known.
    pub fn handle_report(&mut self, fraction_lost: u8) {
        if !self.exact {
            self.weigh(fraction_lost);
        }
    }

    /// The same from transport-wide feedback, which reports on each sending.
    pub fn handle_transport(&mut self, fraction_lost: u8) {
        self.exact = true;
        self.weigh(fraction_lost);
    }

    fn weigh(&mut self, fraction_lost: u8) {
        self.reports = self.reports.saturating_add(1);
        let weight = WEIGHT.max(1.0 / self.reports as f32);
        self.share += (f32::from(fraction_lost) / 256.0 - self.share) * weight;
        self.older = step(self.older, &REDUNDANCY, self.share);
        self.repeats = step(self.repeats, &REPEATS, self.share);
    }

    /// Older packets that an audio packet carries.
    pub fn older(&self) -> usize {
        self.older
    }

    /// How often a video packet is retransmitted unasked.
    pub fn repeats(&self) -> usize {
        self.repeats
    }
}

/// The level of protection for a share, from the level before.
fn step(level: usize, thresholds: &[f32], share: f32) -> usize {
    let wanted = thresholds.iter().filter(|from| share > **from).count();
    let kept = thresholds.iter().filter(|from| share > **from * RELIEF).count();
    level.clamp(wanted, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(reports: &[(u8, usize)]) -> Protection {
        let mut protection = Protection::default();
        for (fraction, times) in reports {
            for _ in 0..*times {
                protection.handle_report(*fraction);
            }
        }
        protection
    }

    #[test]
    fn a_clean_link_costs_nothing() {
        let protection = after(&[(0, 10), (2, 10)]);
        assert_eq!((protection.older(), protection.repeats()), (0, 0));
    }

    #[test]
    fn more_loss_brings_more_protection() {
        assert_eq!(after(&[(10, 20)]).older(), 1);
        assert_eq!(after(&[(26, 20)]).older(), 2);
        let worst = after(&[(77, 20)]);
        assert_eq!((worst.older(), worst.repeats()), (3, 3));
    }

    #[test]
    fn feedback_on_each_packet_counts_more_than_reports() {
        let mut protection = Protection::default();
        for _ in 0..20 {
            protection.handle_transport(77);
            protection.handle_report(10);
        }
        assert_eq!((protection.older(), protection.repeats()), (3, 3));
    }

    #[test]
    fn protection_stays_until_the_link_is_clearly_better() {
        let better = after(&[(77, 20), (20, 20)]);
        assert_eq!((better.older(), better.repeats()), (3, 3));
        let good = after(&[(77, 20), (0, 30)]);
        assert_eq!((good.older(), good.repeats()), (0, 0));
    }
}
