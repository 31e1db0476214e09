//! A mix that is stopped within its first second.

use super::*;

/// Frames of both tracks in the first third of a second.
const FIRST_FRAMES: usize = 12;

#[tokio::test]
async fn a_mix_stopped_after_any_of_its_first_frames_leaves_whole_files_and_nothing_else() {
    let place = Place::new(|config| config.formats = serde_json::from_str(r#"["mp4"]"#).unwrap());
    let mut recorder = place.start().await;
    for count in 1..=FIRST_FRAMES {
        let program = recorder.begin(&format!("after-{count}"), 1, "film").await;
        let frames: Vec<_> = TestProgram::new().run(1.0, 10.0).into_iter().take(count).collect();
        let seconds = |frame: &Arc<Frame>| frame.pts.plus(frame.duration.into()).duration().as_secs_f64();
        let end = frames.iter().map(seconds).fold(0.0, f64::max);
        program.play(frames).await;
        program.end().await;
        let file = recorder.file().await;
        assert_eq!(file.stream_id.as_str(), format!("after-{count}"));
        check(&place, &file, end);
    }
    recorder.stop().await;
    for path in place.files() {
        assert!(
            std::fs::metadata(&path).unwrap().len() > 0,
            "{} is empty",
            path.display()
        );
    }
}
