//! What ffmpeg reads of a finished file.

use std::path::Path;
use std::process::Command;

use rotunda_proto::recording::RecordingFile;

use super::Place;

/// The messages of ffmpeg when it decodes a whole file: none for a correct file.
pub(super) fn complaints(file: &Path) -> String {
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // A file of ADTS frames does not contain its length.
    said.lines()
        .filter(|line| !line.contains("Estimating duration"))
        .collect()
}

pub(super) fn seconds(file: &Path) -> f64 {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

pub(super) fn check(place: &Place, file: &RecordingFile, expected: f64) {
    let path = place.path(file);
    assert_eq!(complaints(&path), "", "{}", file.name);
    assert!(
        (seconds(&path) - expected).abs() < 0.15,
        "{} s of {}",
        seconds(&path),
        file.name
    );
    assert!((file.duration_ms as f64 / 1000.0 - expected).abs() < 0.15, "{file:?}");
}
