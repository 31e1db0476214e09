//! The ends of a mix's engines, and the tracks that have ended them.
//!
//! A track that was being decoded when two engines ended is barred: one time may be chance, as an engine can be killed from outside.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rotunda_proto::ids::Source;

/// So many engines may end within the time for no known reason, before the mix ends with an error.
pub const MOST: usize = 10;
const WITHIN: Duration = Duration::from_secs(60);
/// Engines that a track ends within the time.
const GUILTY: usize = 2;
/// The second restart within the time comes after this, the next after twice as long, and so on.
const BACK_OFF: Duration = Duration::from_millis(50);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Ends {
    recent: VecDeque<(Instant, Option<Source>)>,
    barred: Vec<Source>,
}

impl Ends {
    /// An engine has ended, and was decoding a frame of `suspect`. Answers that track when it is barred from now on: its ends are forgiven.
    pub fn handle_end(&mut self, now: Instant, suspect: Option<Source>) -> Option<Source> {
        self.forget_before(now);
        self.recent.push_back((now, suspect.clone()));
        let suspect = suspect?;
        let is_theirs = |(_, other): &&(Instant, Option<Source>)| other.as_ref() == Some(&suspect);
        if self.recent.iter().filter(is_theirs).count() < GUILTY {
            return None;
        }
        self.recent.retain(|(_, other)| other.as_ref() != Some(&suspect));
        self.barred.push(suspect.clone());
        Some(suspect)
    }

    /// Engines have ended again and again, and no track that is still in the mix is known to have ended them.
    pub fn are_too_many(&mut self, now: Instant) -> bool {
        self.forget_before(now);
        self.recent.len() >= MOST
    }

    /// How long after an end another engine is started.
    pub fn back_off(&self) -> Duration {
        match u32::try_from(self.recent.len()).unwrap_or(u32::MAX) {
            0 | 1 => Duration::ZERO,
            ends => BACK_OFF * 2_u32.pow((ends - 1).min(6) - 1),
        }
    }

    pub fn bars(&self, track: &Source) -> bool {
        self.barred.contains(track)
    }

    fn forget_before(&mut self, now: Instant) {
        self.recent
            .retain(|(end, _)| now.saturating_duration_since(*end) < WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;
    use rotunda_proto::ids::TrackSource;

    use super::*;
    use crate::test_ids::camera;

    #[test]
    fn a_track_that_ends_two_engines_within_a_minute_is_barred_and_its_ends_do_not_count() {
        let (mut ends, mut now) = (Ends::default(), Clock.now());
        // Sixteen members who end every engine, in turns.
        let users: Vec<String> = (0..16).map(|number| format!("user{number}")).collect();
        for user in &users {
            assert_eq!(ends.handle_end(now, Some(camera(user))), None);
            assert!(!ends.bars(&camera(user)));
            now += Duration::from_secs(1);
            assert_eq!(ends.handle_end(now, Some(camera(user))), Some(camera(user)));
            assert!(ends.bars(&camera(user)));
            assert!(!ends.bars(&Source {
                track: TrackSource::Audio,
                ..camera(user)
            }));
            assert!(!ends.are_too_many(now));
            assert_eq!(ends.back_off(), Duration::ZERO);
        }
    }

    #[test]
    fn an_end_by_chance_bars_nobody() {
        let (mut ends, mut now) = (Ends::default(), Clock.now());
        for _ in 0..20 {
            assert_eq!(ends.handle_end(now, Some(camera("ann"))), None);
            assert_eq!(ends.handle_end(now, None), None);
            assert!(!ends.are_too_many(now));
            now += WITHIN;
        }
    }

    #[test]
    fn ends_without_a_suspect_are_too_many_after_ten_and_come_ever_later() {
        let (mut ends, now) = (Ends::default(), Clock.now());
        let mut waits = Vec::new();
        while !ends.are_too_many(now) {
            assert_eq!(ends.handle_end(now, None), None);
            waits.push(ends.back_off().as_millis());
        }
        assert_eq!(waits, [0, 50, 100, 200, 400, 800, 1600, 1600, 1600, 1600]);
        assert!(!ends.are_too_many(now + WITHIN));
    }
}
