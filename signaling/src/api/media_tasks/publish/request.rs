//! The calls that publish a room, as clients write them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::request::{Unsupported, request};

request! {
    /// Publishes a room, as a mix or a single member's stream as it is. It waits for publishers, and ends when there was none for the idle time.
    StartPublishCdnStream {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// The room, as a text in any case.
        room_id: Option<String> = "RoomId" ! "InvalidParameter",
        /// 0: a numeric room; 1: a text room.
        room_id_type: Option<u64> = "RoomIdType" ! "InvalidParameter",
        /// The user that the task stands for.
        agent_params: Option<AgentParams> = "AgentParams" ! "InvalidParameter",
        /// 0: one member's stream as it is; 1: a mix.
        with_transcoding: Option<u64> = "WithTranscoding" ! "InvalidParameter",
        /// Needed for a mix.
        audio_params: Option<McuAudioParams> = "AudioParams" ? "InvalidParameter",
        /// Absent: a mix is audio only.
        video_params: Option<McuVideoParams> = "VideoParams" ? "InvalidParameter",
        /// The member, where `WithTranscoding` is 0.
        single_subscribe_params: Option<SingleSubscribeParams> = "SingleSubscribeParams" ? "InvalidParameter",
        /// 1 to 10 addresses.
        publish_cdn_params: Vec<McuPublishCdnParam> = "PublishCdnParams" ? "InvalidParameter",
        sei_params: Unsupported = "SeiParams" ? "InvalidParameter",
        feed_back_room_params: Unsupported = "FeedBackRoomParams" ? "InvalidParameter",
        record_params: Option<McuRecordParams> = "RecordParams" ? "InvalidParameter",
    }
}

request! {
    /// Changes a task that publishes. Absent fields stay as they are.
    UpdatePublishCdnStream {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        task_id: Option<String> = "TaskId" ! "InvalidParameter",
        /// Greater than that of every update before it.
        sequence_number: Option<u64> = "SequenceNumber" ! "InvalidParameter",
        /// As at the start.
        with_transcoding: Option<u64> = "WithTranscoding" ! "InvalidParameter",
        /// The lists of users can change.
        audio_params: Option<McuAudioParams> = "AudioParams" ? "InvalidParameter",
        video_params: Option<McuVideoParams> = "VideoParams" ? "InvalidParameter",
        single_subscribe_params: Option<SingleSubscribeParams> = "SingleSubscribeParams" ? "InvalidParameter",
        /// The whole new list.
        publish_cdn_params: Vec<McuPublishCdnParam> = "PublishCdnParams" ? "InvalidParameter",
        sei_params: Unsupported = "SeiParams" ? "InvalidParameter",
        feed_back_room_params: Unsupported = "FeedBackRoomParams" ? "InvalidParameter",
    }
}

request! {
    /// Ends a task that publishes.
    StopPublishCdnStream {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        task_id: Option<String> = "TaskId" ! "InvalidParameter",
        record_key: Unsupported = "RecordKey" ? "InvalidParameter",
    }
}

/// The task of the call.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PublishTask {
    pub task_id: String,
}

request! {
    AgentParams {
        /// A user id that nobody in the room has.
        user_id: Option<String> = "UserId" ! "InvalidParameter",
        /// Checked if it is there.
        user_sig: Option<String> = "UserSig" ? "InvalidParameter",
        /// Seconds without a publisher after which the task ends: 5 to 86400, default 30.
        max_idle_time: Option<u64> = "MaxIdleTime" ? "InvalidParameter",
    }
}

request! {
    McuAudioParams {
        audio_encode: Option<AudioEncode> = "AudioEncode" ? "InvalidParameter",
        /// These users alone are heard; empty: everybody.
        subscribe_audio_list: Vec<McuUserInfoParams> = "SubscribeAudioList" ? "InvalidParameter",
        /// These users are not heard.
        un_subscribe_audio_list: Vec<McuUserInfoParams> = "UnSubscribeAudioList" ? "InvalidParameter",
    }
}

