//! Chooses the member who speaks loudest, for a layout that shows them as its main video.
//!
//! Somebody else must be the loudest for a second before they are chosen, and whoever is chosen stays for the dwell time at least. While
//! nobody speaks, nothing changes.

use std::collections::HashMap;

use rotunda_proto::ids::RoomUser;

use crate::timeline::Micros;

/// A level falls to a third in this time: a pause between two words is not the end of a speech.
const DECAY: f32 = 400_000.0;
/// How long somebody else must be the loudest.
const CHALLENGE: Micros = 1_000_000;
/// Mean square from which on a member counts as speaking: -46 dBFS, below that of speech, as levels are averaged with pauses.
const SPEECH: f32 = 2.5e-5;
/// How much louder than the chosen member, in energy, somebody else must be: 3 dB.
const LOUDER: f32 = 2.0;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Loudest {
    levels: HashMap<RoomUser, f32>,
    at: Micros,
    chosen: Option<(RoomUser, Micros)>,
    /// The loudest one who is not chosen, and since when.
    challenger: Option<(RoomUser, Micros)>,
}

impl Loudest {
    /// Takes the mean squares of all members' audio since the last call, and answers the chosen member if it is another one now.
    /// Members who are not among them are forgotten.
    pub fn handle_levels<'a>(
        &mut self,
        now: Micros,
        dwell: Micros,
        levels: impl Iterator<Item = (&'a RoomUser, f32)>,
    ) -> Option<&RoomUser> {
        let keep = (-((now - self.at).max(0) as f32) / DECAY).exp();
        self.at = now;
        let before = std::mem::take(&mut self.levels);
        for (user, level) in levels {
            let old = before.get(user).copied().unwrap_or_default();
            self.levels.insert(user.clone(), old * keep + level * (1.0 - keep));
        }
        let level_of = |user: &RoomUser| self.levels.get(user).copied();
        let chosen = self.chosen.as_ref().map(|(user, _)| user);
        // A member who has left does not stay.
        let chosen_level = chosen.and_then(level_of);
        let needed = (chosen_level.unwrap_or_default() * LOUDER).max(SPEECH);
        let loudest = self
            .levels
            .iter()
            .max_by(|a, b| a.1.total_cmp(b.1).then_with(|| b.0.cmp(a.0)));
        let candidate = loudest
            .filter(|(user, level)| Some(*user) != chosen && **level >= needed)
            .map(|(user, _)| user.clone());
        self.challenger = match (candidate, self.challenger.take()) {
            (Some(user), Some((before, since))) if before == user => Some((user, since)),
            (Some(user), _) => Some((user, now)),
            (None, _) => None,
        };
        let dwells = match &self.chosen {
            Some((_, since)) => chosen_level.is_some() && now - since < dwell,
            None => false,
        };
        // The first speaker is chosen at once.
        let challenge = if self.chosen.is_some() { CHALLENGE } else { 0 };
        let (user, _) = self
            .challenger
            .take_if(|(_, since)| !dwells && now - *since >= challenge)?;
        self.chosen = Some((user, now));
        self.chosen.as_ref().map(|(user, _)| user)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_ids::member;

    const STEP: Micros = 66_667;
    const DWELL: Micros = 3_000_000;
    const LOUD: f32 = 0.01;

    fn users() -> Vec<RoomUser> {
        (0..4).map(|number| member(&format!("u{number}"))).collect()
    }

    /// The changes, when each of `speakers` speaks alone for so many steps; None: nobody.
    fn changes(speakers: &[(Option<usize>, usize)]) -> Vec<(Micros, usize)> {
        let (users, mut loudest, mut now, mut changes) = (users(), Loudest::default(), 0, Vec::new());
        for (speaker, steps) in speakers {
            for _ in 0..*steps {
                now += STEP;
                let levels = users.iter().enumerate().map(|(number, user)| {
                    let level = if Some(number) == *speaker { LOUD } else { 1e-7 };
                    (user, level)
                });
                if let Some(user) = loudest.handle_levels(now, DWELL, levels) {
                    changes.push((now, users.iter().position(|other| other == user).unwrap()));
                }
            }
        }
        changes
    }

    #[test]
    fn the_first_speaker_is_chosen_at_once_and_another_one_after_a_second_and_the_dwell_time() {
        let changes = changes(&[(None, 15), (Some(2), 90), (Some(1), 90)]);
        let chosen: Vec<usize> = changes.iter().map(|(_, user)| *user).collect();
        assert_eq!(chosen, [2, 1]);
        assert!(changes[0].0 < 15 * STEP + 300_000, "{changes:?}");
        let after = changes[1].0 - 105 * STEP;
        assert!((CHALLENGE..2 * CHALLENGE).contains(&after), "{changes:?}");
    }

    #[test]
    fn a_cough_changes_nothing() {
        assert_eq!(changes(&[(Some(0), 90), (Some(3), 8), (Some(0), 60)]).len(), 1);
    }

    #[test]
    fn a_member_who_has_left_does_not_stay_for_the_dwell_time() {
        let (users, mut loudest, mut now) = (users(), Loudest::default(), 0);
        loudest.handle_levels(now, DWELL, [(&users[0], LOUD)].into_iter());
        let mut step = |levels: &[(&RoomUser, f32)]| {
            now += STEP;
            loudest.handle_levels(now, DWELL, levels.iter().copied()).cloned()
        };
        assert_eq!(step(&[(&users[0], LOUD)]), Some(users[0].clone()));
        let chosen = (0..20).find_map(|_| step(&[(&users[1], LOUD)]));
        assert_eq!(chosen, Some(users[1].clone()));
    }

    proptest! {
        #[test]
        fn changes_are_a_dwell_time_apart_and_only_speakers_are_chosen(
            speakers in prop::collection::vec((prop::option::of(0..3_usize), 1..60_usize), 1..40)
        ) {
            let changes = changes(&speakers);
            prop_assert!(changes.windows(2).all(|pair| pair[1].0 - pair[0].0 >= DWELL && pair[1].1 != pair[0].1));
            // The fourth never speaks.
            let spoke = |user: usize| speakers.iter().any(|(speaker, _)| *speaker == Some(user));
            prop_assert!(changes.iter().all(|(_, user)| spoke(*user)));
        }

        #[test]
        fn a_speech_of_six_seconds_is_always_shown(
            speakers in prop::collection::vec((prop::option::of(0..3_usize), 1..60_usize), 0..20)
        ) {
            let speech = [speakers, vec![(Some(3), 90)]].concat();
            prop_assert_eq!(changes(&speech).last().map(|(_, user)| *user), Some(3));
        }
    }
}
