//! The shell: follows the running programs, records the requested ones, finishes their files, announces and serves
//! them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use axum::Router;
use metrics::{counter, gauge};
use rotunda_bus::{BusError, Change, Request, Requests, SharedBus, Watch, WatchEvent};
use rotunda_events::{Facts, What};
use rotunda_media::mux::segmenter::Lengths;
use rotunda_media::program::ProgramHub;
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::clock::Clock;
use rotunda_proto::file_link::FileLinkKey;
use rotunda_proto::program::{PROGRAMS_PREFIX, ProgramDescriptor, stream_of_key};
use rotunda_proto::recording::{Gap, LIST_SUBJECT, ListReply, ListRequest, RecordingRefusal, RecordingState};
use rotunda_store::{Store, StoreError};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};
use uuid::Uuid;

use crate::api::RecordingsApi;
use crate::asked::{self, Asked, ProgramKey};
use crate::config::Config;
use crate::disk;
use crate::expiry::expire;
use crate::file_ready::announce;
use crate::files::Files;
use crate::finishing::{FinishingError, finish};
use crate::folder::{Folder, Manifest};
use crate::ledger::{Ledger, Row, State};
use crate::orphans::{self, Found, Orphan};
use crate::pace::Pace;
use crate::recording::{Disk, News, RecordError, Recording, Wish};
use crate::rows::{decimal_id, rows};
use crate::space::{self, make_room};
use crate::status::{self, Answer, Now, Query};
use crate::storage::{Storage, StorageError};
use crate::uploading::{UploadError, upload};
use crate::uploads::Uploads;
use crate::watchdog::Limits;
use crate::writer::Notice;

