//! The requests of stream ingest, and their answers.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::request::request;

request! {
    /// Brings the media of a URL (RTMP, HTTP-FLV, HLS or MP4) into a room, as that of a member.
    StartStreamIngest {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// The room.
        room_id: Option<String> = "RoomId" ! "InvalidParameter.RoomId",
        /// 0: a text room; 1: a numeric room.
        room_id_type: Option<u64> = "RoomIdType" ! "InvalidParameter.BodyParamsError",
        /// The member. A user has one task at a time.
        user_id: Option<String> = "UserId" ! "InvalidParameter.BodyParamsError",
        /// Their UserSig.
        user_sig: Option<String> = "UserSig" ! "InvalidParameter.UserSig",
        /// `rtmp[s]://`, or `http[s]://` of FLV, HLS (`.m3u8`) or MP4, with H.264 and AAC.
        stream_url: Option<String> = "StreamUrl" ? "InvalidParameter.StreamUrl",
        /// The room ticket, where the application requires one.
        private_map_key: Option<String> = "PrivateMapKey" ? "InvalidParameter.BodyParamsError",
        /// The contract has dropped it: it has no effect.
        video_encode_params: Option<VideoEncodeParams> = "VideoEncodeParams" ? "InvalidParameter.BodyParamsError",
        /// The contract has dropped it: it has no effect.
        audio_encode_params: Option<AudioEncodeParams> = "AudioEncodeParams" ? "InvalidParameter.BodyParamsError",
        /// The earlier name of `StreamUrl`: one address.
        source_url: Vec<String> = "SourceUrl" ? "InvalidParameter.StreamUrl",
        /// Where a file begins, seconds.
        seek_second: Option<i64> = "SeekSecond" ? "InvalidParameter.BodyParamsError",
        /// The member's media is a live stream, too, with the default id `<SdkAppId>_<RoomId>_<UserId>_main`.
        auto_push: Option<bool> = "AutoPush" ? "InvalidParameter.BodyParamsError",
        /// How often a file is played, 1 to 1000; -1: until the task is stopped. Default 1.
        repeat_num: Option<i64> = "RepeatNum" ? "InvalidParameter.BodyParamsError",
        /// Minutes after which the task ends, 1 to 10080.
        max_duration: Option<i64> = "MaxDuration" ? "InvalidParameter.BodyParamsError",
        /// Per cent, 0 to 200. Default 100.
        volume: Option<u64> = "Volume" ? "InvalidParameter.BodyParamsError",
        /// Only false: the server sends no messages about the progress.
        enable_progress: Option<bool> = "EnableProgress" ? "InvalidParameter.BodyParamsError",
        /// Only 1.0: the server plays at the speed of the source.
        tempo: Option<f64> = "Tempo" ? "InvalidParameter.BodyParamsError",
        /// Seconds without media after which the task ends, 1 to 600. 0: 300. Default 0.
        idle_timeout: Option<i64> = "IdleTimeout" ? "InvalidParameter.BodyParamsError",
    }
}

request! {
    /// Of a video that is encoded anew.
    VideoEncodeParams {
        /// Pixels.
        width: Option<u64> = "Width" ? "InvalidParameter.BodyParamsError",
        /// Pixels.
        height: Option<u64> = "Height" ? "InvalidParameter.BodyParamsError",
        /// Frames a second.
        fps: Option<u64> = "Fps" ? "InvalidParameter.BodyParamsError",
        /// Kbit/s.
        bit_rate: Option<u64> = "BitRate" ? "InvalidParameter.BodyParamsError",
        /// Seconds between keyframes.
        gop: Option<u64> = "Gop" ? "InvalidParameter.BodyParamsError",
    }
}

request! {
    /// Of audio that is encoded anew.
    AudioEncodeParams {
        /// Hertz.
        sample_rate: Option<u64> = "SampleRate" ? "InvalidParameter.BodyParamsError",
        /// Channels.
        channel: Option<u64> = "Channel" ? "InvalidParameter.BodyParamsError",
        /// Kbit/s.
        bit_rate: Option<u64> = "BitRate" ? "InvalidParameter.BodyParamsError",
        /// Per cent.
        volume: Option<u64> = "Volume" ? "InvalidParameter.BodyParamsError",
    }
}

request! {
    /// Changes a task: another source, another volume, a pause.
    UpdateStreamIngest {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// As StartStreamIngest has answered.
        task_id: Option<String> = "TaskId" ! "InvalidParameter.TaskId",
        /// Another source.
        stream_url: Option<String> = "StreamUrl" ? "InvalidParameter.StreamUrl",
        /// Per cent, 0 to 200.
        volume: Option<u64> = "Volume" ? "InvalidParameter.BodyParamsError",
        /// Whether the source is paused. After 12 hours of a pause the task ends.
        is_pause: Option<bool> = "IsPause" ? "InvalidParameter.BodyParamsError",
        /// Only false.
        enable_progress: Option<bool> = "EnableProgress" ? "InvalidParameter.BodyParamsError",
        /// Only 1.0.
        tempo: Option<f64> = "Tempo" ? "InvalidParameter.BodyParamsError",
    }
}

request! {
    /// Ends a task: its member leaves the room.
    StopStreamIngest {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// As StartStreamIngest has answered.
        task_id: Option<String> = "TaskId" ! "InvalidParameter.TaskId",
    }
}

request! {
    /// Says whether a task goes on.
    DescribeStreamIngest {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// As StartStreamIngest has answered.
        task_id: Option<String> = "TaskId" ! "InvalidParameter.TaskId",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct IngestStarted {
    /// Names the task in the other calls.
    pub task_id: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct IngestState {
    /// `InProgress`, or `NotExist` when it is over.
    pub status: &'static str,
}
