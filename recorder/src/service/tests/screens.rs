//! Shared screens: their files have video alone, and a picture that stands still lasts.

use rotunda_media::program::Track;
use rotunda_proto::recording::GapReason;

use super::*;

fn screen(stream: &str) -> ProgramDescriptor {
    let mut program = descriptor(stream, 1);
    program.single = Some(SingleStream {
        user: "ann".parse().unwrap(),
        kind: StreamKind::Aux,
        recording: Some(SingleRecording {
            prefix: stream.to_owned(),
            record_id: None,
            files: FileWishes::default(),
            video_only: true,
        }),
        playing: Playing::No,
    });
    program
}

/// The codecs of a file.
fn codecs(file: &std::path::Path) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let mut codecs: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
    codecs.dedup();
    codecs
}

/// A program whose video stands still between two times, in seconds.
fn still(seconds: f64, from: f64, to: f64) -> Vec<Arc<Frame>> {
    let mut frames = TestProgram::new().run(seconds, 1.0);
    let is_still = |frame: &Frame| (from..to).contains(&frame.pts.duration().as_secs_f64());
    frames.retain(|frame| frame.track == Track::Audio || !is_still(frame));
    frames
}

#[tokio::test]
async fn the_files_of_a_screen_have_video_alone() {
    let place = Place::new(|config| config.formats = serde_json::from_str(r#"["mp4", "hls", "flv", "aac"]"#).unwrap());
    let mut recorder = place.start().await;
    let program = recorder.begin_with(screen("screen")).await;
    program.play(still(8.0, 2.5, 6.0)).await;
    program.end().await;
    let files = recorder.files(3).await;
    let formats: Vec<FileFormat> = files.iter().map(|file| file.format).collect();
    assert_eq!(formats, [FileFormat::Flv, FileFormat::Hls, FileFormat::Mp4]);
    for file in &files {
        assert_eq!(codecs(&place.path(file)), ["h264"], "{}", file.name);
        check(&place, file, 8.0);
        assert_eq!(file.gaps, [], "{}", file.name);
    }
    recorder.stop().await;
}

#[tokio::test]
async fn a_long_still_is_one_file_and_a_publisher_who_was_away_begins_another() {
    let place = Place::new(|config| config.formats = serde_json::from_str(r#"["mp4"]"#).unwrap());
    let mut recorder = place.start().await;
    let program = recorder.begin_with(screen("screen")).await;
    program.play(still(20.0, 2.5, 17.0)).await;
    program.end().await;
    let file = recorder.file().await;
    check(&place, &file, 20.0);
    recorder.no_file().await;

    let program = recorder.begin_with(screen("away")).await;
    let mut source = TestProgram::new();
    program.play(source.run(3.0, 1.0)).await;
    let _away = source.run(5.0, 1.0);
    program.play(source.run(3.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(2).await;
    for file in &files {
        check(&place, file, 3.0);
    }
    recorder.stop().await;
}

#[tokio::test]
async fn the_playlist_of_a_screen_names_the_time_of_its_publisher_away() {
    let place = Place::new(|config| config.formats = serde_json::from_str(r#"["hls"]"#).unwrap());
    let mut recorder = place.start().await;
    let program = recorder.begin_with(screen("away")).await;
    let mut source = TestProgram::new();
    program.play(source.run(3.0, 1.0)).await;
    let _away = source.run(5.0, 1.0);
    program.play(source.run(3.0, 1.0)).await;
    program.end().await;
    let file = recorder.file().await;
    let reasons: Vec<GapReason> = file.gaps.iter().map(|gap| gap.reason).collect();
    assert_eq!(reasons, [GapReason::PublisherAway]);
    let text = std::fs::read_to_string(place.path(&file)).unwrap();
    assert_eq!(violations(None, &text), Vec::<String>::new());
    recorder.stop().await;
}
