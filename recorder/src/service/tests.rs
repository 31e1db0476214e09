mod crash;
mod gaps;
mod layouts;
mod previews;
mod running;
mod screens;
mod several;
mod short;
mod space;
mod storage;
mod tasks;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request as HttpRequest, StatusCode};
use rotunda_bus::{BusExt, InProcess, Requests};
use rotunda_media::codec::mp3;
use rotunda_media::program::{Frame, ProgramHub, ProgramWriter};
use rotunda_proto::config::Application;
use rotunda_proto::mix::{AudioEncode, RecordSpec, VideoEncode};
use rotunda_proto::program::{Playing, SingleRecording, SingleStream, StreamKind, program_key};
use rotunda_proto::recording::{Accepted, FILE_READY_SUBJECT, FileFormat, FileWishes, RecordingFile};
use sqlx::Connection;
use tokio::time::timeout;
use tower::ServiceExt;

use super::hls_rules::{read, violations};
use super::program::TestProgram;
use super::*;

const QUICK: Pace = Pace {
    announce: Duration::from_millis(100),
    look: Duration::from_millis(100),
    lease: Duration::from_millis(600),
    search: Duration::from_millis(200),
    orphan_age: Duration::ZERO,
    finish_again: Duration::from_millis(200),
    storage: Duration::from_millis(300),
    silent: Duration::from_secs(10),
    slow_disk: Duration::from_secs(5),
    full_disk: Duration::from_millis(100),
};

/// The folder and the database that outlive a recorder.
struct Place {
    folder: tempfile::TempDir,
    database: &'static str,
    config: Config,
    applications: Vec<Application>,
}

impl Place {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            directory: folder.path().join("recordings"),
            hls_segment_seconds: 1,
            free_space_floor_mb: 0,
            free_space_reserve_mb: 0,
            ..Config::default()
        };
        change(&mut config);
        Self {
            folder,
            database: "db",
            config,
            applications: Vec::new(),
        }
    }

    fn database(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.folder.path().join(self.database).display())
    }

    fn path(&self, file: &RecordingFile) -> PathBuf {
        self.config.directory.join(&file.name)
    }

    /// All files in the recordings' folder.
    fn files(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(&self.config.directory).unwrap();
        let mut files = Vec::new();
        for folder in folders {
            // A folder may go meanwhile.
            let inside = std::fs::read_dir(folder.unwrap().path()).into_iter().flatten();
            files.extend(inside.map(|file| file.unwrap().path()));
        }
        files
    }

    async fn start(&self) -> Running {
        self.start_at(QUICK).await
    }

    async fn start_at(&self, pace: Pace) -> Running {
        self.start_as("node-1", Arc::new(InProcess::new()), ProgramHub::new(), pace)
            .await
    }

    /// A recorder of several on one bus.
    async fn start_as(&self, node: &str, bus: SharedBus, hub: ProgramHub, pace: Pace) -> Running {
        let news = bus.serve(FILE_READY_SUBJECT).await.unwrap();
        let store = Store::open(&self.database()).await.unwrap();
        let shutdown = CancellationToken::new();
        let facts = Facts::new(
            "node-1".parse().unwrap(),
            rotunda_events::Table::new(store.clone()).shared(),
        );
        let appending = facts.start();
        let service = Service::start_at_pace(
            self.config.clone(),
            Access {
                key: FileLinkKey::new(&rotunda_proto::ticket::ClusterSecret::new("key")),
                applications: ApplicationList::new(self.applications.clone()),
                facts,
            },
            ClusterNode::alone(bus.clone(), node.parse().unwrap()),
            Programs::local(hub.clone()),
            store,
            shutdown.clone(),
            pace,
        )
        .await
        .unwrap();
        Running {
            bus,
            hub,
            news,
            service,
            _appending: appending,
            shutdown,
        }
    }
}

/// A recorder, and an outbox that accepts its announcements.
struct Running {
    bus: SharedBus,
    hub: ProgramHub,
    news: Requests,
    service: Service,
    _appending: rotunda_events::Running,
    shutdown: CancellationToken,
}

impl Running {
    async fn file(&mut self) -> RecordingFile {
        let request = timeout(Duration::from_secs(20), self.news.next())
            .await
            .expect("a file");
        let file = request.parse().unwrap();
        request.answer(&Accepted {});
        file
    }

    /// The announced files, in order of format.
    async fn files(&mut self, count: usize) -> Vec<RecordingFile> {
        let mut files = Vec::new();
        for _ in 0..count {
            files.push(self.file().await);
        }
        files.sort_by_key(|file| (file.format.as_str(), file.started_unix_us));
        files
    }

