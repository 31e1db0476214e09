//! One running recording: reads a program and writes its segments.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_media::mux::segmenter::{Lengths, Output, Segmenter};
use rotunda_media::program::{Absence, AbsenceReason, Frame, ProgramReader, ReadError, Track};
use rotunda_proto::clock::Clock;
use rotunda_proto::mix_layout::ShownLayout;
use rotunda_proto::recording::{GapReason, GapTrack, RecordingState};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::disk;
use crate::folder::{Folder, Manifest};
use crate::taken::{AudioOnly, Taken};
use crate::watchdog::{Limits, Watchdog};
use crate::writer::{LONGEST_PAUSE, Notice, Writer};

/// A shorter time without any frame is jitter.
const LEAST_HOLE: Duration = Duration::from_secs(1);

/// A recording without a reserve waits for twice this, 2 MiB.
const LEAST_RESERVE: u64 = 1 << 20;

/// Why a recording ended early.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("write the recording's folder")]
    Write(#[from] std::io::Error),
    #[error("a writing task ended")]
    Task(#[from] tokio::task::JoinError),
}

/// What the API wants of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Record,
    Pause,
}

/// What a recording tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    File(Notice),
    State(RecordingState),
}

/// The disk of a recording.
#[derive(Debug, Clone)]
pub struct Disk {
    pub directory: PathBuf,
    /// With less free space the recording waits. 0: only when the disk is full.
    pub reserve: u64,
    /// When it waits, it looks again after this time.
    pub look_again: Duration,
}

/// The program to record, its formats and its folder.
pub struct Recording {
    pub folder: Folder,
    pub manifest: Manifest,
    pub lengths: Lengths,
    pub longest_part: Duration,
    pub taken: Taken,
    pub disk: Disk,
    pub limits: Limits,
    pub wish: watch::Receiver<Wish>,
    /// Bytes of its segments, for others to read.
    pub written: Arc<AtomicU64>,
    /// Receives the news, with the recording's id.
    pub news: mpsc::Sender<(String, News)>,
}

/// The changing part of a recording.
struct Work {
    segmenter: Segmenter,
    audio: AudioOnly,
    /// None: nothing has been written.
    writer: Option<Writer>,
    watchdog: Watchdog,
    waits: Option<Waits>,
    /// End of the newest frame, in program time. None: frames were lost since.
    reached: Option<Duration>,
    notes: Vec<Note>,
    /// Layouts that are not in the journal yet. Those before the first segment wait for it.
    layouts: Vec<Arc<ShownLayout>>,
    told: RecordingState,
    /// Program time up to which chunks have been cut.
    cut: Duration,
    /// Program time up to which they are on the disk, when that has changed.
    written: Option<Duration>,
    /// When the program's time was 0, since 1970, if another node has said so.
    zero: Option<Duration>,
}

/// Why nothing is written at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    ForResume,
    /// The disk is looked at again at this time.
    ForSpace(Instant),
}

/// Something that is missing, in program time.
struct Note {
    from: Duration,
    to: Duration,
    reason: GapReason,
    track: Option<GapTrack>,
}

enum Event {
    Wish(Wish),
    Read(Result<Arc<Frame>, ReadError>),
    Look,
}

