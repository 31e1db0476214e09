//! The inputs of media: what a member publishes, and which member of which room.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::room::RoomKey;
use super::text::UserId;

/// A source that a member can publish, each at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrackSource {
    /// The microphone.
    Audio,
    /// The camera: "main".
    Camera,
    /// The shared screen: "aux", "sub" or "second stream" in the server API.
    Screen,
}

impl TrackSource {
    pub const ALL: [Self; 3] = [Self::Audio, Self::Camera, Self::Screen];

    pub fn is_video(self) -> bool {
        matches!(self, Self::Camera | Self::Screen)
    }
}

impl fmt::Display for TrackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Camera => "camera",
            Self::Screen => "screen",
        })
    }
}

/// A member of a room, as services behind the SFU name them: two rooms may have the same user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomUser {
    pub room: RoomKey,
    pub user: UserId,
}

impl RoomUser {
    pub fn track(&self, track: TrackSource) -> Source {
        Source {
            room: self.room.clone(),
            user: self.user.clone(),
            track,
        }
    }
}

impl fmt::Display for RoomUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.room, self.user)
    }
}

/// One input of media behind the SFU: a track of a member of a room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    pub room: RoomKey,
    pub user: UserId,
    pub track: TrackSource,
}

impl Source {
    pub fn member(&self) -> RoomUser {
        RoomUser {
            room: self.room.clone(),
            user: self.user.clone(),
        }
    }

    pub fn is_of(&self, member: &RoomUser) -> bool {
        self.room == member.room && self.user == member.user
    }

    /// Whether both are tracks of one member.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.room == other.room && self.user == other.user
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.room, self.user, self.track)
    }
}
