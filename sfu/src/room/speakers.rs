//! The active speakers of a room, from the audio levels of RFC 6464.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rotunda_proto::ids::UserId;
use rotunda_proto::sfu::Speaker;

/// At most one event in this time.
const INTERVAL: Duration = Duration::from_millis(200);
/// Quieter than this is silence, dBov.
const SILENCE: f32 = -50.0;
/// Share of the newest packet in the smoothed level; about 100 ms of 20 ms packets.
const SMOOTHING: f32 = 0.2;

#[derive(Debug, Default)]
pub struct Speakers {
    levels: HashMap<UserId, Level>,
    told: Vec<Speaker>,
    told_at: Option<Instant>,
}

#[derive(Debug)]
struct Level {
    dbov: f32,
    heard_at: Instant,
}

impl Speakers {
    /// `dbov`: 0 (loudest) to -127.
    pub fn handle_level(&mut self, now: Instant, user: &UserId, dbov: i8) {
        match self.levels.get_mut(user) {
            Some(level) => {
                level.dbov += (f32::from(dbov) - level.dbov) * SMOOTHING;
                level.heard_at = now;
            }
            None => {
                self.levels.insert(
                    user.clone(),
                    Level {
                        dbov: f32::from(dbov),
                        heard_at: now,
                    },
                );
            }
        }
    }

    /// The speakers, loudest first, if they have changed since they were last told.
    pub fn poll_change(&mut self, now: Instant) -> Option<Vec<Speaker>> {
        if self
            .told_at
            .is_some_and(|at| now.saturating_duration_since(at) < INTERVAL)
        {
            return None;
        }
        self.levels
            .retain(|_, level| now.saturating_duration_since(level.heard_at) < Duration::from_secs(1));
        let mut speakers: Vec<Speaker> = self
            .levels
            .iter()
            .filter(|(_, level)| level.dbov > SILENCE)
            // Coarse steps, so that a steady voice is no change five times a second.
            .map(|(user, level)| Speaker {
                user_id: user.clone(),
                volume: volume(level.dbov) / 10 * 10,
            })
            .collect();
        speakers.sort_by(|a, b| b.volume.cmp(&a.volume).then_with(|| a.user_id.cmp(&b.user_id)));
        self.told_at = Some(now);
        if speakers == self.told {
            return None;
        }
        self.told.clone_from(&speakers);
        Some(speakers)
    }
}

fn volume(dbov: f32) -> u8 {
    ((dbov + 127.0) / 127.0 * 100.0).clamp(0.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_told_once_when_it_begins_and_once_when_it_ends() {
        let mut now = rotunda_proto::clock::Clock.now();
        let ann: UserId = "ann".parse().unwrap();
        let mut speakers = Speakers::default();
        let mut told = Vec::new();
        for step in 0..200 {
            speakers.handle_level(now, &ann, if step < 100 { -20 } else { -127 });
            told.extend(speakers.poll_change(now).map(|list| list.len()));
            now += Duration::from_millis(20);
        }
        assert_eq!(told.first(), Some(&1));
        assert_eq!(told.last(), Some(&0));
        assert!(told.len() < 8, "coarse steps: {told:?}");
    }
}
