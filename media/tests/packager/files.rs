//! The files that are made of segments, as ffmpeg reads them.

use crate::ffmpeg::{complaints, probe, seconds as seconds_of};

use super::*;

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
    let duration = seconds_of(&out);
    assert!((duration - 6.0).abs() < 0.1, "{duration}");
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
