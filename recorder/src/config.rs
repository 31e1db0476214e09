//! The settings of the recorder.

use std::path::PathBuf;

use rotunda_proto::config::{ConfigMistake, RecordFormat, WhenFull};
use rotunda_proto::name_time_zone::NameTimeZone;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::storage::StorageConfig;

/// Section `[recorder]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the files. Default "./data/recordings".
    pub directory: PathBuf,
    /// Address that clients use for this server, for the URLs in callbacks. Default "http://127.0.0.1:8080".
    pub public_url: String,
    /// Seconds for which the address of a file in callbacks and lists is valid: 60 to 315360000 (ten years).
    /// Default 604800 (a week).
    pub link_seconds: u64,
    /// Formats in which each recording is written: "mp4", "hls", "flv", "aac" (only audio). Default "mp4" and
    /// "hls".
    pub formats: Vec<RecordFormat>,
    /// Time zone of the times in file names: an IANA name ("Asia/Kolkata", "Europe/Berlin"), with its summer time,
    /// or an offset from UTC ("+05:30"). Default "+08:00".
    pub name_time_zone: NameTimeZone,
    /// The earlier form of `name_time_zone`, in whole hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_utc_offset_hours: Option<i8>,
    /// Minutes after which a new file begins, at a keyframe; HLS continues in one playlist. 1 to 120. Default 120.
    pub max_file_minutes: u64,
    /// No recording begins while the disk has less free space than this, in MB; running ones continue. 0: no limit.
    /// Default 512.
    pub free_space_floor_mb: u64,
    /// Running recordings pause while the disk has less free space than this, in MB, so that they can be finished. 0: they go on until the
    /// disk is full. More than free_space_floor_mb counts as that. Default 64.
    pub free_space_reserve_mb: u64,
    /// What happens below free_space_floor_mb: "refuse" new recordings, or "remove_oldest" announced files. Default "refuse".
    pub free_space_full: WhenFull,
    /// Milliseconds of video in a fragment; a crash may lose this much. Default 700.
    pub fragment_ms: u64,
    /// Minimum seconds of an HLS segment; it ends at the next keyframe. Default 4.
    pub hls_segment_seconds: u64,
    /// Makes a poster, thumbnails and a waveform beside each file. Default true.
    pub previews: bool,
    pub storage: StorageConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: "./data/recordings".into(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            link_seconds: 604_800,
            formats: vec![RecordFormat::Mp4, RecordFormat::Hls],
            name_time_zone: NameTimeZone::default(),
            name_utc_offset_hours: None,
            max_file_minutes: 120,
            free_space_floor_mb: 512,
            free_space_reserve_mb: 64,
            free_space_full: WhenFull::Refuse,
            fragment_ms: 700,
            hls_segment_seconds: 4,
            previews: true,
            storage: StorageConfig::default(),
        }
    }
}

impl Config {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        let mut check = |right: bool, key: &str, message: &str| {
            if !right {
                mistakes.push(ConfigMistake::new(key, message));
            }
        };
        check(
            self.name_utc_offset_hours
                .is_none_or(|hours| (-23..=23).contains(&hours)),
            "recorder.name_utc_offset_hours",
            "write -23 to 23, or better recorder.name_time_zone in its place",
        );
        check(
            self.name_utc_offset_hours.is_none() || self.name_time_zone == NameTimeZone::default(),
            "recorder.name_utc_offset_hours",
            "recorder.name_time_zone is set too and replaces this key; remove this one",
        );
        check(
            (60..=315_360_000).contains(&self.link_seconds),
            "recorder.link_seconds",
            "write 60 to 315360000 (ten years)",
        );
        check(
            (100..=10_000).contains(&self.fragment_ms),
            "recorder.fragment_ms",
            "write 100 to 10000",
        );
        check(
            (1..=60).contains(&self.hls_segment_seconds),
            "recorder.hls_segment_seconds",
            "write 1 to 60",
        );
        check(
            (1..=120).contains(&self.max_file_minutes),
            "recorder.max_file_minutes",
            "write 1 to 120",
        );
        check(
            !self.formats.is_empty(),
            "recorder.formats",
            "write at least one of \"mp4\", \"hls\", \"flv\" and \"aac\"",
        );
        check(
            self.public_url.starts_with("http"),
            "recorder.public_url",
            "write http:// or https:// and the host",
        );
        mistakes.extend(self.storage.validate());
        mistakes
    }

    /// Bytes of free space below which running recordings wait.
    pub fn reserve(&self) -> u64 {
        let reserve = match self.free_space_floor_mb {
            0 => self.free_space_reserve_mb,
            // Recordings would begin and wait at once.
            floor => self.free_space_reserve_mb.min(floor),
        };
        reserve << 20
    }

    /// Logs the replacement of a key that still works.
    pub fn warn_of_old_keys(&self) {
        if self.name_utc_offset_hours.is_some() {
            let zone = self.name_zone();
            warn!(
                "recorder.name_utc_offset_hours is replaced by recorder.name_time_zone: write name_time_zone = \"{zone}\""
            );
        }
    }

    /// The time zone of file names, from the key that sets it.
    pub fn name_zone(&self) -> NameTimeZone {
        match self.name_utc_offset_hours {
            Some(hours) => NameTimeZone::whole_hours(hours),
            None => self.name_time_zone.clone(),
        }
    }
}
