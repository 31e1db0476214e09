//! Inspects a media file: the errors of ffmpeg, the marks in its video, the tones in its audio.

use std::path::Path;
use std::process::{Command, Stdio};

use rotunda_media::mark::{self, Mark};
use rotunda_media::video_frame::Rect;

use super::Server;

/// Samples per second of the audio that [`audio`] returns.
pub const SAMPLE_RATE: usize = 48_000;

/// One decoded frame: its presentation time and the mark of each cell of the grid, row by row.
pub struct Shown {
    pub seconds: f64,
    pub marks: Vec<Option<Mark>>,
}

/// Decodes everything and returns ffmpeg's complaints: none for a correct file.
pub fn complaints(film: &str) -> String {
    decode(film, &[])
}

/// As [`complaints`], of a film whose frames have the times at which a member sent them: two may come within one period of the frame
/// rate that ffmpeg guesses.
pub fn complaints_at_any_rate(film: &str) -> String {
    decode(film, &["-enc_time_base", "-1"])
}

fn decode(film: &str, options: &[&str]) -> String {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i", film])
        .args(options)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One value of ffprobe's `format` or `stream` section.
pub fn probe(film: &str, entry: &str) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            entry,
            "-of",
            "default=noprint_wrappers=1:nokey=1",
            film,
        ])
        .output()
        .unwrap();
    assert!(
        output.stderr.is_empty(),
        "ffprobe: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The codecs of a file or of a live stream, one a line; empty if it does not play.
pub fn codecs(source: &str) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "stream=codec_name",
            "-of",
            "csv=p=0",
            source,
        ])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The presentation time of each packet of the video, in seconds.
pub fn times(film: &Path) -> Vec<f64> {
    let times = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "packet=pts_time",
            "-of",
            "csv=p=0",
        ])
        .arg(film)
        .output()
        .unwrap();
    String::from_utf8_lossy(&times.stdout)
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse().ok())
        .collect()
}

/// The marks of each frame of a second of a live stream, cell by cell; none before its video begins.
pub fn live_marks(server: &Server, stream: &str, columns: usize, rows: usize) -> Vec<Vec<Option<u8>>> {
    let film = server.folder.path().join("second.mkv");
    let taken = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i", &server.url(&format!("/live/{stream}.flv"))])
        .args(["-t", "1", "-an", "-c", "copy"])
        .arg(&film)
        .output()
        .unwrap();
    // The stream begins a moment after the mix, and its video may begin after its audio.
    if !taken.status.success() || !codecs(&film.display().to_string()).contains("h264") {
        return Vec::new();
    }
    let ids = |shown: Shown| shown.marks.iter().map(|mark| mark.map(|mark| mark.id)).collect();
    marks(&film, columns, rows).into_iter().map(ids).collect()
}

/// Reads the marks of a video with a grid of cells.
pub fn marks(film: &Path, columns: usize, rows: usize) -> Vec<Shown> {
    let size = probe(&film.display().to_string(), "stream=width,height");
    let mut sides = size.lines().map(|side| side.parse::<usize>().unwrap());
    let (width, height) = (sides.next().unwrap(), sides.next().unwrap());
    let times = times(film);
    let gray = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(film)
        .args([
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        ])
        .stderr(Stdio::inherit())
        .output()
        .unwrap()
        .stdout;
    let (cell_width, cell_height) = (width / columns, height / rows);
    let cells: Vec<Rect> = (0..columns * rows)
        .map(|cell| Rect {
            x: cell % columns * cell_width,
            y: cell / columns * cell_height,
            width: cell_width,
            height: cell_height,
        })
        .collect();
    gray.chunks_exact(width * height)
        .zip(times)
        .map(|(luma, seconds)| Shown {
            seconds,
            marks: cells.iter().map(|cell| mark::read(luma, width, *cell)).collect(),
        })
        .collect()
}

/// The file's audio, mono.
pub fn audio(film: &Path) -> Vec<f32> {
    let bytes = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(film)
        .args([
            "-map",
            "0:a:0",
            "-ac",
            "1",
            "-ar",
            &SAMPLE_RATE.to_string(),
            "-f",
            "f32le",
            "-",
        ])
        .stderr(Stdio::inherit())
        .output()
        .unwrap()
        .stdout;
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// Amplitude of one tone in a span of audio, by a windowed Fourier sum.
pub fn tone(samples: &[f32], hertz: f64) -> f64 {
    let step = std::f64::consts::TAU * hertz / SAMPLE_RATE as f64;
    let length = samples.len() as f64;
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let hann = 1.0 - (std::f64::consts::TAU * index as f64 / length).cos();
        let value = f64::from(*sample) * hann;
        real += value * (step * index as f64).cos();
        imaginary += value * (step * index as f64).sin();
    }
    2.0 * real.hypot(imaginary) / length
}

/// When a tone begins, each time, in seconds: where its level first exceeds half of its maximum.
pub fn beeps(samples: &[f32], hertz: f64) -> Vec<f64> {
    let (window, hop) = (SAMPLE_RATE / 50, SAMPLE_RATE / 200);
    let levels: Vec<f64> = (0..samples.len().saturating_sub(window) / hop)
        .map(|at| tone(&samples[at * hop..at * hop + window], hertz))
        .collect();
    let half = levels.iter().copied().fold(0.0, f64::max) / 2.0;
    let seconds = |at: usize| (at * hop + window / 2) as f64 / SAMPLE_RATE as f64;
    (1..levels.len())
        .filter(|&at| levels[at] >= half && levels[at - 1] < half)
        .map(seconds)
        .collect()
}

/// The median of some numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    assert!(!numbers.is_empty(), "nothing to take the median of");
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
