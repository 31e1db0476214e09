use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{ClusterNode, InProcess, SharedBus};
use rotunda_events::{Fact, MixOutput, What};
use rotunda_proto::ids::{MixId, RoomKey};
use rotunda_proto::mix_task::Origin;
use rotunda_proto::recording::{FileFormat, Gap, GapReason, Place, RecordingFile};
use rotunda_store::{Store, StreamedEvent};

use super::*;
use crate::applications::Applications;
use crate::config::Config;
use crate::events::effects;

/// 2025-11-25T00:00:00Z
const DAY: u64 = 1_764_028_800_000;
const MINUTE: u64 = 60_000;
const NOW: u64 = DAY + 12 * 60 * MINUTE;

struct Fixture {
    shared: Shared,
    application: Application,
    sequence: i64,
}

impl Fixture {
    async fn new() -> Self {
        let bus: SharedBus = Arc::new(InProcess::new());
        let application = Application::new(7.try_into().unwrap(), "key");
        let node = ClusterNode::alone(bus, "node-1".parse().unwrap());
        let store = Store::in_memory().await.unwrap();
        Self {
            shared: Shared::for_test(Config::default(), node, vec![application.clone()], store),
            application,
            sequence: 0,
        }
    }

    /// As the consumer of the stream of events applies it.
    async fn happened(&mut self, id: &str, at_unix_ms: u64, what: What) {
        self.sequence += 1;
        let fact = Fact {
            id: id.to_owned(),
            room: room(),
            at_unix_ms,
            what,
        };
        let event = StreamedEvent {
            sequence: self.sequence,
            body: serde_json::to_string(&fact).unwrap(),
        };
        let rows = effects(&event, &Applications::new(Vec::new()));
        let store = &self.shared.store;
        store.apply_events("test", &[rows], Duration::ZERO).await.unwrap();
    }

    async fn minutes(&self, mix_type: &str) -> Vec<f64> {
        let request = DescribeRecordingUsage {
            start_time: Some("2025-11-24".to_owned()),
            end_time: Some("2025-11-25".to_owned()),
            mix_type: Some(mix_type.to_owned()),
            sdk_app_id: Some(7),
        };
        let table = describe_recording_usage(&self.shared, &self.application, request, NOW)
            .await
            .unwrap();
        assert_eq!(table.usage_key, ["Audio", "SD", "HD", "FullHD", "2K", "4K"]);
        assert_eq!(table.usage_list.len(), 2);
        table.usage_list[1].usage_value.clone()
    }

    async fn recorded(&self, start: &str, end: &str) -> Vec<RecordUsage> {
        let request = DescribeRecordStatistic {
            start_time: Some(start.to_owned()),
            end_time: Some(end.to_owned()),
            sdk_app_id: None,
        };
        let statistic = describe_record_statistic(&self.shared, &self.application, request, NOW)
            .await
            .unwrap();
        let [usage] = <[_; 1]>::try_from(statistic.sdk_app_id_usages).unwrap();
        assert_eq!(usage.sdk_app_id, "7");
        usage.usages
    }
}

fn room() -> RoomKey {
    RoomKey {
        app: 7.try_into().unwrap(),
        room: "1001".parse().unwrap(),
    }
}

fn file(user: Option<&str>, resolution: Option<(u16, u16)>, start: u64, minutes: u64) -> What {
    What::FileReady {
        file: Box::new(RecordingFile {
            file_id: "1".to_owned(),
            task_id: "2".to_owned(),
            room: room(),
            stream_id: "s".parse().unwrap(),
            record_id: None,
            user: user.map(|user| user.parse().unwrap()),
            format: FileFormat::Mp4,
            name: "2/n.mp4".to_owned(),
            size_bytes: 1,
            duration_ms: minutes * MINUTE,
            started_unix_us: start * 1000,
            ended_unix_us: (start + minutes * MINUTE) * 1000,
            resolution,
            url: String::new(),
            gaps: Vec::new(),
            layouts: Vec::new(),
            place: Place::Disk,
            previews: rotunda_proto::recording::Previews::default(),
            stream_kind: None,
            video_only: false,
            media_task: None,
        }),
    }
}

/// The prices of the contract, CNY per 1000 minutes of audio, SD and HD.
fn price(minutes: &[f64]) -> f64 {
    let prices = [3.5, 7.0, 14.0];
    minutes
        .iter()
        .zip(prices)
        .map(|(minutes, price)| minutes * price / 1000.0)
        .sum()
}

/// Users A (audio), B (640x360) and C (1280x720) for 10 minutes: three files, or one of their mix.
#[tokio::test]
async fn the_worked_example_of_the_contract() {
    let mut fixture = Fixture::new().await;
    let start = DAY + 5000;
    fixture.happened("a", NOW, file(Some("a"), None, start, 10)).await;
    fixture
        .happened("b", NOW, file(Some("b"), Some((640, 360)), start, 10))
        .await;
    fixture
        .happened("c", NOW, file(Some("c"), Some((1280, 720)), start, 10))
        .await;
    fixture
        .happened("mix", NOW, file(None, Some((1280, 720)), start, 10))
        .await;
    // Another node tells it, too.
    fixture
        .happened("mix", NOW, file(None, Some((1280, 720)), start, 10))
        .await;
    let single = fixture.minutes("single").await;
    assert_eq!(single, [10.0, 10.0, 10.0, 0.0, 0.0, 0.0]);
    assert!((price(&single) - 0.245).abs() < 1e-9);
    let mixed = fixture.minutes("multi").await;
    assert_eq!(mixed, [0.0, 0.0, 10.0, 0.0, 0.0, 0.0]);
    assert!((price(&mixed) - 0.14).abs() < 1e-9);
    let days = fixture.recorded("2025-11-24", "2025-11-25").await;
    let day = &days[1];
    assert_eq!(day.time_key, "2025-11-25");
    let seconds = (
        day.audio_time,
        day.class1_video_time,
        day.class2_video_time,
        day.class3_video_time,
    );
    assert_eq!(seconds, (600, 600, 1200, 0));
}

