//! Values in places that are used again, each kind with an index type of its own, so that a session's place cannot be taken for a
//! track's.

use std::marker::PhantomData;

/// A place in a [`Slab`].
pub trait Index: Copy {
    fn at(position: usize) -> Self;
    fn position(self) -> usize;
}

/// Defines an index type.
macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(usize);

        impl Index for $name {
            fn at(position: usize) -> Self {
                Self(position)
            }

            fn position(self) -> usize {
                self.0
            }
        }
    };
}

index!(
    /// A session's index at its worker. When the session has ended, another one may get the same entry.
    SessionIndex
);
index!(
    /// A track's index at its worker. When the track has ended, another one may get the same entry.
    TrackIndex
);
index!(
    /// A slot among those of its session: audio slots first, then video slots.
    SlotIndex
);
index!(
    /// A worker among those of its node.
    WorkerIndex
);

/// A vector whose entries are used again.
#[derive(Debug)]
pub struct Slab<I, T> {
    entries: Vec<Option<T>>,
    index: PhantomData<I>,
}

impl<I, T> Default for Slab<I, T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            index: PhantomData,
        }
    }
}

impl<I: Index, T> Slab<I, T> {
    #[inline]
    pub fn get(&self, index: I) -> Option<&T> {
        self.entries.get(index.position())?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, index: I) -> Option<&mut T> {
        self.entries.get_mut(index.position())?.as_mut()
    }

    /// Puts a value into the first free entry.
    pub fn insert(&mut self, value: T) -> I {
        let position = self.entries.iter().position(Option::is_none).unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.entries[position] = Some(value);
        I::at(position)
    }

    pub fn remove(&mut self, index: I) -> Option<T> {
        self.entries.get_mut(index.position())?.take()
    }

    /// Values that are there.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// Entries, free ones included.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_entry_is_used_again_and_an_index_without_a_value_finds_nothing() {
        let mut slab: Slab<TrackIndex, &str> = Slab::default();
        let [first, second] = ["first", "second"].map(|value| slab.insert(value));
        assert_eq!(slab.remove(first), Some("first"));
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.insert("third"), first);
        assert_eq!(
            (slab.get(second), slab.count(), slab.capacity()),
            (Some(&"second"), 2, 2)
        );
        assert_eq!(slab.get_mut(TrackIndex::at(7)), None);
    }
}
