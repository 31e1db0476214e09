//! The shell: follows the running programs, records the requested ones, finishes their files, announces and serves
//! them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use axum::Router;
use metrics::{counter, gauge};
use object_store::RetryConfig;
use rotunda_bus::{BusError, Change, Request, Requests, SharedBus, Watch, WatchEvent};
use rotunda_events::{Facts, What};
use rotunda_media::codec::mp3;
use rotunda_media::mux::segmenter::Lengths;
use rotunda_media::program::ProgramHub;
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::clock::Clock;
use rotunda_proto::file_link::FileLinkKey;
use rotunda_proto::ids::StreamKey;
use rotunda_proto::program::{PROGRAMS_PREFIX, ProgramDescriptor};
use rotunda_proto::recording::{FileFormat, LIST_SUBJECT, ListReply, ListRequest, MEDIA_SUBJECT};
use rotunda_store::{Store, StoreError};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};
use uuid::Uuid;

use crate::config::Config;
use crate::disk;
use crate::expiry::expire;
use crate::file_ready::announce;
use crate::files::Files;
use crate::finishing::{FinishingError, finish};
use crate::folder::{Folder, Manifest};
use crate::ledger::{Ledger, Row, State};
use crate::media_requests;
use crate::orphans::{self, Found, Orphan};
use crate::recording::{RecordError, Recording};
use crate::rows::{decimal_id, rows};
use crate::storage::{Storage, StorageError};
use crate::uploading::{UploadError, upload};
use crate::writer::Notice;

/// The intervals of the service.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// An announcement that is not accepted is repeated.
    announce: Duration,
    /// Leases are renewed, and those of other processes are checked.
    look: Duration,
    /// A process that is silent for this time is gone.
    lease: Duration,
    /// The disk is searched for recordings without a row.
    search: Duration,
    /// A younger folder may get its row soon.
    orphan_age: Duration,
    /// A file that could not be made is tried again.
    finish_again: Duration,
    /// A request to the storage is repeated for this time.
    storage: Duration,
}

impl Pace {
    fn storage_retry(self) -> RetryConfig {
        RetryConfig {
            retry_timeout: self.storage,
            ..RetryConfig::default()
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            announce: Duration::from_secs(10),
            look: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            search: Duration::from_secs(60),
            orphan_age: Duration::from_secs(60),
            finish_again: Duration::from_secs(60),
            storage: Duration::from_secs(30),
        }
    }
}

/// Recordings whose files are made at one time.
const FINISH_AT_ONCE: usize = 2;
/// Recordings whose files are uploaded at one time.
const UPLOAD_AT_ONCE: usize = 2;
const NOTICES: usize = 256;

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
    files: Files,
    task: JoinHandle<()>,
}

/// A program: its stream, and when it began. The same stream may run again while its last files are being finished.
type ProgramKey = (StreamKey, u64);

/// The recording that a program asks for.
struct Asked {
    /// The prefix of file names.
    prefix: String,
    audio_only: bool,
}

impl Asked {
    fn of(program: &ProgramDescriptor) -> Option<Self> {
        if let Some(record) = &program.record {
            return Some(Self {
                prefix: record.record_id.to_string(),
                audio_only: record.audio_only,
            });
        }
        let recording = program.single.as_ref()?.recording.as_ref()?;
        Some(Self {
            prefix: recording.prefix.clone(),
            audio_only: false,
        })
    }
}

struct Running {
    key: ProgramKey,
    manifest: Manifest,
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
    hub: ProgramHub,
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
    /// Recordings whose files are being uploaded, and when to try others again.
    uploading: HashSet<String>,
    upload_again: HashMap<String, Instant>,
    /// Files are being deleted because their time is over.
    is_expiring: bool,
    applications: ApplicationList,
    tasks: JoinSet<Done>,
    notices: mpsc::Sender<(String, Notice)>,
    noticed: mpsc::Receiver<(String, Notice)>,
    shutdown: CancellationToken,
}

impl Service {
    pub async fn start(
        config: Config,
        access: Access,
        bus: SharedBus,
        hub: ProgramHub,
        store: Store,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        Self::start_at_pace(config, access, bus, hub, store, shutdown, Pace::default()).await
    }

