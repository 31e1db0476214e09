//! The shell: follows the running programs, records those that are to be, tells of finished files, and serves them.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics::gauge;
use rotunda_bus::{BusError, BusExt, Change, SharedBus, Watch, WatchEvent};
use rotunda_media::program::ProgramHub;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::StreamId;
use rotunda_proto::program::{PROGRAMS_PREFIX, ProgramDescriptor};
use rotunda_proto::recording::{Accepted, FILE_READY_SUBJECT, RecordingFile};
use rotunda_store::{FileRow, Store};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;
use tower_http::services::ServeDir;
use tracing::{Instrument, error, info, info_span, warn};

use crate::config::Config;
use crate::mp4_file::{PART, finish_part};
use crate::recording::{RecordError, record};

/// Files that `/recordings` lists, the newest.
const LISTED: u32 = 200;
/// News that is not accepted is offered again after this time.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);

/// Why the recorder did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("make the folder {path}")]
    Folder {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("reach the bus")]
    Bus(#[from] BusError),
}

/// A running recorder.
pub struct Service {
    config: Config,
    store: Store,
    task: JoinHandle<()>,
}

/// A program: its stream, and when it began. The same stream may run again while its last files are being finished.
type ProgramKey = (StreamId, u64);
type Finished = (ProgramKey, Result<Vec<RecordingFile>, RecordError>);

struct Recorder {
    config: Config,
    bus: SharedBus,
    hub: ProgramHub,
    store: Store,
    running: HashSet<ProgramKey>,
    tasks: JoinSet<Finished>,
    shutdown: CancellationToken,
}

impl Service {
    pub async fn start(
        config: Config,
        bus: SharedBus,
        hub: ProgramHub,
        store: Store,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.directory).map_err(|source| StartError::Folder {
            path: config.directory.clone(),
            source,
        })?;
        config.warn_of_old_keys();
        recover(&config.directory).await;
        let programs = bus.watch(PROGRAMS_PREFIX).await?;
        let recorder = Recorder {
            config: config.clone(),
            bus,
            hub,
            store: store.clone(),
            running: HashSet::new(),
            tasks: JoinSet::new(),
            shutdown,
        };
        Ok(Self {
            config,
            store,
            task: tokio::spawn(recorder.run(programs)),
        })
    }

    /// `/recordings`, a list as JSON, and the files below it.
    pub fn router(&self) -> Router {
        let store = self.store.clone();
        let list = move || async move { list(&store).await };
        Router::new()
            .route("/recordings", get(list))
            .nest_service("/recordings/", ServeDir::new(&self.config.directory))
            .layer(CorsLayer::permissive())
    }

    /// Resolves when, after shutdown, every recording is finished and told of as far as anybody listens.
    pub async fn finish(self) {
        let _ended = self.task.await;
    }
}

async fn list(store: &Store) -> Response {
    match store.newest_files(LISTED).await {
        Ok(files) => Json(files.into_iter().map(listed).collect::<Vec<_>>()).into_response(),
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "list the recordings");
            (StatusCode::INTERNAL_SERVER_ERROR, "the catalogue does not answer").into_response()
        }
    }
}

/// A file as `/recordings` lists it.
fn listed(file: FileRow) -> Value {
    json!({
        "name": file.name,
        "state": file.state,
        "format": file.format,
        "size": file.size_bytes,
        "durationMs": file.duration_ms,
        "startedUnixMs": file.started_unix_us / 1000,
        "url": file.url,
    })
}

impl Recorder {
    async fn run(mut self, mut programs: Watch) {
        let clock = Clock;
        let mut announce_at = clock.now();
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                event = programs.next() => if let WatchEvent::Change(change) = event {
                    self.follow(&change);
                },
                Some(done) = self.tasks.join_next() => {
                    if let Ok(finished) = done {
                        self.take(finished).await;
                    }
                    announce_at = clock.now();
                }
                () = clock.sleep_until(announce_at) => {
                    self.announce().await;
                    announce_at = clock.now() + ANNOUNCE_EVERY;
                }
            }
        }
        while let Some(done) = self.tasks.join_next().await {
            if let Ok(finished) = done {
                self.take(finished).await;
            }
        }
        self.announce().await;
    }

    fn follow(&mut self, change: &Change) {
        let Some(program) = change
            .parse::<ProgramDescriptor>()
            .filter(|program| program.record.is_some())
        else {
            return;
        };
        let key = (program.stream_id.clone(), program.started_unix_ms);
        if !self.running.insert(key.clone()) {
            return;
        }
        let Some(reader) = self.hub.subscribe(&program.stream_id) else {
            warn!(stream = %program.stream_id, "the program is not in this process");
            self.running.remove(&key);
            return;
        };
        gauge!("rotunda_recorder_recordings").set(self.running.len() as f64);
        let (config, stop) = (self.config.clone(), self.shutdown.clone());
        let span = info_span!("recording", room = %program.room, stream = %program.stream_id);
        let recording = async move { (key, record(config, program, reader, stop).await) };
        self.tasks.spawn(recording.instrument(span));
    }

    async fn take(&mut self, (key, finished): Finished) {
        self.running.remove(&key);
        gauge!("rotunda_recorder_recordings").set(self.running.len() as f64);
        let files = match finished {
            Ok(files) => files,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, stream = %key.0, "the recording has failed");
                metrics::counter!("rotunda_recorder_failed_total").increment(1);
                return;
            }
        };
        for file in files {
            if let Err(error) = self.store.add_file(&file).await {
                error!(
                    error = &error as &dyn std::error::Error,
                    file = file.name,
                    "enter the file in the catalogue"
                );
            }
        }
    }

    /// Offers what has not been accepted yet.
    async fn announce(&self) {
        let waiting = match self.store.unannounced_files().await {
            Ok(waiting) => waiting,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "read the catalogue");
                return;
            }
        };
        for file in waiting {
            match self.bus.call::<_, Accepted>(FILE_READY_SUBJECT, &file).await {
                Ok(Accepted {}) => {
                    if let Err(error) = self.store.set_announced(&file.file_id).await {
                        error!(
                            error = &error as &dyn std::error::Error,
                            "write the catalogue; the news may come twice"
                        );
                    }
                }
                Err(error) => {
                    info!(
                        error = &error as &dyn std::error::Error,
                        file = file.name,
                        "nobody takes the news yet"
                    );
                    return;
                }
            }
        }
    }
}

/// Finishes the parts that an earlier process left when it ended without warning.
async fn recover(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let Some(base) = name.strip_suffix(PART) else { continue };
        let out = directory.join(format!("{base}_recovered.mp4"));
        let part = path.clone();
        match tokio::task::spawn_blocking(move || finish_part(&part, &out)).await {
            Ok(Ok(summary)) => info!(
                file = base,
                seconds = summary.duration_ms / 1000,
                "a cut recording is recovered"
            ),
            Ok(Err(error)) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    file = name,
                    "a cut recording has nothing to recover"
                );
            }
            Err(error) => error!(error = &error as &dyn std::error::Error, "recover a recording"),
        }
    }
}
