//! What is answered of a recorded file. Pure.

use rotunda_proto::recording::{FileFormat, RecordingFile};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use url::Url;

const DAY: u64 = 86_400;

/// The sections of an answer that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sections {
    basic: bool,
    meta: bool,
}

impl Sections {
    /// `filters`: names of sections; none of those that there are: all.
    pub fn of(filters: &[String]) -> Self {
        let has = |name: &str| filters.iter().any(|filter| filter == name);
        match filters.is_empty() {
            true => Self {
                basic: true,
                meta: true,
            },
            false => Self {
                basic: has("basicInfo"),
                meta: has("metaData"),
            },
        }
    }
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct FoundMedia {
    /// Files of all pages, at most 5000.
    pub total_count: u64,
    pub media_info_set: Vec<MediaInfo>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MediaInfos {
    pub media_info_set: Vec<MediaInfo>,
    pub not_exist_file_id_set: Vec<String>,
}

/// A recorded file. Sections that were not asked for, or that recorded files do not have, are null.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MediaInfo {
    /// Decimal digits.
    pub file_id: String,
    pub basic_info: Option<BasicInfo>,
    pub meta_data: Option<MetaData>,
    pub transcode_info: Nothing,
    pub animated_graphics_info: Nothing,
    pub sample_snapshot_info: Nothing,
    pub image_sprite_info: Nothing,
    pub snapshot_by_time_offset_info: Nothing,
    pub key_frame_desc_info: Nothing,
    pub adaptive_dynamic_streaming_info: Nothing,
    pub mini_program_review_info: Nothing,
    pub subtitle_info: Nothing,
    pub review_info: Nothing,
}

/// Always null.
pub type Nothing = Option<()>;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct BasicInfo {
    /// The file's name, without its ending.
    pub name: String,
    pub description: String,
    /// The end of the recording.
    pub create_time: String,
    pub update_time: String,
    /// The end of the retention; `9999-12-31T23:59:59Z`: never.
    pub expire_time: String,
    pub class_id: i64,
    pub class_name: String,
    pub class_path: String,
    /// A signed address of the poster that expires; empty: there is none.
    pub cover_url: String,
    /// The container: `mp4`, `flv`, `m3u8`, `aac`, `mp3`.
    pub r#type: String,
    /// A signed address that expires.
    pub media_url: String,
    pub source_info: SourceInfo,
    pub storage_region: String,
    /// The path of the address.
    pub storage_path: String,
    pub tag_set: Vec<String>,
    /// As in the callback of the file.
    pub vid: String,
    /// `Video` or `Audio`.
    pub category: String,
    pub status: String,
    pub storage_class: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SourceInfo {
    pub source_type: String,
    pub source_context: String,
    pub live_record_info: LiveRecordInfo,
    pub trtc_record_info: TrtcRecordInfo,
    pub web_page_record_info: Nothing,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct LiveRecordInfo {
    pub domain: String,
    pub path: String,
    pub stream_id: String,
    pub record_start_time: String,
    pub record_end_time: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TrtcRecordInfo {
    pub sdk_app_id: u64,
    pub room_id: String,
    pub task_id: String,
    /// The publisher; of a mix: none.
    pub user_ids: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MetaData {
    /// Bytes.
    pub size: u64,
    pub container: String,
    /// bit/s, on average.
    pub bitrate: u64,
    /// Pixels; 0 without video.
    pub width: u64,
    pub height: u64,
    /// Seconds.
    pub duration: f64,
    pub video_duration: f64,
    pub audio_duration: f64,
    pub rotate: i64,
    pub video_stream_set: Vec<VideoStream>,
    pub audio_stream_set: Vec<AudioStream>,
    /// Always empty: it is not computed.
    pub md5: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VideoStream {
    /// 0: unknown.
    pub bitrate: u64,
    pub height: u64,
    pub width: u64,
    pub codec: String,
    /// 0: unknown.
    pub fps: u64,
    pub codec_tag: String,
    pub dynamic_range_info: DynamicRangeInfo,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DynamicRangeInfo {
    pub r#type: String,
    #[serde(rename = "HDRType")]
    pub hdr_type: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AudioStream {
    /// 0: unknown.
    pub bitrate: u64,
    /// Hz; 0: unknown.
    pub sampling_rate: u64,
    pub codec: String,
}

/// Signed addresses of a file.
#[derive(Debug)]
pub struct Urls {
    pub media: String,
    /// Of its poster; None: it has none.
    pub cover: Option<String>,
}

/// `kept_days`: of the application; 0: for ever.
pub fn media_info(file: &RecordingFile, urls: Urls, kept_days: u32, sections: &Sections) -> MediaInfo {
    MediaInfo {
        file_id: file.file_id.clone(),
        basic_info: sections.basic.then(|| basic(file, urls, kept_days)),
        meta_data: sections.meta.then(|| meta(file)),
        transcode_info: None,
        animated_graphics_info: None,
        sample_snapshot_info: None,
        image_sprite_info: None,
        snapshot_by_time_offset_info: None,
        key_frame_desc_info: None,
        adaptive_dynamic_streaming_info: None,
        mini_program_review_info: None,
        subtitle_info: None,
        review_info: None,
    }
}

fn basic(file: &RecordingFile, urls: Urls, kept_days: u32) -> BasicInfo {
    let (started, ended) = (file.started_unix_us / 1_000_000, file.ended_unix_us / 1_000_000);
    let address = Url::parse(&urls.media).ok();
    let path = address.as_ref().map_or("", |address| address.path()).to_owned();
    let named = file.name.rsplit_once('/').map_or(file.name.as_str(), |(_, name)| name);
    BasicInfo {
        name: named.rsplit_once('.').map_or(named, |(name, _)| name).to_owned(),
        description: String::new(),
        create_time: iso(ended),
        update_time: iso(ended),
        expire_time: match kept_days {
            0 => "9999-12-31T23:59:59Z".to_owned(),
            days => iso(ended + u64::from(days) * DAY),
        },
        class_id: 0,
        class_name: String::new(),
        class_path: String::new(),
        cover_url: urls.cover.unwrap_or_default(),
        r#type: container(file.format).to_owned(),
        source_info: SourceInfo {
            source_type: "Record".to_owned(),
            source_context: String::new(),
            live_record_info: LiveRecordInfo {
                domain: address
                    .as_ref()
                    .and_then(|address| address.host_str())
                    .unwrap_or_default()
                    .to_owned(),
                path: "live".to_owned(),
                stream_id: file.stream_id.to_string(),
                record_start_time: iso(started),
                record_end_time: iso(ended),
            },
            trtc_record_info: TrtcRecordInfo {
                sdk_app_id: file.room.app.get().into(),
                room_id: file.room.room.bare(),
                task_id: file.task_id.clone(),
                user_ids: file.user.iter().map(ToString::to_string).collect(),
            },
            web_page_record_info: None,
        },
        media_url: urls.media,
        storage_region: String::new(),
        storage_path: path,
        tag_set: Vec::new(),
        vid: format!("{}_{}", file.room.app, file.file_id),
        category: if has_video(file.format) { "Video" } else { "Audio" }.to_owned(),
        status: "Normal".to_owned(),
        storage_class: "STANDARD".to_owned(),
    }
}

fn meta(file: &RecordingFile) -> MetaData {
    let seconds = file.duration_ms as f64 / 1000.0;
    let (width, height) = file.resolution.unwrap_or((0, 0));
    let video = file.resolution.map(|(width, height)| VideoStream {
        bitrate: 0,
        height: height.into(),
        width: width.into(),
        codec: "h264".to_owned(),
        fps: 0,
        codec_tag: "avc1".to_owned(),
        dynamic_range_info: DynamicRangeInfo {
            r#type: "SDR".to_owned(),
            hdr_type: String::new(),
        },
    });
    let audio = AudioStream {
        bitrate: 0,
        sampling_rate: 0,
        codec: if file.format == FileFormat::Mp3 { "mp3" } else { "aac" }.to_owned(),
    };
    MetaData {
        size: file.size_bytes,
        container: container(file.format).to_owned(),
        bitrate: (file.size_bytes * 8000).checked_div(file.duration_ms).unwrap_or(0),
        width: width.into(),
        height: height.into(),
        duration: seconds,
        video_duration: if video.is_some() { seconds } else { 0.0 },
        audio_duration: seconds,
        rotate: 0,
        video_stream_set: video.into_iter().collect(),
        audio_stream_set: vec![audio],
        md5: String::new(),
    }
}

fn has_video(format: FileFormat) -> bool {
    matches!(format, FileFormat::Mp4 | FileFormat::Hls | FileFormat::Flv)
}

fn container(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Hls => "m3u8",
        other => other.as_str(),
    }
}

/// `2026-11-25T07:25:52Z`
pub fn iso(unix: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = time.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", time.date())
}
