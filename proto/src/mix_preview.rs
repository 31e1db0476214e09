//! Previews: an MCU node draws the first frame of a mix, without a room, on [`preview_subject`].

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, RoomId, TrackSource, UserId};
use crate::mix::MixSpec;

/// Longest PNG file of a reply, bytes: as Base64 it fits into a message of the bus (1 MB).
pub const MAX_PNG: usize = 720_000;

/// Subject on which one MCU node answers [`PreviewRequest`]s with [`PreviewReply`].
pub fn preview_subject(node: &NodeId) -> String {
    format!("mcu.{node}.preview")
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviewRequest {
    pub spec: MixSpec,
    /// Of each room in the order of entering.
    pub members: Vec<PreviewMember>,
}

/// A member as the layout sees them; their videos are shown as name cards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewMember {
    pub user: UserId,
    /// None: the mix's room.
    #[serde(default)]
    pub room: Option<RoomId>,
    pub sources: Vec<TrackSource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum PreviewReply {
    /// Base64 of a PNG file, of at most [`MAX_PNG`] bytes.
    Png {
        data: String,
        /// Pixels: those of the canvas, or half or a quarter of them when the file would be too large.
        width: u16,
        height: u16,
    },
    /// The mix has no video.
    NoVideo,
    Failed {
        reason: String,
    },
}
