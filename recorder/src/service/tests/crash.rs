//! Processes that end abruptly, and databases that are lost.

use super::*;

/// Records for a while in a process that then ends abruptly.
fn crash_while_recording(place: &Place, length: f64) {
    until_killed(async {
        let recorder = place.start().await;
        let program = recorder.begin("s", 1, "film").await;
        program.play(TestProgram::new().run(length, 1.0)).await;
        // Waits until everything is on the disk, except for the second that is being collected.
        let least = length - 1.5;
        let written = async {
            while written_seconds(place) < least {
                Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(10), written).await.unwrap();
        std::mem::forget((recorder, program));
    });
}

fn written_seconds(place: &Place) -> f64 {
    let segments = place
        .files()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "m4s"));
    let mut samples = Vec::new();
    for (number, segment) in segments.enumerate() {
        rotunda_media::mux::stored::scan(&segment, number as u32, &mut samples).unwrap();
    }
    let ends = samples
        .iter()
        .filter(|sample| sample.track == rotunda_media::program::Track::Video)
        .map(|sample| sample.decode_time + u64::from(sample.duration));
    ends.max().unwrap_or(0) as f64 / 90_000.0
}

#[test]
fn a_crashed_recording_is_finished_by_the_next_process_during_its_service() {
    let place = Place::new(|_| {});
    crash_while_recording(&place, 5.5);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut recorder = place.start().await;
        let files = recorder.files(2).await;
        for file in &files {
            let path = place.path(file);
            assert_eq!(complaints(&path), "", "{}", file.name);
            assert!(seconds(&path) >= 3.9, "{} s of {}", seconds(&path), file.name);
        }
        recorder.no_file().await;
        recorder.stop().await;
    });
}

#[test]
fn recordings_come_back_when_the_database_is_lost() {
    let mut place = Place::new(|_| {});
    crash_while_recording(&place, 4.5);
    place.database = "another";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut recorder = place.start().await;
        for file in recorder.files(2).await {
            assert_eq!(complaints(&place.path(&file)), "", "{}", file.name);
        }
        recorder.stop().await;
    });
}

#[tokio::test]
async fn a_rebuild_from_the_disk_alone_gives_the_same_files_under_the_same_ids() {
    let mut place = Place::new(|config| config.formats = vec![rotunda_proto::config::RecordFormat::Mp4]);
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(2.0, 1.0)).await;
    program.end().await;
    let before = recorder.file().await;
    recorder.stop().await;

    place.database = "another";
    let store = Store::open(&place.database()).await.unwrap();
    let rebuilt = crate::rebuild::older_than(Duration::ZERO, &place.config, store.clone())
        .await
        .unwrap();
    assert_eq!((rebuilt.recordings, rebuilt.files, rebuilt.known), (1, 1, 0));
    let again = crate::rebuild::older_than(Duration::ZERO, &place.config, store)
        .await
        .unwrap();
    assert_eq!((again.recordings, again.known), (0, 1));

    let mut recorder = place.start().await;
    let after = recorder.file().await;
    let facts = |file: &RecordingFile| {
        (
            file.file_id.clone(),
            file.task_id.clone(),
            file.name.clone(),
            file.size_bytes,
        )
    };
    assert_eq!(facts(&after), facts(&before));
    check(&place, &after, 2.0);
    recorder.stop().await;
}

#[tokio::test]
async fn a_file_that_was_finished_and_not_entered_is_entered_by_the_next_process() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(2.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(2).await;
    recorder.stop().await;
    // As a kill between the file's name and its row leaves it.
    sqlx::query("UPDATE recording_files SET state = 'finishing', announced = 0, owner = 'gone', lease_unix_ms = 0")
        .execute(&mut sqlx::SqliteConnection::connect(&place.database()).await.unwrap())
        .await
        .unwrap();
    let mut recorder = place.start().await;
    let again = recorder.files(2).await;
    let names = |files: &[RecordingFile]| files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&again), names(&files));
    recorder.stop().await;
}
