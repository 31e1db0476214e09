//! The shell: follows the running programs, records the requested ones, finishes their files, announces and serves
//! them.

mod answers;
mod beginning;
pub mod task_steps;
mod upkeep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use axum::Router;
use metrics::{counter, gauge};
use rotunda_bus::{BusError, ClusterNode, Requests, SharedBus, Watch, WatchEvent};
use rotunda_events::{Facts, What};
use rotunda_programs::Programs;
use rotunda_programs::claims::{Claims, Work};
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::clock::Clock;
use rotunda_proto::file_link::FileLinkKey;
use rotunda_proto::program::{PROGRAMS_PREFIX, ProgramDescriptor};
use rotunda_proto::recording::{Gap, LIST_SUBJECT, MEDIA_SUBJECT, RecordingState};
use rotunda_store::{Store, StoreError};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use uuid::Uuid;

use crate::api::RecordingsApi;
use crate::asked::ProgramKey;
use crate::config::Config;
use crate::file_ready::announce;
use crate::files::Files;
use crate::finishing::FinishingError;
use crate::folder::Manifest;
use crate::ledger::{Ledger, State};
use crate::media_requests;
use crate::orphans::Found;
use crate::pace::Pace;
use crate::recording::{News, RecordError, Wish};
use crate::rows::rows;
use crate::running::RunningRecordings;
use crate::status;
use crate::storage::{Storage, StorageError};
use crate::uploading::UploadError;
use crate::uploads::Uploads;
use crate::writer::Notice;

const NEWS: usize = 256;
/// Gaps of a running recording that are told; its files name all.
const MOST_GAPS: usize = 1000;

/// Why the recorder did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("make the folder {path}")]
    Folder {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("read the catalogue")]
    Catalogue(#[source] StoreError),
    #[error("reach the bus")]
    Bus(#[from] BusError),
    #[error("set up recorder.storage")]
    Storage(#[from] StorageError),
}

/// The key of signed addresses, the applications whose API keys give access to files, and where recordings are told.
pub struct Access {
    pub key: FileLinkKey,
    pub applications: ApplicationList,
    pub facts: Facts,
}

/// A running recorder.
pub struct Service {
    api: RecordingsApi,
    task: JoinHandle<()>,
}

struct Running {
    key: ProgramKey,
    manifest: Manifest,
    wish: watch::Sender<Wish>,
    /// Ends the recording when another process has its program.
    stop: CancellationToken,
    state: RecordingState,
    gaps: Vec<Gap>,
    /// Bytes of its segments.
    written: Arc<AtomicU64>,
}

/// A task that has ended.
enum Done {
    Recorded(String, Result<(), RecordError>),
    Finished(String, Result<(), FinishingError>),
    Searched(Found),
    Expired,
    Uploaded(String, Result<(), UploadError>),
}

struct Recorder {
    config: Config,
    pace: Pace,
    bus: SharedBus,
    programs: Programs,
    /// Each program is recorded by one process.
    claims: Claims,
    store: Store,
    facts: Facts,
    files: Files,
    ledger: Ledger,
    /// By recording id.
    running: HashMap<String, Running>,
    /// Recordings whose files are to be made, and whether they have ended.
    to_finish: HashMap<String, bool>,
    finishing: HashSet<String>,
    /// Recordings that have ended while the ledger could not be written.
    unclosed: Vec<String>,
    /// When to try again the recordings whose files could not be made.
    again: HashMap<String, Instant>,
    /// Recordings on the disk that have a row; None while the disk is searched.
    known: Option<HashSet<String>>,
    storage: Option<Storage>,
    uploads: Uploads,
    /// Running programs that are to be recorded, by any process.
    wanted: HashMap<ProgramKey, ProgramDescriptor>,
    /// Of these, programs that could not be recorded here.
    refused: HashSet<ProgramKey>,
    /// Of these, programs whose recording here has ended.
    done: HashSet<ProgramKey>,
    /// Files are being deleted because their time is over or their space is needed.
    is_expiring: bool,
    applications: ApplicationList,
    tasks: JoinSet<Done>,
    news: mpsc::Sender<(String, News)>,
    heard: mpsc::Receiver<(String, News)>,
    shutdown: CancellationToken,
}

impl Service {
    pub async fn start(
        config: Config,
        access: Access,
        node: ClusterNode,
        programs: Programs,
        store: Store,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        Self::start_at_pace(config, access, node, programs, store, shutdown, Pace::default()).await
    }

    async fn start_at_pace(
        config: Config,
        access: Access,
        node: ClusterNode,
        programs: Programs,
        store: Store,
        shutdown: CancellationToken,
        pace: Pace,
    ) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.directory).map_err(|source| StartError::Folder {
            path: config.directory.clone(),
            source,
        })?;
        config.warn_of_old_keys();
        let bus = node.bus().clone();
        let changes = bus.watch(PROGRAMS_PREFIX).await?;
        let claims = Claims::start(node, Work::Record).await?;
        store.fill_in_applications().await.map_err(StartError::Catalogue)?;
        let applications = access.applications.clone();
        let ledger = Ledger::new(store.clone(), Uuid::new_v4().to_string());
        let storage = Storage::open(&config.storage, pace.storage_retry())?;
        let files = Files::new(
            &config,
            access.key,
            access.applications,
            ledger.clone(),
            storage.clone(),
            store.clone(),
        );
        let running = RunningRecordings::new(bus.clone(), store.clone());
        let api = RecordingsApi::new(files.clone(), running.clone(), bus.clone(), store.clone());
        let lists = bus.serve(LIST_SUBJECT).await?;
        let media = bus.serve(MEDIA_SUBJECT).await?;
        tokio::spawn(media_requests::serve(files.clone(), running, media, shutdown.clone()));
        let queries = bus.serve(&status::subject(ledger.owner())).await?;
        let (news, heard) = mpsc::channel(NEWS);
        let recorder = Recorder {
            config,
            pace,
            bus,
            programs,
            claims,
            store: store.clone(),
            facts: access.facts,
            files: files.clone(),
            ledger,
            running: HashMap::new(),
            to_finish: HashMap::new(),
            finishing: HashSet::new(),
            unclosed: Vec::new(),
            again: HashMap::new(),
            known: Some(HashSet::new()),
            storage,
            uploads: Uploads::default(),
            wanted: HashMap::new(),
            refused: HashSet::new(),
            done: HashSet::new(),
            is_expiring: false,
            applications,
            tasks: JoinSet::new(),
            news,
            heard,
            shutdown,
        };
        Ok(Self {
            api,
            task: tokio::spawn(recorder.run(changes, lists, queries)),
        })
    }

    /// `/recordings`: the files, and the recordings that run.
    pub fn router(&self) -> Router {
        self.api.router()
    }

    /// Resolves when, after shutdown, every recording is finished and announced, as far as a receiver is there.
    pub async fn finish(self) {
        let _ended = self.task.await;
    }
}

