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

/// Records two files, in a process that is killed when the storage does not answer. Answers the files that were announced until then.
fn killed_while_uploading(place: &Place, s3: &TestS3) -> Vec<RecordingFile> {
    until_killed(async {
        let mut recorder = place.start().await;
        let program = recorder.begin("s", 1, "film").await;
        program.play(TestProgram::new().run(2.0, 1.0)).await;
        program.end().await;
        let mut announced = Vec::new();
        while announced.len() < 2 {
            tokio::select! {
                file = recorder.file() => announced.push(file),
                () = s3.unanswered() => break,
            }
        }
        std::mem::forget(recorder);
        announced
    })
}

#[test]
fn a_process_that_is_killed_during_any_request_of_an_upload_loses_nothing() {
    let outside = tokio::runtime::Runtime::new().unwrap();
    let mut kills = 0;
    let (mut answered, mut step) = (0, 1);
    loop {
        let s3 = outside.block_on(TestS3::start());
        let mut place = Place::new(|config| config.storage = s3.config());
        place.applications = vec![application()];
        s3.set(Mood::Silent(answered));
        let mut files = killed_while_uploading(&place, &s3);
        let was_killed = files.len() < 2;
        s3.set(Mood::Well);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut recorder = place.start().await;
            while files.len() < 2 {
                let file = recorder.file().await;
                // A file whose announcement was not noted before the kill is announced again.
                files.retain(|known| known.name != file.name);
                files.push(file);
            }
            check_stored(&place, &s3, &recorder, &files).await;
            for file in ["recording.json", "journal.jsonl"] {
                assert!(
                    s3.keys().iter().any(|key| key.ends_with(file)),
                    "{file}: {:?}",
                    s3.keys()
                );
            }
            recorder.stop().await;
        });
        if !was_killed {
            break;
        }
        kills += 1;
        (answered, step) = (answered + step, step + 1);
    }
    assert!(kills >= 4, "{kills} kills, the last after {answered} requests");
}
