//! The health of running mixes, as their nodes tell it every second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::StreamKey;
use rotunda_proto::mix::Health;

/// Older health is that of a mix that has ended, or whose node is silent.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// The last health of each mix of the cluster.
#[derive(Debug, Default)]
pub struct MixHealth(Mutex<HashMap<StreamKey, (Instant, Health)>>);

impl MixHealth {
    pub fn note(&self, stream: StreamKey, health: Health) {
        self.note_at(Clock.now(), stream, health);
    }

    /// None: nothing was heard of it for some seconds.
    pub fn of(&self, stream: &StreamKey) -> Option<Health> {
        self.of_at(Clock.now(), stream)
    }

    fn note_at(&self, now: Instant, stream: StreamKey, health: Health) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(&stream) {
            known.retain(|_, (at, _)| is_fresh(*at, now));
        }
        known.insert(stream, (now, health));
    }

    fn of_at(&self, now: Instant, stream: &StreamKey) -> Option<Health> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, health) = known.get(stream).filter(|(at, _)| is_fresh(*at, now))?;
        Some(health.clone())
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < FRESH_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_known_for_some_seconds_and_then_forgotten() {
        let (all, now) = (MixHealth::default(), Clock.now());
        let stream = |id: &str| StreamKey {
            app: 7.try_into().unwrap(),
            id: id.parse().unwrap(),
        };
        let health = Health {
            inputs: 3,
            ..Health::default()
        };
        let at = |seconds| now + Duration::from_secs(seconds);
        all.note_at(now, stream("a"), health.clone());
        assert_eq!(all.of_at(at(4), &stream("a")), Some(health.clone()));
        assert_eq!(all.of_at(at(5), &stream("a")), None);
        assert_eq!(all.of_at(now, &stream("b")), None);
        all.note_at(at(6), stream("b"), health);
        assert_eq!(all.0.lock().unwrap().len(), 1);
    }
}
