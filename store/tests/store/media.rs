//! The search in the catalogue of recorded files.

use rotunda_proto::ids::{RoomId, RoomKey};
use rotunda_proto::recording::{FileFormat, Place, RecordingFile};
use rotunda_store::{FileRow, MediaFilter, Store};

use crate::{app, at, on_both};

on_both!(
    a_search_finds_what_all_its_conditions_describe,
    pages_follow_each_other_and_know_the_total,
);

fn file(application: u32, id: &str, room: RoomId, stream: &str, name: &str, ended_s: u64) -> RecordingFile {
    RecordingFile {
        file_id: id.to_owned(),
        task_id: format!("77{application}"),
        room: RoomKey {
            app: app(application),
            room,
        },
        stream_id: stream.parse().unwrap(),
        record_id: None,
        user: None,
        format: if name.ends_with(".mp4") {
            FileFormat::Mp4
        } else {
            FileFormat::Hls
        },
        name: format!("77{application}/{name}"),
        size_bytes: 5,
        duration_ms: 1000,
        started_unix_us: (ended_s - 1) * 1_000_000,
        ended_unix_us: ended_s * 1_000_000,
        resolution: None,
        url: String::new(),
        gaps: Vec::new(),
        layouts: Vec::new(),
        place: Place::Disk,
        previews: rotunda_proto::recording::Previews::default(),
        stream_kind: None,
        video_only: false,
        media_task: None,
    }
}

async fn enter(store: &Store, files: &[RecordingFile], state: &str) {
    let rows: Vec<FileRow> = files
        .iter()
        .map(|file| FileRow {
            part: 0,
            state: state.to_owned(),
            file: file.clone(),
        })
        .collect();
    store.add_files(&rows, "recorder", at(1)).await.unwrap();
}

async fn ids(store: &Store, application: u32, filter: MediaFilter) -> Vec<String> {
    let page = store.search_media(app(application), &filter, 0, 100).await.unwrap();
    assert_eq!(page.total as usize, page.files.len());
    page.files.into_iter().map(|file| file.file_id).collect()
}

async fn a_search_finds_what_all_its_conditions_describe(store: &Store) {
    let number = || "1001".parse::<RoomId>().unwrap();
    let files = [
        file(60, "1", number(), "film", "Lesson_1_a.mp4", 100),
        file(60, "2", "text:1001".parse().unwrap(), "film", "lesson_2_b.m3u8", 300),
        file(60, "3", "hall".parse().unwrap(), "other", "100%_c.mp4", 200),
    ];
    enter(store, &files, "ready").await;
    enter(
        store,
        &[file(60, "4", number(), "film", "lesson_3.mp4", 400)],
        "recording",
    )
    .await;
    enter(store, &[file(61, "5", number(), "film", "lesson_4.mp4", 400)], "ready").await;
    let filter = MediaFilter::default;
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(store, 60, filter()).await, ["2", "3", "1"], "newest first");
    let oldest_first = true;
    assert_eq!(
        ids(
            store,
            60,
            MediaFilter {
                oldest_first,
                ..filter()
            }
        )
        .await,
        ["1", "3", "2"]
    );
    let search = |names: &[&str]| MediaFilter {
        names: texts(names),
        ..filter()
    };
    assert_eq!(ids(store, 60, search(&["LESSON"])).await, ["2", "1"]);
    assert_eq!(ids(store, 60, search(&["n_2", "0%_"])).await, ["2", "3"]);
    assert_eq!(
        ids(store, 60, search(&["7760"])).await,
        [] as [&str; 0],
        "the folder is no part of the name"
    );
    assert_eq!(ids(store, 60, search(&["' OR 1=1 --"])).await, [] as [&str; 0]);
    let begins = |name: &str| MediaFilter {
        name_prefixes: texts(&[name]),
        ..filter()
    };
    assert_eq!(ids(store, 60, begins("lesson_1")).await, ["1"]);
    assert_eq!(ids(store, 60, begins("esson")).await, [] as [&str; 0]);
    let both = MediaFilter {
        stream_ids: texts(&["film", "none"]),
        formats: texts(&["hls"]),
        ..filter()
    };
    assert_eq!(ids(store, 60, both).await, ["2"]);
    let in_rooms = |room: &str| MediaFilter {
        rooms: texts(&[room]),
        ..filter()
    };
    assert_eq!(ids(store, 60, in_rooms("1001")).await, ["2", "1"]);
    assert_eq!(ids(store, 60, in_rooms("hall")).await, ["3"]);
    let within = MediaFilter {
        ended_from_unix_ms: Some(200_000),
        ended_to_unix_ms: Some(300_000),
        ..filter()
    };
    assert_eq!(ids(store, 60, within).await, ["2", "3"]);
    let exactly = MediaFilter {
        file_ids: texts(&["3", "9"]),
        ..filter()
    };
    assert_eq!(ids(store, 60, exactly).await, ["3"]);
}

async fn pages_follow_each_other_and_know_the_total(store: &Store) {
    let files: Vec<_> = (0..5)
        .map(|number| {
            let room = "1".parse().unwrap();
            file(
                62,
                &format!("62{number}"),
                room,
                "s",
                &format!("n{number}.mp4"),
                100 + number,
            )
        })
        .collect();
    enter(store, &files, "ready").await;
    let filter = MediaFilter::default();
    let page = store.search_media(app(62), &filter, 3, 10).await.unwrap();
    let ids: Vec<_> = page.files.iter().map(|file| file.file_id.as_str()).collect();
    assert_eq!((ids, page.total), (vec!["621", "620"], 5));
}
