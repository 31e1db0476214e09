//! What a running program (an encoded mix) is: told by the MCU in the key-value store, followed by recorder and live.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, RoomKey, StreamId};
use crate::mix::{AudioEncode, RecordSpec, VideoEncode};

/// Prefix of [`program_key`]; watched by recorder and live.
pub const PROGRAMS_PREFIX: &str = "programs.";

/// Key of a running program, with [`ProgramDescriptor`] as its value; deleted when the program ends.
pub fn program_key(stream_id: &StreamId) -> String {
    format!("{PROGRAMS_PREFIX}{stream_id}")
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramDescriptor {
    pub stream_id: StreamId,
    pub room: RoomKey,
    /// Where its frames come from.
    pub node: NodeId,
    pub audio: AudioEncode,
    pub video: Option<VideoEncode>,
    pub record: Option<RecordSpec>,
    pub push_urls: Vec<String>,
    pub started_unix_ms: u64,
}
