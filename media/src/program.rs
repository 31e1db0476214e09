//! An encoded program: what an MCU task makes once and recorder and live all use.
//!
//! Inside one process a program travels as a bounded broadcast of `Arc<Frame>` through the [`ProgramHub`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use rotunda_proto::ids::StreamKey;
use thiserror::Error;
use tokio::sync::{broadcast, watch};

use crate::time::MediaTime;

/// Frames that a slow reader may be behind before it loses some (it is told, and goes on at a later keyframe):
/// 15 s of 15 frames and 47 audio frames a second.
const QUEUE: usize = 1024;
/// Most frames kept from the last keyframe on for those who join; 20 s of the same. A longer GOP is not kept.
const GOP_FRAMES: usize = 1280;
/// Absences that a reader may be behind.
const ABSENCES: usize = 64;

/// The decoder configuration that precedes the first frame. Shared by every frame until it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramHeader {
    pub video: Option<VideoHeader>,
    pub audio: AudioHeader,
}

/// H.264.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoHeader {
    pub width: u16,
    pub height: u16,
    /// Nominal frames a second.
    pub framerate: u8,
    pub bitrate_kbps: u32,
    /// One sequence parameter set, without start code.
    pub sps: Bytes,
    /// One frame parameter set, without start code.
    pub pps: Bytes,
}

/// AAC-LC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioHeader {
    pub sample_rate: u32,
    pub channels: u8,
    pub bitrate_kbps: u32,
    /// AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1).
    pub config: Bytes,
}

impl ProgramHeader {
    /// Whether one decoder takes frames of both: bitrates and frame rates may differ.
    pub fn decodes_like(&self, other: &Self) -> bool {
        let video = match (&self.video, &other.video) {
            (None, None) => true,
            (Some(one), Some(other)) => one.decodes_like(other),
            _ => false,
        };
        video && self.audio.decodes_like(&other.audio)
    }
}

impl VideoHeader {
    /// See [`ProgramHeader::decodes_like`].
    pub fn decodes_like(&self, other: &Self) -> bool {
        let size = |header: &Self| (header.width, header.height);
        size(self) == size(other) && self.sps == other.sps && self.pps == other.pps
    }
}

impl AudioHeader {
    /// See [`ProgramHeader::decodes_like`].
    pub fn decodes_like(&self, other: &Self) -> bool {
        self.sample_rate == other.sample_rate && self.channels == other.channels && self.config == other.config
    }
}

/// One coded frame or 1024 coded samples of audio.
#[derive(Debug, Clone)]
pub struct Frame {
    pub track: Track,
    /// Presentation time from the program's start, monotonic within a track and on one clock for both tracks: 90 kHz for
    /// frames, the sample rate for audio. There are no B-frames, so it is the decoding time too.
    pub pts: MediaTime,
    /// Wanted length, in ticks of `pts`.
    pub duration: u32,
    /// Frames: an IDR. Audio: true.
    pub is_key: bool,
    /// Frames: NAL units with 4-byte lengths, parameter sets left out (they are in the header). Audio: raw AAC, no ADTS.
    pub data: Bytes,
    pub header: Arc<ProgramHeader>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    Video,
    Audio,
}

/// A time in which a track had nothing from its source. The program fills it or goes on without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    pub track: Track,
    /// Program time.
    pub from: Duration,
    pub to: Duration,
    pub reason: AbsenceReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbsenceReason {
    /// The publisher has muted it or no longer publishes it.
    Muted,
    /// It was published, but nothing was received.
    NotReceived,
}

/// The running programs of a process, by stream.
#[derive(Debug, Clone, Default)]
pub struct ProgramHub {
    programs: Arc<Mutex<HashMap<StreamKey, Arc<Program>>>>,
}

#[derive(Debug)]
struct Program {
    frames: broadcast::Sender<Arc<Frame>>,
    absences: broadcast::Sender<Absence>,
    /// Closed at its end.
    runs: watch::Sender<()>,
    /// Frames since the last keyframe, in order.
    gop: Mutex<Vec<Arc<Frame>>>,
}

impl ProgramHub {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a program. It ends when the writer is dropped.
    ///
    /// Errors: [`ProgramExists`] when one of that stream runs.
    pub fn open(&self, stream: &StreamKey) -> Result<ProgramWriter, ProgramExists> {
        let mut programs = lock(&self.programs);
        if programs.contains_key(stream) {
            return Err(ProgramExists(stream.clone()));
        }
        let program = Arc::new(Program {
            frames: broadcast::channel(QUEUE).0,
            absences: broadcast::channel(ABSENCES).0,
            runs: watch::channel(()).0,
            gop: Mutex::default(),
        });
        programs.insert(stream.clone(), program.clone());
        Ok(ProgramWriter {
            hub: self.clone(),
            stream: stream.clone(),
            program,
        })
    }

