//! Writes the segments of one recording to its folder. Blocking.
//!
//! After an error the recording can go on later: whole chunks stay, and everything that could not be noted in the journal is noted
//! before the next segment.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use rotunda_media::mux::segmenter::{Chunk, Lengths, Output, SegmentStart};
use rotunda_media::program::ProgramHeader;
use rotunda_media::time::MediaTime;
use rotunda_proto::mix_layout::ShownLayout;
use rotunda_proto::recording::{FileFormat, Gap, GapReason, GapTrack, RecordedLayout};
use tracing::warn;

use crate::folder::{Begun, Entry, Folder, Line, Manifest};
use crate::playlist::Growing;

/// A longer time without any frame of a single stream is an interruption.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// See the [module](self).
pub struct Writer {
    folder: Folder,
    manifest: Manifest,
    longest_part: Duration,
    /// The wall-clock time of the program's zero, since 1970.
    wall_zero: Duration,
    /// The program time of the recording's zero.
    origin: MediaTime,
    /// How many segments have begun, and the last of them.
    segments: u64,
    last: Option<Entry>,
    playlist: Option<Growing>,
    open: Option<OpenSegment>,
    /// Of all segments.
    bytes: u64,
    init: Option<Bytes>,
    inits: u64,
    /// The current part, and its start.
    part: Option<(u64, MediaTime)>,
    /// Of the last segment.
    header: Option<Arc<ProgramHeader>>,
    gap_reason: Option<GapReason>,
    /// Lines that the disk did not take.
    unwritten: Vec<Line>,
    notices: Vec<Notice>,
    /// The growing playlist is there.
    is_listed: bool,
}

struct OpenSegment {
    file: File,
    /// Its whole chunks.
    bytes: u64,
    duration: Duration,
}

/// A change of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    PartBegan {
        part: u64,
        wall: Duration,
    },
    PartEnded {
        part: u64,
    },
    /// The growing playlist has its first segment, which began at that time since 1970.
    Listed {
        wall: Duration,
        has_video: bool,
    },
    /// Something is missing.
    Gap {
        gap: Gap,
    },
}

impl Writer {
    /// Creates the folder. `origin`: program time of the first segment; `wall_zero`: wall-clock time of the
    /// program's zero.
    pub fn create(
        folder: Folder,
        manifest: Manifest,
        lengths: Lengths,
        longest_part: Duration,
        origin: MediaTime,
        wall_zero: Duration,
    ) -> io::Result<Self> {
        folder.create(&manifest)?;
        let has_hls = manifest.formats.contains(&FileFormat::Hls);
        Ok(Self {
            folder,
            manifest,
            longest_part,
            wall_zero,
            origin,
            segments: 0,
            last: None,
            playlist: has_hls.then(|| Growing::new(lengths)),
            open: None,
            bytes: 0,
            init: None,
            inits: 0,
            part: None,
            header: None,
            gap_reason: None,
            unwritten: Vec::new(),
            notices: Vec::new(),
            is_listed: false,
        })
    }

    /// Sets the reason of the next discontinuity in time, unless it has one.
    pub fn explain_gap(&mut self, reason: GapReason) {
        self.gap_reason.get_or_insert(reason);
    }

    /// Notes that something is missing, in program time.
    ///
    /// Errors: [`io::Error`]; it is noted later.
    pub fn note_gap(
        &mut self,
        from: Duration,
        to: Duration,
        reason: GapReason,
        track: Option<GapTrack>,
    ) -> io::Result<()> {
        let Some(part) = self.last_part() else {
            return Ok(());
        };
        let unix_ms = |time: Duration| (self.wall_zero + time).as_millis() as u64;
        let gap = Gap {
            from_unix_ms: unix_ms(from.max(self.origin.duration())),
            to_unix_ms: unix_ms(to),
            reason,
            track,
        };
        if gap.to_unix_ms <= gap.from_unix_ms {
            return Ok(());
        }
        self.notices.push(Notice::Gap { gap: gap.clone() });
        self.note(Line::Gap { part, gap })
    }

