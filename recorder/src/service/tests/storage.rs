//! Finished files in a bucket of an S3 service that fails, is away, and comes back.

use super::*;
use crate::storage::tests::{Mood, TestS3};

/// Every file is announced from the storage, plays from there, and has no local copy.
async fn check_stored(place: &Place, s3: &TestS3, recorder: &Running, files: &[RecordingFile]) {
    // Files are announced a moment before their local copies go.
    let gone = async {
        while place.files().iter().any(|file| file.is_file()) {
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    let left = timeout(Duration::from_secs(10), gone).await;
    assert!(left.is_ok(), "{:?}", place.files());
    for file in files {
        assert_eq!(file.place, rotunda_proto::recording::Place::Storage, "{}", file.name);
        let address = format!(
            "http://127.0.0.1:{}/films/from/here/{}?X-Amz-Signature=test",
            s3.port, file.name
        );
        if file.format != FileFormat::Hls {
            let file_name = address.clone();
            let said = tokio::task::spawn_blocking(move || complaints(std::path::Path::new(&file_name))).await;
            assert_eq!(said.unwrap(), "", "{address}");
        }
        let path = format!("/recordings/{}", file.name);
        let answer = match file.format {
            // Its segments are named relative to the address of the playlist, which is this server's.
            FileFormat::Hls => StatusCode::OK,
            _ => StatusCode::TEMPORARY_REDIRECT,
        };
        assert_eq!(request(recorder, "GET", &path).await, answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_fails_at_random_gets_every_file() {
    let s3 = TestS3::start().await;
    let mut place = Place::new(|config| config.storage = s3.config());
    place.applications = vec![application()];
    s3.set(Mood::Shaky);
    let mut recorder = place.start().await;
    let mut files = Vec::new();
    for stream in ["one", "two"] {
        let program = recorder.begin(stream, 1, stream).await;
        program.play(TestProgram::new().run(3.0, 1.0)).await;
        program.end().await;
        files.extend(recorder.files(2).await);
    }
    s3.set(Mood::Well);
    check_stored(&place, &s3, &recorder, &files).await;
    let objects = s3.keys();
    for file in &files {
        assert!(objects.contains(&format!("from/here/{}", file.name)), "{objects:?}");
    }
    // The owner deletes it there.
    let path = format!("/recordings/{}", files[0].name);
    assert_eq!(request(&recorder, "DELETE", &path).await, StatusCode::NO_CONTENT);
    assert!(!s3.keys().contains(&format!("from/here/{}", files[0].name)));
    recorder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_is_away_loses_nothing_and_another_process_uploads() {
    let s3 = TestS3::start().await;
    let mut place = Place::new(|config| config.storage = s3.config());
    place.applications = vec![application()];
    s3.set(Mood::Away);
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(2.0, 1.0)).await;
    program.end().await;
    recorder.no_file().await;
    recorder.stop().await;
    assert!(
        place
            .files()
            .iter()
            .any(|file| file.extension().is_some_and(|ending| ending == "mp4"))
    );
    let mut recorder = place.start().await;
    recorder.no_file().await;
    s3.set(Mood::Well);
    let files = recorder.files(2).await;
    check_stored(&place, &s3, &recorder, &files).await;
    recorder.stop().await;
}
