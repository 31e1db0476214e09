//! Admission of mixes on a node: each holds its stream and one of the node's places until everything of it is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rotunda_proto::ids::{RoomKey, StreamKey};
use rotunda_proto::mix::ControlError;

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Claims {
    most: usize,
    held: Arc<Mutex<HashMap<StreamKey, RoomKey>>>,
}

/// One mix's place, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    stream: StreamKey,
}

impl Claims {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            held: Arc::default(),
        }
    }

    /// Whether a stream is free, or this room's.
    ///
    /// Errors: [`ControlError::StreamIdInUse`].
    pub fn check(&self, stream: &StreamKey, room: &RoomKey) -> Result<(), ControlError> {
        match self.lock().get(stream) {
            Some(holder) if holder != room => Err(ControlError::StreamIdInUse),
            _ => Ok(()),
        }
    }

    /// A place for a mix.
    ///
    /// Errors: [`ControlError::StreamIdInUse`], [`ControlError::NoCapacity`].
    pub fn claim(&self, stream: &StreamKey, room: &RoomKey) -> Result<Claim, ControlError> {
        let mut held = self.lock();
        if held.contains_key(stream) {
            return Err(ControlError::StreamIdInUse);
        }
        if held.len() >= self.most {
            return Err(ControlError::NoCapacity);
        }
        held.insert(stream.clone(), room.clone());
        metrics::gauge!("rotunda_mcu_tasks").set(held.len() as f64);
        Ok(Claim {
            claims: self.clone(),
            stream: stream.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, RoomKey>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.lock();
        held.remove(&self.stream);
        metrics::gauge!("rotunda_mcu_tasks").set(held.len() as f64);
    }
}
