//! Writes the segments of one recording to its folder. Blocking.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use rotunda_media::mux::hls::Kind;
use rotunda_media::mux::segmenter::{Lengths, Output, SegmentStart};
use rotunda_media::program::ProgramHeader;
use rotunda_media::time::MediaTime;
use rotunda_proto::recording::{Gap, GapReason};

use crate::folder::{Begun, Entry, Folder, Line, Manifest};
use crate::playlist::playlist;

/// A longer time without any frame of a single stream is an interruption.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// See the [module](self).
pub struct Writer {
    folder: Folder,
    manifest: Manifest,
    lengths: Lengths,
    longest_part: Duration,
    /// The wall-clock time of the program's zero, since 1970.
    wall_zero: Duration,
    /// The program time of the recording's zero.
    origin: MediaTime,
    entries: Vec<Entry>,
    open: Option<File>,
    init: Option<Bytes>,
    inits: u64,
    /// The current part, and its start.
    part: Option<(u64, MediaTime)>,
    /// Of the last segment.
    header: Option<Arc<ProgramHeader>>,
    gap_reason: Option<GapReason>,
}

/// A change of a recording's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    PartBegan { part: u64, wall: Duration },
    PartEnded { part: u64 },
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
        Ok(Self {
            folder,
            manifest,
            lengths,
            longest_part,
            wall_zero,
            origin,
            entries: Vec::new(),
            open: None,
            init: None,
            inits: 0,
            part: None,
            header: None,
            gap_reason: None,
        })
    }

    /// Sets the reason of the next discontinuity in time.
    pub fn explain_gap(&mut self, reason: GapReason) {
        self.gap_reason = Some(reason);
    }

    /// Writes the output, and syncs it to the disk.
    pub fn write(&mut self, output: Output) -> io::Result<Vec<Notice>> {
        match output {
            Output::Begin(start) => self.begin(start),
            Output::Chunk(chunk) => {
                if let Some(file) = &mut self.open {
                    file.write_all(&chunk.bytes)?;
                    file.sync_data()?;
                    counter!("rotunda_recorder_bytes_total").increment(chunk.bytes.len() as u64);
                }
                Ok(Vec::new())
            }
            Output::End(end) => {
                self.end(end.duration)?;
                Ok(Vec::new())
            }
        }
    }

    /// Ends the last part.
    pub fn finish(&mut self) -> Option<Notice> {
        self.open = None;
        let (part, _) = self.part.take()?;
        Some(Notice::PartEnded { part })
    }

    fn begin(&mut self, start: SegmentStart) -> io::Result<Vec<Notice>> {
        let mut notices = Vec::new();
        let needs_init = self.init.as_ref() != Some(&start.init);
        let is_full = self
            .part
            .is_some_and(|(_, since)| start.independent && start.at.since(since) >= self.longest_part);
        let gap = self.gap_before(&start);
        let is_back = gap.as_ref().is_some_and(|gap| gap.reason == GapReason::PublisherAway);
        if is_full || is_back || (needs_init && !self.takes_in(&start.header)) {
            notices.extend(self.finish());
        }
        self.header = Some(start.header.clone());
        if needs_init {
            self.inits += 1;
            self.folder
                .replace(&crate::folder::init_name(self.inits), &start.init)?;
            self.init = Some(start.init.clone());
        }
        let wall = self.wall_zero + start.at.duration();
        let part = match self.part {
            Some((part, _)) => part,
            None => {
                let part = self.entries.last().map_or(0, |entry| entry.begun.part + 1);
                self.part = Some((part, start.at));
                notices.push(Notice::PartBegan { part, wall });
                part
            }
        };
        let number = self.entries.len() as u64;
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
        self.open = Some(File::create(self.folder.segment(number))?);
        self.folder.sync()?;
        self.folder.append(&Line::Begin(begun.clone()))?;
        self.entries.push(Entry { begun, duration: None });
        Ok(notices)
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
    fn gap_before(&mut self, start: &SegmentStart) -> Option<Gap> {
        let last = self.entries.last()?;
        let from = Duration::from_micros(last.begun.wall_unix_us) + last.length();
        let to = self.wall_zero + start.at.duration();
        let is_away = self.manifest.program.single.is_some() && to.saturating_sub(from) > LONGEST_PAUSE;
        let reason = self
            .gap_reason
            .take()
            .or_else(|| is_away.then_some(GapReason::PublisherAway))?;
        (to > from).then_some(Gap {
            from_unix_ms: from.as_millis() as u64,
            to_unix_ms: to.as_millis() as u64,
            reason,
        })
    }

    fn end(&mut self, duration: Duration) -> io::Result<()> {
        self.open = None;
        let Some(last) = self.entries.last_mut() else {
            return Ok(());
        };
        last.duration = Some(duration);
        let line = Line::End {
            number: last.begun.number,
            duration_us: duration.as_micros() as u64,
        };
        self.folder.append(&line)?;
        if self
            .manifest
            .formats
            .contains(&rotunda_proto::recording::FileFormat::Hls)
        {
            let text = playlist(Kind::Event, &self.entries, self.lengths);
            self.folder.replace_growing_playlist(&text)?;
        }
        Ok(())
    }
}