    async fn start_at_pace(
        config: Config,
        access: Access,
        bus: SharedBus,
        hub: ProgramHub,
        store: Store,
        shutdown: CancellationToken,
        pace: Pace,
    ) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.directory).map_err(|source| StartError::Folder {
            path: config.directory.clone(),
            source,
        })?;
        config.warn_of_old_keys();
        let programs = bus.watch(PROGRAMS_PREFIX).await?;
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
        let lists = bus.serve(LIST_SUBJECT).await?;
        let media = bus.serve(MEDIA_SUBJECT).await?;
        tokio::spawn(media_requests::serve(files.clone(), media, shutdown.clone()));
        let (notices, noticed) = mpsc::channel(NOTICES);
        let recorder = Recorder {
            config,
            pace,
            bus,
            hub,
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
            uploading: HashSet::new(),
            upload_again: HashMap::new(),
            is_expiring: false,
            applications,
            tasks: JoinSet::new(),
            notices,
            noticed,
            shutdown,
        };
        Ok(Self {
            files,
            task: tokio::spawn(recorder.run(programs, lists)),
        })
    }

    /// `/recordings`, a list as JSON, and the files below it.
    pub fn router(&self) -> Router {
        self.files.router()
    }

    /// Resolves when, after shutdown, every recording is finished and announced, as far as a receiver is there.
    pub async fn finish(self) {
        let _ended = self.task.await;
    }
}

impl Recorder {
    async fn run(mut self, mut programs: Watch, mut lists: Requests) {
        let clock = Clock;
        let (mut announce_at, mut look_at, mut search_at) = (clock.now(), clock.now(), clock.now());
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                event = programs.next() => if let WatchEvent::Change(change) = event {
                    self.follow(&change);
                },
                Some((id, notice)) = self.noticed.recv() => self.handle_notice(&id, notice).await,
                request = lists.next() => self.list(request).await,
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
        // The same token ends recordings; their files are made before the process ends, or by the next process.
        loop {
            tokio::select! {
                Some((id, notice)) = self.noticed.recv() => self.handle_notice(&id, notice).await,
                done = self.tasks.join_next() => match done {
                    Some(done) => self.handle_done(done).await,
                    None => break,
                },
            }
        }
        announce(&self.store, &self.files, &self.bus).await;
    }

