//! Files are deleted when their time is over, and by their owner.

use super::*;

#[tokio::test]
async fn files_are_deleted_when_their_time_is_over_and_the_folder_goes_with_the_last() {
    let mut place = Place::new(|_| {});
    place.applications = vec![Application {
        record_retention_days: 1,
        ..application()
    }];
    let mut recorder = place.start().await;
    let mut recorded = Vec::new();
    for stream in ["old", "new"] {
        let program = recorder.begin(stream, 1, stream).await;
        program.play(TestProgram::new().run(1.0, 1.0)).await;
        program.end().await;
        recorded.push(recorder.files(2).await.remove(0));
    }
    let (old, new) = (&recorded[0], &recorded[1]);
    sqlx::query("UPDATE recording_files SET started_unix_us = started_unix_us - 86410000000 WHERE recording_id = $1")
        .bind(&old.task_id)
        .execute(&mut sqlx::SqliteConnection::connect(&place.database()).await.unwrap())
        .await
        .unwrap();
    let gone = async {
        while place.config.directory.join(&old.task_id).exists() {
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
    assert_eq!(
        request(&recorder, "GET", &format!("/recordings/{}", old.name)).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        request(&recorder, "GET", &format!("/recordings/{}", new.name)).await,
        StatusCode::OK
    );
    recorder.stop().await;
    // The search on the disk and a new process bring nothing back.
    let mut recorder = place.start().await;
    recorder.no_file().await;
    recorder.stop().await;
}

#[tokio::test]
async fn the_owner_deletes_a_file_by_the_api_and_others_stay() {
    let mut place = Place::new(|_| {});
    place.applications = vec![application()];
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(1.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(2).await;
    let (hls, mp4) = (
        format!("/recordings/{}", files[0].name),
        format!("/recordings/{}", files[1].name),
    );
    // The announcement is answered before the row says so; a file is deleted in either state.
    assert_eq!(request(&recorder, "DELETE", &mp4).await, StatusCode::NO_CONTENT);
    assert_eq!(request(&recorder, "DELETE", &mp4).await, StatusCode::NOT_FOUND);
    assert_eq!(request(&recorder, "GET", &mp4).await, StatusCode::NOT_FOUND);
    assert!(!place.path(&files[1]).exists());
    assert_eq!(request(&recorder, "GET", &hls).await, StatusCode::OK);
    assert_eq!(complaints(&place.path(&files[0])), "");
    assert_eq!(request(&recorder, "DELETE", &hls).await, StatusCode::NO_CONTENT);
    assert!(!place.config.directory.join(&files[0].task_id).exists());
    recorder.stop().await;
}
