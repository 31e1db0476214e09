//! The beginning of recordings: of programs that ask for one, where there is space.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use metrics::counter;
use rotunda_bus::Change;
use rotunda_events::What;
use rotunda_media::mux::segmenter::Lengths;
use rotunda_programs::ReadFrom;
use rotunda_proto::config::Application;
use rotunda_proto::ids::StreamKey;
use rotunda_proto::program::{ProgramDescriptor, stream_of_key};
use rotunda_proto::recording::{RecordingRefusal, RecordingState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info_span, warn};

use super::{Done, Recorder, Running};
use crate::asked::{self, Asked, ProgramKey};
use crate::disk;
use crate::folder::{Folder, Manifest};
use crate::recording::{Disk, Recording, Wish};
use crate::rows::decimal_id;
use crate::space;
use crate::watchdog::Limits;

/// A process that does not make a program itself lets those go first that do, and those that record less.
const OF_ANOTHER_NODE: Duration = Duration::from_millis(300);
const FOR_EACH_RECORDING: Duration = Duration::from_millis(20);
const MOST_COUNTED: usize = 50;

impl Recorder {
    pub(super) fn follow(&mut self, change: &Change) {
        match change.parse::<ProgramDescriptor>() {
            Some(program) => self.follow_program(program),
            None => {
                if let Some(stream) = stream_of_key(&change.key) {
                    self.forget(&stream, None);
                }
            }
        }
    }

    fn follow_program(&mut self, program: ProgramDescriptor) {
        let key = asked::key(&program);
        self.forget(&key.0, Some(key.1));
        if Asked::of(&program).is_none() {
            return;
        }
        let delay = match self.programs.is_made_here(&program) {
            true => Duration::ZERO,
            false => OF_ANOTHER_NODE + FOR_EACH_RECORDING * self.running.len().min(MOST_COUNTED) as u32,
        };
        self.wanted.insert(key.clone(), program);
        if !self.done.contains(&key) {
            self.claims.want(key, delay);
        }
    }

    /// Programs of a stream are over, except this one. What was recorded of them is read to its end.
    fn forget(&mut self, stream: &StreamKey, except: Option<u64>) {
        let over: Vec<ProgramKey> = self
            .wanted
            .keys()
            .filter(|(known, started)| known == stream && Some(*started) != except)
            .cloned()
            .collect();
        for key in over {
            self.wanted.remove(&key);
            self.refused.remove(&key);
            self.done.remove(&key);
            self.claims.forget(&key);
        }
    }

    /// The programs that this process is to record have changed.
    pub(super) async fn handle_claims(&mut self) {
        let held = self.claims.held().borrow().clone();
        for running in self.running.values() {
            // A program that is over is read to its end.
            if self.claims.wants(&running.key) && !held.contains(&running.key) {
                warn!(stream = %running.key.0, "another process records the program now");
                running.stop.cancel();
            }
        }
        for key in held {
            let is_known = self.done.contains(&key) || self.running.values().any(|running| running.key == key);
            if let Some(program) = self.wanted.get(&key).filter(|_| !is_known).cloned() {
                self.try_begin(key, program).await;
            }
        }
    }

    async fn try_begin(&mut self, key: ProgramKey, program: ProgramDescriptor) {
        let Some(asked) = Asked::of(&program) else { return };
        let applications = self.applications.now();
        let application = applications.by_id(program.room.app);
        if let Some(refusal) = space::refusal(&self.config, &self.store, application).await {
            // Another process may have space. It is tried again here, too, as long as the program runs.
            self.claims.pass(&key, self.pace.look);
            self.refuse(&program, asked, refusal);
            return;
        }
        self.refused.remove(&key);
        let named = program.clone();
        if self.begin(program, &asked, application) {
            self.tell_begun(&named).await;
        }
    }

    /// A recording has ended.
    pub(super) fn handle_end(&mut self, key: ProgramKey, has_failed: bool, stop: &CancellationToken) {
        if !self.wanted.contains_key(&key) {
            return;
        }
        if has_failed {
            // Another process may be able to.
            self.claims.forget(&key);
            self.done.insert(key);
        } else if !stop.is_cancelled() {
            // The program is over. Its claim goes with its document, so that nobody records what is no more.
            self.done.insert(key);
        }
    }

    /// The recording begins later, if there is space and its program still runs.
    fn refuse(&mut self, program: &ProgramDescriptor, asked: Asked, refusal: RecordingRefusal) {
        if !self.refused.insert(asked::key(program)) {
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
        self.expire();
    }

    /// Whether it has begun. It has not when the program is over.
    fn begin(&mut self, program: ProgramDescriptor, asked: &Asked, application: Option<&Application>) -> bool {
        let Some(reader) = self.programs.subscribe(&program, ReadFrom::Unwritten) else {
            debug!(stream = %program.stream_id, "the program is over before its recording has begun");
            return false;
        };
        let span = info_span!("recording", room = %program.room, stream = %program.stream_id);
        let key = asked::key(&program);
        let manifest = Manifest {
            recording_id: decimal_id(),
            formats: asked.formats(
                &self.config,
                application.map_or(&[][..], |of| of.record_formats.as_slice()),
            ),
            prefix: asked.prefix.clone(),
            segment_seconds: self.config.hls_segment_seconds,
            name_time_zone: application.and_then(|of| of.record_time_zone.clone()),
            program: ProgramDescriptor {
                push_urls: Vec::new(),
                ..program
            },
        };
        let id = manifest.recording_id.clone();
        let of_application = application
            .map(|of| of.record_file_minutes)
            .filter(|minutes| *minutes > 0);
        let minutes = asked.files.max_minutes.or(of_application);
        let minutes = minutes.map_or(self.config.max_file_minutes, u64::from);
        let (wish, wished) = watch::channel(Wish::Record);
        let written = Arc::new(AtomicU64::new(0));
        let recording = Recording {
            folder: Folder::new(&self.config.directory, &id),
            manifest: manifest.clone(),
            lengths: Lengths {
                segment: Duration::from_secs(self.config.hls_segment_seconds),
                chunk: Duration::from_millis(self.config.fragment_ms),
            },
            longest_part: Duration::from_secs(minutes * 60),
            taken: asked.taken(&manifest.formats),
            disk: Disk {
                directory: self.config.directory.clone(),
                reserve: self.config.reserve(),
                look_again: self.pace.full_disk,
            },
            limits: Limits {
                silent: self.pace.silent,
                slow_disk: self.pace.slow_disk,
            },
            wish: wished,
            written: written.clone(),
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
        let stop = self.shutdown.child_token();
        let running = Running {
            key,
            manifest,
            wish,
            stop: stop.clone(),
            state: RecordingState::Recording,
            gaps: Vec::new(),
            written,
        };
        self.running.insert(id.clone(), running);
        self.count();
        let recording = async move { Done::Recorded(id, recording.run(reader, stop).await) };
        self.tasks.spawn(recording.instrument(span));
        true
    }
}
