//! The beginning of recordings: of programs that ask for one, where there is space.

use std::time::Duration;

use metrics::counter;
use rotunda_bus::Change;
use rotunda_events::What;
use rotunda_media::mux::segmenter::Lengths;
use rotunda_proto::program::{ProgramDescriptor, stream_of_key};
use rotunda_proto::recording::{RecordingRefusal, RecordingState};
use tokio::sync::watch;
use tracing::{Instrument, error, info_span, warn};

use super::{Done, Recorder, Running};
use crate::asked::{self, Asked};
use crate::disk;
use crate::folder::{Folder, Manifest};
use crate::recording::{Disk, Recording, Wish};
use crate::rows::decimal_id;
use crate::space;
use crate::watchdog::Limits;

/// Refused programs that are tried again.
const REFUSED: usize = 1024;

impl Recorder {
    pub(super) async fn follow(&mut self, change: &Change) {
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
                reserve: self.config.reserve(),
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
    pub(super) async fn try_refused(&mut self) {
        for program in self.refused.values().cloned().collect::<Vec<_>>() {
            self.follow_program(program).await;
        }
    }
}
