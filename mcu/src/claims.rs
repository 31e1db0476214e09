//! Admission of mixes on a node: each holds its stream and its share of the node's capacity until everything of it is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rotunda_proto::ids::StreamKey;
use rotunda_proto::mix::Refusal;
use tokio::sync::watch;

/// How much a node can mix, or has left for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    pub tasks: u64,
    /// Thousandths of a CPU core.
    pub millicores: u64,
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Claims {
    all: Capacity,
    held: Arc<Mutex<HashMap<StreamKey, u64>>>,
    left: watch::Sender<Capacity>,
}

/// One mix's share, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    stream: StreamKey,
}

impl Claims {
    pub fn new(all: Capacity) -> Self {
        Self {
            all,
            held: Arc::default(),
            left: watch::Sender::new(all),
        }
    }

    /// The remaining capacity, from now on.
    pub fn left(&self) -> watch::Receiver<Capacity> {
        self.left.subscribe()
    }

    /// A share for a mix.
    ///
    /// Errors: [`Refusal::StreamIdInUse`], [`Refusal::NoCapacity`].
    pub fn claim(&self, stream: &StreamKey, millicores: u64) -> Result<Claim, Refusal> {
        let mut held = self.lock();
        if held.contains_key(stream) {
            return Err(Refusal::StreamIdInUse);
        }
        let left = self.left_of(&held);
        if left.tasks == 0 || left.millicores < millicores {
            return Err(Refusal::NoCapacity);
        }
        held.insert(stream.clone(), millicores);
        self.announce(&held);
        Ok(Claim {
            claims: self.clone(),
            stream: stream.clone(),
        })
    }

    fn left_of(&self, held: &HashMap<StreamKey, u64>) -> Capacity {
        Capacity {
            tasks: self.all.tasks.saturating_sub(held.len() as u64),
            millicores: self.all.millicores.saturating_sub(held.values().sum()),
        }
    }

    fn announce(&self, held: &HashMap<StreamKey, u64>) {
        let left = self.left_of(held);
        metrics::gauge!("rotunda_mcu_tasks").set(held.len() as f64);
        metrics::gauge!("rotunda_mcu_millicores_left").set(left.millicores as f64);
        self.left.send_replace(left);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Changes the share.
    ///
    /// Errors: [`Refusal::NoCapacity`]; then it stays as it was.
    pub fn resize(&self, millicores: u64) -> Result<(), Refusal> {
        let mut held = self.claims.lock();
        let before = held.get(&self.stream).copied().unwrap_or_default();
        if self.claims.left_of(&held).millicores + before < millicores {
            return Err(Refusal::NoCapacity);
        }
        held.insert(self.stream.clone(), millicores);
        self.claims.announce(&held);
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.lock();
        held.remove(&self.stream);
        self.claims.announce(&held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(id: &str) -> StreamKey {
        StreamKey {
            app: 1.try_into().unwrap(),
            id: id.parse().unwrap(),
        }
    }

    #[test]
    fn mixes_share_the_capacity_and_give_their_share_back() {
        let claims = Claims::new(Capacity {
            tasks: 2,
            millicores: 500,
        });
        let one = claims.claim(&stream("one"), 300).unwrap();
        assert_eq!(claims.claim(&stream("one"), 1).unwrap_err(), Refusal::StreamIdInUse);
        assert_eq!(claims.claim(&stream("two"), 300).unwrap_err(), Refusal::NoCapacity);
        let _two = claims.claim(&stream("two"), 200).unwrap();
        assert_eq!(claims.claim(&stream("three"), 0).unwrap_err(), Refusal::NoCapacity);
        drop(one);
        let left = *claims.left().borrow();
        assert_eq!((left.tasks, left.millicores), (1, 300));
    }

    #[test]
    fn a_share_that_cannot_grow_stays_as_it_was() {
        let claims = Claims::new(Capacity {
            tasks: 2,
            millicores: 500,
        });
        let one = claims.claim(&stream("one"), 300).unwrap();
        assert_eq!(one.resize(501), Err(Refusal::NoCapacity));
        assert_eq!(claims.left().borrow().millicores, 200);
        assert_eq!(one.resize(500), Ok(()));
        assert_eq!(claims.left().borrow().millicores, 0);
    }
}
