//! The descriptor of a running program: an encoded mix, or the media of one publisher. The MCU and the relay write it to the
//! key-value store; recorder and live follow it.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, RecordId, RoomKey, StreamId, StreamKey, UserId};
use crate::media_task::TaskRef;
use crate::mix::{AudioEncode, RecordSpec, VideoEncode};
use crate::recording::FileWishes;

/// Prefix of [`program_key`]; watched by recorder and live.
pub const PROGRAMS_PREFIX: &str = "programs.";

/// Key of a running program, with [`ProgramDescriptor`] as its value; deleted when the program ends.
pub fn program_key(stream: &StreamKey) -> String {
    format!("{PROGRAMS_PREFIX}{}", stream.token())
}

/// Prefix of the keys of claims to push a program: the stream's token and the program's start follow.
pub const PUSHERS_PREFIX: &str = "pushers.";

/// The stream whose [`program_key`] that is.
pub fn stream_of_key(key: &str) -> Option<StreamKey> {
    StreamKey::from_token(key.strip_prefix(PROGRAMS_PREFIX)?)
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramDescriptor {
    pub stream_id: StreamId,
    pub room: RoomKey,
    /// The node that produces its frames.
    pub node: NodeId,
    pub audio: AudioEncode,
    pub video: Option<VideoEncode>,
    pub record: Option<RecordSpec>,
    pub push_urls: Vec<String>,
    pub started_unix_ms: u64,
    /// Set for the media of one publisher; None for a mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single: Option<SingleStream>,
    /// The task of the server API that it is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRef>,
}

/// The media of one publisher as a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SingleStream {
    pub user: UserId,
    pub kind: StreamKind,
    /// None: it is not recorded.
    pub recording: Option<SingleRecording>,
    pub playing: Playing,
}

/// The recording of a single stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SingleRecording {
    /// The file names' prefix by the contract, before the times.
    pub prefix: String,
    pub record_id: Option<RecordId>,
    #[serde(default)]
    pub files: FileWishes,
    /// The publisher's audio is not part of the stream, so its files have none. The program has silence, for players.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub video_only: bool,
}

/// Whether players may have a single stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Playing {
    Live,
    /// It is only recorded.
    No,
}

/// The stream types of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamKind {
    /// Microphone and camera.
    Main,
    /// The shared screen.
    Aux,
}

impl StreamKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Aux => "aux",
        }
    }
}

impl ProgramDescriptor {
    pub fn stream(&self) -> StreamKey {
        StreamKey {
            app: self.room.app,
            id: self.stream_id.clone(),
        }
    }
}