    async fn no_file(&mut self) {
        let more = timeout(Duration::from_millis(700), self.news.next()).await;
        assert!(more.is_err(), "another file came");
    }

    async fn begin(&self, stream: &str, room: u32, record: &str) -> Program {
        self.begin_as(stream, room, record, false).await
    }

    async fn begin_as(&self, stream: &str, room: u32, record: &str, audio_only: bool) -> Program {
        let mut descriptor = descriptor(stream, room);
        descriptor.record = Some(RecordSpec {
            record_id: record.parse().unwrap(),
            audio_only,
            files: FileWishes::default(),
        });
        self.begin_with(descriptor).await
    }

    /// A publisher's own media.
    async fn begin_single(&self, stream: &str, user: &str, prefix: &str) -> Program {
        let mut descriptor = descriptor(stream, 1);
        descriptor.single = Some(SingleStream {
            user: user.parse().unwrap(),
            kind: StreamKind::Main,
            recording: Some(SingleRecording {
                prefix: prefix.to_owned(),
                record_id: None,
                files: FileWishes::default(),
                video_only: false,
            }),
            playing: Playing::No,
        });
        self.begin_with(descriptor).await
    }

    async fn begin_with(&self, descriptor: ProgramDescriptor) -> Program {
        let stream = descriptor.stream();
        let writer = self.hub.open(&stream).unwrap();
        let key = program_key(&stream);
        self.bus
            .update(&key, |_: Option<ProgramDescriptor>| {
                Ok::<_, std::convert::Infallible>((Some(descriptor.clone()), ()))
            })
            .await
            .unwrap()
            .unwrap();
        // A recorder that has not subscribed yet begins at the last keyframe; the recording should include the
        // test's first keyframe.
        let subscribed = async {
            while writer.readers() == 0 {
                Clock.sleep_until(Clock.now() + Duration::from_millis(5)).await;
            }
        };
        let _refused = timeout(Duration::from_secs(2), subscribed).await;
        Program {
            writer,
            bus: self.bus.clone(),
            key,
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.service.finish().await;
    }
}

fn descriptor(stream: &str, room: u32) -> ProgramDescriptor {
    ProgramDescriptor {
        stream_id: stream.parse().unwrap(),
        room: serde_json::from_value(serde_json::json!({ "app": 1, "room": room })).unwrap(),
        node: "node".parse().unwrap(),
        audio: AudioEncode {
            sample_rate: 48_000,
            bitrate_kbps: 64,
            channels: 2,
        },
        video: Some(VideoEncode {
            width: 64,
            height: 48,
            bitrate_kbps: 200,
            framerate: 15,
            gop_seconds: 1,
            background_rgb: 0,
        }),
        record: None,
        push_urls: vec!["rtmp://h/live/SECRET".to_owned()],
        started_unix_ms: 1,
        single: None,
        task: None,
    }
}

struct Program {
    writer: ProgramWriter,
    bus: SharedBus,
    key: String,
}

impl Program {
    /// Faster than real time, but not faster than the readers read. When it returns, all is read.
    async fn play(&self, frames: Vec<Arc<Frame>>) {
        for some in frames.chunks(200) {
            for frame in some {
                self.writer.write(frame.clone());
            }
            let read = async {
                while self.writer.unread() > 0 {
                    Clock.sleep_until(Clock.now() + Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(60), read)
                .await
                .expect("the frames are read");
        }
    }

    async fn end(self) {
        drop(self.writer);
        self.bus.remove(&self.key).await.unwrap();
    }
}

/// The messages of ffmpeg when it decodes a whole file: none for a correct file.
fn complaints(file: &std::path::Path) -> String {
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // A file of ADTS frames does not contain its length.
    said.lines()
        .filter(|line| !line.contains("Estimating duration"))
        .collect()
}

fn seconds(file: &std::path::Path) -> f64 {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

fn check(place: &Place, file: &RecordingFile, expected: f64) {
    let path = place.path(file);
    assert_eq!(complaints(&path), "", "{}", file.name);
    assert!(
        (seconds(&path) - expected).abs() < 0.15,
        "{} s of {}",
        seconds(&path),
        file.name
    );
    assert!((file.duration_ms as f64 / 1000.0 - expected).abs() < 0.15, "{file:?}");
}

#[tokio::test]
async fn a_program_becomes_an_mp4_and_hls_that_obeys_the_rfc() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(5.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(2).await;
    assert_eq!(files[0].format, FileFormat::Hls);
    for file in &files {
        check(&place, file, 5.0);
        let name = file.name.split_once('/').unwrap().1;
        assert!(name.starts_with("film_20"), "the contract's name: {name}");
    }
    assert_eq!(files[0].task_id, files[1].task_id);
    let playlist = std::fs::read_to_string(place.path(&files[0])).unwrap();
    assert_eq!(violations(None, &playlist), Vec::<String>::new(), "{playlist}");
    assert_eq!(read(&playlist).segments.len(), 5);
    assert_eq!(
        std::fs::metadata(place.path(&files[1])).unwrap().len(),
        files[1].size_bytes
    );
    for file in place.files() {
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            !bytes.windows(6).any(|part| part == b"SECRET"),
            "a push key in {}",
            file.display()
        );
    }
    recorder.stop().await;
}

#[tokio::test]
async fn two_mixes_with_one_name_in_one_second_are_both_recorded() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let (one, other) = (
        recorder.begin("s1", 1, "film").await,
        recorder.begin("s2", 2, "film").await,
    );
    let (mut first, mut second) = (TestProgram::new(), TestProgram::sized(96, 64));
    for _ in 0..4 {
        one.play(first.run(1.0, 1.0)).await;
        other.play(second.run(1.0, 1.0)).await;
    }
    one.end().await;
    other.end().await;
    let files = recorder.files(4).await;
    for file in &files {
        check(&place, file, 4.0);
        let expected = if file.stream_id.as_str() == "s1" {
            (64, 48)
        } else {
            (96, 64)
        };
        assert_eq!(file.resolution, Some(expected));
    }
    recorder.stop().await;
}

#[tokio::test]
async fn a_program_that_ends_before_its_first_keyframe_leaves_nothing() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.end().await;
    let program = recorder.begin("t", 1, "film").await;
    let frames = TestProgram::new().run(1.0, 10.0).into_iter().skip(1).collect();
    program.play(frames).await;
    program.end().await;
    recorder.no_file().await;
    recorder.stop().await;
    assert_eq!(place.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_program_of_less_than_a_second_is_a_whole_file() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(0.4, 1.0)).await;
    program.end().await;
    for file in recorder.files(2).await {
        check(&place, &file, 0.4);
    }
    recorder.stop().await;
}

#[tokio::test]
async fn another_bitrate_does_not_split_a_recording() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    source.set_bitrate(900);
    program.play(source.run(2.0, 1.0)).await;
    program.end().await;
    for file in recorder.files(2).await {
        check(&place, &file, 4.0);
    }
    recorder.no_file().await;
    recorder.stop().await;
}

