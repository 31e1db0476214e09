//! The facts of the stream.

use rotunda_proto::ids::{MembershipId, MixId, NodeId, RecordId, RoomKey, StreamId, TrackSource, UserId};
use rotunda_proto::mix::{MixSpec, NotMixable};
use rotunda_proto::mix_task::Origin;
use rotunda_proto::recording::RecordingFile;
use rotunda_proto::signaling::Role;
use serde::{Deserialize, Serialize};

/// Something that has happened. It never changes once it is in the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The same fact has the same id, also when another node tells it. It has effects once.
    pub id: String,
    pub room: RoomKey,
    pub at_unix_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// The first member has entered.
    RoomMade,
    /// The last member has left.
    RoomEnded,
    Entered {
        user: UserId,
        membership: MembershipId,
        role: Role,
    },
    Left {
        user: UserId,
        membership: MembershipId,
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
    /// The members of one node in the room, over at most a minute.
    Attendance {
        node: NodeId,
        /// The sum of the members' times in the room.
        anchor_ms: u64,
        audience_ms: u64,
        /// The most members at one time.
        peak: u64,
    },
    MixBegun {
        mix: MixId,
        stream_id: StreamId,
        #[serde(default)]
        origin: Origin,
        /// Without its push addresses, which are secret. None: an earlier version has told it.
        #[serde(default)]
        spec: Option<Box<MixSpec>>,
    },
    /// The running mix got another layout or other settings.
    MixChanged {
        stream_id: StreamId,
    },
    MixEnded {
        mix: MixId,
        stream_id: StreamId,
        record_id: Option<RecordId>,
        /// The stream of the mix that has replaced it.
        replaced_by: Option<StreamId>,
        /// None: its program never began.
        started_unix_ms: Option<u64>,
        reason: String,
    },
    /// A published track is missing in a mix.
    NotMixable {
        mix: MixId,
        stream_id: StreamId,
        track: NotMixable,
    },
    RecordingBegun {
        /// Decimal digits, as `task_id` of its files.
        recording: String,
        stream_id: StreamId,
        record_id: Option<RecordId>,
    },
    /// No more is recorded; its files follow.
    RecordingEnded {
        recording: String,
        stream_id: StreamId,
    },
    FileReady {
        file: Box<RecordingFile>,
    },
    /// A stream can be played.
    LiveBegun {
        stream_id: StreamId,
    },
    LiveEnded {
        stream_id: StreamId,
    },
}

/// Why a member is no longer in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftBecause {
    /// The member or the server API asked for it, or the server has ended.
    Asked,
    /// The connection or the media was lost, or a newer login has taken over.
    CutOff,
    /// The member's signaling node has died.
    NodeDied,
}

impl What {
    /// The journal's name of it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RoomMade => "room_made",
            Self::RoomEnded => "room_ended",
            Self::Entered { .. } => "entered",
            Self::Left { .. } => "left",
            Self::Published { .. } => "published",
            Self::Unpublished { .. } => "unpublished",
            Self::Attendance { .. } => "attendance",
            Self::MixBegun { .. } => "mix_begun",
            Self::MixChanged { .. } => "mix_changed",
            Self::MixEnded { .. } => "mix_ended",
            Self::NotMixable { .. } => "not_mixable",
            Self::RecordingBegun { .. } => "recording_begun",
            Self::RecordingEnded { .. } => "recording_ended",
            Self::FileReady { .. } => "file_ready",
            Self::LiveBegun { .. } => "live_begun",
            Self::LiveEnded { .. } => "live_ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::ids::RoomId;

    /// Facts of before must stay readable: they wait in streams while servers are replaced.
    #[test]
    fn a_fact_keeps_its_form() {
        let fact = Fact {
            id: "left-1".to_owned(),
            room: RoomKey {
                app: 1_400_000_001.try_into().unwrap(),
                room: RoomId::Number(7.try_into().unwrap()),
            },
            at_unix_ms: 1_764_000_000_000,
            what: What::Left {
                user: "ann".parse().unwrap(),
                membership: MembershipId(u64::MAX),
                reason: LeftBecause::NodeDied,
                stayed_ms: 5,
            },
        };
        let text = serde_json::to_string(&fact).unwrap();
        assert_eq!(serde_json::from_str::<Fact>(&text).unwrap(), fact);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let kind = fact.what.kind();
        assert_eq!((&value["kind"], &value["reason"]), (&kind.into(), &"node_died".into()));
        assert_eq!(value["membership"], u64::MAX);
    }
}
