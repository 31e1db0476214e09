//! A connection's score from what is measured of it. Pure.
//!
//! The scale is that of [`rotunda_proto::statistics`]. The worst of the figures decides: a call with no loss and a second of
//! delay is as bad as one with a fifth of its packets lost. Delay: ITU-T G.114, 150 ms one way are not felt, 400 ms are the
//! most that is bearable. Loss: up to 3 % is repaired without a trace, over 20 % it is heard and seen.

use rotunda_proto::statistics::{EXCELLENT, UNKNOWN};

/// Upper bounds of the scores 1 to 4; what is over the last one is 5.
const LOSS_PERCENT: [u32; 4] = [1, 3, 8, 20];
const ROUND_TRIP: [u32; 4] = [100, 200, 400, 800];
const JITTER: [u32; 4] = [20, 50, 100, 200];
/// Percent of what is wanted that the link carries: lower bounds of the scores 1 to 3.
const CARRIED_PERCENT: [u64; 3] = [90, 60, 30];
/// Somebody is not seen at all.
const PAUSED: u8 = 4;

/// What one direction of a connection was like in the last seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Direction {
    /// Packets were sent: without any nothing is known.
    pub used: bool,
    /// Percent.
    pub loss: u8,
    /// Milliseconds.
    pub round_trip: Option<u32>,
    pub jitter: u32,
}

impl Direction {
    pub fn score(&self) -> u8 {
        if !self.used {
            return UNKNOWN;
        }
        let loss = step(self.loss.into(), &LOSS_PERCENT);
        let round_trip = self.round_trip.map_or(EXCELLENT, |time| step(time, &ROUND_TRIP));
        loss.max(round_trip).max(step(self.jitter, &JITTER))
    }
}

/// How much of what a viewer wants his link carries. `estimate`, `wanted`: bits a second.
pub fn fit(estimate: Option<u64>, wanted: u64, paused_slots: u16) -> u8 {
    if paused_slots > 0 {
        return PAUSED;
    }
    let (Some(estimate), true) = (estimate, wanted > 0) else {
        return EXCELLENT;
    };
    let carried = estimate.saturating_mul(100) / wanted;
    let worse = CARRIED_PERCENT.iter().filter(|bound| carried < **bound).count();
    EXCELLENT + worse as u8
}

/// Share of packets lost at the first sending, as their receiver reports it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReportedLoss {
    sum: u32,
    count: u32,
    last: u8,
}

impl ReportedLoss {
    /// `fraction_lost`: of 256 (RFC 3550 §6.4.1).
    pub fn handle_report(&mut self, fraction_lost: u8) {
        self.sum += u32::from(fraction_lost);
        self.count += 1;
    }

    /// Percent, over the reports since the last call; without any, what was answered before.
    pub fn take(&mut self) -> u8 {
        if let Some(mean) = (self.sum * 100).checked_div(self.count * 256) {
            *self = Self {
                last: mean as u8,
                ..Self::default()
            };
        }
        self.last
    }
}

fn step(value: u32, bounds: &[u32; 4]) -> u8 {
    EXCELLENT + bounds.iter().filter(|bound| value > **bound).count() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Direction = Direction {
        used: true,
        loss: 0,
        round_trip: Some(40),
        jitter: 3,
    };

    #[test]
    fn the_worst_figure_decides() {
        assert_eq!(FINE.score(), 1);
        assert_eq!(Direction { loss: 2, ..FINE }.score(), 2);
        assert_eq!(Direction { loss: 30, ..FINE }.score(), 5);
        let far = Direction {
            round_trip: Some(500),
            ..FINE
        };
        assert_eq!(far.score(), 4);
        assert_eq!(Direction { jitter: 60, ..far }.score(), 4);
        assert_eq!(Direction { loss: 21, ..far }.score(), 5);
    }

    #[test]
    fn reported_losses_are_the_mean_of_the_reports_and_last_until_the_next() {
        let mut loss = ReportedLoss::default();
        assert_eq!(loss.take(), 0);
        loss.handle_report(64);
        loss.handle_report(0);
        assert_eq!(loss.take(), 12, "64 of 256 and nothing");
        assert_eq!(loss.take(), 12, "nothing new");
        loss.handle_report(255);
        assert_eq!(loss.take(), 99);
    }

    #[test]
    fn where_nothing_is_sent_nothing_is_known() {
        assert_eq!(Direction { used: false, ..FINE }.score(), UNKNOWN);
    }

    #[test]
    fn a_link_that_does_not_carry_what_is_watched_is_not_excellent_however_well_it_behaves() {
        assert_eq!(fit(Some(2_000_000), 2_000_000, 0), 1);
        assert_eq!(fit(None, 2_000_000, 0), 1, "no feedback, so no word against it");
        assert_eq!(fit(Some(1_300_000), 2_000_000, 0), 2);
        assert_eq!(fit(Some(700_000), 2_000_000, 0), 3);
        assert_eq!(fit(Some(100_000), 2_000_000, 0), 4);
        assert_eq!(fit(Some(2_000_000), 2_000_000, 1), 4, "somebody is not seen");
    }
}
