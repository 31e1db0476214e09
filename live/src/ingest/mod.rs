//! Ingest: media of a publisher without WebRTC becomes that of a member of a room.
//!
//! The publisher is an ordinary member, who enters by the public signaling with their own UserSig: so permissions, seats, mixes, recordings
//! and callbacks need nothing of their own. H.264 goes to the room as it is, AAC becomes Opus. The media of a URL ([`pull`]) goes the same way.

mod address;
mod core;
mod pace;
mod publish;
pub mod pull;
mod seat;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rotunda_proto::ids::{SdkAppId, UserId};

pub use publish::serve;

/// The members that this process publishes for, and the signaling by which they enter.
#[derive(Debug)]
pub struct Ingests {
    signaling_url: String,
    running: Mutex<HashSet<(SdkAppId, UserId)>>,
}

impl Ingests {
    pub fn new(signaling_url: String) -> Self {
        Self {
            signaling_url,
            running: Mutex::default(),
        }
    }

    /// The signaling by which members enter their rooms.
    fn signaling_url(&self) -> &str {
        &self.signaling_url
    }

    /// None: this user's media already comes in.
    fn begin(self: &Arc<Self>, app: SdkAppId, user: UserId) -> Option<Running> {
        let is_new = self.running().insert((app, user.clone()));
        is_new.then(|| Running {
            ingests: self.clone(),
            member: (app, user),
        })
    }

    fn running(&self) -> MutexGuard<'_, HashSet<(SdkAppId, UserId)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user whose media comes in, until it is dropped.
struct Running {
    ingests: Arc<Ingests>,
    member: (SdkAppId, UserId),
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ingests.running().remove(&self.member);
    }
}

/// Any bytes as a publisher's tags: a kind, a length of two bytes, and the body of each.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz(data: &[u8]) {
    let now = rotunda_proto::clock::Clock.now();
    let mut core = core::Core::new(now);
    let mut rest = data;
    let mut timestamp = 0;
    while let Some(([kind, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (body, after) = after.split_at(length);
        rest = after;
        timestamp += 20 * u32::from(*kind >> 1);
        let _refused = match kind & 1 {
            0 => core.handle_video(now, timestamp, body),
            _ => core.handle_audio(now, timestamp, body),
        };
        let mut before = None;
        while let Some(frame) = core.poll_frame(now + std::time::Duration::from_secs(3600)) {
            if frame.source == rotunda_proto::ids::TrackSource::Camera {
                assert!(before < Some(frame.ticks), "two frames with one RTP time");
                before = Some(frame.ticks);
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _refused = address::Address::parse("push", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_publishes_once_at_a_time() {
        let ingests = Arc::new(Ingests::new(String::new()));
        let begin = |app: u32| ingests.begin(app.try_into().unwrap(), "ann".parse().unwrap());
        let first = begin(1);
        assert!(first.is_some() && begin(1).is_none());
        assert!(begin(2).is_some(), "a user of another application");
        drop(first);
        assert!(begin(1).is_some());
    }
}
