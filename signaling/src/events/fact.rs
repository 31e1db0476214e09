//! What can happen, as the stream of events has it.

use std::time::Duration;

use rotunda_proto::ids::{MembershipId, MixId, RecordId, RoomKey, StreamId, TrackSource, UserId};
use rotunda_proto::mix::NotMixable;
use rotunda_proto::recording::RecordingFile;
use rotunda_proto::signaling::Role;
use serde::{Deserialize, Serialize};

/// Something that has happened. Never changed once it is in the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The same fact, told once more or by another node, has the same id, and is in the stream once.
    pub id: String,
    pub room: RoomKey,
    pub at_unix_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    Entered {
        user: UserId,
        membership: MembershipId,
        role: Role,
    },
    Left {
        user: UserId,
        membership: MembershipId,
        role: Role,
        reason: LeftBecause,
        stayed_ms: u64,
    },
    Published {
        user: UserId,
        membership: MembershipId,
        source: TrackSource,
    },
    Unpublished {
        user: UserId,
        membership: MembershipId,
        source: TrackSource,
    },
    MixBegun {
        mix: MixId,
        stream_id: StreamId,
    },
    MixEnded {
        mix: MixId,
        stream_id: StreamId,
        record_id: Option<RecordId>,
        /// The stream of the mix that has taken its place.
        replaced_by: Option<StreamId>,
        /// None: its program has never begun.
        started_unix_ms: Option<u64>,
        reason: String,
    },
    NotMixable {
        mix: MixId,
        stream_id: StreamId,
        track: NotMixable,
    },
    FileReady {
        file: Box<RecordingFile>,
    },
}

/// Why a member is not in a room any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftBecause {
    /// Their own wish, the server API's, or the end of the server.
    Asked,
    /// The connection or the media was lost, or a newer login has taken over.
    CutOff,
}

impl What {
    /// As the journal names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entered { .. } => "entered",
            Self::Left { .. } => "left",
            Self::Published { .. } => "published",
            Self::Unpublished { .. } => "unpublished",
            Self::MixBegun { .. } => "mix_begun",
            Self::MixEnded { .. } => "mix_ended",
            Self::NotMixable { .. } => "not_mixable",
            Self::FileReady { .. } => "file_ready",
        }
    }
}

impl Fact {
    /// Of a member; each of these happens at a time of its own.
    pub fn of_member(room: &RoomKey, now: Duration, membership: MembershipId, what: What) -> Self {
        let at_unix_ms = now.as_millis() as u64;
        Self {
            id: format!("{}-{:016x}-{}", what.kind(), membership.0, now.as_micros()),
            room: room.clone(),
            at_unix_ms,
            what,
        }
    }
}