impl Recording {
    /// Records until the program ends or `stop`. Data written before an error is complete.
    pub async fn run(mut self, mut reader: ProgramReader, stop: CancellationToken) -> Result<(), RecordError> {
        let mut work = Work {
            segmenter: self.taken.segmenter(self.lengths, Clock.unix()),
            audio: AudioOnly::default(),
            writer: None,
            watchdog: Watchdog::new(self.limits, Clock.now()),
            waits: None,
            reached: None,
            notes: Vec::new(),
            layouts: Vec::new(),
            told: RecordingState::Recording,
            cut: Duration::ZERO,
            written: None,
            zero: None,
        };
        loop {
            let change = work.watchdog.next_change(Clock.now());
            let event = tokio::select! {
                biased;
                Ok(()) = self.wish.changed() => Event::Wish(*self.wish.borrow_and_update()),
                // Waiting frames are written before the recording ends.
                read = reader.next() => Event::Read(read),
                () = stop.cancelled() => Event::Read(Err(ReadError::Ended)),
                () = Clock.until(change) => Event::Look,
            };
            while let Some(absence) = reader.take_absence() {
                work.handle_absence(absence, self.taken);
            }
            while let Some(layout) = reader.take_layout() {
                work.handle_layout(layout, self.taken);
            }
            let is_over = matches!(event, Event::Read(Err(ReadError::Ended)));
            work.zero = reader.zero();
            match event {
                Event::Wish(wish) => self.handle_wish(&mut work, wish).await?,
                Event::Read(Ok(frame)) => self.handle_frame(&mut work, &frame).await?,
                Event::Read(Err(ReadError::Lagged(frames))) => {
                    warn!(
                        frames,
                        "the disk was too slow; the recording continues at the next keyframe"
                    );
                    counter!("rotunda_recorder_frames_lost_total").increment(frames);
                    work.interrupt(GapReason::DiskTooSlow);
                    self.write(&mut work).await?;
                }
                Event::Read(Err(ReadError::Lost(frames))) => {
                    warn!(
                        frames,
                        "frames were lost between the nodes; the recording continues at the next keyframe"
                    );
                    work.interrupt(GapReason::NotReceived);
                    self.write(&mut work).await?;
                }
                Event::Read(Err(ReadError::Ended)) => {
                    log_cut(work.segmenter.finish());
                    self.write(&mut work).await?;
                }
                Event::Look => {}
            }
            if let Some(until) = work.written.take() {
                reader.acknowledge(until);
            }
            if is_over {
                return self.finish(work).await;
            }
            self.tell_state(&mut work).await;
        }
    }

    async fn handle_wish(&self, work: &mut Work, wish: Wish) -> Result<(), RecordError> {
        match (wish, work.waits) {
            (Wish::Pause, None) => {
                work.interrupt(GapReason::Paused);
                work.waits = Some(Waits::ForResume);
                self.write(work).await
            }
            (Wish::Pause, Some(_)) => {
                work.waits = Some(Waits::ForResume);
                Ok(())
            }
            (Wish::Record, Some(Waits::ForResume)) => {
                work.waits = None;
                Ok(())
            }
            (Wish::Record, _) => Ok(()),
        }
    }

    async fn handle_frame(&self, work: &mut Work, frame: &Arc<Frame>) -> Result<(), RecordError> {
        let frame = match self.taken {
            Taken::Audio => work.audio.of(frame),
            Taken::Both | Taken::Video => Some(frame.clone()),
        };
        let Some(frame) = frame else { return Ok(()) };
        let now = Clock.now();
        work.watchdog.handle_frame(frame.track, &frame.header, now);
        if self.taken == Taken::Video && work.is_pause(&frame) {
            // Neither video nor audio came: the video has not stood still, its publisher was away.
            work.interrupt(GapReason::PublisherAway);
            self.write(work).await?;
        }
        work.handle_time(&frame);
        match work.waits {
            Some(Waits::ForResume) => return Ok(()),
            Some(Waits::ForSpace(look_at)) => {
                if now < look_at {
                    return Ok(());
                }
                if !self.has_space().await? {
                    work.waits = Some(Waits::ForSpace(now + self.disk.look_again));
                    return Ok(());
                }
                work.waits = None;
            }
            None => {}
        }
        log_cut(work.segmenter.handle_frame(frame));
        self.write(work).await
    }

    /// Whether there is clearly more space than the reserve.
    async fn has_space(&self) -> Result<bool, RecordError> {
        let (directory, least) = (self.disk.directory.clone(), 2 * self.disk.reserve.max(LEAST_RESERVE));
        Ok(tokio::task::spawn_blocking(move || disk::has(&directory, least)).await?)
    }

