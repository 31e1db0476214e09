//! Messages of the recorder: a file is ready.

use serde::{Deserialize, Serialize};

use crate::config::RecordFormat;
use crate::ids::{RecordId, RoomKey, SdkAppId, StreamId, UserId};
use crate::media_task::TaskRef;
use crate::mix_layout::ShownLayout;
use crate::program::StreamKind;
use crate::running_recording::RunningRecording;

/// Prefix of the keys of claims to record a program: the stream's token and the program's start follow.
pub const RECORDERS_PREFIX: &str = "recorders.";

/// Subject of the request that passes a [`RecordingFile`] to the callback outbox. The outbox answers [`Accepted`]
/// once it has stored the file; until then the recorder repeats the request.
pub const FILE_READY_SUBJECT: &str = "callbacks.file_ready";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {}

/// Subject of the request for an application's newest files: a [`ListRequest`], answered with [`ListReply`].
pub const LIST_SUBJECT: &str = "recorder.list";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRequest {
    pub app: SdkAppId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// Newest first, at most 200.
    pub files: Vec<ListedFile>,
}

/// A file of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedFile {
    pub name: String,
    /// `ready` or `failed`.
    pub state: String,
    pub format: String,
    /// Bytes.
    pub size: u64,
    pub duration_ms: u64,
    pub started_unix_ms: u64,
    /// A signed address that expires.
    pub url: String,
    /// What is missing in it, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// The layouts of its mix, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layouts: Vec<RecordedLayout>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previews: Option<PreviewLinks>,
}

/// Signed addresses of a file's previews, which expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewLinks {
    /// JPEG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster: Option<String>,
    /// WebVTT whose cues are parts of a JPEG sheet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnails: Option<String>,
    /// JSON of `audiowaveform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waveform: Option<String>,
}

/// Subject of requests about finished files: a [`MediaCommand`], answered with a [`MediaReply`].
pub const MEDIA_SUBJECT: &str = "recorder.media";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum MediaCommand {
    /// Signs the addresses of files, by their names in the catalogue.
    Links { names: Vec<String> },
    /// Deletes a complete file, if it is the application's.
    Delete { app: SdkAppId, file_id: String },
    /// Lists the application's recordings that are not finished, oldest first.
    Running { app: SdkAppId, offset: u64, limit: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum MediaReply {
    /// In the order of the names.
    Links {
        urls: Vec<String>,
    },
    Deleted,
    NoSuchFile,
    /// A page of them, and how many there are.
    Running {
        recordings: Vec<RunningRecording>,
        total: u64,
    },
    /// The file is still there, or the catalogue does not answer.
    Failed,
}

/// Formats and length of the files of a recording, where its request gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileWishes {
    /// Empty: those of the application.
    pub formats: Vec<RecordFormat>,
    /// Longest file; None: as the application says.
    pub max_minutes: Option<u32>,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingFile {
    /// Decimal digits, unique.
    pub file_id: String,
    /// Decimal digits; the same for every file of one recording.
    pub task_id: String,
    pub room: RoomKey,
    pub stream_id: StreamId,
    pub record_id: Option<RecordId>,
    /// The user of a single stream; None for a mix.
    pub user: Option<UserId>,
    pub format: FileFormat,
    /// Name without folder.
    pub name: String,
    pub size_bytes: u64,
    pub duration_ms: u64,
    pub started_unix_us: u64,
    pub ended_unix_us: u64,
    /// Pixels; None for audio only.
    pub resolution: Option<(u16, u16)>,
    /// The playback address, signed and expiring.
    pub url: String,
    /// The gaps in it.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// The layouts of its mix: the one that its first frame shows, and each new one. At most [`MOST_LAYOUTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layouts: Vec<RecordedLayout>,
    #[serde(default)]
    pub place: Place,
    #[serde(default)]
    pub previews: Previews,
    /// The stream of the user; None: a mix, or a file of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_kind: Option<StreamKind>,
    /// The user's audio is not in it. False: a file of an earlier version, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub video_only: bool,
    /// The task of the server API that records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_task: Option<TaskRef>,
}

/// Which previews a finished file has beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Previews {
    /// A poster, and a sheet of thumbnails with their times.
    pub images: bool,
    pub waveform: bool,
}

impl Previews {
    pub fn is_any(self) -> bool {
        self.images || self.waveform
    }

    /// The names beside a file of that name.
    pub fn names(self, file: &str) -> impl Iterator<Item = String> {
        let images = [Preview::Poster, Preview::Thumbnails, Preview::ThumbnailTimes];
        let images = images.into_iter().filter(move |_| self.images);
        let all = images.chain(self.waveform.then_some(Preview::Waveform));
        all.map(move |preview| preview.of(file))
    }
}

/// A file that shows what is in a finished file. The files of one part have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preview {
    Poster,
    /// The sheet.
    Thumbnails,
    ThumbnailTimes,
    Waveform,
}

