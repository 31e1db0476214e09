//! An encoded program: what an MCU task makes once and recorder and live all use.
//!
//! Inside one process a program travels as a bounded broadcast of `Arc<Frame>` through the [`ProgramHub`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use rotunda_proto::ids::StreamKey;
use rotunda_proto::mix_layout::ShownLayout;
use thiserror::Error;
use tokio::sync::{broadcast, watch};

use crate::time::MediaTime;

/// Frames that a slow reader may be behind before it loses some (it is told, and goes on at a later keyframe):
/// 15 s of 15 frames and 47 audio frames a second.
const QUEUE: usize = 1024;
/// Most frames kept from the last keyframe on for those who join; 20 s of the same. A longer GOP is not kept.
const GOP_FRAMES: usize = 1280;
/// Absences, and layouts, that a reader may be behind.
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
    pieces: broadcast::Sender<Piece>,
    absences: broadcast::Sender<Absence>,
    layouts: broadcast::Sender<Arc<ShownLayout>>,
    /// The one that is shown.
    layout: Mutex<Option<Arc<ShownLayout>>>,
    /// Closed at its end.
    runs: watch::Sender<()>,
    /// Frames since the last keyframe, in order.
    gop: Mutex<Vec<Arc<Frame>>>,
    /// Until when a reader has the program on its disk, in program time.
    written: watch::Sender<Option<Duration>>,
    zero: Arc<OnceLock<Duration>>,
}

