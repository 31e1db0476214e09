//! The rows of a part of a recording in the ledger. Pure, except for random ids of recordings.

use std::time::Duration;

use md5::{Digest, Md5};
use rotunda_proto::recording::{FileFormat, Place, Previews, RecordingFile};
use uuid::Uuid;

use crate::folder::Manifest;
use crate::ledger::{Row, State};

/// The files of a part, with the facts that are known at its start.
pub fn rows(manifest: &Manifest, part: u64, wall: Duration, state: State) -> Vec<Row> {
    let program = &manifest.program;
    let file = |format: FileFormat| RecordingFile {
        file_id: file_id(&manifest.recording_id, part, format),
        task_id: manifest.recording_id.clone(),
        room: program.room.clone(),
        stream_id: program.stream_id.clone(),
        record_id: match (&program.record, &program.single) {
            (Some(record), _) => Some(record.record_id.clone()),
            (None, Some(single)) => single
                .recording
                .as_ref()
                .and_then(|recording| recording.record_id.clone()),
            (None, None) => None,
        },
        user: program.single.as_ref().map(|single| single.user.clone()),
        format,
        // The name is completed with the end time.
        name: format!("{}/{}", manifest.recording_id, manifest.prefix),
        size_bytes: 0,
        duration_ms: 0,
        started_unix_us: wall.as_micros() as u64,
        ended_unix_us: 0,
        resolution: None,
        url: String::new(),
        gaps: Vec::new(),
        layouts: Vec::new(),
        place: Place::Disk,
        previews: Previews::default(),
        stream_kind: program.single.as_ref().map(|single| single.kind),
        video_only: manifest.has_video_only(),
        media_task: program.task.clone(),
    };
    formats_of_part(part, &manifest.formats)
        .map(|format| Row {
            part,
            state,
            file: file(format),
        })
        .collect()
}

/// 19 decimal digits, random.
pub fn decimal_id() -> String {
    decimal(Uuid::new_v4().as_u128())
}

/// The id of a file: the same whenever its row is made again from the disk, so that nobody takes it for another file.
fn file_id(recording_id: &str, part: u64, format: FileFormat) -> String {
    let digest = Md5::digest(format!("{recording_id} {part} {}", format.as_str()));
    decimal(u128::from_be_bytes(digest.into()))
}

fn decimal(number: u128) -> String {
    (number % 9_000_000_000_000_000_000 + 1_000_000_000_000_000_000).to_string()
}

/// One row per file: HLS is one file for the whole recording, with its first part.
fn formats_of_part(part: u64, formats: &[FileFormat]) -> impl Iterator<Item = FileFormat> {
    formats
        .iter()
        .copied()
        .filter(move |format| *format != FileFormat::Hls || part == 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_files_of_a_task_name_it_and_the_member_s_stream() {
        let manifest: Manifest = serde_json::from_value(json!({
            "recording_id": "7", "formats": ["mp4"], "prefix": "film", "segment_seconds": 2,
            "program": {
                "stream_id": "t1_ann_aux", "room": { "app": 1, "room": 5 }, "node": "node", "video": null, "record": null, "push_urls": [],
                "audio": { "sample_rate": 48_000, "bitrate_kbps": 64, "channels": 2 }, "started_unix_ms": 1,
                "single": { "user": "ann", "kind": "aux", "recording": null, "playing": "no" },
                "task": { "id": "t1", "robot": "robot" },
            },
        }))
        .unwrap();
        let rows = rows(&manifest, 0, Duration::ZERO, State::Recording);
        let file = &rows[0].file;
        assert_eq!(file.media_task, manifest.program.task);
        assert_eq!(file.stream_kind.map(|kind| kind.as_str()), Some("aux"));
    }
}
