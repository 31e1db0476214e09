//! The requests as clients write them: every field optional, so that each that is missing gets its own code.

/// A room in either of the two ways of naming it.
#[derive(Debug, Clone, PartialEq)]
pub enum RoomField {
    Number(Option<u64>),
    Name(Option<String>),
}

/// The room of a user who may be in another room than the mix; neither: the mix's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OtherRoom {
    pub number: Option<u64>,
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct OtherRoomUser {
    pub user_id: Option<String>,
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

#[derive(Debug, Clone, Default)]
pub struct StartBody {
    pub output_params: Option<OutputParams>,
    pub encode_params: Option<EncodeParams>,
    pub layout_params: Option<LayoutParams>,
    pub publish_cdn_params: Option<PublishCdnParams>,
}

#[derive(Debug, Clone, Default)]
pub struct OutputParams {
    pub stream_id: Option<String>,
    pub pure_audio_stream: Option<u64>,
    pub record_id: Option<String>,
    pub record_audio_only: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct EncodeParams {
    pub audio_sample_rate: Option<u64>,
    pub audio_bitrate: Option<u64>,
    pub audio_channels: Option<u64>,
    pub video_width: Option<u64>,
    pub video_height: Option<u64>,
    pub video_bitrate: Option<u64>,
    pub video_framerate: Option<u64>,
    pub video_gop: Option<u64>,
    pub background_color: Option<u64>,
    pub background_image_id: Option<u64>,
    pub background_image_url: Option<String>,
    pub audio_codec: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct LayoutParams {
    pub template: Option<u64>,
    pub main_video_user_id: Option<String>,
    pub main_video_room: OtherRoom,
    pub main_video_stream_type: Option<u64>,
    pub small_video_layout_params: Option<SmallVideoLayoutParams>,
    pub main_video_right_align: Option<u64>,
    pub mix_video_uids: Vec<String>,
    pub other_room_users: Vec<OtherRoomUser>,
    pub preset_layout_config: Vec<PresetLayoutConfig>,
    pub pure_audio_hold_place_mode: Option<u64>,
    pub render_mode: Option<u64>,
    pub place_holder_mode: Option<u64>,
    pub water_mark_params: Option<WaterMarkParams>,
    pub style: Option<LayoutStyle>,
}

/// Rotunda's own: the contract has none.
#[derive(Debug, Clone, Default)]
pub struct LayoutStyle {
    pub show_names: Option<u64>,
    pub margin: Option<u64>,
    pub corner_radius: Option<u64>,
    pub speaking_color: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct WaterMarkParams {
    pub water_mark_id: Option<u64>,
    pub water_mark_width: Option<u64>,
    pub water_mark_height: Option<u64>,
    pub location_x: Option<u64>,
    pub location_y: Option<u64>,
    pub water_mark_url: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct SmallVideoLayoutParams {
    pub user_id: Option<String>,
    pub room: OtherRoom,
    pub stream_type: Option<u64>,
    pub image_width: Option<u64>,
    pub image_height: Option<u64>,
    pub location_x: Option<u64>,
    pub location_y: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct PresetLayoutConfig {
    pub user_id: Option<String>,
    pub room: OtherRoom,
    pub stream_type: Option<u64>,
    pub image_width: Option<u64>,
    pub image_height: Option<u64>,
    pub location_x: Option<u64>,
    pub location_y: Option<u64>,
    pub z_order: Option<u64>,
    pub render_mode: Option<u64>,
    pub mix_input_type: Option<u64>,
    pub place_image_id: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct PublishCdnParams {
    pub biz_id: Option<u64>,
    pub publish_cdn_urls: Vec<String>,
}
