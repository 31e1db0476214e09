//! Segments and the files that are made of them: nothing is lost, nothing comes early.

#[path = "../../tests/end_to_end/support/program.rs"]
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

fn probe(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error"])
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", file.display());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The complaints of ffmpeg when it decodes all of a file: none, for a sound file.
fn complaints(file: &Path) -> String {
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // A file of ADTS frames does not say how long it is.
    said.lines()
        .filter(|line| !line.contains("Estimating duration"))
        .collect()
}

fn decoded_audio(file: &Path) -> Vec<f32> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:a:0", "-ac", "1", "-ar", "48000", "-f", "f32le", "-"])
        .output()
        .unwrap();
    output
        .stdout
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

#[test]
fn segments_end_at_the_first_keyframe_after_their_least_length() {
    let segments = segment(TestProgram::new().run(9.0, 1.0), lengths(4));
    assert_eq!(seconds(&segments), [4.0, 4.0, 1.0]);
    assert!(
        segments
            .iter()
            .all(|one| one.start.independent && !one.start.discontinuity)
    );
}

#[test]
fn a_keyframe_at_a_scene_cut_makes_no_segment_longer_than_the_target() {
    // A GOP of 5 s, and one keyframe more, shortly before the segment could end: 1.8 + 5 s would be too long.
    let mut program = TestProgram::new();
    let mut frames = Vec::new();
    for tick in 0..15 * FPS {
        let key = [0, 27, 27 + 5 * FPS, 27 + 10 * FPS].contains(&tick);
        frames.extend(program.tick(if key { ForceKey::Yes } else { ForceKey::No }));
    }
    let lengths = lengths(2);
    let segments = segment(frames, lengths);
    let longest = segments
        .iter()
        .map(|one| one.duration.as_secs_f64())
        .fold(0.0, f64::max);
    assert!(
        longest.round() as u64 <= lengths.target_seconds(),
        "{:?}",
        seconds(&segments)
    );
    assert!(segments.iter().all(|one| one.start.independent));
}

#[test]
fn a_keyframe_that_does_not_come_ends_no_segment_too_late() {
    let lengths = lengths(2);
    // The encoder makes keyframes of its own accord; here none is one.
    let frames = TestProgram::new().run(20.0, 100.0).into_iter().enumerate();
    let frames = frames.map(|(at, frame)| match frame.track {
        Track::Video if at > 0 => Arc::new(Frame {
            is_key: false,
            ..Frame::clone(&frame)
        }),
        _ => frame,
    });
    let segments = segment(frames.collect(), lengths);
    assert!(segments.len() > 2);
    assert!(
        seconds(&segments)
            .iter()
            .all(|seconds| seconds.round() as u64 <= lengths.target_seconds())
    );
    assert!(
        segments
            .iter()
            .skip(1)
            .all(|one| !one.start.independent && !one.start.discontinuity)
    );
    let lost = 20 * FPS as usize
        - Disk::of(&segments)
            .samples
            .iter()
            .flatten()
            .filter(|one| one.track == Track::Video)
            .count();
    assert_eq!(lost, 0);
}

#[test]
fn another_bitrate_changes_nothing() {
    let mut program = TestProgram::new();
    let mut frames = program.run(3.0, 1.0);
    program.set_bitrate(900);
    frames.extend(program.run(3.0, 1.0));
    let segments = segment(frames, lengths(2));
    assert!(
        segments
            .iter()
            .all(|one| !one.start.discontinuity && one.start.init == segments[0].start.init)
    );
}

#[test]
fn another_size_is_a_discontinuity_where_no_audio_is_missing() {
    let mut program = TestProgram::new();
    let mut frames = program.run(3.0, 1.0);
    program.resize(96, 64);
    frames.extend(program.run(3.0, 1.0));
    let segments = segment(frames, lengths(2));
    let changes: Vec<bool> = segments.iter().map(|one| one.start.discontinuity).collect();
    assert_eq!(changes, [false, false, true, false]);
    assert_eq!(seconds(&segments), [2.0, 1.0, 2.0, 1.0]);
    let disk = Disk::of(&segments);
    let audio: Vec<u64> = disk
        .samples
        .iter()
        .flatten()
        .filter(|sample| sample.track == Track::Audio)
        .map(|sample| sample.decode_time)
        .collect();
    assert!(
        audio.windows(2).all(|pair| pair[1] - pair[0] == 1024),
        "no audio is missing"
    );
}

#[test]
fn after_a_loss_it_goes_on_at_its_own_time_with_a_keyframe() {
    let mut program = TestProgram::new();
    let mut segmenter = Segmenter::new(lengths(2), CREATED);
    for frame in program.run(2.5, 1.0) {
        segmenter.handle_frame(frame).unwrap();
    }
    segmenter.handle_loss().unwrap();
    for frame in program.run(3.0, 1.0).into_iter().skip(10) {
        segmenter.handle_frame(frame).unwrap();
    }
    segmenter.finish().unwrap();
    let segments = collect(&mut segmenter);
    let last = segments.last().unwrap();
    assert!(segments[2].start.discontinuity && segments[2].start.independent);
    let end = last.start.at.duration() + last.duration;
    assert!((end.as_secs_f64() - 5.5).abs() < 0.1, "{end:?}");
    let disk = Disk::of(&segments);
    let first = disk.samples[2]
        .iter()
        .find(|sample| sample.track == Track::Video)
        .unwrap();
    assert_eq!(first.decode_time, segments[2].start.at.ticks());
}

/// The segments of the video alone.
fn video_segments(frames: Vec<Arc<Frame>>, lengths: Lengths) -> Vec<Segment> {
    let mut segmenter = Segmenter::of_video(lengths, CREATED);
    for frame in frames {
        segmenter.handle_frame(frame).unwrap();
    }
    segmenter.finish().unwrap();
    collect(&mut segmenter)
}

/// A program of 16 s whose video stands still from 3.5 s on for this time.
fn still_for(still: f64) -> Vec<Arc<Frame>> {
    let mut frames = TestProgram::new().run(16.0, 2.0);
    let is_still = |frame: &Frame| (3.5..3.5 + still).contains(&frame.pts.duration().as_secs_f64());
    frames.retain(|frame| frame.track == Track::Audio || !is_still(frame));
    frames
}

#[test]
fn the_video_alone_has_no_audio_track_and_its_frames_last_while_it_stands_still() {
    let segments = video_segments(still_for(4.0), lengths(2));
    let disk = Disk::of(&segments);
    let tracks = stored::read_init(&disk.path("init.mp4")).unwrap();
    assert_eq!(
        tracks.iter().map(|track| track.track).collect::<Vec<_>>(),
        [Track::Video]
    );
    assert!(disk.samples.iter().flatten().all(|sample| sample.track == Track::Video));
    assert!(segments.iter().all(|one| !one.start.discontinuity));
    let whole: f64 = segments.iter().map(|one| one.duration.as_secs_f64()).sum();
    assert!((whole - 16.0).abs() < 0.1, "{whole}");
    let target = lengths(2).target_seconds() as f64;
    assert!(
        seconds(&segments).iter().all(|length| length.round() <= target),
        "{:?}",
        seconds(&segments)
    );
}

#[test]
fn a_longer_still_goes_on_with_its_next_frame_at_its_own_time() {
    // It ends 0.5 s after a keyframe.
    let segments = video_segments(still_for(9.0), lengths(2));
    let after = segments.iter().position(|one| one.start.discontinuity).unwrap();
    let (before, after) = (&segments[after - 1], &segments[after]);
    assert!(!after.start.independent, "no frame was lost");
    assert!((after.start.at.duration().as_secs_f64() - 12.5).abs() < 0.1);
    let target = lengths(2).target_seconds() as f64;
    assert_eq!(
        before.duration.as_secs_f64().round(),
        target,
        "it lasts as long as a segment may"
    );
    let again = segments.iter().filter(|one| one.start.discontinuity).count();
    assert_eq!(again, 1);
}

#[test]
fn a_still_at_the_end_lasts_as_long_as_the_audio() {
    let segments = video_segments(
        still_for(12.5)
            .into_iter()
            .filter(|frame| frame.pts.millis() < 6000)
            .collect(),
        lengths(2),
    );
    let last = segments.last().unwrap();
    let end = last.start.at.duration() + last.duration;
    assert!((end.as_secs_f64() - 6.0).abs() < 0.1, "{end:?}");
}

#[test]
fn a_camera_that_sends_nothing_keeps_no_audio_back() {
    let is_missing = |frame: &Frame| {
        let at = frame.pts.duration().as_secs_f64();
        frame.track == Track::Video && at > 3.5 && at < 15.0
    };
    let mut frames = TestProgram::new().run(20.0, 1.0);
    let audio = frames.iter().filter(|frame| frame.track == Track::Audio).count();
    frames.retain(|frame| !is_missing(frame));
    let segments = segment(frames, lengths(2));
    let target = lengths(2).target_seconds() as f64;
    assert!(
        seconds(&segments).iter().all(|length| length.round() <= target),
        "{:?}",
        seconds(&segments)
    );
    let most = segments
        .iter()
        .flat_map(|one| &one.chunks)
        .map(|chunk| chunk.duration)
        .max();
    assert!(most < Some(Duration::from_secs(3)), "{most:?}");
    assert!(segments.iter().all(|one| !one.start.discontinuity), "time goes on");
    for one in &segments {
        let at = one.start.at.duration().as_secs_f64();
        assert_eq!(one.start.independent, !(3.5..15.0).contains(&at), "at {at} s");
    }
    let samples = Disk::of(&segments).samples.concat();
    let heard = samples.iter().filter(|sample| sample.track == Track::Audio).count();
    assert_eq!(heard, audio);
}

#[test]
fn a_time_without_any_frame_is_a_discontinuity_and_in_no_segment() {
    let frames = TestProgram::new().run(40.0, 1.0);
    let is_there = |frame: &Frame| {
        let at = frame.pts.duration().as_secs_f64();
        !(3.4..35.0).contains(&at)
    };
    let frames = frames.into_iter().filter(|frame| is_there(frame)).collect();
    let segments = segment(frames, lengths(2));
    let total: f64 = seconds(&segments).iter().sum();
    assert!((total - 8.4).abs() < 0.2, "{:?}", seconds(&segments));
    let changes: Vec<bool> = segments.iter().map(|one| one.start.discontinuity).collect();
    assert_eq!(changes, [false, false, true, false, false]);
    assert!(segments[2].start.independent);
}

#[test]
fn audio_alone_is_cut_without_keyframes() {
    let segments = segment(TestProgram::audio_only().run(7.0, 1.0), lengths(2));
    assert!(segments.len() >= 3);
    assert!(segments.iter().all(|one| one.start.independent));
    let samples = Disk::of(&segments).samples.concat();
    assert!(samples.iter().all(|sample| sample.track == Track::Audio));
    assert!(
        samples
            .windows(2)
            .all(|pair| pair[1].decode_time - pair[0].decode_time == 1024)
    );
}

#[test]
fn a_cut_segment_is_read_up_to_its_last_whole_chunk() {
    let segments = segment(TestProgram::new().run(3.0, 10.0), lengths(5));
    let disk = Disk::of(&segments);
    let whole: u64 = segments[0].chunks[..2]
        .iter()
        .map(|chunk| chunk.bytes.len() as u64)
        .sum();
    let bytes = std::fs::read(&disk.files[0]).unwrap();
    for cut in [whole, whole + 5, whole + 40, bytes.len() as u64 - 1] {
        let path = disk.path("cut.m4s");
        std::fs::write(&path, &bytes[..cut as usize]).unwrap();
        let mut samples = Vec::new();
        assert_eq!(stored::scan(&path, 0, &mut samples).unwrap(), whole, "cut at {cut}");
        assert!(samples.iter().filter(|sample| sample.track == Track::Video).count() >= 29);
    }
}

#[test]
fn a_file_of_segments_is_whole_dated_and_in_step() {
    let segments = segment(TestProgram::new().run(6.0, 1.0), lengths(2));
    let disk = Disk::of(&segments);
    let samples = disk.samples.concat();
    let out = disk.path("out.mp4");
    let end = MediaTime::new(6 * 90_000, 90_000);
    let summary = disk
        .with_source(&samples, end, |source| mp4::write(source, CREATED, &out))
        .unwrap();
    assert_eq!(summary.duration_ms, 6000);
    assert_eq!(complaints(&out), "");
    let bytes = std::fs::read(&out).unwrap();
    let at = |kind: &[u8]| bytes.windows(4).position(|found| found == kind).unwrap();
    assert!(at(b"moov") < at(b"mdat"), "the index is in front");
    let tags = probe(&out, &["-show_entries", "format_tags=creation_time", "-of", "csv=p=0"]);
    assert_eq!(tags, "2020-02-16T04:12:12.000000Z");
    let frames = probe(
        &out,
        &[
            "-count_frames",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=nb_read_frames",
            "-of",
            "csv=p=0",
        ],
    );
    assert_eq!(frames, (6 * FPS).to_string());
    let starts = probe(&out, &["-show_entries", "stream=start_time", "-of", "csv=p=0"]);
    assert_eq!(starts, "0.000000\n0.000000");
    let keys = probe(
        &out,
        &[
            "-select_streams",
            "v",
            "-show_entries",
            "packet=flags",
            "-of",
            "csv=p=0",
        ],
    );
    assert_eq!(keys.lines().filter(|line| line.starts_with('K')).count(), 6);
}

#[test]
fn audio_that_begins_later_is_not_early() {
    // The recording begins at a keyframe between two frames of audio.
    let frames: Vec<_> = TestProgram::new()
        .run(6.0, 1.0)
        .into_iter()
        .skip_while(|frame| frame.pts.millis() < 1000)
        .collect();
    let segments = segment(frames, lengths(2));
    let disk = Disk::of(&segments);
    let samples = disk.samples.concat();
    let first_audio = samples
        .iter()
        .find(|sample| sample.track == Track::Audio)
        .unwrap()
        .decode_time;
    assert!((1..1024).contains(&first_audio), "{first_audio}");
    let out = disk.path("out.mp4");
    let end = MediaTime::new(5 * 90_000, 90_000);
    disk.with_source(&samples, end, |source| mp4::write(source, CREATED, &out))
        .unwrap();
    let audio = probe(
        &out,
        &[
            "-select_streams",
            "a",
            "-show_entries",
            "stream=start_time",
            "-of",
            "csv=p=0",
        ],
    );
    let expected = first_audio as f64 / 48_000.0;
    assert!(
        (audio.parse::<f64>().unwrap() - expected).abs() < 0.001,
        "{audio} s, not {expected} s"
    );
}

#[test]
fn two_parts_together_have_every_sample_once() {
    let segments = segment(TestProgram::new().run(8.0, 1.0), lengths(2));
    let disk = Disk::of(&segments);
    let whole = disk.path("whole.mp4");
    let end = MediaTime::new(8 * 90_000, 90_000);
    disk.with_source(&disk.samples.concat(), end, |source| {
        mp4::write(source, CREATED, &whole)
    })
    .unwrap();
    let (first, second) = (disk.path("first.mp4"), disk.path("second.mp4"));
    let middle = MediaTime::new(4 * 90_000, 90_000);
    disk.with_source(&disk.samples[..2].concat(), middle, |source| {
        mp4::write(source, CREATED, &first)
    })
    .unwrap();
    // The decoder of the second part starts with the last two frames of audio of the first one.
    let mut lead: Vec<StoredSample> = disk.samples[1]
        .iter()
        .copied()
        .filter(|sample| sample.track == Track::Audio)
        .collect();
    let mut samples = lead.split_off(lead.len() - 2);
    samples.extend(disk.samples[2..].concat());
    disk.with_source(&samples, end, |source| mp4::write(source, CREATED, &second))
        .unwrap();
    let mut parts = [decoded_audio(&first), decoded_audio(&second)];
    // ffmpeg plays the last frame to its end, whatever the edit list says.
    assert!(
        (4 * 48_000..4 * 48_000 + 1024).contains(&parts[0].len()),
        "{}",
        parts[0].len()
    );
    parts[0].truncate(4 * 48_000);
    let (together, whole) = (parts.concat(), decoded_audio(&whole));
    let differs = together
        .iter()
        .zip(&whole)
        .position(|(one, other)| (one - other).abs() > 0.01);
    assert_eq!(differs, None, "of {} and {} samples", together.len(), whole.len());
    assert_eq!(complaints(&second), "");
}

#[test]
fn flv_has_its_length_and_an_index_of_keyframes() {
    let segments = segment(TestProgram::new().run(6.0, 1.0), lengths(2));
    let disk = Disk::of(&segments);
    let out = disk.path("out.flv");
    let samples = disk.samples.concat();
    let end = MediaTime::new(6 * 90_000, 90_000);
    let summary = disk
        .with_source(&samples, end, |source| flv_file::write(source, &out))
        .unwrap();
    assert_eq!(summary.size_bytes, std::fs::metadata(&out).unwrap().len());
    assert_eq!(complaints(&out), "");
    let duration = probe(&out, &["-show_entries", "format=duration", "-of", "csv=p=0"]);
    assert!((duration.parse::<f64>().unwrap() - 6.0).abs() < 0.1, "{duration}");
    let bytes = std::fs::read(&out).unwrap();
    // Each position of the index is where a video tag with a keyframe begins.
    let at = bytes.windows(13).position(|found| found == b"filepositions").unwrap() + 13;
    let count = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().unwrap());
    assert_eq!((bytes[at], count), (10, 6));
    for number in 0..count as usize {
        let value = &bytes[at + 5 + number * 9 + 1..][..8];
        let position = f64::from_be_bytes(value.try_into().unwrap()) as usize;
        assert_eq!((bytes[position], bytes[position + 11]), (9, 0x17), "keyframe {number}");
    }
}

#[test]
fn aac_is_a_file_of_adts_frames() {
    let segments = segment(TestProgram::audio_only().run(4.0, 1.0), lengths(2));
    let disk = Disk::of(&segments);
    let out = disk.path("out.aac");
    let samples = disk.samples.concat();
    let end = MediaTime::new(4 * 48_000, 48_000);
    disk.with_source(&samples, end, |source| adts::write(source, &out))
        .unwrap();
    assert_eq!(complaints(&out), "");
    let heard = decoded_audio(&out);
    assert!((heard.len() as f64 / 48_000.0 - 4.0).abs() < 0.1, "{}", heard.len());
}