#[derive(Debug, Clone)]
enum Piece {
    Frame(Arc<Frame>),
    /// So many frames did not reach this process.
    Lost(u64),
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
            pieces: broadcast::channel(QUEUE).0,
            absences: broadcast::channel(ABSENCES).0,
            layouts: broadcast::channel(ABSENCES).0,
            layout: Mutex::default(),
            runs: watch::channel(()).0,
            gop: Mutex::default(),
            written: watch::channel(None).0,
            zero: Arc::default(),
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
        let live = program.pieces.subscribe();
        let layout = lock(&program.layout);
        Some(ProgramReader {
            layout: layout.clone(),
            layouts: program.layouts.subscribe(),
            backlog: gop.iter().cloned().rev().collect(),
            live,
            absences: program.absences.subscribe(),
            zero: program.zero.clone(),
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
        self.program.pieces.receiver_count()
    }

    /// Frames that the slowest reader has not read yet.
    pub fn unread(&self) -> usize {
        self.program.pieces.len()
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
        let _nobody_reads = self.program.pieces.send(Piece::Frame(frame));
    }

    /// Tells every reader that frames did not reach this process. The program goes on with a keyframe.
    pub fn tell_loss(&self, frames: u64) {
        let mut gop = lock(&self.program.gop);
        gop.clear();
        let _nobody_reads = self.program.pieces.send(Piece::Lost(frames));
    }

    /// Says when the program's time was 0, since 1970. The first word holds.
    pub fn tell_zero(&self, unix: Duration) {
        let _known_already = self.program.zero.set(unix);
    }

    /// Until when a reader has the program on its disk, in program time.
    pub fn written(&self) -> watch::Receiver<Option<Duration>> {
        self.program.written.subscribe()
    }

    /// Tells every reader of a new layout of the mix, and later readers of the newest one. One that is not newer is known.
    pub fn tell_layout(&self, shown: ShownLayout) {
        let mut layout = lock(&self.program.layout);
        if layout.as_ref().is_none_or(|known| known.revision < shown.revision) {
            let shown = Arc::new(shown);
            *layout = Some(shown.clone());
            let _nobody_reads = self.program.layouts.send(shown);
        }
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
    live: broadcast::Receiver<Piece>,
    absences: broadcast::Receiver<Absence>,
    /// The one that was shown when the reader began, until it is taken.
    layout: Option<Arc<ShownLayout>>,
    layouts: broadcast::Receiver<Arc<ShownLayout>>,
    zero: Arc<OnceLock<Duration>>,
    program: Weak<Program>,
}

impl ProgramReader {
    /// The next frame. Cancel-safe.
    ///
    /// Errors: [`ReadError::Lagged`] and [`ReadError::Lost`] say that frames were lost and reading can go on, best from the next
    /// keyframe; [`ReadError::Ended`] that the program is over.
    pub async fn next(&mut self) -> Result<Arc<Frame>, ReadError> {
        if let Some(frame) = self.backlog.pop() {
            return Ok(frame);
        }
        match self.live.recv().await {
            Ok(Piece::Frame(frame)) => Ok(frame),
            Ok(Piece::Lost(frames)) => Err(ReadError::Lost(frames)),
            Err(broadcast::error::RecvError::Lagged(frames)) => Err(ReadError::Lagged(frames)),
            Err(broadcast::error::RecvError::Closed) => Err(ReadError::Ended),
        }
    }

    /// Everything until this program time is on the reader's disk. The node that makes the program learns it.
    pub fn acknowledge(&self, until: Duration) {
        if let Some(program) = self.program.upgrade() {
            program.written.send_if_modified(|written| {
                let is_later = written.is_none_or(|written| written < until);
                if is_later {
                    *written = Some(until);
                }
                is_later
            });
        }
    }

    /// When the program's time was 0, since 1970, if the program comes from another node and that has said so.
    pub fn zero(&self) -> Option<Duration> {
        self.zero.get().copied()
    }

    /// The next frame if one waits; None: none does for now. Errors: as [`next`](Self::next).
    pub fn try_next(&mut self) -> Option<Result<Arc<Frame>, ReadError>> {
        if let Some(frame) = self.backlog.pop() {
            return Some(Ok(frame));
        }
        match self.live.try_recv() {
            Ok(Piece::Frame(frame)) => Some(Ok(frame)),
            Ok(Piece::Lost(frames)) => Some(Err(ReadError::Lost(frames))),
            Err(broadcast::error::TryRecvError::Empty) => None,
            Err(broadcast::error::TryRecvError::Lagged(frames)) => Some(Err(ReadError::Lagged(frames))),
            Err(broadcast::error::TryRecvError::Closed) => Some(Err(ReadError::Ended)),
        }
    }

    /// Frames that wait to be read.
    pub fn behind(&self) -> usize {
        self.backlog.len() + self.live.len()
    }

    /// The time of the newest frame that was there when the reader began, while it has not been read; None: there was none.
    pub fn newest(&self) -> Option<MediaTime> {
        self.backlog.first().map(|frame| frame.pts)
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
        self.live = program.pieces.subscribe();
        self.backlog = gop.iter().cloned().rev().collect();
        true
    }

    /// The next layout of the mix, from the one on that was shown when the reader began; None: there is no new one for now.
    pub fn take_layout(&mut self) -> Option<Arc<ShownLayout>> {
        if let Some(layout) = self.layout.take() {
            return Some(layout);
        }
        newest(&mut self.layouts)
    }

    /// The next absence that was told since the reader began; None: there is none for now.
    pub fn take_absence(&mut self) -> Option<Absence> {
        newest(&mut self.absences)
    }
}

/// The next value that is still kept.
fn newest<T: Clone>(told: &mut broadcast::Receiver<T>) -> Option<T> {
    loop {
        match told.try_recv() {
            Ok(value) => return Some(value),
            Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return None,
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
    #[error("{0} frames were lost between the nodes")]
    Lost(u64),
    #[error("the program has ended")]
    Ended,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use rotunda_proto::mix_layout::CanvasSize;

    use super::*;

    fn frame(second: u64, is_key: bool) -> Arc<Frame> {
        let header = ProgramHeader {
            video: Some(VideoHeader {
                width: 2,
                height: 2,
                framerate: 1,
                bitrate_kbps: 1,
                sps: Bytes::new(),
                pps: Bytes::new(),
            }),
            audio: AudioHeader {
                sample_rate: 48_000,
                channels: 2,
                bitrate_kbps: 1,
                config: Bytes::new(),
            },
        };
        Arc::new(Frame {
            track: Track::Video,
            pts: MediaTime::new(second, 1),
            duration: 1,
            is_key,
            data: Bytes::new(),
            header: Arc::new(header),
        })
    }

    #[tokio::test]
    async fn a_loss_is_told_in_its_place_and_later_readers_begin_at_the_next_keyframe() {
        let hub = ProgramHub::new();
        let stream = "1/film".parse().unwrap();
        let writer = hub.open(&stream).unwrap();
        let mut early = hub.subscribe(&stream).unwrap();
        writer.write(frame(0, true));
        writer.tell_loss(3);
        writer.write(frame(4, false));
        let mut late = hub.subscribe(&stream).unwrap();
        writer.write(frame(5, true));
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(early.next().await.map(|frame| frame.pts.ticks()));
        }
        assert_eq!(seen, [Ok(0), Err(ReadError::Lost(3)), Ok(4), Ok(5)]);
        assert_eq!(late.next().await.unwrap().pts.ticks(), 5, "the broken GOP is not kept");
    }

    #[tokio::test]
    async fn each_reader_learns_the_layout_that_is_shown_and_each_new_one_once() {
        let hub = ProgramHub::new();
        let stream = "1/film".parse().unwrap();
        let writer = hub.open(&stream).unwrap();
        let layout = |revision| ShownLayout {
            revision,
            program_ms: revision * 1000,
            canvas: CanvasSize { w: 2, h: 2 },
            regions: Vec::new(),
        };
        let mut early = hub.subscribe(&stream).unwrap();
        writer.tell_layout(layout(3));
        // Another engine tells it again.
        writer.tell_layout(layout(3));
        let mut late = hub.subscribe(&stream).unwrap();
        writer.tell_layout(layout(4));
        for reader in [&mut early, &mut late] {
            let taken: Vec<u64> = std::iter::from_fn(|| reader.take_layout())
                .map(|layout| layout.revision)
                .collect();
            assert_eq!(taken, [3, 4]);
        }
    }

    #[tokio::test]
    async fn the_writer_learns_the_furthest_time_that_a_reader_has_on_its_disk() {
        let hub = ProgramHub::new();
        let stream = "1/film".parse().unwrap();
        let writer = hub.open(&stream).unwrap();
        let reader = hub.subscribe(&stream).unwrap();
        let mut written = writer.written();
        reader.acknowledge(Duration::from_secs(3));
        reader.acknowledge(Duration::from_secs(2));
        assert_eq!(*written.borrow_and_update(), Some(Duration::from_secs(3)));
        assert_eq!(reader.zero(), None);
        writer.tell_zero(Duration::from_secs(1000));
        assert_eq!(reader.zero(), Some(Duration::from_secs(1000)));
    }
}
