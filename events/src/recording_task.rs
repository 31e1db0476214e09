//! Tasks of the server API that record, as the application is told of them. Files have facts of their own.

use rotunda_proto::ids::UserId;
use rotunda_proto::media_task::TaskEnd;
use serde::{Deserialize, Serialize};

/// A step of a task that records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum RecordingStep {
    /// A recorder has begun to record for it.
    Begun,
    /// No recorder records for it, although someone publishes. It goes on waiting for one.
    NotBegun,
    /// Another recorder goes on.
    Moved,
    /// The first segment of an HLS recording is on the disk.
    FirstSegment(Box<FirstSegment>),
    /// The storage takes its files.
    UploadBegun,
    /// The storage could not be reached. It is tried again.
    UploadFailed,
    /// A call has named a picture that cannot be had, and has changed nothing.
    PictureNotFetched {
        /// As the call has given it. It may hold a secret.
        url: String,
    },
    /// Nothing more is recorded for it; its files follow.
    Ended { end: TaskEnd },
}

/// See [`RecordingStep::FirstSegment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSegment {
    /// The growing playlist, with the folder of its recording.
    pub playlist: String,
    pub begun_unix_ms: u64,
    /// The member of a single stream; None: a mix.
    pub user: Option<UserId>,
    pub has_video: bool,
    pub has_audio: bool,
}

impl RecordingStep {
    /// The step as the journal has it; None: as it is.
    pub(crate) fn without_secrets(&self) -> Option<Self> {
        match self {
            Self::PictureNotFetched { .. } => Some(Self::PictureNotFetched { url: "***".to_owned() }),
            _ => None,
        }
    }
}
