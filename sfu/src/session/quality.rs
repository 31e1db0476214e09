//! The score of a connection, from its measured loss, delay and bitrate. Pure.
//!
//! The scale is that of [`rotunda_proto::statistics`]. The worst of the figures decides: a call with no loss and a delay of a second
//! is as bad as one with a fifth of its packets lost. Delay: by ITU-T G.114, 150 ms one way are not noticed, and 400 ms are the
//! limit of what is bearable. Loss: up to 3 % is repaired without a trace, and over 20 % it is heard and seen.

use rotunda_proto::statistics::{EXCELLENT, UNKNOWN};

use crate::units::Bitrate;

/// Upper bounds of the scores 1 to 4; above the last one the score is 5.
const LOSS_PERCENT: [u32; 4] = [1, 3, 8, 20];
const ROUND_TRIP: [u32; 4] = [100, 200, 400, 800];
const JITTER: [u32; 4] = [20, 50, 100, 200];
/// Percent of the wanted bitrate that the link carries: lower bounds of the scores 1 to 3.
const CARRIED_PERCENT: [u64; 3] = [90, 60, 30];
/// A publisher is not seen at all.
const PAUSED: u8 = 4;

/// One direction of a connection in the last seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Direction {
    /// Packets were sent. Without any, nothing is known.
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

/// The score of how much of the wanted bitrate the viewer's link carries.
pub fn fit(estimate: Option<Bitrate>, wanted: Bitrate, paused_slots: u16) -> u8 {
    if paused_slots > 0 {
        return PAUSED;
    }
    let (Some(estimate), true) = (estimate, wanted > Bitrate::ZERO) else {
        return EXCELLENT;
    };
    let carried = estimate.get().saturating_mul(100) / wanted.get();
    let worse = CARRIED_PERCENT.iter().filter(|bound| carried < **bound).count();
    EXCELLENT + worse as u8
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
    fn where_nothing_is_sent_nothing_is_known() {
        assert_eq!(Direction { used: false, ..FINE }.score(), UNKNOWN);
    }

    #[test]
    fn a_link_that_does_not_carry_what_is_watched_is_not_excellent_however_well_it_behaves() {
        assert_eq!(fit(Some(Bitrate::bits(2_000_000)), Bitrate::bits(2_000_000), 0), 1);
        assert_eq!(
            fit(None, Bitrate::bits(2_000_000), 0),
            1,
            "no feedback, so no word against it"
        );
        assert_eq!(fit(Some(Bitrate::bits(1_300_000)), Bitrate::bits(2_000_000), 0), 2);
        assert_eq!(fit(Some(Bitrate::bits(700_000)), Bitrate::bits(2_000_000), 0), 3);
        assert_eq!(fit(Some(Bitrate::bits(100_000)), Bitrate::bits(2_000_000), 0), 4);
        assert_eq!(
            fit(Some(Bitrate::bits(2_000_000)), Bitrate::bits(2_000_000), 1),
            4,
            "somebody is not seen"
        );
    }
}