impl Preview {
    /// Other JSON files beside a recording are the recorder's own.
    pub const WAVEFORM_ENDING: &str = "_waveform.json";

    /// The name beside a file of that name, which may have a folder.
    pub fn of(self, file: &str) -> String {
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let ending = match self {
            Self::Poster => ".jpg",
            Self::Thumbnails => "_thumbnails.jpg",
            Self::ThumbnailTimes => "_thumbnails.vtt",
            Self::Waveform => Self::WAVEFORM_ENDING,
        };
        format!("{stem}{ending}")
    }
}

/// Where a finished file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the recorder's disk.
    #[default]
    Disk,
    /// In the bucket of `recorder.storage`.
    Storage,
}

/// Layouts that a file names at most; later ones are left out.
pub const MOST_LAYOUTS: usize = 500;

/// A layout of a mix in a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLayout {
    /// The time of its first frame in the file.
    pub from_unix_ms: u64,
    #[serde(flatten)]
    pub layout: ShownLayout,
}

/// A span of time that is missing in a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from_unix_ms: u64,
    pub to_unix_ms: u64,
    pub reason: GapReason,
    /// The track that is missing; None: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<GapTrack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapTrack {
    Audio,
    Video,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The disk was slow for longer than the program's queue can hold.
    DiskTooSlow,
    /// The publisher was away, and came back within the resume time.
    PublisherAway,
    /// The publisher has muted the track or no longer publishes it.
    PublisherMuted,
    /// The track was published, but nothing of it was received.
    NotReceived,
    /// The disk had too little free space.
    DiskFull,
    /// The recording was paused by the API.
    Paused,
}

impl GapReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DiskTooSlow => "disk_too_slow",
            Self::PublisherAway => "publisher_away",
            Self::PublisherMuted => "publisher_muted",
            Self::NotReceived => "not_received",
            Self::DiskFull => "disk_full",
            Self::Paused => "paused",
        }
    }
}

/// The state of a recording that runs or whose files are being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    Recording,
    /// By the API.
    Paused,
    /// The disk has too little free space; it continues when there is space again.
    DiskFull,
    /// It runs, but no media comes.
    NoMedia,
    /// It runs, but no video comes.
    NoVideo,
    /// It runs, but no audio comes.
    NoAudio,
    /// It runs, but the disk does not take its data in time.
    SlowDisk,
    /// It has ended, and its files are being made.
    Finishing,
    /// Its files are on their way to the storage.
    Uploading,
}

impl RecordingState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Paused => "paused",
            Self::DiskFull => "disk_full",
            Self::NoMedia => "no_media",
            Self::NoVideo => "no_video",
            Self::NoAudio => "no_audio",
            Self::SlowDisk => "slow_disk",
            Self::Finishing => "finishing",
            Self::Uploading => "uploading",
        }
    }
}

/// Why a recording does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingRefusal {
    /// The disk has less free space than `recorder.free_space_floor_mb`.
    Disk,
    /// The application's files have reached its `record_quota_mb`.
    Quota,
    /// A task of the server API wants it, and no recorder has taken it.
    NotTaken,
}

impl RecordingRefusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Quota => "quota",
            Self::NotTaken => "not_taken",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    Mp4,
    Hls,
    Flv,
    Aac,
    Mp3,
}

impl FileFormat {
    /// As callbacks and the catalogue spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Hls => "hls",
            Self::Flv => "flv",
            Self::Aac => "aac",
            Self::Mp3 => "mp3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_named_as_the_file_that_they_show_whatever_its_format() {
        let previews = Previews {
            images: true,
            waveform: true,
        };
        let names = |file: &str| previews.names(file).collect::<Vec<_>>();
        let expected = [
            "1/film_1_2.jpg",
            "1/film_1_2_thumbnails.jpg",
            "1/film_1_2_thumbnails.vtt",
            "1/film_1_2_waveform.json",
        ];
        assert_eq!(names("1/film_1_2.mp4"), expected);
        assert_eq!(names("1/film_1_2.m3u8"), expected);
        assert_eq!(Previews::default().names("a.mp4").count(), 0);
    }
}