#[tokio::test]
async fn time_belongs_to_its_day_and_its_five_minutes_and_gaps_are_left_out() {
    let mut fixture = Fixture::new().await;
    // From 23:50 on, 20 minutes, with a gap of 5 minutes from 23:55 to midnight.
    let start = DAY - 10 * MINUTE;
    let What::FileReady { mut file } = file(None, Some((1920, 1080)), start, 20) else {
        unreachable!()
    };
    file.gaps = vec![Gap {
        from_unix_ms: DAY - 5 * MINUTE,
        to_unix_ms: DAY,
        reason: GapReason::PublisherAway,
        track: None,
    }];
    fixture.happened("file", NOW, What::FileReady { file }).await;
    let days = fixture.recorded("2025-11-25", "2025-11-24").await;
    let by_day: Vec<_> = days
        .iter()
        .map(|day| (day.time_key.as_str(), day.class3_video_time))
        .collect();
    assert_eq!(by_day, [("2025-11-24", 300), ("2025-11-25", 900)]);
    let points = fixture.recorded("2025-11-25", "2025-11-25").await;
    assert_eq!(points.len(), 144, "until now");
    let used: Vec<_> = points
        .iter()
        .filter(|point| point.class3_video_time > 0)
        .map(|point| (point.time_key.as_str(), point.class3_video_time))
        .collect();
    let key = |minute: &str| format!("2025-11-25 00:{minute}:00");
    let expected = [(key("00"), 300), (key("05"), 300), (key("10"), 300)];
    assert_eq!(used, expected.each_ref().map(|(key, seconds)| (key.as_str(), *seconds)));
}

#[tokio::test]
async fn a_mix_counts_by_its_output_while_it_runs() {
    let mut fixture = Fixture::new().await;
    let (mix, sd, hd) = (
        MixId(5),
        MixOutput::Video {
            width: 640,
            height: 360,
        },
        MixOutput::Video {
            width: 1280,
            height: 720,
        },
    );
    let stream_id = || "film".parse().unwrap();
    let begun = What::MixBegun {
        mix,
        stream_id: stream_id(),
        started_unix_ms: Some(DAY - MINUTE),
        output: Some(sd),
        origin: Origin::default(),
        spec: None,
    };
    fixture.happened("begun", DAY - MINUTE + 300, begun).await;
    let changed = What::MixChanged {
        stream_id: stream_id(),
        mix: Some(mix),
        output: Some(hd),
    };
    fixture.happened("changed", DAY + MINUTE, changed).await;
    fixture
        .happened("runs", DAY + 5 * MINUTE, What::MixRuns { mix, output: hd })
        .await;
    let ended = What::MixEnded {
        mix,
        stream_id: stream_id(),
        record_id: None,
        replaced_by: None,
        started_unix_ms: Some(DAY - MINUTE),
        reason: "asked".to_owned(),
    };
    fixture.happened("ended", DAY + 7 * MINUTE, ended).await;
    let request = |app| DescribeTrtcMcuTranscodeTime {
        start_time: Some("2025-11-24".to_owned()),
        end_time: Some("2025-11-25".to_owned()),
        sdk_app_id: app,
    };
    let ask = |app| describe_transcode_time(&fixture.shared, &fixture.application, request(app), NOW);
    let [total] = <[_; 1]>::try_from(ask(None).await.unwrap().usages).unwrap();
    assert_eq!((total.sdk_app_id.as_str(), total.total_num), ("total", 2));
    let days: Vec<_> = total
        .sdk_app_id_transcode_time_usages
        .iter()
        .map(|day| (day.audio_time, day.video_time_sd, day.video_time_hd, day.video_time_fhd))
        .collect();
    assert_eq!(days, [(0, 60, 0, 0), (0, 60, 360, 0)]);
    assert_eq!(ask(Some(7)).await.unwrap().usages[0].sdk_app_id, "7");
    assert_eq!(ask(Some(8)).await.unwrap_err().code, "InvalidParameter.SdkAppId");
}

#[test]
fn days_are_checked() {
    let read = |start: Option<&str>, end: Option<&str>| {
        let days = Days::read(start, end, "Wrong", "TooLong");
        days.map(|days| (days.end - days.from) / DAY_MS)
            .map_err(|error| error.code)
    };
    assert_eq!(read(Some("2025-11-25"), Some("2025-11-25")), Ok(1));
    assert_eq!(read(Some("2025-11-25"), Some("2025-11-24")), Ok(2), "reversed");
    assert_eq!(read(Some("2025-10-01"), Some("2025-10-31")), Ok(31));
    assert_eq!(read(Some("2025-10-01"), Some("2025-11-01")), Err("TooLong"));
    assert_eq!(read(None, Some("2025-11-01")), Err("MissingParameter"));
    for wrong in ["2025-13-01", "2025-11-01 00:00:00", "", "1969-12-31", "yesterday"] {
        assert_eq!(read(Some(wrong), Some("2025-11-01")), Err("Wrong"), "{wrong}");
    }
}
