//! Recordings that are not finished are listed for the public API.

use rotunda_bus::BusExt;
use rotunda_proto::recording::{MEDIA_SUBJECT, MediaCommand, MediaReply, RecordingState};
use rotunda_proto::running_recording::RunningRecording;

use super::*;

async fn list(recorder: &Running, app: u32, offset: u64, limit: u64) -> (Vec<RunningRecording>, u64) {
    let app = app.try_into().unwrap();
    let command = MediaCommand::Running { app, offset, limit };
    match recorder.bus.call(MEDIA_SUBJECT, &command).await.unwrap() {
        MediaReply::Running { recordings, total } => (recordings, total),
        other => panic!("{other:?}"),
    }
}

/// Waits until all of them record and have something on the disk.
async fn wait_until_written(recorder: &Running, count: u64) -> Vec<RunningRecording> {
    let written = async {
        loop {
            let (recordings, total) = list(recorder, 1, 0, 10).await;
            let is_written = |recording: &RunningRecording| {
                recording.state == Some(RecordingState::Recording) && recording.size_bytes.is_some_and(|size| size > 0)
            };
            if total == count && recordings.iter().all(is_written) {
                return recordings;
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), written).await.expect("they record")
}

#[tokio::test]
async fn running_recordings_are_told_in_pages_oldest_first_with_what_they_have_written() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let first = recorder.begin("a", 1001, "film").await;
    first.play(TestProgram::new().run(3.0, 1.0)).await;
    let before = wait_until_written(&recorder, 1).await;
    let second = recorder.begin_single("b", "ann", "single").await;
    second.play(TestProgram::new().run(3.0, 1.0)).await;
    let both = wait_until_written(&recorder, 2).await;
    let shown = |recording: &RunningRecording| {
        let user = recording.user_id.as_ref().map(ToString::to_string);
        (recording.stream_id.to_string(), recording.room.clone(), user)
    };
    let names: Vec<_> = both.iter().map(shown).collect();
    let expected = [
        ("a".to_owned(), "1001".to_owned(), None),
        ("b".to_owned(), "1".to_owned(), Some("ann".to_owned())),
    ];
    assert_eq!(names, expected);
    assert!(both[0].size_bytes >= before[0].size_bytes, "it only grows");
    let (page, total) = list(&recorder, 1, 1, 1).await;
    assert_eq!(
        (page.iter().map(shown).collect::<Vec<_>>(), total),
        (names[1..].to_vec(), 2)
    );
    assert_eq!(list(&recorder, 1, 2, 10).await, (Vec::new(), 2));
    assert_eq!(list(&recorder, 2, 0, 10).await, (Vec::new(), 0), "another application");
    for program in [first, second] {
        program.end().await;
    }
    recorder.files(4).await;
    recorder.stop().await;
}
