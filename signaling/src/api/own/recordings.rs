//! `ListRunningRecordings`: recordings that are not finished, and how far they are.

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::config::Application;
use rotunda_proto::recording::{Gap, GapTrack, MEDIA_SUBJECT, MediaCommand, MediaReply};
use rotunda_proto::running_recording::RunningRecording;
use rotunda_store::StoreError;
use schemars::JsonSchema;
use serde::Serialize;

use super::Checked;
use crate::api::ApiError;
use crate::api::request::request;
use crate::shared::Shared;

/// Rows of a page without `PageSize`, and the most: each may have gaps.
const ROWS: u64 = 50;
const MOST_ROWS: u64 = 100;

request! {
    /// Lists the recordings that are not finished, oldest first: those that record, and those whose files are made or uploaded.
    ListRunningRecordings {
        /// Recordings to leave out, default 0.
        offset: Option<u64> = "Offset" ? "InvalidParameter",
        /// 1 to 100, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RunningRecordingList {
    pub recordings: Vec<UnfinishedRecording>,
    /// Recordings of all pages.
    pub total: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UnfinishedRecording {
    /// The `task_id` of callbacks.
    pub recording_id: String,
    pub stream_id: String,
    /// Digits are a numeric room; `text:` is before a text room of digits.
    pub room: String,
    /// The publisher of a single stream; absent: a mix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// `recording`, `paused`, `disk_full`, `no_media`, `no_video`, `no_audio`, `slow_disk`, `finishing` or `uploading`; absent: the recorder
    /// that has it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Unix seconds.
    pub start_time: u64,
    /// Bytes on the disk: while it records those of its segments, later those of the files that are made; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Files of the parts that have begun.
    pub files: u64,
    /// Those of them that are made.
    pub files_made: u64,
    /// Bytes that are in the storage, and all that are on their way; absent: nothing is uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_size: Option<u64>,
    /// What is missing so far, the newest 10.
    pub gaps: Vec<RecordingGap>,
}

/// A time that is missing.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RecordingGap {
    /// Unix milliseconds.
    pub start_time_ms: u64,
    /// Unix milliseconds.
    pub end_time_ms: u64,
    /// `publisher_muted`, `publisher_away`, `not_received`, `disk_full`, `disk_too_slow` or `paused`.
    pub reason: String,
    /// `audio` or `video`; absent: both are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
}

pub async fn list(
    shared: &Shared,
    caller: &Application,
    request: ListRunningRecordings,
) -> Checked<RunningRecordingList> {
    let limit = match request.page_size.unwrap_or(ROWS) {
        size @ 1..=MOST_ROWS => size,
        size => {
            let message = format!("PageSize must be 1 to {MOST_ROWS}, not {size}");
            return Err(ApiError::new("InvalidParameter.PageSize", message));
        }
    };
    let app = caller.sdk_app_id;
    // An installation without a recorder has no recordings.
    if shared
        .store
        .open_files(app)
        .await
        .map_err(|error| store(&error))?
        .is_empty()
    {
        return Ok(RunningRecordingList {
            recordings: Vec::new(),
            total: 0,
        });
    }
    let offset = request.offset.unwrap_or(0);
    let command = MediaCommand::Running { app, offset, limit };
    match shared.bus.call::<_, MediaReply>(MEDIA_SUBJECT, &command).await {
        Ok(MediaReply::Running { recordings, total }) => Ok(RunningRecordingList {
            recordings: recordings.into_iter().map(unfinished).collect(),
            total,
        }),
        Ok(MediaReply::Links { .. } | MediaReply::Deleted | MediaReply::NoSuchFile | MediaReply::Failed) => Err(
            ApiError::new("FailedOperation", "the recordings could not be listed; try again"),
        ),
        Err(error @ (BusError::NoResponder(_) | BusError::Timeout(_) | BusError::Away)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "ask a recorder about running recordings"
            );
            Err(ApiError::new("ResourceUnavailable", "no recorder answers; try again"))
        }
        Err(error) => Err(ApiError::internal(&error)),
    }
}

fn unfinished(recording: RunningRecording) -> UnfinishedRecording {
    UnfinishedRecording {
        recording_id: recording.recording_id,
        stream_id: recording.stream_id.to_string(),
        room: recording.room,
        user_id: recording.user_id.map(|user| user.to_string()),
        state: recording.state.map(|state| state.as_str().to_owned()),
        start_time: recording.started_unix_ms / 1000,
        size: recording.size_bytes,
        files: recording.files.into(),
        files_made: recording.files_made.into(),
        uploaded: recording.upload.map(|upload| upload.done_bytes),
        upload_size: recording.upload.map(|upload| upload.total_bytes),
        gaps: recording.gaps.iter().map(gap).collect(),
    }
}

fn gap(gap: &Gap) -> RecordingGap {
    let track = gap.track.map(|track| match track {
        GapTrack::Audio => "audio",
        GapTrack::Video => "video",
    });
    RecordingGap {
        start_time_ms: gap.from_unix_ms,
        end_time_ms: gap.to_unix_ms,
        reason: gap.reason.as_str().to_owned(),
        track: track.map(str::to_owned),
    }
}

fn store(error: &StoreError) -> ApiError {
    tracing::error!(error = error as &dyn std::error::Error, "read the running recordings");
    ApiError::new("InternalError.DBError", "the database does not answer; try again")
}

#[cfg(test)]
mod tests;
