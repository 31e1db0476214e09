//! The description of a running program (an encoded mix): the MCU writes it to the key-value store, recorder and
//! live follow it.

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
    /// The node that produces its frames.
    pub node: NodeId,
    pub audio: AudioEncode,
    pub video: Option<VideoEncode>,
    pub record: Option<RecordSpec>,
    pub push_urls: Vec<String>,
    pub started_unix_ms: u64,
}
