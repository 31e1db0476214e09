use rotunda_proto::recording::{FileFormat, Place};

use super::info::{Sections, Urls, media_info};
use super::requests::{MediaDeleteItem, Search, SortBy, TimeRange};
use super::*;

fn application() -> Application {
    Application::new(7.try_into().unwrap(), "key")
}

fn checked(change: impl FnOnce(&mut SearchMedia)) -> Checked<Search> {
    let mut request = SearchMedia::default();
    change(&mut request);
    request.checked(&application())
}

fn filter(change: impl FnOnce(&mut SearchMedia)) -> Option<MediaFilter> {
    checked(change).unwrap().filter
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn a_search_without_fields_finds_the_newest_ten() {
    let search = checked(|_| {}).unwrap();
    assert_eq!(search.filter, Some(MediaFilter::default()));
    assert_eq!((search.offset, search.limit), (0, 10));
}

#[test]
fn old_and_new_forms_of_a_field_mean_the_same() {
    let old = filter(|ask| ask.stream_id = Some("s".to_owned()));
    assert_eq!(old, filter(|ask| ask.stream_ids = texts(&["s"])));
    assert_eq!(
        filter(|ask| ask.text = Some("x".to_owned())),
        filter(|ask| ask.names = texts(&["x"]))
    );
    let both = filter(|ask| (ask.text, ask.names) = (Some("x".to_owned()), texts(&["y", "z"]))).unwrap();
    assert_eq!((both.names, both.also_names), (texts(&["x"]), texts(&["y", "z"])));
    let containers = filter(|ask| ask.media_types = texts(&["m3u8", "MP4"])).unwrap();
    assert_eq!(containers.formats, ["mp4", "hls"]);
    let audio = filter(|ask| ask.categories = texts(&["Audio"])).unwrap();
    assert_eq!(audio.formats, ["aac", "mp3"]);
}

#[test]
fn times_include_what_the_contract_includes() {
    let range = TimeRange {
        after: Some("1970-01-01T00:01:00Z".to_owned()),
        before: Some("1970-01-01T08:02:00+08:00".to_owned()),
    };
    let times = |filter: Option<MediaFilter>| filter.map(|filter| (filter.ended_from_unix_ms, filter.ended_to_unix_ms));
    let old = |ask: &mut SearchMedia| {
        ask.start_time = Some("1970-01-01T00:00:01Z".to_owned());
        ask.end_time = Some("1970-01-01T00:00:02Z".to_owned());
    };
    assert_eq!(times(filter(old)), Some((Some(1000), Some(1999))));
    let both = |ask: &mut SearchMedia| {
        old(ask);
        ask.create_time = Some(range);
    };
    assert_eq!(
        times(filter(both)),
        Some((Some(60_000), Some(120_999))),
        "CreateTime wins"
    );
}

#[test]
fn what_no_recorded_file_has_finds_nothing() {
    assert_eq!(filter(|ask| ask.source_type = Some("Upload".to_owned())), None);
    assert_eq!(filter(|ask| ask.trtc_sdk_app_ids = vec![8]), None);
    assert_eq!(filter(|ask| ask.tags = texts(&["t"])), None);
    assert_eq!(filter(|ask| ask.categories = texts(&["Image"])), None);
    assert!(filter(|ask| ask.source_types = texts(&["Upload", "Record"])).is_some());
    assert!(filter(|ask| ask.trtc_sdk_app_ids = vec![8, 7]).is_some());
}

#[test]
fn an_order_counts_where_no_name_is_searched_for() {
    let sort = |order: &str| SortBy {
        field: Some("CreateTime".to_owned()),
        order: Some(order.to_owned()),
    };
    assert!(filter(|ask| ask.sort = Some(sort("Asc"))).unwrap().oldest_first);
    assert!(!filter(|ask| ask.sort = Some(sort("Desc"))).unwrap().oldest_first);
    let both = filter(|ask| (ask.sort, ask.text) = (Some(sort("Asc")), Some("x".to_owned())));
    assert!(!both.unwrap().oldest_first);
}

#[test]
fn wrong_fields_have_their_codes() {
    type Change = fn(&mut SearchMedia);
    let wrong: [(Change, &str); 9] = [
        (
            |ask| (ask.offset, ask.limit) = (Some(1), Some(5000)),
            "InvalidParameterValue.Offset",
        ),
        (|ask| ask.offset = Some(u64::MAX), "InvalidParameterValue.Offset"),
        (|ask| ask.text = Some("x".repeat(65)), "InvalidParameterValue.Text"),
        (
            |ask| ask.names = vec!["x".to_owned(); 11],
            "InvalidParameterValue.Names",
        ),
        (
            |ask| ask.name_prefixes = vec!["x".repeat(101)],
            "InvalidParameterValue.NamePrefixes",
        ),
        (
            |ask| ask.file_ids = vec!["1".repeat(41)],
            "InvalidParameterValue.FileIds",
        ),
        (|ask| ask.sort = Some(SortBy::default()), "InvalidParameterValue.Sort"),
        (
            |ask| ask.start_time = Some("yesterday".to_owned()),
            "InvalidParameterValue.StartTime",
        ),
        (
            |ask| ask.categories = vec!["Film".to_owned()],
            "InvalidParameterValue.Categories",
        ),
    ];
    for (change, code) in wrong {
        assert_eq!(checked(change).map_err(|error| error.code).err(), Some(code));
    }
    assert!(checked(|ask| (ask.offset, ask.limit) = (Some(0), Some(5000))).is_ok());
    assert_eq!(checked(|ask| ask.limit = Some(0)).unwrap().limit, 0);
}

#[test]
fn deleting_parts_that_recorded_files_do_not_have_deletes_nothing() {
    let delete = |types: &[Option<&str>]| {
        let item = |name: &Option<&str>| MediaDeleteItem {
            r#type: name.map(str::to_owned),
            definition: None,
        };
        let request = DeleteMedia {
            delete_parts: types.iter().map(item).collect(),
            ..DeleteMedia::default()
        };
        request.meant_is_the_file().map_err(|error| error.code)
    };
    assert_eq!(delete(&[]), Ok(true));
    assert_eq!(delete(&[Some("TranscodeFiles"), Some("OriginalFiles")]), Ok(true));
    assert_eq!(delete(&[Some("TranscodeFiles")]), Ok(false));
    assert_eq!(delete(&[None]), Err("MissingParameter"));
}

#[test]
fn a_file_is_described_as_the_contract_has_it() {
    let file = RecordingFile {
        file_id: "5285890798833426017".to_owned(),
        task_id: "42".to_owned(),
        room: rotunda_proto::ids::RoomKey {
            app: 7.try_into().unwrap(),
            room: "1001".parse().unwrap(),
        },
        stream_id: "film".parse().unwrap(),
        record_id: None,
        user: Some("ann".parse().unwrap()),
        format: FileFormat::Hls,
        name: "42/lesson_2026.m3u8".to_owned(),
        size_bytes: 1000,
        duration_ms: 4000,
        started_unix_us: 1_764_028_796_000_000,
        ended_unix_us: 1_764_028_800_500_000,
        resolution: Some((1280, 720)),
        url: String::new(),
        gaps: Vec::new(),
        layouts: Vec::new(),
        place: Place::Disk,
        previews: rotunda_proto::recording::Previews::default(),
        stream_kind: None,
        video_only: false,
        media_task: None,
    };
    let url = || Urls {
        media: "https://media.example.com/recordings/1-ab/42/lesson_2026.m3u8".to_owned(),
        cover: None,
    };
    let all = Sections::of(&[]);
    let info = serde_json::to_value(media_info(&file, url(), 2, &all)).unwrap();
    assert_eq!(
        info["FileId"], "5285890798833426017",
        "a text: it is too large for a number"
    );
    let basic = &info["BasicInfo"];
    assert_eq!(
        (&basic["Name"], &basic["Type"]),
        (&"lesson_2026".into(), &"m3u8".into())
    );
    assert_eq!(basic["CreateTime"], "2025-11-25T00:00:00Z");
    assert_eq!(basic["ExpireTime"], "2025-11-27T00:00:00Z");
    assert_eq!(basic["StoragePath"], "/recordings/1-ab/42/lesson_2026.m3u8");
    assert_eq!(basic["SourceInfo"]["LiveRecordInfo"]["StreamId"], "film");
    assert_eq!(basic["SourceInfo"]["LiveRecordInfo"]["Domain"], "media.example.com");
    assert_eq!(
        basic["SourceInfo"]["TrtcRecordInfo"]["UserIds"],
        serde_json::json!(["ann"])
    );
    assert_eq!(
        (&basic["Category"], &basic["Vid"]),
        (&"Video".into(), &"7_5285890798833426017".into())
    );
    let meta = &info["MetaData"];
    assert_eq!((&meta["Duration"], &meta["Bitrate"]), (&4.0.into(), &2000.into()));
    assert_eq!(
        (
            &meta["Width"],
            &meta["VideoStreamSet"][0]["DynamicRangeInfo"]["HDRType"]
        ),
        (&1280.into(), &"".into())
    );
    assert!(info.as_object().unwrap().contains_key("TranscodeInfo") && info["TranscodeInfo"].is_null());
    assert_eq!(basic["CoverUrl"], "");
    let with_poster = Urls {
        cover: Some("https://media.example.com/recordings/1-ab/42/lesson_2026.jpg".to_owned()),
        ..url()
    };
    let with_poster = serde_json::to_value(media_info(&file, with_poster, 0, &all)).unwrap();
    let cover = &with_poster["BasicInfo"]["CoverUrl"];
    assert_eq!(cover, "https://media.example.com/recordings/1-ab/42/lesson_2026.jpg");
    let forever = serde_json::to_value(media_info(&file, url(), 0, &all)).unwrap();
    assert_eq!(forever["BasicInfo"]["ExpireTime"], "9999-12-31T23:59:59Z");
    let only_meta = Sections::of(&texts(&["metaData", "reviewInfo"]));
    let info = serde_json::to_value(media_info(&file, url(), 0, &only_meta)).unwrap();
    assert!(info["BasicInfo"].is_null() && info["MetaData"].is_object());
}
