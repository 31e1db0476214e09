//! A pull as a document: the media of a URL that is to become that of a member of a room.
//!
//! The server API writes, changes and deletes the document. A live process claims the task, does it, and deletes the document when the
//! source is over or cannot be used.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{OwnStreamId, RoomKey, SdkAppId, StreamId, StreamKey, UserId};

/// Prefix of every [`ingest_key`].
pub const INGESTS_PREFIX: &str = "stream_ingests.";
/// Prefix of every [`StreamIngest::claim_key`].
pub const CLAIMS_PREFIX: &str = "ingesters.";
/// Volume that leaves the audio as it is.
pub const FULL_VOLUME: u32 = 100;

/// Key of a task, with [`StreamIngest`] as its value. A user has at most one.
pub fn ingest_key(app: SdkAppId, user: &UserId) -> String {
    let hex: String = user.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{}{hex}", application_prefix(app))
}

/// Prefix of the [`ingest_key`]s of an application.
pub fn application_prefix(app: SdkAppId) -> String {
    format!("{INGESTS_PREFIX}{app}.")
}

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamIngest {
    /// `TaskId` of the server API.
    pub id: StreamId,
    pub started_unix_ms: u64,
    pub room: RoomKey,
    pub user: UserId,
    pub user_sig: String,
    pub private_map_key: Option<String>,
    /// Live stream of the member's own media.
    pub stream_id: Option<OwnStreamId>,
    pub url: String,
    /// How often a file is played; None: until the task is stopped.
    pub repeats: Option<u32>,
    /// Where a file begins.
    pub seek_seconds: u64,
    /// The task ends at this time.
    pub until_unix_ms: Option<u64>,
    /// The task ends when no media has come for this time.
    pub idle_seconds: u64,
    /// Per cent.
    pub volume: u32,
    /// Since when; None: it is not paused.
    pub paused_unix_ms: Option<u64>,
}

impl StreamIngest {
    pub fn key(&self) -> String {
        ingest_key(self.room.app, &self.user)
    }

    /// Key of the claim that the process which does the task holds.
    pub fn claim_key(&self) -> String {
        format!("{CLAIMS_PREFIX}{}.{}", self.stream().token(), self.started_unix_ms)
    }

    /// The task among those of all applications.
    pub fn stream(&self) -> StreamKey {
        StreamKey {
            app: self.room.app,
            id: self.id.clone(),
        }
    }
}

/// Without the secrets, of which the URL may have some.
impl fmt::Debug for StreamIngest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} in {}", self.id, self.user, self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RoomId;

    #[test]
    fn a_document_is_found_by_its_user_and_shows_no_secret() {
        let ingest = StreamIngest {
            id: "task-1".parse().unwrap(),
            started_unix_ms: 5,
            room: RoomKey {
                app: 7.try_into().unwrap(),
                room: RoomId::Number(1001.try_into().unwrap()),
            },
            user: "bot".parse().unwrap(),
            user_sig: "hush".to_owned(),
            private_map_key: Some("hush".to_owned()),
            stream_id: None,
            url: "https://example.com/film.mp4?key=hush".to_owned(),
            repeats: Some(1),
            seek_seconds: 0,
            until_unix_ms: None,
            idle_seconds: 300,
            volume: FULL_VOLUME,
            paused_unix_ms: None,
        };
        assert_eq!(ingest.key(), "stream_ingests.7.626f74");
        assert!(ingest.claim_key().starts_with("ingesters.") && ingest.claim_key().ends_with(".5"));
        assert!(!format!("{ingest:?}").contains("hush"));
        let text = serde_json::to_string(&ingest).unwrap();
        assert_eq!(serde_json::from_str::<StreamIngest>(&text).unwrap(), ingest);
    }
}
