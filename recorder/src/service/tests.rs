//! Recorders in this process, with a folder, a database and a bus of their own: [`Place`] starts them as [`Running`], and a
//! [`Program`] plays them frames faster than real time. The tests are in the files of the folder:
//!
//! - `programs`, `single_streams`, `screens`, `short`, `formats`: which files a program becomes
//! - `gaps`, `layouts`, `previews`: what is known of a file beside its media
//! - `running`, `tasks`: what is told while a recording runs
//! - `space`, `storage`, `deletion`: full disks, buckets, and the end of files
//! - `crash`, `several`: processes that end abruptly, and several recorders
//! - `asking`: requests to the recorder

mod asking;
mod crash;
mod deletion;
mod formats;
mod gaps;
mod layouts;
mod previews;
mod programs;
mod running;
mod screens;
mod several;
mod short;
mod single_streams;
mod space;
mod storage;
mod tasks;

#[path = "../../../tests/end_to_end/support/ffmpeg.rs"]
mod ffmpeg;

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

use asking::{application, json, request, wait_for_fact, wait_for_state};
use ffmpeg::{complaints, probe, seconds};

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

/// Does this in a process that then ends abruptly: what it has started, and has not dropped, ends where it waits.
fn until_killed<T>(doing: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let done = runtime.block_on(doing);
    runtime.shutdown_background();
    done
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
        self.begin_with(recorded(stream, room, record, audio_only)).await
    }

    /// A mix whose recording is refused.
    async fn begin_refused(&self, place: &Place, stream: &str, reason: &str) -> Program {
        let program = self.announce(recorded(stream, 1, stream, false)).await;
        wait_for_fact(place, "recording_refused", reason).await;
        assert_eq!(program.writer.readers(), 0, "nobody reads it");
        program
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

    /// Returns when a recorder reads the program: one that has not subscribed yet would begin at the last keyframe, and the recording
    /// should include the test's first one.
    async fn begin_with(&self, descriptor: ProgramDescriptor) -> Program {
        let program = self.announce(descriptor).await;
        program.wait_for_reader().await;
        program
    }

    /// A program that runs, whether or not it is recorded.
    async fn announce(&self, descriptor: ProgramDescriptor) -> Program {
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

/// A mix that is to be recorded.
fn recorded(stream: &str, room: u32, record: &str, audio_only: bool) -> ProgramDescriptor {
    ProgramDescriptor {
        record: Some(RecordSpec {
            record_id: record.parse().unwrap(),
            audio_only,
            files: FileWishes::default(),
        }),
        ..descriptor(stream, room)
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

    /// Waits until one recorder reads it.
    async fn wait_for_reader(&self) {
        let read = async {
            while self.writer.readers() != 1 {
                Clock.sleep_until(Clock.now() + Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(60), read)
            .await
            .expect("one recorder reads it");
    }

    async fn end(self) {
        drop(self.writer);
        self.bus.remove(&self.key).await.unwrap();
    }
}

/// The file is whole, and as long as expected: `expected` in seconds.
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
