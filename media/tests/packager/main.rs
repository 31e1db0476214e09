//! Segments and the files that are made of them: nothing is lost, nothing comes early. The tests are in the files of the folder:
//!
//! - `segments`: where segments begin and end
//! - `stills`: video that stands still
//! - `files`: MP4, FLV and AAC files of segments, as ffmpeg reads them

mod files;
mod segments;
mod stills;

#[path = "../../../tests/end_to_end/support/ffmpeg.rs"]
mod ffmpeg;
#[path = "../../../tests/end_to_end/support/program.rs"]
mod program;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use program::{FPS, TestProgram};
use rotunda_media::codec::ForceKey;
use rotunda_media::mux::mp4::Source;
use rotunda_media::mux::segmenter::{Chunk, Lengths, Output, SegmentStart, Segmenter};
use rotunda_media::mux::stored::{self, StoredSample};
use rotunda_media::mux::{adts, flv_file, mp4};
use rotunda_media::program::{Frame, Track};
use rotunda_media::time::MediaTime;

const CREATED: Duration = Duration::from_secs(1_581_826_332);

fn lengths(segment: u64) -> Lengths {
    Lengths {
        segment: Duration::from_secs(segment),
        chunk: Duration::from_secs(1),
    }
}

struct Segment {
    start: SegmentStart,
    chunks: Vec<Chunk>,
    duration: Duration,
}

fn segment(frames: Vec<Arc<Frame>>, lengths: Lengths) -> Vec<Segment> {
    let mut segmenter = Segmenter::new(lengths, CREATED);
    for frame in frames {
        segmenter.handle_frame(frame).unwrap();
    }
    segmenter.finish().unwrap();
    collect(&mut segmenter)
}

fn collect(segmenter: &mut Segmenter) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    while let Some(output) = segmenter.poll_output() {
        match output {
            Output::Begin(start) => segments.push(Segment {
                start,
                chunks: Vec::new(),
                duration: Duration::ZERO,
            }),
            Output::Chunk(chunk) => segments.last_mut().unwrap().chunks.push(chunk),
            Output::End(end) => segments.last_mut().unwrap().duration = end.duration,
        }
    }
    segments
}

fn seconds(segments: &[Segment]) -> Vec<f64> {
    segments
        .iter()
        .map(|one| (one.duration.as_secs_f64() * 100.0).round() / 100.0)
        .collect()
}

/// Segments on the disk, and the samples in each.
struct Disk {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
    samples: Vec<Vec<StoredSample>>,
}

impl Disk {
    fn of(segments: &[Segment]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("init.mp4"), &segments[0].start.init).unwrap();
        let (mut files, mut samples) = (Vec::new(), Vec::new());
        for (number, segment) in segments.iter().enumerate() {
            let path = folder.path().join(format!("{number}.m4s"));
            let bytes: Vec<u8> = segment.chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect();
            std::fs::write(&path, &bytes).unwrap();
            let mut found = Vec::new();
            let whole = stored::scan(&path, number as u32, &mut found).unwrap();
            assert_eq!(whole, bytes.len() as u64);
            files.push(path);
            samples.push(found);
        }
        Self { folder, files, samples }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn with_source<T>(&self, samples: &[StoredSample], until: MediaTime, make: impl FnOnce(&Source<'_>) -> T) -> T {
        let tracks = stored::read_init(&self.path("init.mp4")).unwrap();
        let lead = samples.iter().find(|sample| sample.track == tracks[0].track).unwrap();
        make(&Source {
            tracks: &tracks,
            changes: &[],
            files: &self.files,
            samples,
            start: MediaTime::new(lead.decode_time, tracks[0].timescale.get()),
            end: until,
        })
    }
}