request! {
    AudioEncode {
        /// Hz: 48000, 44100, 32000, 24000, 16000 or 8000.
        sample_rate: Option<u64> = "SampleRate" ! "InvalidParameter",
        /// 1 or 2.
        channel: Option<u64> = "Channel" ! "InvalidParameter",
        /// kbit/s, 8 to 500.
        bit_rate: Option<u64> = "BitRate" ! "InvalidParameter",
        /// 0 AAC-LC, 1 HE-AAC, 2 HE-AACv2; all are encoded as AAC-LC.
        codec: Option<u64> = "Codec" ? "InvalidParameter",
    }
}

request! {
    McuUserInfoParams {
        user_info: Option<MixUserInfo> = "UserInfo" ! "InvalidParameter",
        /// 100.
        sound_level: Option<u64> = "SoundLevel" ? "InvalidParameter",
    }
}

request! {
    MixUserInfo {
        user_id: Option<String> = "UserId" ! "InvalidParameter",
        /// The room of the task.
        room_id: Option<String> = "RoomId" ? "InvalidParameter",
        /// 0: a numeric room; 1: a text room.
        room_id_type: Option<u64> = "RoomIdType" ? "InvalidParameter",
    }
}

request! {
    McuVideoParams {
        video_encode: Option<VideoEncode> = "VideoEncode" ? "InvalidParameter",
        layout_params: Option<McuLayoutParams> = "LayoutParams" ? "InvalidParameter",
        /// `0xRRGGBB`
        back_ground_color: Option<String> = "BackGroundColor" ? "InvalidParameter",
        background_image_url: Option<String> = "BackgroundImageUrl" ? "InvalidParameter",
        /// At most one, a picture.
        water_mark_list: Vec<McuWaterMarkParams> = "WaterMarkList" ? "InvalidParameter",
        /// 0: the picture fills the canvas.
        background_render_mode: Option<u64> = "BackgroundRenderMode" ? "InvalidParameter",
    }
}

request! {
    VideoEncode {
        /// Pixels, 16 to 1920.
        width: Option<u64> = "Width" ! "InvalidParameter",
        /// Pixels, 16 to 1920.
        height: Option<u64> = "Height" ! "InvalidParameter",
        /// Frames a second, 1 to 60.
        fps: Option<u64> = "Fps" ! "InvalidParameter",
        /// kbit/s, 1 to 10000.
        bit_rate: Option<u64> = "BitRate" ! "InvalidParameter",
        /// Seconds, 1 to 5.
        gop: Option<u64> = "Gop" ! "InvalidParameter",
    }
}

request! {
    McuLayoutParams {
        /// 1 float (default), 2 screen share, 3 grid, 4 custom.
        mix_layout_mode: Option<u64> = "MixLayoutMode" ? "InvalidParameter",
        /// Modes 1 to 3: 1 gives a member with only audio a cell.
        pure_audio_hold_place_mode: Option<u64> = "PureAudioHoldPlaceMode" ? "InvalidParameter",
        /// Mode 4: at most 16 cells.
        mix_layout_list: Vec<McuLayout> = "MixLayoutList" ? "InvalidParameter",
        /// The main video of modes 1 and 2.
        max_video_user: Option<MaxVideoUser> = "MaxVideoUser" ? "InvalidParameter",
        /// Modes 1 to 3: 0 crop, 1 scale, 2 scale on black.
        render_mode: Option<u64> = "RenderMode" ? "InvalidParameter",
        /// 0 or 1; without effect: a mix has no SEI of its inputs.
        enable_stream_sei: Option<u64> = "EnableStreamSEI" ? "InvalidParameter",
    }
}

