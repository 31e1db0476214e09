use rotunda_proto::ids::{RoomId, RoomKey};
use rotunda_proto::recording::{FileFormat, RecordingFile};
use rotunda_store::{MixTaskEnd, MixTaskRow, NewPicture, RecordingRow, Store, StoreError};

use crate::{app, at, on_both};

on_both!(
    a_mix_task_runs_until_its_first_end,
    a_recording_moves_on_from_the_state_that_was_read,
    a_file_is_in_the_catalogue_once_and_told_until_it_is_accepted,
    a_picture_is_kept_by_application_and_id,
    the_database_answers,
);

async fn a_mix_task_runs_until_its_first_end(store: &Store) {
    let task = MixTaskRow {
        id: "m1".to_owned(),
        application_id: 30,
        room: "30/1".to_owned(),
        stream_id: "s".to_owned(),
        spec: "{}".to_owned(),
        origin: "api".to_owned(),
        started_unix_ms: 1000,
        ended_unix_ms: None,
        end_reason: None,
    };
    store.start_mix_task(&task).await.unwrap();
    store
        .start_mix_task(&MixTaskRow {
            room: "other".to_owned(),
            ..task.clone()
        })
        .await
        .unwrap();
    assert_eq!(store.running_mix_tasks().await.unwrap(), [task]);
    let end = |reason: &str| MixTaskEnd {
        at: at(2),
        reason: reason.to_owned(),
    };
    store.end_mix_task("m1", &end("asked")).await.unwrap();
    store.end_mix_task("m1", &end("shutdown")).await.unwrap();
    assert_eq!(store.running_mix_tasks().await.unwrap(), []);
}

async fn a_recording_moves_on_from_the_state_that_was_read(store: &Store) {
    let recording = RecordingRow {
        id: "1".to_owned(),
        application_id: 31,
        room: "31/1".to_owned(),
        stream_id: "s".to_owned(),
        user_id: Some("ann".to_owned()),
        state: "recording".to_owned(),
        owner: Some("node-1.0000000000000001".to_owned()),
        spec: "{}".to_owned(),
        started_unix_us: 1,
        ended_unix_us: None,
    };
    store.start_recording(&recording).await.unwrap();
    store.start_recording(&recording).await.unwrap();
    assert_eq!(
        store.recordings_in("recording").await.unwrap(),
        std::slice::from_ref(&recording)
    );
    store
        .move_recording("1", "recording", "finishing", Some("node-2"))
        .await
        .unwrap();
    let late = store.move_recording("1", "recording", "closed", None).await;
    assert!(matches!(late, Err(StoreError::Changed(_))), "{late:?}");
    assert_eq!(
        store.recordings_in("finishing").await.unwrap()[0].owner.as_deref(),
        Some("node-2")
    );
}

async fn a_file_is_in_the_catalogue_once_and_told_until_it_is_accepted(store: &Store) {
    let file = |id: &str, started: u64| RecordingFile {
        file_id: id.to_owned(),
        task_id: "7".to_owned(),
        room: RoomKey {
            app: app(32),
            room: "1".parse::<RoomId>().unwrap(),
        },
        stream_id: "s".parse().unwrap(),
        record_id: None,
        gaps: Vec::new(),
        user: None,
        format: FileFormat::Mp4,
        name: format!("{id}.mp4"),
        size_bytes: 5_000_000_000,
        duration_ms: 60_000,
        started_unix_us: started,
        ended_unix_us: started + 1,
        resolution: Some((1280, 720)),
        url: "http://files".to_owned(),
    };
    for (id, started) in [("f2", 20), ("f1", 10), ("f1", 10)] {
        store.add_file(&file(id, started)).await.unwrap();
    }
    assert_eq!(
        store.unannounced_files().await.unwrap(),
        [file("f1", 10), file("f2", 20)]
    );
    store.set_announced("f1").await.unwrap();
    assert_eq!(store.unannounced_files().await.unwrap(), [file("f2", 20)]);
    let newest = store.newest_files(1).await.unwrap();
    assert_eq!(
        (newest[0].name.as_str(), newest[0].size_bytes),
        ("f2.mp4", 5_000_000_000)
    );
}

async fn a_picture_is_kept_by_application_and_id(store: &Store) {
    let picture = NewPicture {
        application: app(33),
        id: 1,
        name: "logo".to_owned(),
        kind: "watermark".to_owned(),
        suffix: "png".to_owned(),
        placement: "{}".to_owned(),
        content: vec![0, 1, 255],
        created: at(1),
    };
    store.put_picture(&picture).await.unwrap();
    store
        .put_picture(&NewPicture {
            content: vec![9],
            ..picture.clone()
        })
        .await
        .unwrap();
    assert_eq!(store.picture(app(33), 1).await.unwrap().unwrap().content, [9]);
    assert_eq!(store.picture(app(34), 1).await.unwrap(), None);
    assert_eq!(store.pictures(app(33)).await.unwrap().len(), 1);
    assert!(store.delete_picture(app(33), 1).await.unwrap());
    assert!(!store.delete_picture(app(33), 1).await.unwrap());
}

async fn the_database_answers(store: &Store) {
    store.ping().await.unwrap();
}
