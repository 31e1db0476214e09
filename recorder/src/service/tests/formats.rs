//! The formats of one recording, and audio alone.

use super::*;

#[tokio::test]
async fn every_format_is_made_from_one_recording() {
    let place = Place::new(|config| {
        config.formats = serde_json::from_str(r#"["mp4", "flv", "aac"]"#).unwrap();
    });
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(3.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(3).await;
    let formats: Vec<&str> = files.iter().map(|file| file.format.as_str()).collect();
    assert_eq!(formats, ["aac", "flv", "mp4"]);
    for file in &files {
        check(&place, file, 3.0);
    }
    assert_eq!(files[0].resolution, None);
    recorder.stop().await;
    let left = place.files();
    assert!(
        left.iter()
            .all(|file| file.extension().is_some_and(|ending| ending != "m4s")),
        "{left:?}"
    );
}

#[tokio::test]
async fn record_audio_only_is_one_mp3() {
    if !mp3::is_available() {
        assert!(std::env::var_os("CI").is_none(), "CI must have libmp3lame");
        eprintln!("SKIPPED: libmp3lame is not installed");
        return;
    }
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin_as("s", 1, "voice", true).await;
    program.play(TestProgram::new().run(4.0, 1.0)).await;
    program.end().await;
    let file = recorder.file().await;
    assert_eq!((file.format, file.resolution), (FileFormat::Mp3, None));
    check(&place, &file, 3.95);
    recorder.no_file().await;
    recorder.stop().await;
}