    /// Reads a running program from its last keyframe on; None: no such program runs.
    pub fn subscribe(&self, stream: &StreamKey) -> Option<ProgramReader> {
        let program = lock(&self.programs).get(stream).cloned()?;
        // Both under the GOP's lock: nothing is missed and nothing comes twice.
        let gop = lock(&program.gop);
        let live = program.frames.subscribe();
        Some(ProgramReader {
            backlog: gop.iter().cloned().rev().collect(),
            live,
            absences: program.absences.subscribe(),
            program: Arc::downgrade(&program),
        })
    }

    /// Resolves when the running program of this stream has ended; at once when there is none.
    pub async fn ended(&self, stream: &StreamKey) {
        let runs = lock(&self.programs).get(stream).map(|program| program.runs.subscribe());
        if let Some(mut runs) = runs {
            while runs.changed().await.is_ok() {}
        }
    }

    /// The streams of the running programs.
    pub fn streams(&self) -> Vec<StreamKey> {
        lock(&self.programs).keys().cloned().collect()
    }
}

/// The one source of a program's frames.
#[derive(Debug)]
pub struct ProgramWriter {
    hub: ProgramHub,
    stream: StreamKey,
    program: Arc<Program>,
}

impl ProgramWriter {
    /// How many read the program.
    pub fn readers(&self) -> usize {
        self.program.frames.receiver_count()
    }

    /// Frames that the slowest reader has not read yet.
    pub fn unread(&self) -> usize {
        self.program.frames.len()
    }

    /// Hands a frame to every reader. Never waits.
    pub fn write(&self, frame: Arc<Frame>) {
        let mut gop = lock(&self.program.gop);
        let starts_gop = frame.is_key && (frame.track == Track::Video || frame.header.video.is_none());
        if starts_gop || gop.len() >= GOP_FRAMES {
            gop.clear();
        }
        if starts_gop || !gop.is_empty() {
            gop.push(frame.clone());
        }
        let _nobody_reads = self.program.frames.send(frame);
    }

    /// Tells every reader of an absence that is over.
    pub fn tell_absence(&self, absence: Absence) {
        let _nobody_reads = self.program.absences.send(absence);
    }
}

impl Drop for ProgramWriter {
    fn drop(&mut self) {
        lock(&self.hub.programs).remove(&self.stream);
    }
}

/// One reader's place in a program.
#[derive(Debug)]
pub struct ProgramReader {
    /// Oldest last.
    backlog: Vec<Arc<Frame>>,
    live: broadcast::Receiver<Arc<Frame>>,
    absences: broadcast::Receiver<Absence>,
    program: Weak<Program>,
}

impl ProgramReader {
    /// The next frame. Cancel-safe.
    ///
    /// Errors: [`ReadError::Lagged`] says that frames were lost and reading can go on, best from the next keyframe;
    /// [`ReadError::Ended`] that the program is over.
    pub async fn next(&mut self) -> Result<Arc<Frame>, ReadError> {
        if let Some(frame) = self.backlog.pop() {
            return Ok(frame);
        }
        self.live.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(frames) => ReadError::Lagged(frames),
            broadcast::error::RecvError::Closed => ReadError::Ended,
        })
    }

    /// Frames that wait to be read.
    pub fn behind(&self) -> usize {
        self.backlog.len() + self.live.len()
    }

    /// Continues at the program's last keyframe, if that is later than `after`. Answers whether it does.
    pub fn skip_to_keyframe(&mut self, after: MediaTime) -> bool {
        let Some(program) = self.program.upgrade() else {
            return false;
        };
        let gop = lock(&program.gop);
        if !gop.first().is_some_and(|key| after.is_before(key.pts)) {
            return false;
        }
        self.live = program.frames.subscribe();
        self.backlog = gop.iter().cloned().rev().collect();
        true
    }

    /// The next absence that was told since the reader began; None: there is none for now.
    pub fn take_absence(&mut self) -> Option<Absence> {
        loop {
            match self.absences.try_recv() {
                Ok(absence) => return Some(absence),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return None,
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a program of stream {0} runs already")]
pub struct ProgramExists(pub StreamKey);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    #[error("{0} frames were lost because the reader was too slow")]
    Lagged(u64),
    #[error("the program has ended")]
    Ended,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
