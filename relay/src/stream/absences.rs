//! The times in which a track of a publisher has nothing. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use rotunda_media::program::{Absence, AbsenceReason, Track};
use rotunda_receiver::timeline::Micros;

use crate::plan::Sent;

/// A shorter time is a late packet, or the silence between two packets of a discontinuous transmission.
const LEAST: Micros = 1_000_000;

/// Whether a published track may send nothing for a while without a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pauses {
    Never,
    /// A shared screen that does not change.
    AtWill,
}

/// Watches one track of a running program.
#[derive(Debug)]
pub struct Absences {
    track: Track,
    pauses: Pauses,
    /// When the newest media was captured; None: the track is not watched.
    seen: Option<Micros>,
    sent: Sent,
    /// The track was muted since then.
    was_muted: bool,
    out: VecDeque<(Micros, Micros, AbsenceReason)>,
}

impl Absences {
    pub fn new(track: Track, pauses: Pauses) -> Self {
        Self {
            track,
            pauses,
            seen: None,
            sent: Sent::Yes,
            was_muted: false,
            out: VecDeque::new(),
        }
    }

    /// The track is part of the program from `at` on.
    pub fn begin(&mut self, at: Micros) {
        self.seen = Some(at);
        self.was_muted = self.sent != Sent::Yes;
    }

    /// Media that was captured at `at` has come. Its track is watched from now on.
    pub fn handle_media(&mut self, at: Micros) {
        self.end(at);
        self.seen = Some(self.seen.map_or(at, |seen| seen.max(at)));
        // Packets may come shortly after their track was muted.
        self.was_muted = self.sent != Sent::Yes;
    }

    pub fn handle_sent(&mut self, sent: Sent) {
        self.sent = sent;
        self.was_muted |= sent != Sent::Yes;
    }

    /// Nothing more comes, for good or until [`begin`](Self::begin).
    pub fn finish(&mut self, at: Micros) {
        self.end(at);
        self.seen = None;
    }

    /// The next absence that is over, in the time of a program that began at `zero`.
    pub fn poll(&mut self, zero: Micros) -> Option<Absence> {
        let (from, to, reason) = self.out.pop_front()?;
        let time = |at: Micros| Duration::from_micros((at - zero).max(0).unsigned_abs());
        Some(Absence {
            track: self.track,
            from: time(from),
            to: time(to),
            reason,
        })
    }

    fn end(&mut self, at: Micros) {
        let Some(seen) = self.seen.filter(|seen| at - seen > LEAST) else {
            return;
        };
        let reason = match (self.was_muted, self.pauses) {
            (true, _) => AbsenceReason::Muted,
            (false, Pauses::Never) => AbsenceReason::NotReceived,
            (false, Pauses::AtWill) => return,
        };
        self.out.push_back((seen, at, reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    /// The absences as (from, to) in seconds, and their reasons.
    fn told(absences: &mut Absences) -> Vec<(u64, u64, AbsenceReason)> {
        std::iter::from_fn(|| absences.poll(0))
            .map(|absence| (absence.from.as_secs(), absence.to.as_secs(), absence.reason))
            .collect()
    }

    #[test]
    fn a_muted_track_and_a_lost_one_are_told_apart() {
        let mut absences = Absences::new(Track::Video, Pauses::Never);
        absences.begin(0);
        absences.handle_media(SECOND / 2);
        absences.handle_media(SECOND);
        absences.handle_media(4 * SECOND);
        absences.handle_sent(Sent::Muted);
        absences.handle_media(4 * SECOND);
        absences.handle_sent(Sent::Yes);
        absences.handle_media(9 * SECOND);
        absences.handle_media(9 * SECOND + LEAST);
        let expected = [(1, 4, AbsenceReason::NotReceived), (4, 9, AbsenceReason::Muted)];
        assert_eq!(told(&mut absences), expected);
    }

    #[test]
    fn an_absence_until_the_end_is_told_and_the_time_away_is_not() {
        let mut absences = Absences::new(Track::Audio, Pauses::Never);
        absences.begin(0);
        absences.finish(3 * SECOND);
        absences.begin(60 * SECOND);
        absences.handle_media(60 * SECOND);
        absences.finish(61 * SECOND);
        assert_eq!(told(&mut absences), [(0, 3, AbsenceReason::NotReceived)]);
    }

    #[test]
    fn a_screen_that_does_not_change_is_not_absent_but_a_muted_one_is() {
        let mut absences = Absences::new(Track::Video, Pauses::AtWill);
        absences.handle_media(0);
        absences.handle_media(20 * SECOND);
        absences.handle_sent(Sent::No);
        absences.handle_media(30 * SECOND);
        assert_eq!(told(&mut absences), [(20, 30, AbsenceReason::Muted)]);
    }
}