request! {
    McuLayout {
        /// Absent: filled in the order of entering.
        user_media_stream: Option<UserMediaStream> = "UserMediaStream" ? "InvalidParameter",
        image_width: Option<u64> = "ImageWidth" ? "InvalidParameter",
        image_height: Option<u64> = "ImageHeight" ? "InvalidParameter",
        location_x: Option<u64> = "LocationX" ? "InvalidParameter",
        location_y: Option<u64> = "LocationY" ? "InvalidParameter",
        /// Higher is in front.
        z_order: Option<u64> = "ZOrder" ? "InvalidParameter",
        /// 0 crop, 1 scale, 2 scale on black.
        render_mode: Option<u64> = "RenderMode" ? "InvalidParameter",
        /// Without effect, by contract.
        back_ground_color: Option<String> = "BackGroundColor" ? "InvalidParameter",
        /// A picture that is shown while there is no video.
        background_image_url: Option<String> = "BackgroundImageUrl" ? "InvalidParameter",
        custom_crop: Unsupported = "CustomCrop" ? "InvalidParameter",
        background_render_mode: Unsupported = "BackgroundRenderMode" ? "InvalidParameter",
        transparent_url: Unsupported = "TransparentUrl" ? "InvalidParameter",
        background_custom_render: Unsupported = "BackgroundCustomRender" ? "InvalidParameter",
        back_ground_color_mode: Unsupported = "BackGroundColorMode" ? "InvalidParameter",
        /// 0 or 1; without effect: a mix has no SEI of its inputs.
        enable_stream_sei: Option<u64> = "EnableStreamSEI" ? "InvalidParameter",
    }
}

request! {
    UserMediaStream {
        user_info: Option<MixUserInfo> = "UserInfo" ? "InvalidParameter",
        /// 0 camera, 1 screen.
        stream_type: Option<u64> = "StreamType" ? "InvalidParameter",
    }
}

request! {
    MaxVideoUser {
        user_media_stream: Option<UserMediaStream> = "UserMediaStream" ! "InvalidParameter",
    }
}

request! {
    McuWaterMarkParams {
        /// 0: a picture.
        water_mark_type: Option<u64> = "WaterMarkType" ? "InvalidParameter",
        water_mark_image: Option<McuWaterMarkImage> = "WaterMarkImage" ? "InvalidParameter",
        water_mark_text: Unsupported = "WaterMarkText" ? "InvalidParameter",
    }
}

request! {
    McuWaterMarkImage {
        water_mark_url: Option<String> = "WaterMarkUrl" ! "InvalidParameter",
        water_mark_width: Option<u64> = "WaterMarkWidth" ! "InvalidParameter",
        water_mark_height: Option<u64> = "WaterMarkHeight" ! "InvalidParameter",
        location_x: Option<u64> = "LocationX" ! "InvalidParameter",
        location_y: Option<u64> = "LocationY" ! "InvalidParameter",
        /// In front of all cells in any case.
        z_order: Option<u64> = "ZOrder" ? "InvalidParameter",
        /// 0: it stays in its place.
        dynamic_pos_type: Option<u64> = "DynamicPosType" ? "InvalidParameter",
    }
}

request! {
    SingleSubscribeParams {
        user_media_stream: Option<UserMediaStream> = "UserMediaStream" ! "InvalidParameter",
    }
}

request! {
    McuPublishCdnParam {
        /// `rtmp://` or `rtmps://`. With a host of `server.public_names` it names the stream on this server.
        publish_cdn_url: Option<String> = "PublishCdnUrl" ! "InvalidParameter",
        /// 0 or 1; without effect.
        is_tencent_cdn: Option<u64> = "IsTencentCdn" ? "InvalidParameter",
    }
}

request! {
    McuRecordParams {
        /// 0 or 1: not recorded. A task of `CreateCloudRecording` records.
        uni_record: Option<u64> = "UniRecord" ? "InvalidParameter",
        record_key: Unsupported = "RecordKey" ? "InvalidParameter",
        record_wait_time: Unsupported = "RecordWaitTime" ? "InvalidParameter",
        record_format: Unsupported = "RecordFormat" ? "InvalidParameter",
        max_media_file_duration: Unsupported = "MaxMediaFileDuration" ? "InvalidParameter",
        stream_type: Unsupported = "StreamType" ? "InvalidParameter",
        user_define_record_prefix: Unsupported = "UserDefineRecordPrefix" ? "InvalidParameter",
        mcu_storage_params: Unsupported = "McuStorageParams" ? "InvalidParameter",
    }
}