    /// Writes what the segmenter has cut. A full disk makes the recording wait.
    async fn write(&self, work: &mut Work) -> Result<(), RecordError> {
        match self.write_outputs(work).await? {
            Ok(()) => Ok(()),
            Err(error) if disk::is_full(&error) => {
                if work.waits.is_none() {
                    warn!("the disk has too little free space; the recording waits");
                    work.waits = Some(Waits::ForSpace(Clock.now() + self.disk.look_again));
                    work.interrupt(GapReason::DiskFull);
                    // The end of the open segment, which fits into the reserve; without one it has ended already.
                    let _waits_already = self.write_outputs(work).await?;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn write_outputs(&self, work: &mut Work) -> Result<std::io::Result<()>, RecordError> {
        let outputs: Vec<Output> = std::iter::from_fn(|| work.segmenter.poll_output()).collect();
        let notes = std::mem::take(&mut work.notes);
        let has_begun = work.writer.is_some() || outputs.iter().any(|output| matches!(output, Output::Begin(_)));
        let layouts = if has_begun {
            std::mem::take(&mut work.layouts)
        } else {
            Vec::new()
        };
        if outputs.is_empty() && notes.is_empty() && layouts.is_empty() {
            return Ok(Ok(()));
        }
        let (folder, manifest, lengths, longest) = (
            self.folder.clone(),
            self.manifest.clone(),
            self.lengths,
            self.longest_part,
        );
        for output in &outputs {
            match output {
                Output::Begin(start) => work.cut = start.at.duration(),
                Output::Chunk(chunk) => work.cut += chunk.duration,
                Output::End(_) => {}
            }
        }
        let zero = work.zero;
        let (mut writer, disk) = (work.writer.take(), self.disk.clone());
        // Disk access blocks; the runtime's threads must not.
        let mut task = tokio::task::spawn_blocking(move || {
            let create = |at, zero| Writer::create(folder.clone(), manifest.clone(), lengths, longest, at, zero);
            let written = write(&mut writer, outputs, (notes, layouts), zero, create);
            let is_low = || disk.reserve > 0 && !disk::has(&disk.directory, disk.reserve);
            let written = match written {
                Ok(()) if is_low() => Err(std::io::ErrorKind::StorageFull.into()),
                written => written,
            };
            (writer, written)
        });
        work.watchdog.handle_write(Clock.now());
        let (writer, written) = loop {
            let change = work.watchdog.next_change(Clock.now());
            tokio::select! {
                done = &mut task => break done?,
                () = Clock.until(change) => self.tell_state(work).await,
            }
        };
        work.watchdog.handle_written(Clock.now());
        let bytes = writer.as_ref().map_or(0, Writer::bytes);
        self.written.store(bytes, Ordering::Relaxed);
        work.writer = writer;
        if written.is_ok() && work.waits.is_none() {
            work.written = Some(work.cut);
        }
        self.tell_notices(work).await;
        Ok(written)
    }

    async fn finish(&self, mut work: Work) -> Result<(), RecordError> {
        if let Some(mut writer) = work.writer.take() {
            let end = work.reached.unwrap_or_default();
            let finished = tokio::task::spawn_blocking(move || {
                writer.finish(end);
                writer
            });
            work.writer = Some(finished.await?);
        }
        self.tell_notices(&mut work).await;
        Ok(())
    }

    async fn tell_notices(&self, work: &mut Work) {
        let notices = work.writer.as_mut().map(Writer::take_notices).unwrap_or_default();
        for notice in notices {
            self.tell(News::File(notice)).await;
        }
    }

    async fn tell_state(&self, work: &mut Work) {
        let state = match work.waits {
            Some(Waits::ForResume) => RecordingState::Paused,
            Some(Waits::ForSpace(_)) => RecordingState::DiskFull,
            None => work.watchdog.state(Clock.now()),
        };
        if std::mem::replace(&mut work.told, state) != state {
            self.tell(News::State(state)).await;
        }
    }

    async fn tell(&self, news: News) {
        // The receiver is gone only when the process ends; then the journal has the facts.
        let _told_or_ended = self.news.send((self.manifest.recording_id.clone(), news)).await;
    }
}

impl Work {
    /// The recording continues with a later keyframe.
    fn interrupt(&mut self, reason: GapReason) {
        log_cut(self.segmenter.handle_loss());
        if matches!(reason, GapReason::DiskTooSlow | GapReason::NotReceived) {
            self.reached = None;
        }
        if let Some(writer) = &mut self.writer {
            writer.explain_gap(reason);
        }
    }

    /// Whether no frame of either track came for so long that it ends the segment.
    fn is_pause(&self, frame: &Frame) -> bool {
        let pause = |reached| frame.pts.duration().saturating_sub(reached);
        self.waits.is_none() && self.reached.is_some_and(|reached| pause(reached) > LONGEST_PAUSE)
    }

    /// Notes a time in which no frame came, if it is so short that it does not end the segment.
    fn handle_time(&mut self, frame: &Frame) {
        let at = frame.pts.duration();
        if let Some(reached) = self.reached
            && self.waits.is_none()
            && (LEAST_HOLE..=LONGEST_PAUSE).contains(&at.saturating_sub(reached))
        {
            self.notes.push(Note {
                from: reached,
                to: at,
                reason: GapReason::NotReceived,
                track: None,
            });
        }
        let end = frame.pts.plus(frame.duration.into()).duration();
        self.reached = Some(self.reached.map_or(end, |reached| reached.max(end)));
    }

    fn handle_layout(&mut self, layout: Arc<ShownLayout>, taken: Taken) {
        if taken.takes(Track::Video) {
            // Before the first segment only the newest one counts.
            if self.writer.is_none() {
                self.layouts.clear();
            }
            self.layouts.push(layout);
        }
    }

    fn handle_absence(&mut self, absence: Absence, taken: Taken) {
        if !taken.takes(absence.track) {
            return;
        }
        self.notes.push(Note {
            from: absence.from,
            to: absence.to,
            reason: match absence.reason {
                AbsenceReason::Muted => GapReason::PublisherMuted,
                AbsenceReason::NotReceived => GapReason::NotReceived,
            },
            track: Some(match absence.track {
                Track::Video => GapTrack::Video,
                Track::Audio => GapTrack::Audio,
            }),
        });
    }
}

/// Blocking. `zero`: when the program's time was 0, if that is known. `create`: makes the writer, from the program time of its zero and the
/// wall-clock time of the program's.
fn write(
    writer: &mut Option<Writer>,
    outputs: Vec<Output>,
    (notes, layouts): (Vec<Note>, Vec<Arc<ShownLayout>>),
    zero: Option<Duration>,
    create: impl Fn(rotunda_media::time::MediaTime, Duration) -> std::io::Result<Writer>,
) -> std::io::Result<()> {
    for output in outputs {
        let open = match (&mut *writer, &output) {
            (Some(open), _) => open,
            (None, Output::Begin(start)) => {
                let zero = zero.unwrap_or_else(|| Clock.unix().saturating_sub(start.at.duration()));
                info!("recording");
                writer.insert(create(start.at, zero)?)
            }
            (None, _) => continue,
        };
        open.write(output)?;
    }
    for note in notes {
        if let Some(open) = &mut *writer {
            open.note_gap(note.from, note.to, note.reason, note.track)?;
        }
    }
    for layout in layouts {
        if let Some(open) = &mut *writer {
            open.note_layout(&layout)?;
        }
    }
    Ok(())
}

fn log_cut(cut: Result<(), rotunda_media::mux::MuxError>) {
    if let Err(error) = cut {
        counter!("rotunda_recorder_failed_total").increment(1);
        error!(error = &error as &dyn std::error::Error, "a segment could not be made");
    }
}
