use std::time::Duration;

use rotunda_proto::ids::{RoomId, RoomKey};
use rotunda_proto::media_task::TaskRef;
use rotunda_proto::recording::{FileFormat, RecordingFile};
use rotunda_store::{Effects, FileRow, MixTaskChange, MixTaskEnd, MixTaskRow, NewEntry, NewPicture, Store};

use crate::{app, at, on_both};

on_both!(
    a_mix_task_runs_until_its_first_end,
    a_recording_of_a_silent_process_is_taken_over_by_one_other,
    a_part_is_closed_alone_or_with_all_that_follow,
    the_files_of_a_task_are_found_since_its_begin,
    a_file_is_in_the_catalogue_once_and_told_until_it_is_accepted,
    open_files_have_an_owner_and_finished_ones_take_space,
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
    let again = MixTaskRow {
        room: "other".to_owned(),
        ..task.clone()
    };
    let begun = |task: &MixTaskRow| MixTaskChange::Begun(Box::new(task.clone()));
    let ended = |reason: &str| MixTaskChange::Ended {
        id: "m1".to_owned(),
        end: MixTaskEnd {
            at: at(2),
            reason: reason.to_owned(),
        },
    };
    apply(store, 1, begun(&task)).await;
    apply(store, 2, begun(&again)).await;
    assert_eq!(store.running_mix_tasks().await.unwrap(), [task]);
    apply(store, 3, ended("asked")).await;
    apply(store, 4, ended("shutdown")).await;
    assert_eq!(store.running_mix_tasks().await.unwrap(), []);
}

async fn apply(store: &Store, sequence: i64, mix: MixTaskChange) {
    let event = Effects {
        sequence,
        mix: Some(mix),
        entry: Some(NewEntry {
            event: format!("mix event {sequence}"),
            application: app(30),
            room: "n1".to_owned(),
            kind: "mix".to_owned(),
            at: at(1),
            body: "{}".to_owned(),
        }),
        ..Effects::default()
    };
    store.apply_events("mixes", &[event], at(3)).await.unwrap();
}

pub fn file(id: &str, started: u64) -> RecordingFile {
    RecordingFile {
        file_id: id.to_owned(),
        task_id: format!("recording {id}"),
        room: RoomKey {
            app: app(32),
            room: "1".parse::<RoomId>().unwrap(),
        },
        stream_id: "s".parse().unwrap(),
        record_id: None,
        gaps: Vec::new(),
        layouts: Vec::new(),
        place: rotunda_proto::recording::Place::Disk,
        previews: rotunda_proto::recording::Previews::default(),
        stream_kind: None,
        video_only: false,
        media_task: None,
        user: None,
        format: FileFormat::Mp4,
        name: format!("{id}.mp4"),
        size_bytes: 5_000_000_000,
        duration_ms: 60_000,
        started_unix_us: started,
        ended_unix_us: started + 1,
        resolution: Some((1280, 720)),
        url: "http://files".to_owned(),
    }
}

fn row(id: &str, state: &str) -> FileRow {
    FileRow {
        part: 0,
        state: state.to_owned(),
        file: file(id, 1),
    }
}

async fn a_file_is_in_the_catalogue_once_and_told_until_it_is_accepted(store: &Store) {
    let rows = [("f2", 20), ("f1", 10), ("f1", 10)].map(|(id, started)| FileRow {
        file: file(id, started),
        ..row(id, "ready")
    });
    // On PostgreSQL the rows of the other tests are there, too.
    let unannounced = async || {
        let mut files = store.unannounced_files().await.unwrap();
        files.retain(|file| file.file_id.starts_with('f'));
        files
    };
    store.add_files(&rows, "node", at(100)).await.unwrap();
    assert_eq!(unannounced().await, [file("f1", 10), file("f2", 20)]);
    store.set_announced("f1").await.unwrap();
    assert_eq!(unannounced().await, [file("f2", 20)]);
    let mut untold = store.untold_files(app(32)).await.unwrap();
    untold.retain(|file| file.file_id.starts_with('f'));
    assert_eq!(untold, [file("f2", 20)]);
    let newest = store.newest_files(app(32), 1).await.unwrap();
    assert_eq!(
        (newest[0].name.as_str(), newest[0].size_bytes),
        ("f2.mp4", 5_000_000_000)
    );
    assert!(store.has_file(app(32), ["f1.mp4", "-"], "-").await.unwrap());
    assert!(store.has_file(app(32), ["-", "-"], "recording f1").await.unwrap());
    assert!(!store.has_file(app(33), ["f1.mp4", "-"], "-").await.unwrap());
    store.fill_in_applications().await.unwrap();
}

