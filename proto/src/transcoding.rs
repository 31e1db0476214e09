//! The mix that a member asks for: the fields of TRTC's `setMixTranscodingConfig`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{OwnStreamId, RoomId};

/// A mix as a member asks for it. Ends when the member leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TranscodingConfig {
    pub mode: TranscodingMode,
    /// The stream of the program; absent: `<sdkAppId>_<roomId>_<userId>_main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<OwnStreamId>,
    /// Pixels; both 0 in the screen sharing mode: the size of the screen.
    #[serde(default)]
    pub video_width: u32,
    #[serde(default)]
    pub video_height: u32,
    /// kbit/s; 0: by the size.
    #[serde(default)]
    pub video_bitrate: u32,
    /// 1 to 30.
    #[serde(default = "default_framerate")]
    pub video_framerate: u32,
    /// Seconds, 1 to 8.
    #[serde(rename = "videoGOP", default = "default_gop")]
    pub video_gop: u32,
    /// 0xRRGGBB.
    #[serde(default)]
    pub background_color: u32,
    /// Id of an uploaded picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background_image: Option<String>,
    /// Hz: 12000, 16000, 22050, 24000, 32000, 44100 or 48000.
    #[serde(default = "default_sample_rate")]
    pub audio_sample_rate: u32,
    /// kbit/s, 32 to 192.
    #[serde(default = "default_audio_bitrate")]
    pub audio_bitrate: u32,
    /// 1 or 2.
    #[serde(default = "default_channels")]
    pub audio_channels: u32,
    /// The cells of the manual mode and the preset layout.
    #[serde(default)]
    pub mix_users: Vec<MixUser>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TranscodingMode {
    /// Exactly the users of the list.
    Manual,
    /// The audio of everybody.
    PureAudio,
    /// Cells for placeholders: the member who asks, their screen, and remote members in the order of entering.
    PresetLayout,
    /// The screen of the member who asks, or their camera while they share none, and the audio of everybody.
    ScreenSharing,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MixUser {
    /// A user, or in the preset layout `$PLACE_HOLDER_LOCAL_MAIN$`, `$PLACE_HOLDER_LOCAL_SUB$` or `$PLACE_HOLDER_REMOTE$`.
    pub user_id: String,
    /// Absent: the room of the member who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// Pixels from the top left of the canvas.
    #[serde(default)]
    pub x: u32,
    #[serde(default)]
    pub y: u32,
    #[serde(default)]
    pub width: u32,
    #[serde(default)]
    pub height: u32,
    /// Higher is in front; 0 to 15.
    #[serde(default)]
    pub z_order: u32,
    #[serde(default)]
    pub stream_type: StreamType,
    /// Only the audio, without a cell.
    #[serde(default)]
    pub pure_audio: bool,
    /// 0: the frame fills the cell and is cut; 1: the whole frame; 2: the whole frame on black.
    #[serde(default)]
    pub render_mode: u32,
}

/// The video of a user. `small` is the camera too: the server chooses the layer that fits the cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StreamType {
    #[default]
    Big,
    Small,
    /// The screen.
    Sub,
}

fn default_framerate() -> u32 {
    15
}

fn default_gop() -> u32 {
    2
}

fn default_sample_rate() -> u32 {
    48_000
}

fn default_audio_bitrate() -> u32 {
    64
}

fn default_channels() -> u32 {
    1
}
