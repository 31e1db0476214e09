//! Messages of the recorder: a file is ready.

use serde::{Deserialize, Serialize};

use crate::ids::{RecordId, RoomKey, SdkAppId, StreamId, UserId};

/// Subject of the request that passes a [`RecordingFile`] to the callback outbox. The outbox answers [`Accepted`]
/// once it has stored the file; until then the recorder repeats the request.
pub const FILE_READY_SUBJECT: &str = "callbacks.file_ready";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {}

/// Subject of the request for an application's newest files: a [`ListRequest`], answered with [`ListReply`].
pub const LIST_SUBJECT: &str = "recorder.list";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRequest {
    pub app: SdkAppId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// Newest first, at most 200.
    pub files: Vec<ListedFile>,
}

/// A file of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedFile {
    pub name: String,
    /// `ready` or `failed`.
    pub state: String,
    pub format: String,
    /// Bytes.
    pub size: u64,
    pub duration_ms: u64,
    pub started_unix_ms: u64,
    /// A signed address that expires.
    pub url: String,
}

/// Subject of requests about finished files: a [`MediaCommand`], answered with a [`MediaReply`].
pub const MEDIA_SUBJECT: &str = "recorder.media";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum MediaCommand {
    /// Signs the addresses of files, by their names in the catalogue.
    Links { names: Vec<String> },
    /// Deletes a complete file, if it is the application's.
    Delete { app: SdkAppId, file_id: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum MediaReply {
    /// In the order of the names.
    Links {
        urls: Vec<String>,
    },
    Deleted,
    NoSuchFile,
    /// It is still there.
    Failed,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingFile {
    /// Decimal digits, unique.
    pub file_id: String,
    /// Decimal digits; the same for every file of one recording.
    pub task_id: String,
    pub room: RoomKey,
    pub stream_id: StreamId,
    pub record_id: Option<RecordId>,
    /// The user of a single stream; None for a mix.
    pub user: Option<UserId>,
    pub format: FileFormat,
    /// Name without folder.
    pub name: String,
    pub size_bytes: u64,
    pub duration_ms: u64,
    pub started_unix_us: u64,
    pub ended_unix_us: u64,
    /// Pixels; None for audio only.
    pub resolution: Option<(u16, u16)>,
    /// The playback address, signed and expiring.
    pub url: String,
    /// The gaps in it.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    #[serde(default)]
    pub place: Place,
}

/// Where a finished file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the recorder's disk.
    #[default]
    Disk,
    /// In the bucket of `recorder.storage`.
    Storage,
}

/// A span of time that is missing in a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from_unix_ms: u64,
    pub to_unix_ms: u64,
    pub reason: GapReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The disk was slow for longer than the program's queue can hold.
    DiskTooSlow,
    /// The publisher was away, and came back within the resume time.
    PublisherAway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    Mp4,
    Hls,
    Flv,
    Aac,
    Mp3,
}

impl FileFormat {
    /// As callbacks and the catalogue spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Hls => "hls",
            Self::Flv => "flv",
            Self::Aac => "aac",
            Self::Mp3 => "mp3",
        }
    }
}