async fn a_recording_of_a_silent_process_is_taken_over_by_one_other(store: &Store) {
    let rows = [row("g1", "recording"), row("g2", "finishing"), row("g3", "ready")];
    store.add_files(&rows, "gone", at(100)).await.unwrap();
    assert!(!store.files_of("recording g1").await.unwrap().is_empty());
    assert_eq!(
        store.take_over_files("next", at(99), at(200)).await.unwrap(),
        Vec::<String>::new()
    );
    store.renew_files("gone", at(150)).await.unwrap();
    assert_eq!(
        store.take_over_files("next", at(149), at(200)).await.unwrap(),
        Vec::<String>::new()
    );
    let taken = store.take_over_files("next", at(151), at(200)).await.unwrap();
    assert_eq!(taken, ["recording g1", "recording g2"]);
    assert_eq!(
        store.take_over_files("other", at(151), at(200)).await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(store.files_of("recording g1").await.unwrap()[0].state, "closed");
    let whole = RecordingFile {
        duration_ms: 7,
        ..file("g1", 1)
    };
    store.set_file("ready", &whole).await.unwrap();
    assert_eq!(store.files_of("recording g1").await.unwrap()[0].file, whole);
    store.remove_file("g1").await.unwrap();
    assert!(store.files_of("recording g1").await.unwrap().is_empty());
}

async fn a_part_is_closed_alone_or_with_all_that_follow(store: &Store) {
    let part = |part: u64, format: FileFormat| {
        let id = format!("{part}{}", format.as_str());
        let task_id = "parts".to_owned();
        let file = RecordingFile {
            task_id,
            format,
            ..file(&id, 1)
        };
        FileRow {
            part,
            state: "recording".to_owned(),
            file,
        }
    };
    let rows = [
        part(0, FileFormat::Hls),
        part(0, FileFormat::Mp4),
        part(1, FileFormat::Mp4),
    ];
    store.add_files(&rows, "node", at(100)).await.unwrap();
    let states = async || {
        let rows = store.files_of("parts").await.unwrap();
        rows.into_iter().map(|row| row.state).collect::<Vec<_>>()
    };
    store.close_files("parts", Some(0)).await.unwrap();
    assert_eq!(states().await, ["recording", "closed", "recording"]);
    store.close_files("parts", None).await.unwrap();
    assert_eq!(states().await, ["closed", "closed", "closed"]);
}

async fn the_files_of_a_task_are_found_since_its_begin(store: &Store) {
    let of_task = |id: &str, task: &str, started: u64| {
        let file = RecordingFile {
            media_task: Some(TaskRef {
                id: task.parse().unwrap(),
                robot: "robot".parse().unwrap(),
            }),
            room: RoomKey {
                app: app(45),
                room: "1".parse().unwrap(),
            },
            ..file(id, started)
        };
        FileRow {
            part: 0,
            state: "uploading".to_owned(),
            file,
        }
    };
    let rows = [
        of_task("t1", "task-a", 5_000_000),
        of_task("t2", "task-a", 9_000_000),
        of_task("t3", "task-ab", 9_000_000),
        row("t4", "ready"),
    ];
    store.add_files(&rows, "node", at(100)).await.unwrap();
    let found = async |task: &str, begun: u64| {
        let begun = Duration::from_secs(begun);
        let found = store
            .files_of_task(app(45), &task.parse().unwrap(), begun)
            .await
            .unwrap();
        found.into_iter().map(|row| row.file.file_id).collect::<Vec<_>>()
    };
    assert_eq!(found("task-a", 0).await, ["t1", "t2"]);
    assert_eq!(found("task-a", 6).await, ["t2"]);
    assert_eq!(found("task-ab", 0).await, ["t3"]);
    assert_eq!(found("task", 0).await, Vec::<String>::new());
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

async fn open_files_have_an_owner_and_finished_ones_take_space(store: &Store) {
    let of_38 = |id: &str, state: &str, started: u64| {
        let mut file = file(id, started);
        file.room.app = app(38);
        file.size_bytes = 3_000_000_000;
        FileRow {
            part: 0,
            state: state.to_owned(),
            file,
        }
    };
    let rows = [
        of_38("s1", "recording", 3),
        of_38("s2", "ready", 2),
        of_38("s3", "ready", 1),
        of_38("s4", "expired", 1),
    ];
    store.add_files(&rows, "this", at(100)).await.unwrap();
    let open = store.open_files(app(38)).await.unwrap();
    let [open] = &open[..] else { panic!("{open:?}") };
    assert_eq!((open.owner.as_str(), &open.file), ("this", &rows[0]));
    let owner = |app, id: &'static str| async move { store.recording_owner(app, id).await.unwrap() };
    assert_eq!(owner(app(38), "recording s1").await.as_deref(), Some("this"));
    assert_eq!(owner(app(38), "recording s2").await, None, "it is finished");
    assert_eq!(
        owner(app(39), "recording s1").await,
        None,
        "it is another application's"
    );
    assert_eq!(store.recorded_bytes(app(38)).await.unwrap(), 9_000_000_000);
    assert_eq!(store.recorded_bytes(app(39)).await.unwrap(), 0);

    let oldest = |of| async move {
        let files = store.oldest_files(of, 1000).await.unwrap();
        let ids = files.into_iter().map(|file| file.file_id);
        ids.filter(|id| id.starts_with('s')).collect::<Vec<_>>()
    };
    assert_eq!(
        oldest(Some(app(38))).await,
        Vec::<String>::new(),
        "nothing is announced"
    );
    store.set_announced("s2").await.unwrap();
    store.set_announced("s3").await.unwrap();
    for of in [Some(app(38)), None] {
        assert_eq!(oldest(of).await, ["s3", "s2"]);
    }
    assert_eq!(oldest(Some(app(39))).await, Vec::<String>::new());
}