#[tokio::test]
async fn another_size_begins_another_file_and_the_first_is_announced_at_once() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    source.resize(96, 64);
    program.play(source.run(2.0, 1.0)).await;
    let first = recorder.file().await;
    assert_eq!((first.format, first.resolution), (FileFormat::Mp4, Some((64, 48))));
    check(&place, &first, 2.0);
    program.play(source.run(1.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(2).await;
    assert_eq!(files[1].resolution, Some((96, 64)));
    check(&place, &files[1], 3.0);
    // HLS continues in one playlist.
    let playlist = std::fs::read_to_string(place.path(&files[0])).unwrap();
    assert_eq!(violations(None, &playlist), Vec::<String>::new(), "{playlist}");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    assert!((seconds(&place.path(&files[0])) - 5.0).abs() < 0.15);
    recorder.stop().await;
}

#[tokio::test]
async fn a_single_stream_that_changes_its_size_stays_one_file_in_every_format() {
    let place = Place::new(|config| {
        config.formats = serde_json::from_str(r#"["mp4", "flv", "aac", "hls"]"#).unwrap();
    });
    let mut recorder = place.start().await;
    let program = recorder.begin_single("1_1_ann_main", "ann", "1_1_ann_main").await;
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    source.resize(96, 64);
    program.play(source.run(2.0, 1.0)).await;
    source.resize(64, 48);
    program.play(source.run(2.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(4).await;
    for file in &files {
        assert!(file.name.contains("/1_1_ann_main_20"), "{}", file.name);
        assert_eq!(file.user.as_ref().map(ToString::to_string), Some("ann".to_owned()));
        // ffmpeg reads the first configuration of a playlist only.
        if file.format != FileFormat::Hls {
            check(&place, file, 6.0);
        }
    }
    let sizes = |format| {
        let file = files.iter().find(|file| file.format == format).unwrap();
        let output = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-select_streams",
                "v",
                "-show_entries",
                "frame=width,height",
                "-of",
                "csv=p=0",
            ])
            .arg(place.path(file))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut sizes: Vec<String> = text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
        assert_eq!(sizes.len(), 90, "every frame");
        sizes.dedup();
        sizes
    };
    assert_eq!(sizes(FileFormat::Mp4), ["64,48", "96,64", "64,48"]);
    assert_eq!(sizes(FileFormat::Flv), ["64,48", "96,64", "64,48"]);
    recorder.stop().await;
}

#[tokio::test]
async fn an_interrupted_single_stream_is_one_hls_with_a_gap_and_a_new_file_in_other_formats() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin_single("1_1_ann_main", "ann", "film").await;
    let frames = TestProgram::new().run(40.0, 1.0);
    let is_there = |frame: &Arc<Frame>| !(3.0..37.0).contains(&frame.pts.duration().as_secs_f64());
    program.play(frames.into_iter().filter(is_there).collect()).await;
    program.end().await;
    let files = recorder.files(3).await;
    let of = |format| files.iter().filter(move |file| file.format == format);
    for file in of(FileFormat::Mp4) {
        check(&place, file, 3.0);
        assert!(file.gaps.is_empty());
    }
    assert_eq!(of(FileFormat::Mp4).count(), 2);
    let hls = of(FileFormat::Hls).next().unwrap();
    check(&place, hls, 6.0);
    let playlist = std::fs::read_to_string(place.path(hls)).unwrap();
    assert_eq!(violations(None, &playlist), Vec::<String>::new(), "{playlist}");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    let [gap] = &hls.gaps[..] else { panic!("{:?}", hls.gaps) };
    assert_eq!(gap.reason, rotunda_proto::recording::GapReason::PublisherAway);
    assert!((gap.to_unix_ms - gap.from_unix_ms).abs_diff(34_000) < 300, "{gap:?}");
    recorder.stop().await;
}

#[tokio::test]
async fn every_format_is_made_from_one_recording() {
    let place = Place::new(|config| {
        config.formats = serde_json::from_str(r#"["mp4", "flv", "aac"]"#).unwrap();
    });
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(3.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(3).await;
    let formats: Vec<&str> = files.iter().map(|file| file.format.as_str()).collect();
    assert_eq!(formats, ["aac", "flv", "mp4"]);
    for file in &files {
        check(&place, file, 3.0);
    }
    assert_eq!(files[0].resolution, None);
    recorder.stop().await;
    let left = place.files();
    assert!(
        left.iter()
            .all(|file| file.extension().is_some_and(|ending| ending != "m4s")),
        "{left:?}"
    );
}

#[tokio::test]
async fn record_audio_only_is_one_mp3() {
    if !mp3::is_available() {
        eprintln!("SKIPPED: libmp3lame is not installed");
        return;
    }
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin_as("s", 1, "voice", true).await;
    program.play(TestProgram::new().run(4.0, 1.0)).await;
    program.end().await;
    let file = recorder.file().await;
    assert_eq!((file.format, file.resolution), (FileFormat::Mp3, None));
    check(&place, &file, 3.95);
    recorder.no_file().await;
    recorder.stop().await;
}

#[tokio::test]
async fn a_full_disk_begins_no_recording() {
    let place = Place::new(|config| config.free_space_floor_mb = 1 << 40);
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(1.0, 1.0)).await;
    program.end().await;
    recorder.no_file().await;
    recorder.stop().await;
    assert_eq!(place.files(), Vec::<PathBuf>::new());
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

/// Application 1, whose key is `id:secret`.
fn application() -> Application {
    let mut application = Application::new(1.try_into().unwrap(), "key");
    application.secret_id = "id".to_owned();
    application.api_secret = rotunda_proto::config::Secret::new("secret");
    application
}

async fn request(recorder: &Running, method: &str, path: &str) -> StatusCode {
    respond(recorder, method, path).await.status()
}

async fn json(recorder: &Running, path: &str) -> serde_json::Value {
    let response = respond(recorder, "GET", path).await;
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn respond(recorder: &Running, method: &str, path: &str) -> axum::response::Response {
    let request = HttpRequest::builder()
        .method(method)
        .uri(path)
        .header("authorization", "Bearer id:secret")
        .body(axum::body::Body::empty())
        .unwrap();
    recorder.service.router().oneshot(request).await.unwrap()
}

/// Waits until the only recording that is not finished has this state, and answers its id.
async fn wait_for_state(recorder: &Running, state: &str) -> String {
    let reached = async {
        loop {
            let running = json(recorder, "/recordings/running").await;
            if running[0]["state"] == state {
                return running[0]["recordingId"].as_str().unwrap().to_owned();
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), reached).await.expect(state)
}

/// Waits until a fact of this kind with this text in it was told.
async fn wait_for_fact(place: &Place, kind: &str, text: &str) {
    let told = async {
        loop {
            let mut connection = sqlx::SqliteConnection::connect(&place.database()).await.unwrap();
            let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM event_stream")
                .fetch_all(&mut connection)
                .await
                .unwrap();
            if bodies.iter().any(|body| body.contains(kind) && body.contains(text)) {
                return;
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), told).await.expect(kind);
}

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