/// Recordings whose files are made at one time.
const FINISH_AT_ONCE: usize = 2;
const NEWS: usize = 256;
/// Gaps of a running recording that are told; its files name all.
const MOST_GAPS: usize = 1000;
/// Refused programs that are tried again.
const REFUSED: usize = 1024;

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
    state: RecordingState,
    gaps: Vec<Gap>,
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
    uploads: Uploads,
    /// Programs that are to be recorded and could not be, for as long as they run.
    refused: HashMap<ProgramKey, ProgramDescriptor>,
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
        let api = RecordingsApi::new(files.clone(), bus.clone(), store.clone());
        let lists = bus.serve(LIST_SUBJECT).await?;
        let queries = bus.serve(&status::subject(ledger.owner())).await?;
        let (news, heard) = mpsc::channel(NEWS);
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
            uploads: Uploads::default(),
            refused: HashMap::new(),
            is_expiring: false,
            applications,
            tasks: JoinSet::new(),
            news,
            heard,
            shutdown,
        };
        Ok(Self {
            api,
            task: tokio::spawn(recorder.run(programs, lists, queries)),
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
        let (mut announce_at, mut look_at, mut search_at) = (clock.now(), clock.now(), clock.now());
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                event = programs.next() => if let WatchEvent::Change(change) = event {
                    self.follow(&change).await;
                },
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

    async fn follow(&mut self, change: &Change) {
        match change.parse::<ProgramDescriptor>() {
            Some(program) => self.follow_program(program).await,
            None => {
                if let Some(stream) = stream_of_key(&change.key) {
                    self.refused.retain(|(refused, _), _| *refused != stream);
                }
            }
        }
    }

    async fn follow_program(&mut self, program: ProgramDescriptor) {
        let Some(asked) = Asked::of(&program) else { return };
        let key = asked::key(&program);
        if self.running.values().any(|running| running.key == key) {
            return;
        }
        let applications = self.applications.now();
        let application = applications.by_id(program.room.app);
        if let Some(refusal) = space::refusal(&self.config, &self.store, application).await {
            self.refuse(program, asked, refusal);
            return;
        }
        self.refused.remove(&key);
        self.begin(program, &asked);
    }

    /// The recording begins later, if there is space and its program still runs.
    fn refuse(&mut self, program: ProgramDescriptor, asked: Asked, refusal: RecordingRefusal) {
        let key = asked::key(&program);
        if self.refused.contains_key(&key) || self.refused.len() >= REFUSED {
            return;
        }
        counter!("rotunda_recorder_refused_total", "reason" => refusal.as_str()).increment(1);
        error!(
            stream = %program.stream_id, record = asked.prefix, reason = refusal.as_str(),
            free_mb = disk::free(&self.config.directory).map(|free| free >> 20),
            floor_mb = self.config.free_space_floor_mb,
            "not recorded; it begins when there is space again"
        );
        let what = What::RecordingRefused {
            stream_id: program.stream_id.clone(),
            record_id: asked.record_id,
            refusal,
        };
        self.facts.tell(&program.room, what);
        self.refused.insert(key, program);
        self.expire();
    }

    fn begin(&mut self, program: ProgramDescriptor, asked: &Asked) {
        let Some(reader) = self.hub.subscribe(&program.stream()) else {
            warn!(stream = %program.stream_id, "the program is not in this process");
            return;
        };
        let span = info_span!("recording", room = %program.room, stream = %program.stream_id);
        let key = asked::key(&program);
        let manifest = Manifest {
            recording_id: decimal_id(),
            formats: asked.formats(&self.config),
            prefix: asked.prefix.clone(),
            segment_seconds: self.config.hls_segment_seconds,
            program: ProgramDescriptor {
                push_urls: Vec::new(),
                ..program
            },
        };
        let id = manifest.recording_id.clone();
        let (wish, wished) = watch::channel(Wish::Record);
        let recording = Recording {
            folder: Folder::new(&self.config.directory, &id),
            manifest: manifest.clone(),
            lengths: Lengths {
                segment: Duration::from_secs(self.config.hls_segment_seconds),
                chunk: Duration::from_millis(self.config.fragment_ms),
            },
            longest_part: Duration::from_secs(self.config.max_file_minutes * 60),
            audio_only: asked.audio_only,
            disk: Disk {
                directory: self.config.directory.clone(),
                reserve: self.config.free_space_reserve_mb << 20,
                look_again: self.pace.full_disk,
            },
            limits: Limits {
                silent: self.pace.silent,
                slow_disk: self.pace.slow_disk,
            },
            wish: wished,
            news: self.news.clone(),
        };
        let program = &manifest.program;
        let begun = What::RecordingBegun {
            recording: id.clone(),
            stream_id: program.stream_id.clone(),
            record_id: program.record.as_ref().map(|record| record.record_id.clone()),
        };
        self.facts
            .tell_as(format!("recording-begun-{id}"), &program.room, begun);
        let running = Running {
            key,
            manifest,
            wish,
            state: RecordingState::Recording,
            gaps: Vec::new(),
        };
        self.running.insert(id.clone(), running);
        self.count();
        let stop = self.shutdown.clone();
        let recording = async move { Done::Recorded(id, recording.run(reader, stop).await) };
        self.tasks.spawn(recording.instrument(span));
    }

    /// Tries the refused recordings again.
    async fn try_refused(&mut self) {
        for program in self.refused.values().cloned().collect::<Vec<_>>() {
            self.follow_program(program).await;
        }
    }

    fn answer(&self, request: Request) {
        let Ok(query) = request.parse::<Query>() else { return };
        let wish = |recording: &str, wish| match self.running.get(recording) {
            Some(running) => {
                running.wish.send_replace(wish);
                Answer::Done
            }
            None => Answer::NotRunning,
        };
        request.answer(&match query {
            Query::Pause { recording } => wish(&recording, Wish::Pause),
            Query::Resume { recording } => wish(&recording, Wish::Record),
            Query::States { recordings } => Answer::States(recordings.iter().map(|id| self.now(id)).collect()),
        });
    }

    fn now(&self, id: &str) -> Option<Now> {
        if let Some(running) = self.running.get(id) {
            return Some(Now {
                state: running.state,
                gaps: running.gaps.clone(),
                upload: None,
            });
        }
        let upload = self.uploads.progress(id);
        let is_finishing = self.finishing.contains(id) || self.to_finish.contains_key(id);
        let state = match (&upload, is_finishing) {
            (Some(_), _) => RecordingState::Uploading,
            (None, true) => RecordingState::Finishing,
            (None, false) => return None,
        };
        Some(Now {
            state,
            gaps: Vec::new(),
            upload,
        })
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
            let free = |id: &&String| !recorder.finishing.contains(*id) && !recorder.uploads.is_running(id);
            recorder.to_finish.keys().find(free).cloned()
        };
        gauge!("rotunda_recorder_finishing").set((self.finishing.len() + self.to_finish.len()) as f64);
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
            let store = self.store.clone();
            self.tasks.spawn(async move {
                let applications = applications.now();
                expire(&config, &ledger, storage.as_ref(), &applications).await;
                make_room(&config, &store, &ledger, storage.as_ref(), &applications).await;
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
        self.try_refused().await;
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
        gauge!("rotunda_recorder_uploads_waiting").set(waiting.len() as f64);
        for (id, progress) in self.uploads.begin(waiting, &self.finishing, Clock.now()) {
            let (config, ledger, storage) = (self.config.clone(), self.ledger.clone(), storage.clone());
            self.tasks.spawn(async move {
                let uploaded = upload(config, ledger, storage, id.clone(), progress).await;
                Done::Uploaded(id, uploaded)
            });
        }
        gauge!("rotunda_recorder_upload_bytes_left").set(self.uploads.bytes_left() as f64);
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
        let waiting = |running: &&Running| matches!(running.state, RecordingState::Paused | RecordingState::DiskFull);
        gauge!("rotunda_recorder_recordings_waiting").set(self.running.values().filter(waiting).count() as f64);
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