    /// Notes that frames show this layout from its time on.
    ///
    /// Errors: [`io::Error`]; it is noted later.
    pub fn note_layout(&mut self, layout: &ShownLayout) -> io::Result<()> {
        let from = self.wall_zero + Duration::from_millis(layout.program_ms).max(self.origin.duration());
        self.note(Line::Layout(RecordedLayout {
            from_unix_ms: from.as_millis() as u64,
            layout: layout.clone(),
        }))
    }

    /// Writes the output, and syncs it to the disk.
    ///
    /// Errors: [`io::Error`]; what was written before is complete, and the next segment can be tried later.
    pub fn write(&mut self, output: Output) -> io::Result<()> {
        let written = match output {
            Output::Begin(start) => self.begin(start),
            Output::Chunk(chunk) => self.append(&chunk),
            Output::End(end) => self.end(end.duration),
        };
        if written.is_err() {
            self.give_up_segment();
        }
        written
    }

    /// Bytes of all segments so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The changes since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Ends the last part, at this program time. Time since the last segment is missing if there is a reason for it.
    pub fn finish(&mut self, end: Duration) {
        if let Some(reason) = self.gap_reason.take()
            && let Some(last) = &self.last
        {
            let from = Duration::from_micros(last.begun.wall_unix_us) + last.length();
            let noted = self.note_gap(from.saturating_sub(self.wall_zero), end, reason, None);
            log(noted);
        }
        let noted = self.note_unwritten();
        log(noted);
        self.end_part();
    }

    fn end_part(&mut self) {
        self.open = None;
        if let Some((part, _)) = self.part.take() {
            self.notices.push(Notice::PartEnded { part });
        }
    }

    fn last_part(&self) -> Option<u64> {
        self.last.as_ref().map(|entry| entry.begun.part)
    }

    fn begin(&mut self, start: SegmentStart) -> io::Result<()> {
        self.note_unwritten()?;
        let needs_init = self.init.as_ref() != Some(&start.init);
        let is_full = self
            .part
            .is_some_and(|(_, since)| start.independent && start.at.since(since) >= self.longest_part);
        let gap = self.gap_before(&start);
        let is_interrupted = gap.as_ref().is_some_and(|gap| match gap.reason {
            GapReason::PublisherAway | GapReason::Paused => true,
            GapReason::DiskTooSlow | GapReason::DiskFull | GapReason::NotReceived | GapReason::PublisherMuted => false,
        });
        if is_full || is_interrupted || (needs_init && !self.takes_in(&start.header)) {
            self.end_part();
        }
        if needs_init {
            self.folder
                .replace(&crate::folder::init_name(self.inits + 1), &start.init)?;
            self.inits += 1;
            self.init = Some(start.init.clone());
        }
        self.header = Some(start.header.clone());
        let wall = self.wall_zero + start.at.duration();
        let part = match self.part {
            Some((part, _)) => part,
            None => self.last_part().map_or(0, |part| part + 1),
        };
        let number = self.segments;
        let rate = start.at.rate();
        let begun = Begun {
            number,
            init: self.inits,
            part,
            discontinuity: start.discontinuity,
            independent: start.independent,
            start_ticks: start.at.ticks().saturating_sub(self.origin.rescale(rate).ticks()),
            rate,
            wall_unix_us: wall.as_micros() as u64,
            resolution: start.header.video.as_ref().map(|video| (video.width, video.height)),
            gap,
        };
        let file = File::create(self.folder.segment(number))?;
        self.folder.sync()?;
        self.folder.append(&Line::Begin(begun.clone()))?;
        self.gap_reason = None;
        if let Some(gap) = &begun.gap {
            self.notices.push(Notice::Gap { gap: gap.clone() });
        }
        if self.part.is_none() {
            self.part = Some((part, start.at));
            self.notices.push(Notice::PartBegan { part, wall });
        }
        self.segments += 1;
        self.last = Some(Entry { begun, duration: None });
        self.open = Some(OpenSegment {
            file,
            bytes: 0,
            duration: Duration::ZERO,
        });
        Ok(())
    }

