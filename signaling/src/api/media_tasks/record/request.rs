//! The calls that record a room, as clients write them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::request::{Unsupported, request};

request! {
    /// Records a room: each member by itself, or a mix. It waits for publishers, and ends when there was none for the idle time.
    CreateCloudRecording {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// The room, as a text in any case.
        room_id: Option<String> = "RoomId" ! "InvalidParameter.OutOfRange",
        /// A user id that nobody in the room has: the task stands for it.
        user_id: Option<String> = "UserId" ! "InvalidParameter.OutOfRange",
        /// Of that user.
        user_sig: Option<String> = "UserSig" ! "InvalidParameter.OutOfRange",
        record_params: Option<RecordParams> = "RecordParams" ! "InvalidParameter.OutOfRange",
        storage_params: Option<StorageParams> = "StorageParams" ! "InvalidParameter.OutOfRange",
        /// 0: a text room; 1: a numeric room (default).
        room_id_type: Option<u64> = "RoomIdType" ? "InvalidParameter.OutOfRange",
        /// For `RecordMode` 2.
        mix_transcode_params: Option<MixTranscodeParams> = "MixTranscodeParams" ? "InvalidParameter.OutOfRange",
        /// For `RecordMode` 2.
        mix_layout_params: Option<MixLayoutParams> = "MixLayoutParams" ? "InvalidParameter.OutOfRange",
        /// Hours in which the task can be asked for and changed, 6 to 720, default 72; it records on after them.
        resource_expired_hour: Option<u64> = "ResourceExpiredHour" ? "InvalidParameter.OutOfRange",
        /// The user's room ticket, if the application requires one.
        private_map_key: Option<String> = "PrivateMapKey" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    /// The state of a recording task.
    DescribeCloudRecording {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        task_id: Option<String> = "TaskId" ! "InvalidParameter.OutOfRange",
        recorder_key: Unsupported = "RecorderKey" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    /// Changes a recording task. What is there replaces what was there.
    ModifyCloudRecording {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        task_id: Option<String> = "TaskId" ! "InvalidParameter.OutOfRange",
        /// For `RecordMode` 2.
        mix_layout_params: Option<MixLayoutParams> = "MixLayoutParams" ? "InvalidParameter.OutOfRange",
        subscribe_stream_user_ids: Option<SubscribeStreamUserIds> = "SubscribeStreamUserIds" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    /// Ends a recording task; its files are finished after that.
    DeleteCloudRecording {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        task_id: Option<String> = "TaskId" ! "InvalidParameter.OutOfRange",
    }
}

/// The task of the call.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RecordingTask {
    pub task_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RecordingTaskState {
    pub task_id: String,
    /// `Idle` while nobody publishes, `InProgress`, or `Exited`.
    pub status: &'static str,
    /// Empty, as by contract with the file store: `SearchMedia` finds the files.
    pub storage_file_list: Vec<StorageFile>,
}

/// A file of a task in an object storage.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StorageFile {
    pub user_id: String,
    pub file_name: String,
    pub track_type: String,
    pub begin_time_stamp: u64,
}

request! {
    RecordParams {
        /// 1: each member by itself; 2: a mix.
        record_mode: Option<u64> = "RecordMode" ! "InvalidParameter.OutOfRange",
        /// Seconds without a publisher after which the task ends: 5 to 86400, default 30.
        max_idle_time: Option<u64> = "MaxIdleTime" ? "InvalidParameter.OutOfRange",
        /// 0 audio and video, 1 audio, 2 video.
        stream_type: Option<u64> = "StreamType" ? "InvalidParameter.OutOfRange",
        subscribe_stream_user_ids: Option<SubscribeStreamUserIds> = "SubscribeStreamUserIds" ? "InvalidParameter.OutOfRange",
        /// Of object storages alone, by contract: 0 to 4, without effect.
        output_format: Option<u64> = "OutputFormat" ? "InvalidParameter.OutOfRange",
        /// 0 or 1, without effect: audio and video of a member are in one file.
        av_merge: Option<u64> = "AvMerge" ? "InvalidParameter.OutOfRange",
        /// Minutes of a file, 1 to 1440.
        max_media_file_duration: Option<u64> = "MaxMediaFileDuration" ? "InvalidParameter.OutOfRange",
        /// 0 camera and screen, 1 camera, 2 screen.
        media_id: Option<u64> = "MediaId" ? "InvalidParameter.OutOfRange",
        /// 0.
        fill_type: Option<u64> = "FillType" ? "InvalidParameter.OutOfRange",
        /// 0.
        subscribe_ability: Option<u64> = "SubscribeAbility" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    /// Lists of at most 32 users; `name.*$` is everybody whose name begins so.
    SubscribeStreamUserIds {
        /// These users alone are heard; empty: everybody.
        subscribe_audio_user_ids: Vec<String> = "SubscribeAudioUserIds" ? "InvalidParameter.OutOfRange",
        un_subscribe_audio_user_ids: Vec<String> = "UnSubscribeAudioUserIds" ? "InvalidParameter.OutOfRange",
        /// These users alone are seen; empty: everybody.
        subscribe_video_user_ids: Vec<String> = "SubscribeVideoUserIds" ? "InvalidParameter.OutOfRange",
        un_subscribe_video_user_ids: Vec<String> = "UnSubscribeVideoUserIds" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    StorageParams {
        /// Files go where `recorder.storage` says.
        cloud_storage: Unsupported = "CloudStorage" ? "InvalidParameter.OutOfRange",
        cloud_vod: Option<CloudVod> = "CloudVod" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    CloudVod {
        tencent_vod: Option<TencentVod> = "TencentVod" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    TencentVod {
        procedure: Unsupported = "Procedure" ? "InvalidParameter.OutOfRange",
        /// 0: the application's `RecordRetentionDays` says.
        expire_time: Option<u64> = "ExpireTime" ? "InvalidParameter.OutOfRange",
        /// Without effect: there is one store.
        storage_region: Option<String> = "StorageRegion" ? "InvalidParameter.OutOfRange",
        /// 0.
        class_id: Option<u64> = "ClassId" ? "InvalidParameter.OutOfRange",
        /// Without effect: there is one store.
        sub_app_id: Option<u64> = "SubAppId" ? "InvalidParameter.OutOfRange",
        session_context: Unsupported = "SessionContext" ? "InvalidParameter.OutOfRange",
        source_context: Unsupported = "SourceContext" ? "InvalidParameter.OutOfRange",
        /// 0 mp4 (default), 1 hls, 2 aac, 3 hls and mp4, 4 hls and aac.
        media_type: Option<u64> = "MediaType" ? "InvalidParameter.OutOfRange",
        /// Prefix of the files' names: at most 64 letters, digits, `_` and `-`.
        user_define_record_id: Option<String> = "UserDefineRecordId" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    MixTranscodeParams {
        video_params: Option<VideoParams> = "VideoParams" ? "InvalidParameter.OutOfRange",
        audio_params: Option<AudioParams> = "AudioParams" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    VideoParams {
        /// Pixels, at most 1920, default 360.
        width: Option<u64> = "Width" ! "InvalidParameter.OutOfRange",
        /// Pixels, at most 1920, default 640.
        height: Option<u64> = "Height" ! "InvalidParameter.OutOfRange",
        /// Frames a second, 1 to 60, default 15.
        fps: Option<u64> = "Fps" ! "InvalidParameter.OutOfRange",
        /// bit/s, 64000 to 8192000, default 550000.
        bit_rate: Option<u64> = "BitRate" ! "InvalidParameter.OutOfRange",
        /// Seconds, 1 to 10, default 10.
        gop: Option<u64> = "Gop" ! "InvalidParameter.OutOfRange",
    }
}

request! {
    AudioParams {
        /// 1: 48000 Hz (default), 2: 44100 Hz, 3: 16000 Hz.
        sample_rate: Option<u64> = "SampleRate" ! "InvalidParameter.OutOfRange",
        /// 1 or 2 (default).
        channel: Option<u64> = "Channel" ! "InvalidParameter.OutOfRange",
        /// bit/s, 32000 to 128000, default 64000.
        bit_rate: Option<u64> = "BitRate" ! "InvalidParameter.OutOfRange",
    }
}

request! {
    MixLayoutParams {
        /// 1 float, 2 screen share, 3 grid, 4 custom.
        mix_layout_mode: Option<u64> = "MixLayoutMode" ! "InvalidParameter.OutOfRange",
        /// Mode 4: at most 16 cells.
        mix_layout_list: Vec<MixLayout> = "MixLayoutList" ? "InvalidParameter.OutOfRange",
        /// `#RRGGBB`
        back_ground_color: Option<String> = "BackGroundColor" ? "InvalidParameter.OutOfRange",
        /// The main video of modes 1 and 2.
        max_resolution_user_id: Option<String> = "MaxResolutionUserId" ? "InvalidParameter.OutOfRange",
        /// Of that user: 0 camera, 1 screen.
        media_id: Option<u64> = "MediaId" ? "InvalidParameter.OutOfRange",
        background_image_url: Option<String> = "BackgroundImageUrl" ? "InvalidParameter.OutOfRange",
        /// 1: cells without video show their pictures.
        place_holder_mode: Option<u64> = "PlaceHolderMode" ? "InvalidParameter.OutOfRange",
        /// 1: the picture fills the canvas.
        background_image_render_mode: Option<u64> = "BackgroundImageRenderMode" ? "InvalidParameter.OutOfRange",
        /// The picture of cells that have none.
        default_sub_background_image: Option<String> = "DefaultSubBackgroundImage" ? "InvalidParameter.OutOfRange",
        /// At most one, a picture.
        water_mark_list: Vec<WaterMark> = "WaterMarkList" ? "InvalidParameter.OutOfRange",
        /// Modes 1 to 3: 1 crop, 2 scale on black.
        render_mode: Option<u64> = "RenderMode" ? "InvalidParameter.OutOfRange",
        /// Mode 2: 1 puts the main video on the right.
        max_resolution_user_align: Option<u64> = "MaxResolutionUserAlign" ? "InvalidParameter.OutOfRange",
        /// Modes 1 to 3: members with only audio take no cell.
        pure_audio_disable_layout: Option<bool> = "PureAudioDisableLayout" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    MixLayout {
        top: Option<u64> = "Top" ! "InvalidParameter.OutOfRange",
        left: Option<u64> = "Left" ! "InvalidParameter.OutOfRange",
        width: Option<u64> = "Width" ! "InvalidParameter.OutOfRange",
        height: Option<u64> = "Height" ! "InvalidParameter.OutOfRange",
        /// Absent: filled in the order of entering.
        user_id: Option<String> = "UserId" ? "InvalidParameter.OutOfRange",
        /// 0.
        alpha: Option<u64> = "Alpha" ? "InvalidParameter.OutOfRange",
        /// 1 crop (default), 2 scale on black.
        render_mode: Option<u64> = "RenderMode" ? "InvalidParameter.OutOfRange",
        /// 0 camera, 1 screen.
        media_id: Option<u64> = "MediaId" ? "InvalidParameter.OutOfRange",
        /// Higher is in front.
        image_layer: Option<u64> = "ImageLayer" ? "InvalidParameter.OutOfRange",
        sub_background_image: Option<String> = "SubBackgroundImage" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    WaterMark {
        /// 0: a picture.
        water_mark_type: Option<u64> = "WaterMarkType" ? "InvalidParameter.OutOfRange",
        water_mark_image: Option<WaterMarkImage> = "WaterMarkImage" ? "InvalidParameter.OutOfRange",
        water_mark_char: Unsupported = "WaterMarkChar" ? "InvalidParameter.OutOfRange",
        water_mark_timestamp: Unsupported = "WaterMarkTimestamp" ? "InvalidParameter.OutOfRange",
    }
}

request! {
    WaterMarkImage {
        water_mark_url: Option<String> = "WaterMarkUrl" ! "InvalidParameter.OutOfRange",
        top: Option<u64> = "Top" ! "InvalidParameter.OutOfRange",
        left: Option<u64> = "Left" ! "InvalidParameter.OutOfRange",
        width: Option<u64> = "Width" ! "InvalidParameter.OutOfRange",
        height: Option<u64> = "Height" ! "InvalidParameter.OutOfRange",
    }
}
