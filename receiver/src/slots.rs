//! Assigns sources to the receive lines (slots) of a session.

use std::time::{Duration, Instant};

/// A slot goes to another source this long after it was freed: late packets of the old one must not be taken for the
/// new one's.
const REST: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    /// Assignments so far.
    generation: u64,
}

#[derive(Debug)]
enum Slot<T> {
    Idle { since: Option<Instant> },
    Shows { source: T, generation: u64 },
}

impl<T: Clone + PartialEq> Slots<T> {
    pub fn new(count: usize) -> Self {
        Self {
            slots: (0..count).map(|_| Slot::Idle { since: None }).collect(),
            generation: 0,
        }
    }

    /// Frees what is not wanted and gives every new source the slot that has been idle longest. Answers true when a source
    /// found no rested slot: ask again later.
    pub fn assign(&mut self, now: Instant, wanted: &[T]) -> bool {
        for slot in &mut self.slots {
            if matches!(slot, Slot::Shows { source, .. } if !wanted.contains(source)) {
                *slot = Slot::Idle { since: Some(now) };
            }
        }
        let mut waits = false;
        for source in wanted {
            if self.place(source).is_some() {
                continue;
            }
            let rested = |slot: &Slot<T>| match slot {
                Slot::Idle { since } => since.is_none_or(|since| now.saturating_duration_since(since) >= REST),
                Slot::Shows { .. } => false,
            };
            let idle_since = |slot: &&mut Slot<T>| match slot {
                Slot::Idle { since } => *since,
                Slot::Shows { .. } => None,
            };
            match self.slots.iter_mut().filter(|slot| rested(slot)).min_by_key(idle_since) {
                Some(slot) => {
                    self.generation += 1;
                    *slot = Slot::Shows {
                        source: source.clone(),
                        generation: self.generation,
                    };
                }
                None => waits = true,
            }
        }
        waits
    }

    /// The source of a slot.
    pub fn source(&self, index: usize) -> Option<&T> {
        match self.slots.get(index)? {
            Slot::Shows { source, .. } => Some(source),
            Slot::Idle { .. } => None,
        }
    }

    /// Which assignment a slot is in, counted over all slots; 0: none.
    pub fn generation(&self, index: usize) -> u64 {
        match self.slots.get(index) {
            Some(Slot::Shows { generation, .. }) => *generation,
            Some(Slot::Idle { .. }) | None => 0,
        }
    }

    /// Where a source is shown.
    pub fn place(&self, source: &T) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| matches!(slot, Slot::Shows { source: shown, .. } if shown == source))
    }

    /// All slots in order.
    pub fn sources(&self) -> impl Iterator<Item = Option<&T>> {
        (0..self.slots.len()).map(|index| self.source(index))
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    #[test]
    fn a_source_keeps_its_slot_and_a_freed_slot_rests_a_second() {
        let start = Clock.now();
        let mut slots = Slots::new(2);
        assert!(!slots.assign(start, &["a", "b"]));
        assert!(slots.assign(start, &["b", "c"]));
        assert_eq!(slots.place(&"c"), None);
        assert!(!slots.assign(start + REST, &["b", "c"]));
        assert_eq!((slots.place(&"c"), slots.place(&"b")), (Some(0), Some(1)));
        assert_eq!((slots.generation(0), slots.generation(1)), (3, 2));
    }
}
