//! What ffmpeg and ffprobe read of a file that has been made. The tests of media and recorder have this file, too.

use std::path::Path;
use std::process::Command;

/// The messages of ffmpeg when it decodes a whole file: none for a correct file.
pub fn complaints(file: &Path) -> String {
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

/// The output of ffprobe with these arguments.
pub fn probe(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error"])
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", file.display());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The length that a file says it has, in seconds.
pub fn seconds(file: &Path) -> f64 {
    probe(file, &["-show_entries", "format=duration", "-of", "csv=p=0"])
        .parse()
        .unwrap()
}
