//! The requests as clients write them: every field optional, so that each that is missing gets its own code.

use schemars::JsonSchema;

/// A room in either of the two ways of naming it.
#[derive(Debug, Clone, PartialEq)]
pub enum RoomField {
    Number(Option<u64>),
    Name(Option<String>),
}

/// The room of a user who may be in another room than the mix; neither: the mix's.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(default)]
pub struct OtherRoom {
    /// The number of a room other than the mix's.
    #[schemars(rename = "RoomId")]
    pub number: Option<u64>,
    /// The name of a room other than the mix's.
    #[schemars(rename = "StrRoomId")]
    pub name: Option<String>,
}

/// The names of [`OtherRoom`] beside the main video.
#[derive(Default, JsonSchema)]
#[schemars(default)]
struct MainVideoRoom {
    /// The number of the room of `MainVideoUserId`.
    #[schemars(rename = "MainVideoRoomId")]
    number: Option<u64>,
    /// The name of the room of `MainVideoUserId`.
    #[schemars(rename = "MainVideoStrRoomId")]
    name: Option<String>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct OtherRoomUser {
    pub user_id: Option<String>,
    #[schemars(flatten)]
    pub room: OtherRoom,
}

#[derive(Debug, Clone)]
pub struct StartRequest {
    pub sdk_app_id: Option<u64>,
    pub room: RoomField,
    pub body: StartBody,
}

#[derive(Debug, Clone)]
pub struct StopRequest {
    pub sdk_app_id: Option<u64>,
    pub room: RoomField,
    /// The mix of this stream alone; None: every mix of the server API in the room.
    pub stream_id: Option<String>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct StartBody {
    pub output_params: Option<OutputParams>,
    pub encode_params: Option<EncodeParams>,
    pub layout_params: Option<LayoutParams>,
    pub publish_cdn_params: Option<PublishCdnParams>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct OutputParams {
    /// At most 64 of letters, digits, `_` and `-`.
    pub stream_id: Option<String>,
    /// 0: audio and video; 1: audio only.
    pub pure_audio_stream: Option<u64>,
    /// Prefix of the file names; giving it starts recording.
    pub record_id: Option<String>,
    /// 1: the file is mp3.
    pub record_audio_only: Option<u64>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct EncodeParams {
    /// Hz: 48000, 44100, 32000, 24000, 16000, 8000.
    pub audio_sample_rate: Option<u64>,
    /// kbit/s, 8 to 500.
    pub audio_bitrate: Option<u64>,
    /// 1 or 2.
    pub audio_channels: Option<u64>,
    /// Pixels, up to 1920.
    pub video_width: Option<u64>,
    /// Pixels, up to 1080.
    pub video_height: Option<u64>,
    /// kbit/s, 1 to 10000.
    pub video_bitrate: Option<u64>,
    /// Frames per second, 1 to 60.
    pub video_framerate: Option<u64>,
    /// Seconds, 1 to 5.
    pub video_gop: Option<u64>,
    /// 0xRRGGBB.
    pub background_color: Option<u64>,
    /// Id of an uploaded picture, which fills the canvas behind all cells.
    pub background_image_id: Option<u64>,
    /// Address of a PNG, JPEG or BMP picture of at most 2 MB; wins over the id.
    pub background_image_url: Option<String>,
    /// 0 AAC-LC, 1 HE-AAC, 2 HE-AACv2; all are encoded as AAC-LC, which every player of the others plays.
    pub audio_codec: Option<u64>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct LayoutParams {
    /// 0 float, 1 grid, 2 screen share, 3 picture in picture, 4 custom.
    pub template: Option<u64>,
    pub main_video_user_id: Option<String>,
    #[schemars(flatten, with = "MainVideoRoom")]
    pub main_video_room: OtherRoom,
    /// 0 camera, 1 screen.
    pub main_video_stream_type: Option<u64>,
    pub small_video_layout_params: Option<SmallVideoLayoutParams>,
    pub main_video_right_align: Option<u64>,
    pub mix_video_uids: Vec<String>,
    pub other_room_users: Vec<OtherRoomUser>,
    pub preset_layout_config: Vec<PresetLayoutConfig>,
    pub pure_audio_hold_place_mode: Option<u64>,
    /// 0 crop, 1 scale, 2 scale on black.
    pub render_mode: Option<u64>,
    /// Template 4: 1 shows the pictures of `place_image_id` while there is no video.
    pub place_holder_mode: Option<u64>,
    pub water_mark_params: Option<WaterMarkParams>,
    pub style: Option<LayoutStyle>,
}

/// Rotunda's own: the contract has none.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct LayoutStyle {
    /// 1: each video has its member's name in the lower left corner.
    pub show_names: Option<u64>,
    /// Free pixels around each cell, 0 to 200.
    pub margin: Option<u64>,
    /// Pixels, 0 to 200.
    pub corner_radius: Option<u64>,
    /// 0xRRGGBB of a frame around the cells of members who speak; absent: no frame.
    pub speaking_color: Option<u64>,
    pub loudest_as_main: Option<u64>,
    pub loudest_dwell: Option<u64>,
    pub animated: Option<u64>,
    pub layout_sei: Option<u64>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct WaterMarkParams {
    pub water_mark_id: Option<u64>,
    pub water_mark_width: Option<u64>,
    pub water_mark_height: Option<u64>,
    pub location_x: Option<u64>,
    pub location_y: Option<u64>,
    /// Address of a PNG, JPEG or BMP picture of at most 2 MB; wins over the id.
    pub water_mark_url: Option<String>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct SmallVideoLayoutParams {
    pub user_id: Option<String>,
    #[schemars(flatten)]
    pub room: OtherRoom,
    pub stream_type: Option<u64>,
    pub image_width: Option<u64>,
    pub image_height: Option<u64>,
    pub location_x: Option<u64>,
    pub location_y: Option<u64>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct PresetLayoutConfig {
    pub user_id: Option<String>,
    #[schemars(flatten)]
    pub room: OtherRoom,
    pub stream_type: Option<u64>,
    pub image_width: Option<u64>,
    pub image_height: Option<u64>,
    pub location_x: Option<u64>,
    pub location_y: Option<u64>,
    pub z_order: Option<u64>,
    pub render_mode: Option<u64>,
    pub mix_input_type: Option<u64>,
    /// Id of an uploaded picture.
    pub place_image_id: Option<u64>,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(rename_all = "PascalCase", default)]
pub struct PublishCdnParams {
    pub biz_id: Option<u64>,
    pub publish_cdn_urls: Vec<String>,
}
