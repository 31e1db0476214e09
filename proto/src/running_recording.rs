//! A recording that is not finished, as the recorder tells it: by HTTP and to the public API.

use serde::{Deserialize, Serialize};

use crate::ids::{StreamId, UserId};
use crate::recording::{Gap, RecordingState};

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningRecording {
    pub recording_id: String,
    pub stream_id: StreamId,
    /// Digits are a numeric room; `text:` is before a text room of digits.
    pub room: String,
    /// The user of a single stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// None: the process that has it does not answer.
    pub state: Option<RecordingState>,
    pub started_unix_ms: u64,
    /// Bytes on the disk: while it records those of its segments, later those of the files that are made. None: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What is missing so far.
    pub gaps: Vec<Gap>,
    /// Files of the parts that have begun, and those that are made.
    pub files: u32,
    pub files_made: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Uploaded>,
}

/// Bytes of the files that are on their way to the storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded {
    pub done_bytes: u64,
    pub total_bytes: u64,
}