    async fn list(&self, request: Request) {
        let Ok(ListRequest { app }) = request.parse() else {
            return;
        };
        match self.files.list(app).await {
            Ok(files) => request.answer(&ListReply { files }),
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "the recordings could not be listed"
            ),
        }
    }

    fn follow(&mut self, change: &Change) {
        let Some(program) = change.parse::<ProgramDescriptor>() else {
            return;
        };
        let Some(record) = Asked::of(&program) else { return };
        let key = (program.stream(), program.started_unix_ms);
        if self.running.values().any(|running| running.key == key) {
            return;
        }
        let Some(reader) = self.hub.subscribe(&program.stream()) else {
            warn!(stream = %program.stream_id, "the program is not in this process");
            return;
        };
        let floor = self.config.free_space_floor_mb << 20;
        if let Some(free) = disk::free(&self.config.directory).filter(|free| *free < floor) {
            counter!("rotunda_recorder_refused_total", "reason" => "disk").increment(1);
            error!(
                stream = %program.stream_id, record = record.prefix, free_mb = free >> 20,
                floor_mb = self.config.free_space_floor_mb,
                "not recorded: the disk has less free space than recorder.free_space_floor_mb"
            );
            return;
        }
        let span = info_span!("recording", room = %program.room, stream = %program.stream_id);
        let manifest = Manifest {
            recording_id: decimal_id(),
            formats: self.formats(record.audio_only),
            prefix: record.prefix,
            segment_seconds: self.config.hls_segment_seconds,
            program: ProgramDescriptor {
                push_urls: Vec::new(),
                ..program
            },
        };
        let id = manifest.recording_id.clone();
        let recording = Recording {
            folder: Folder::new(&self.config.directory, &id),
            manifest: manifest.clone(),
            lengths: Lengths {
                segment: Duration::from_secs(self.config.hls_segment_seconds),
                chunk: Duration::from_millis(self.config.fragment_ms),
            },
            longest_part: Duration::from_secs(self.config.max_file_minutes * 60),
            audio_only: record.audio_only,
            notices: self.notices.clone(),
        };
        let program = &manifest.program;
        let begun = What::RecordingBegun {
            recording: id.clone(),
            stream_id: program.stream_id.clone(),
            record_id: program.record.as_ref().map(|record| record.record_id.clone()),
        };
        self.facts
            .tell_as(format!("recording-begun-{id}"), &program.room, begun);
        self.running.insert(id.clone(), Running { key, manifest });
        self.count();
        let stop = self.shutdown.clone();
        let recording = async move { Done::Recorded(id, recording.run(reader, stop).await) };
        self.tasks.spawn(recording.instrument(span));
    }

    /// The formats of a recording. `audio_only`: the request's `RecordAudioOnly`.
    fn formats(&self, audio_only: bool) -> Vec<FileFormat> {
        if !audio_only {
            let mut formats: Vec<FileFormat> = Vec::new();
            for format in self.config.formats.iter().map(|format| format.file_format()) {
                if !formats.contains(&format) {
                    formats.push(format);
                }
            }
            return formats;
        }
        if mp3::is_available() {
            return vec![FileFormat::Mp3];
        }
        warn!("libmp3lame is not installed (Debian: libmp3lame0): RecordAudioOnly is recorded as AAC");
        vec![FileFormat::Aac]
    }

    async fn handle_notice(&mut self, id: &str, notice: Notice) {
        let Some(running) = self.running.get(id) else { return };
        let result = match notice {
            Notice::PartBegan { part, wall } => {
                let rows = rows(&running.manifest, part, wall, State::Recording);
                self.ledger.add(&rows, Clock.unix() + self.pace.lease).await
            }
            Notice::PartEnded { part } => {
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
                self.uploading.remove(&id);
                if let Err(error) = uploaded {
                    counter!("rotunda_recorder_upload_failures_total").increment(1);
                    error!(
                        error = &error as &dyn std::error::Error,
                        recording = id,
                        "files could not be uploaded; they stay on the disk, and it is tried again"
                    );
                    self.upload_again.insert(id, Clock.now() + self.pace.finish_again);
                }
            }
            Ok(Done::Recorded(id, ended)) => {
                // The queue has all its notices, and they come first.
                while let Ok((id, notice)) = self.noticed.try_recv() {
                    self.handle_notice(&id, notice).await;
                }
                if let Err(error) = ended {
                    counter!("rotunda_recorder_failed_total").increment(1);
                    error!(
                        error = &error as &dyn std::error::Error,
                        recording = id,
                        "the recording ends early"
                    );
                }
                self.handle_recorded(id).await;
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

    async fn handle_recorded(&mut self, id: String) {
        if let Err(error) = self.ledger.close(&id, None).await {
            error!(
                error = &error as &dyn std::error::Error,
                recording = id,
                "the ledger could not be written; it is tried again"
            );
            self.unclosed.push(id.clone());
        }
        if let Some(Running { manifest, .. }) = self.running.remove(&id) {
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

    fn finish_next(&mut self) {
        let next = |recorder: &Self| {
            let free = |id: &&String| !recorder.finishing.contains(*id) && !recorder.uploading.contains(*id);
            recorder.to_finish.keys().find(free).cloned()
        };
        while self.finishing.len() < FINISH_AT_ONCE
            && let Some(id) = next(self)
        {
            let is_over = self.to_finish.remove(&id).unwrap_or_default();
            self.finishing.insert(id.clone());
            let (config, ledger) = (self.config.clone(), self.ledger.clone());
            self.tasks.spawn(async move {
                let finished = finish(config, ledger, id.clone(), is_over).await;
                Done::Finished(id, finished)
            });
        }
    }

    fn search(&mut self) {
        if let Some(known) = self.known.take() {
            let (config, ledger, age) = (self.config.clone(), self.ledger.clone(), self.pace.orphan_age);
            self.tasks
                .spawn(async move { Done::Searched(orphans::find(config, ledger, known, age).await) });
        }
    }

    fn expire(&mut self) {
        if !std::mem::replace(&mut self.is_expiring, true) {
            let (config, ledger) = (self.config.clone(), self.ledger.clone());
            let (storage, applications) = (self.storage.clone(), self.applications.clone());
            self.tasks.spawn(async move {
                expire(&config, &ledger, storage.as_ref(), &applications.now()).await;
                Done::Expired
            });
        }
    }

    /// Otherwise their files would stay "recording" for as long as this process renews its lease.
    async fn close_unclosed(&mut self) {
        while let Some(id) = self.unclosed.first().cloned() {
            if self.ledger.close(&id, None).await.is_err() {
                return;
            }
            self.unclosed.remove(0);
            self.again.remove(&id);
            self.to_finish.insert(id, true);
        }
    }

    /// Renews leases, takes over recordings of processes that are gone, and tries unfinished ones again.
    async fn look(&mut self) {
        self.close_unclosed().await;
        let now = Clock.unix();
        let renewed = self.ledger.renew(now + self.pace.lease).await;
        let open = match renewed {
            Ok(()) => self.ledger.take_over(now, now + self.pace.lease).await,
            Err(error) => Err(error),
        };
        match open {
            Ok(open) => {
                let now = Clock.now();
                self.again.retain(|_, at| *at > now);
                for id in open {
                    let waits = self.again.contains_key(&id) || self.finishing.contains(&id);
                    if !waits && !self.running.contains_key(&id) {
                        self.to_finish.insert(id, true);
                    }
                }
            }
            Err(error) => error!(error = &error as &dyn std::error::Error, "the ledger could not be read"),
        }
        self.finish_next();
        self.upload_next().await;
    }

    async fn upload_next(&mut self) {
        let Some(storage) = &self.storage else { return };
        let waiting = match self.ledger.to_upload().await {
            Ok(waiting) => waiting,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "the ledger could not be read");
                return;
            }
        };
        let now = Clock.now();
        self.upload_again.retain(|_, at| *at > now);
        gauge!("rotunda_recorder_uploads_waiting").set(waiting.len() as f64);
        for id in waiting {
            if self.uploading.len() >= UPLOAD_AT_ONCE {
                break;
            }
            // The two must not work in one folder.
            let is_busy = self.finishing.contains(&id) || self.upload_again.contains_key(&id);
            if is_busy || !self.uploading.insert(id.clone()) {
                continue;
            }
            let (config, ledger, storage) = (self.config.clone(), self.ledger.clone(), storage.clone());
            self.tasks.spawn(async move {
                let uploaded = upload(config, ledger, storage, id.clone()).await;
                Done::Uploaded(id, uploaded)
            });
        }
    }

    /// Enters recordings that have a folder and no row.
    async fn handle_orphans(&mut self, found: Found) {
        self.known = Some(found.known);
        for Orphan { manifest, parts } in found.orphans {
            let id = manifest.recording_id.clone();
            if self.running.contains_key(&id) {
                continue;
            }
            let rows: Vec<Row> = parts
                .into_iter()
                .flat_map(|(part, wall)| rows(&manifest, part, wall, State::Closed))
                .collect();
            info!(
                recording = id,
                files = rows.len(),
                "a recording without a row was found"
            );
            match self.ledger.add(&rows, Clock.unix() + self.pace.lease).await {
                Ok(()) => {
                    self.to_finish.insert(id, true);
                }
                Err(error) => error!(
                    error = &error as &dyn std::error::Error,
                    recording = id,
                    "the ledger could not be written"
                ),
            }
        }
    }

    fn count(&self) {
        gauge!("rotunda_recorder_recordings").set(self.running.len() as f64);
    }
}

#[cfg(test)]
#[path = "../../tests/support/hls_rules.rs"]
mod hls_rules;

#[cfg(test)]
#[path = "../../tests/support/program.rs"]
mod program;

#[cfg(test)]
mod tests;
