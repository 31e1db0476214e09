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
    /// A session's place at its worker. When the session has ended, another one may get the place.
    SessionIndex
);
index!(
    /// A track's place at its worker. When the track has ended, another one may get the place.
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

/// A vector whose places are used again.
#[derive(Debug)]
pub struct Slab<I, T> {
    places: Vec<Option<T>>,
    index: PhantomData<I>,
}

impl<I, T> Default for Slab<I, T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            index: PhantomData,
        }
    }
}

impl<I: Index, T> Slab<I, T> {
    #[inline]
    pub fn get(&self, index: I) -> Option<&T> {
        self.places.get(index.position())?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, index: I) -> Option<&mut T> {
        self.places.get_mut(index.position())?.as_mut()
    }

    /// Puts a value into the first free place.
    pub fn insert(&mut self, value: T) -> I {
        let position = self.places.iter().position(Option::is_none).unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[position] = Some(value);
        I::at(position)
    }

    pub fn remove(&mut self, index: I) -> Option<T> {
        self.places.get_mut(index.position())?.take()
    }

    /// Values that are there.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Places, free ones included.
    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_place_is_used_again_and_an_index_without_a_value_finds_nothing() {
        let mut slab: Slab<TrackIndex, &str> = Slab::default();
        let [first, second] = ["first", "second"].map(|value| slab.insert(value));
        assert_eq!(slab.remove(first), Some("first"));
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.insert("third"), first);
        assert_eq!((slab.get(second), slab.count(), slab.places()), (Some(&"second"), 2, 2));
        assert_eq!(slab.get_mut(TrackIndex::at(7)), None);
    }
}