    fn append(&mut self, chunk: &Chunk) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.file.write_all(&chunk.bytes)?;
        open.file.sync_data()?;
        open.bytes += chunk.bytes.len() as u64;
        open.duration += chunk.duration;
        self.bytes += chunk.bytes.len() as u64;
        counter!("rotunda_recorder_bytes_total").increment(chunk.bytes.len() as u64);
        Ok(())
    }

    fn end(&mut self, duration: Duration) -> io::Result<()> {
        if self.open.take().is_none() {
            return Ok(());
        }
        self.end_segment(duration)?;
        let Some(playlist) = &mut self.playlist else {
            return Ok(());
        };
        playlist.write(&self.folder)?;
        if !std::mem::replace(&mut self.is_listed, true)
            && let Some(first) = &self.last
        {
            self.notices.push(Notice::Listed {
                wall: Duration::from_micros(first.begun.wall_unix_us),
                has_video: first.begun.resolution.is_some(),
            });
        }
        Ok(())
    }

    fn end_segment(&mut self, duration: Duration) -> io::Result<()> {
        let Some(last) = &mut self.last else {
            return Ok(());
        };
        last.duration = Some(duration);
        if let Some(playlist) = &mut self.playlist {
            playlist.add(last);
        }
        let number = last.begun.number;
        self.note(Line::End {
            number,
            duration_us: duration.as_micros() as u64,
        })
    }

    /// After an error: whole chunks stay, and the segment ends with them.
    fn give_up_segment(&mut self) {
        let Some(open) = self.open.take() else { return };
        // Shortening a file needs no space.
        log(open.file.set_len(open.bytes).and_then(|()| open.file.sync_all()));
        if open.bytes > 0 {
            let noted = self.end_segment(open.duration);
            log(noted);
        }
    }

    fn note(&mut self, line: Line) -> io::Result<()> {
        self.unwritten.push(line);
        self.note_unwritten()
    }

    fn note_unwritten(&mut self) -> io::Result<()> {
        while let Some(line) = self.unwritten.first() {
            self.folder.append(line)?;
            self.unwritten.remove(0);
        }
        Ok(())
    }

    /// Whether files of the current part may continue with this configuration. The video of a single stream changes its size with the
    /// network, so files of it have several configurations. A mix changes seldom, and a file of it has one.
    fn takes_in(&self, header: &ProgramHeader) -> bool {
        let is_single = self.manifest.program.single.is_some();
        let fits = |before: &Arc<ProgramHeader>| {
            before.video.is_some() == header.video.is_some() && before.audio.decodes_like(&header.audio)
        };
        is_single && self.header.as_ref().is_some_and(fits)
    }

    /// The gap between the last segment and this one.
    fn gap_before(&self, start: &SegmentStart) -> Option<Gap> {
        let last = self.last.as_ref()?;
        let from = Duration::from_micros(last.begun.wall_unix_us) + last.length();
        let to = self.wall_zero + start.at.duration();
        let is_pause = to.saturating_sub(from) > LONGEST_PAUSE;
        let of_source = match self.manifest.program.single {
            // The video stands still, and its last frame is shown.
            Some(_) if self.manifest.has_video_only() => None,
            Some(_) => Some(GapReason::PublisherAway),
            None => Some(GapReason::NotReceived),
        };
        let reason = self.gap_reason.or(of_source.filter(|_| is_pause))?;
        (to > from).then_some(Gap {
            from_unix_ms: from.as_millis() as u64,
            to_unix_ms: to.as_millis() as u64,
            reason,
            track: None,
        })
    }
}

/// It is tried again with the next segment, and a later process reads the segments themselves.
fn log(done: io::Result<()>) {
    if let Err(error) = done {
        warn!(
            error = &error as &dyn std::error::Error,
            "the journal or a segment could not be written"
        );
    }
}

#[cfg(test)]
mod tests;