impl Recorder {
    async fn run(mut self, mut programs: Watch, mut lists: Requests, mut queries: Requests) {
        let clock = Clock;
        let mut held = self.claims.held();
        let (mut announce_at, mut look_at, mut search_at) = (clock.now(), clock.now(), clock.now());
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                event = programs.next() => if let WatchEvent::Change(change) = event {
                    self.follow(&change);
                },
                Ok(()) = held.changed() => self.handle_claims().await,
                Some((id, news)) = self.heard.recv() => self.handle_news(&id, news).await,
                request = lists.next() => self.list(request).await,
                request = queries.next() => self.answer(request),
                Some(done) = self.tasks.join_next() => {
                    self.handle_done(done).await;
                    announce_at = clock.now();
                }
                () = clock.sleep_until(announce_at) => {
                    announce(&self.store, &self.files, &self.bus).await;
                    announce_at = clock.now() + self.pace.announce;
                }
                () = clock.sleep_until(look_at) => {
                    self.look().await;
                    look_at = clock.now() + self.pace.look;
                }
                () = clock.sleep_until(search_at) => {
                    self.search();
                    self.expire();
                    search_at = clock.now() + self.pace.search;
                }
            }
        }
        // Other processes go on with the programs that still run.
        self.claims.give_up();
        // The same token ends recordings; their files are made before the process ends, or by the next process.
        loop {
            tokio::select! {
                Some((id, news)) = self.heard.recv() => self.handle_news(&id, news).await,
                done = self.tasks.join_next() => match done {
                    Some(done) => self.handle_done(done).await,
                    None => break,
                },
            }
        }
        announce(&self.store, &self.files, &self.bus).await;
        self.claims.finish().await;
    }

    async fn handle_news(&mut self, id: &str, news: News) {
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        let result = match news {
            News::State(state) => {
                running.state = state;
                info!(recording = id, ?state, "the state of a recording has changed");
                let program = &running.manifest.program;
                let changed = What::RecordingChanged {
                    recording: id.to_owned(),
                    stream_id: program.stream_id.clone(),
                    state,
                };
                self.facts.tell(&program.room, changed);
                self.count();
                return;
            }
            News::File(Notice::Gap { gap }) => {
                counter!("rotunda_recorder_gaps_total", "reason" => gap.reason.as_str()).increment(1);
                if running.gaps.len() < MOST_GAPS {
                    running.gaps.push(gap);
                }
                return;
            }
            News::File(Notice::Listed { wall, has_video }) => {
                let manifest = running.manifest.clone();
                self.tell_listed(&manifest, wall, has_video);
                return;
            }
            News::File(Notice::PartBegan { part, wall }) => {
                let rows = rows(&running.manifest, part, wall, State::Recording);
                self.ledger.add(&rows, Clock.unix() + self.pace.lease).await
            }
            News::File(Notice::PartEnded { part }) => {
                self.to_finish.entry(id.to_owned()).or_insert(false);
                self.ledger.close(id, Some(part)).await
            }
        };
        if let Err(error) = result {
            // The folder has the facts; the next start enters the missing rows.
            error!(
                error = &error as &dyn std::error::Error,
                recording = id,
                "the ledger could not be written"
            );
        }
        self.finish_next();
    }

    async fn handle_done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Searched(found)) => self.handle_orphans(found).await,
            Ok(Done::Expired) => self.is_expiring = false,
            Ok(Done::Uploaded(id, uploaded)) => {
                let again = uploaded.is_err().then(|| Clock.now() + self.pace.finish_again);
                self.uploads.end(&id, again);
                if let Err(error) = uploaded {
                    counter!("rotunda_recorder_upload_failures_total").increment(1);
                    error!(
                        error = &error as &dyn std::error::Error,
                        recording = id,
                        "files could not be uploaded; they stay on the disk, and it is tried again"
                    );
                }
            }
            Ok(Done::Recorded(id, ended)) => {
                // The queue has all its notices, and they come first.
                while let Ok((id, news)) = self.heard.try_recv() {
                    self.handle_news(&id, news).await;
                }
                let has_failed = ended.is_err();
                if let Err(error) = ended {
                    counter!("rotunda_recorder_failed_total").increment(1);
                    error!(
                        error = &error as &dyn std::error::Error,
                        recording = id,
                        "the recording ends early"
                    );
                }
                self.handle_recorded(id, has_failed).await;
            }
            Ok(Done::Finished(id, finished)) => {
                self.finishing.remove(&id);
                if let Err(error) = finished {
                    error!(
                        error = &error as &dyn std::error::Error,
                        recording = id,
                        "a recording could not be finished; it is tried again"
                    );
                    self.again.insert(id, Clock.now() + self.pace.finish_again);
                }
            }
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "a task of the recorder failed"
            ),
        }
        self.finish_next();
    }

    async fn handle_recorded(&mut self, id: String, has_failed: bool) {
        if let Err(error) = self.ledger.close(&id, None).await {
            error!(
                error = &error as &dyn std::error::Error,
                recording = id,
                "the ledger could not be written; it is tried again"
            );
            self.unclosed.push(id.clone());
        }
        if let Some(Running {
            manifest, key, stop, ..
        }) = self.running.remove(&id)
        {
            self.handle_end(key, has_failed, &stop);
            let ended = What::RecordingEnded {
                recording: id.clone(),
                stream_id: manifest.program.stream_id,
            };
            let room = &manifest.program.room;
            self.facts.tell_as(format!("recording-ended-{id}"), room, ended);
        }
        self.count();
        self.to_finish.insert(id, true);
    }

    fn count(&self) {
        gauge!("rotunda_recorder_recordings").set(self.running.len() as f64);
        let waiting = |running: &&Running| matches!(running.state, RecordingState::Paused | RecordingState::DiskFull);
        gauge!("rotunda_recorder_recordings_waiting").set(self.running.values().filter(waiting).count() as f64);
    }
}

#[cfg(test)]
#[path = "../../tests/end_to_end/support/hls_rules.rs"]
mod hls_rules;

#[cfg(test)]
#[path = "../../tests/end_to_end/support/program.rs"]
mod program;

#[cfg(test)]
mod tests;
