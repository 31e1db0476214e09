//! Knows which streams need a permission to play: those of applications with a play key.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use rotunda_proto::config::{Application, Secret};
use rotunda_proto::ids::{SdkAppId, StreamId};
use rotunda_proto::program::ProgramDescriptor;

use crate::play_secret;
use crate::rtmp_play::NotPlayed;

/// The play keys, and the application of each running stream.
#[derive(Debug)]
pub struct PlayKeys {
    keys: HashMap<SdkAppId, Secret>,
    owners: Mutex<HashMap<StreamId, SdkAppId>>,
}

/// Whether a playable stream needed a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayKey {
    Needed,
    NotNeeded,
}

impl PlayKeys {
    pub fn new(applications: Vec<Application>) -> Self {
        let with_key = applications.into_iter().filter(|app| !app.play_key.reveal().is_empty());
        Self {
            keys: with_key.map(|app| (app.sdk_app_id, app.play_key)).collect(),
            owners: Mutex::default(),
        }
    }

    /// A program has begun.
    pub fn begin(&self, program: &ProgramDescriptor) {
        self.owners().insert(program.stream_id.clone(), program.room.app);
    }

    /// A stream has ended and its last segments are gone.
    pub fn end(&self, stream: &StreamId) {
        self.owners().remove(stream);
    }

    /// Whether the query of an address permits playing the stream. An unknown stream is not played while any
    /// application has a play key, because it could belong to that application.
    pub fn check(&self, stream: &StreamId, query: &str, unix_now: Duration) -> Result<PlayKey, NotPlayed> {
        if self.keys.is_empty() {
            return Ok(PlayKey::NotNeeded);
        }
        let owner = self.owners().get(stream).copied().ok_or(NotPlayed::NoSuchStream)?;
        let Some(key) = self.keys.get(&owner) else {
            return Ok(PlayKey::NotNeeded);
        };
        match play_secret::check(key, stream, query, unix_now) {
            Ok(()) => Ok(PlayKey::Needed),
            Err(refusal) => {
                counter!("rotunda_live_refused_total", "reason" => refusal.label()).increment(1);
                Err(NotPlayed::Refused(refusal))
            }
        }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<StreamId, SdkAppId>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
