//! The descriptor of a running program (an encoded mix): the MCU writes it to the key-value store; recorder and live follow it.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, RoomKey, StreamId, StreamKey};
use crate::mix::{AudioEncode, RecordSpec, VideoEncode};

/// Prefix of [`program_key`]; watched by recorder and live.
pub const PROGRAMS_PREFIX: &str = "programs.";

/// Key of a running program, with [`ProgramDescriptor`] as its value; deleted when the program ends.
pub fn program_key(stream: &StreamKey) -> String {
    format!("{PROGRAMS_PREFIX}{}", stream.token())
}

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
}

impl ProgramDescriptor {
    pub fn stream(&self) -> StreamKey {
        StreamKey {
            app: self.room.app,
            id: self.stream_id.clone(),
        }
    }
}
