//! The layout that a mix shows, as applications are told it.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};

/// A layout, from the first frame on that shows it. It takes effect whole, at that frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownLayout {
    /// Counts the layouts of the mix, and only grows.
    pub revision: u64,
    /// Time of that frame, milliseconds since the program began.
    pub program_ms: u64,
    pub canvas: CanvasSize,
    /// Back to front.
    pub regions: Vec<LayoutRegion>,
}

/// Pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanvasSize {
    pub w: usize,
    pub h: usize,
}

/// The place of a member's video, pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutRegion {
    pub uid: UserId,
    /// Of a member of another room than the mix's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// 0: camera, 1: screen; as `StreamType` of the API.
    pub stream: u8,
    pub x: usize,
    pub y: usize,
    pub w: usize,
    pub h: usize,
    /// Higher is in front.
    pub z: u32,
}
