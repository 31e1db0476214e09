//! Makes the files of a recording from its segments. Blocking; each step can be repeated.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rotunda_media::mux::mp4::{Change, Source, Summary};
use rotunda_media::mux::segmenter::Lengths;
use rotunda_media::mux::stored::{self, StoredSample};
use rotunda_media::mux::{MuxError, adts, flv_file, mp3_file, mp4};
use rotunda_media::program::Track;
use rotunda_media::time::{MediaTime, VIDEO_RATE};
use rotunda_proto::name_time_zone::{NameTimeZone, stamp};
use rotunda_proto::program::StreamKind;
use rotunda_proto::recording::{FileFormat, Gap, GapTrack, MOST_LAYOUTS, RecordedLayout};
use thiserror::Error;

use crate::folder::{Entry, Folder, Journal, Line, Manifest, PartGap, init_name, segment_name};
use crate::playlist;

/// Audio frames before a part's start, which its decoder needs to begin.
const AUDIO_LEAD: usize = 2;

/// Why a file could not be made.
#[derive(Debug, Error)]
pub enum FinishError {
    #[error("read or write the recording's folder")]
    Folder(#[from] io::Error),
    #[error("make the file")]
    Mux(#[from] MuxError),
}

/// A complete file on the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Without folder.
    pub name: String,
    pub size_bytes: u64,
    pub duration: Duration,
    /// Since 1970.
    pub started: Duration,
    pub ended: Duration,
    pub resolution: Option<(u16, u16)>,
    pub gaps: Vec<Gap>,
    pub layouts: Vec<RecordedLayout>,
}

/// A recording whose files are to be made.
pub struct Finisher<'a> {
    folder: &'a Folder,
    manifest: Manifest,
    entries: Vec<Entry>,
    gaps: Vec<PartGap>,
    layouts: Vec<RecordedLayout>,
    /// Of the times in file names.
    zone: NameTimeZone,
}

impl<'a> Finisher<'a> {
    /// `zone`: of the times in file names, if the recording has none of its own.
    pub fn open(folder: &'a Folder, zone: NameTimeZone) -> Result<Self, FinishError> {
        let Journal { entries, gaps, layouts } = folder.journal()?;
        let manifest = folder.manifest()?;
        Ok(Self {
            zone: manifest.name_time_zone.clone().unwrap_or(zone),
            manifest,
            entries,
            gaps,
            layouts,
            folder,
        })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn folder(&self) -> &Folder {
        self.folder
    }

    /// The complete segments of a file: of a part, or of the whole recording if the format is HLS.
    pub fn entries_of(&self, part: u64, format: FileFormat) -> Vec<&Entry> {
        let of_file =
            |entry: &&Entry| entry.duration.is_some() && (format == FileFormat::Hls || entry.begun.part == part);
        self.entries.iter().filter(of_file).collect()
    }

    /// Nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.duration.is_none())
    }

    /// The parts that the recording was split into, and their starts since 1970.
    pub fn parts(&self) -> Vec<(u64, Duration)> {
        let mut parts: Vec<(u64, Duration)> = Vec::new();
        for entry in &self.entries {
            if parts.last().is_none_or(|(part, _)| *part != entry.begun.part) {
                parts.push((entry.begun.part, Duration::from_micros(entry.begun.wall_unix_us)));
            }
        }
        parts
    }

    /// Ends the recording: an unfinished segment ends with its last complete chunk.
    pub fn seal(&mut self) -> Result<(), FinishError> {
        for entry in &mut self.entries {
            if entry.duration.is_some() {
                continue;
            }
            let path = self.folder.segment(entry.begun.number);
            let mut samples = Vec::new();
            let whole = match stored::scan(&path, 0, &mut samples) {
                Ok(whole) => whole,
                Err(MuxError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            // While a camera sends nothing, audio leads.
            let leading = if entry.begun.rate == VIDEO_RATE {
                Track::Video
            } else {
                Track::Audio
            };
            let ends = samples
                .iter()
                .filter(|sample| sample.track == leading)
                .map(|sample| sample.decode_time + u64::from(sample.duration));
            let Some(end) = ends.max() else { continue };
            let file = fs::OpenOptions::new().write(true).open(&path)?;
            file.set_len(whole)?;
            file.sync_all()?;
            let duration = MediaTime::new(end, entry.begun.rate).since(entry.start());
            self.folder.append(&Line::End {
                number: entry.begun.number,
                duration_us: duration.as_micros() as u64,
            })?;
            entry.duration = Some(duration);
        }
        Ok(())
    }

    /// Makes one file: of a part, or of the whole recording if the format is HLS.
    ///
    /// Errors: [`FinishError`]; [`MuxError::Empty`] if nothing was recorded.
    pub fn finish(&self, part: u64, format: FileFormat) -> Result<Finished, FinishError> {
        let entries = self.entries_of(part, format);
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Err(MuxError::Empty.into());
        };
        let wall = |entry: &Entry| Duration::from_micros(entry.begun.wall_unix_us);
        let (started, ended) = (wall(first), wall(last) + last.length());
        let stamp = |time| stamp(time, &self.zone);
        let name = format!("{}_{}_{}", self.manifest.prefix, stamp(started), stamp(ended));
        let (name, summary) = match format {
            FileFormat::Hls => self.finish_hls(format!("{name}.m3u8"), &entries)?,
            _ => {
                let name = format!("{name}.{}", format.as_str());
                match self.made_before(&name, &entries) {
                    Some(summary) => (name, summary),
                    None => self.derive(name, format, &entries, started)?,
                }
            }
        };
        let has_video = has_video(format);
        Ok(Finished {
            name,
            size_bytes: summary.size_bytes,
            duration: Duration::from_millis(summary.duration_ms),
            started,
            ended,
            resolution: first.begun.resolution.filter(|_| has_video),
            gaps: self.gaps(part, format, &entries),
            layouts: match has_video {
                true => self.layouts(started, ended),
                false => Vec::new(),
            },
        })
    }

    /// The layouts of a file: the one that was shown at its start, and each new one.
    fn layouts(&self, started: Duration, ended: Duration) -> Vec<RecordedLayout> {
        let (started, ended) = (started.as_millis() as u64, ended.as_millis() as u64);
        let mut layouts: Vec<RecordedLayout> = Vec::new();
        for layout in self.layouts.iter().filter(|layout| layout.from_unix_ms < ended) {
            if layout.from_unix_ms <= started {
                layouts.clear();
            }
            if layouts.len() < MOST_LAYOUTS {
                layouts.push(RecordedLayout {
                    from_unix_ms: layout.from_unix_ms.max(started),
                    ..layout.clone()
                });
            }
        }
        layouts
    }

    /// What is missing in a file: between its segments, and what the journal says of its part.
    fn gaps(&self, part: u64, format: FileFormat, entries: &[&Entry]) -> Vec<Gap> {
        let between = entries.iter().skip(1).filter_map(|entry| entry.begun.gap.clone());
        let is_in_file = |gap: &&PartGap| format == FileFormat::Hls || gap.part == part;
        let told = self.gaps.iter().filter(is_in_file).map(|told| told.gap.clone());
        let has_video = has_video(format);
        let mut gaps: Vec<Gap> = between
            .chain(told)
            .filter(|gap| has_video || gap.track != Some(GapTrack::Video))
            .collect();
        gaps.sort_by_key(|gap| (gap.from_unix_ms, gap.to_unix_ms));
        gaps
    }

    fn finish_hls(&self, name: String, entries: &[&Entry]) -> Result<(String, Summary), FinishError> {
        let entries: Vec<Entry> = entries.iter().map(|entry| (*entry).clone()).collect();
        let lengths = Lengths {
            segment: Duration::from_secs(self.manifest.segment_seconds),
            chunk: Duration::ZERO,
        };
        self.folder
            .replace(&name, playlist::finished(&entries, lengths).as_bytes())?;
        self.folder.remove_growing_playlist()?;
        let mut size_bytes = 0;
        for entry in &entries {
            size_bytes += fs::metadata(self.folder.segment(entry.begun.number))?.len();
        }
        let duration: Duration = entries.iter().map(Entry::length).sum();
        let summary = Summary {
            duration_ms: duration.as_millis() as u64,
            size_bytes,
        };
        Ok((name, summary))
    }

    /// A file that was made, verified and renamed before its row said so, or whose row is lost. Its segments may be gone.
    fn made_before(&self, name: &str, entries: &[&Entry]) -> Option<Summary> {
        let size_bytes = fs::metadata(self.folder.file(name)).ok()?.len();
        let duration: Duration = entries.iter().map(|entry| entry.length()).sum();
        Some(Summary {
            duration_ms: duration.as_millis() as u64,
            size_bytes,
        })
    }

    /// The complete segments and what they need.
    pub fn segment_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.duration.is_some()) {
            let init = init_name(entry.begun.init);
            if !names.contains(&init) {
                names.push(init);
            }
            names.push(segment_name(entry.begun.number));
        }
        names
    }

    /// Removes a finished file: of HLS the segments too.
    pub fn remove(&self, name: &str, format: FileFormat) -> io::Result<()> {
        self.folder.remove_file(name)?;
        if format == FileFormat::Hls {
            for entry in &self.entries {
                self.folder.remove_segment(entry.begun.number)?;
            }
        }
        self.folder.sync()
    }

    /// Writes a file beside the segments, and renames it to its name when it is complete.
    fn derive(
        &self,
        name: String,
        format: FileFormat,
        entries: &[&Entry],
        started: Duration,
    ) -> Result<(String, Summary), FinishError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Err(MuxError::Empty.into());
        };
        let tracks = stored::read_init(&self.folder.init(first.begun.init))?;
        let (mut files, mut samples) = self.lead(first)?;
        let mut changes = Vec::new();
        let mut init = first.begun.init;
        for entry in entries {
            if entry.begun.init != init {
                init = entry.begun.init;
                changes.push(Change {
                    from_file: files.len() as u32,
                    tracks: stored::read_init(&self.folder.init(init))?,
                });
            }
            let path = self.folder.segment(entry.begun.number);
            stored::scan(&path, files.len() as u32, &mut samples)?;
            files.push(path);
        }
        let source = Source {
            tracks: &tracks,
            changes: &changes,
            files: &files,
            samples: &samples,
            start: first.start(),
            end: end(last),
        };
        let unfinished = self.folder.file(&format!("{name}.unfinished"));
        let summary = match make(format, &source, started, &unfinished) {
            Ok(summary) => summary,
            Err(error) => {
                // On a full disk it would take the space that is needed.
                self.folder.remove_file(&format!("{name}.unfinished"))?;
                return Err(error.into());
            }
        };
        fs::rename(&unfinished, self.folder.file(&name))?;
        self.folder.sync()?;
        Ok((name, summary))
    }

    /// Whether there is no audio, or nothing but silence: earlier versions kept the time of a shared screen by it.
    pub fn has_silence(&self) -> bool {
        let single = self.manifest.program.single.as_ref();
        single.is_some_and(|single| single.kind == StreamKind::Aux) || self.manifest.has_video_only()
    }

    /// The audio right before a part, if it continues the previous part.
    fn lead(&self, first: &Entry) -> Result<(Vec<PathBuf>, Vec<StoredSample>), FinishError> {
        let before = first.begun.number.checked_sub(1).and_then(|number| {
            let found = self.entries.iter().find(|entry| entry.begun.number == number);
            found.filter(|before| before.begun.init == first.begun.init && !first.begun.discontinuity)
        });
        let Some(before) = before else {
            return Ok((Vec::new(), Vec::new()));
        };
        let path = self.folder.segment(before.begun.number);
        let mut samples = Vec::new();
        stored::scan(&path, 0, &mut samples)?;
        samples.retain(|sample| sample.track == Track::Audio);
        let lead = samples.split_off(samples.len().saturating_sub(AUDIO_LEAD));
        Ok((vec![path], lead))
    }

    /// Removes the segments of parts that are finished in every format, unless a player needs them. The newest one
    /// stays: the next part begins with its audio.
    pub fn remove_segments(&self, finished: impl Fn(u64) -> bool, is_over: bool) -> io::Result<()> {
        let newest = self.entries.last().map(|entry| entry.begun.number);
        for entry in &self.entries {
            let number = entry.begun.number;
            let is_needed = !is_over && (Some(number) == newest || self.is_last_of_part(number));
            if finished(entry.begun.part) && !is_needed {
                self.folder.remove_segment(number)?;
            }
        }
        self.folder.sync()
    }

    fn is_last_of_part(&self, number: u64) -> bool {
        let part = |number: u64| {
            let found = self.entries.iter().find(|entry| entry.begun.number == number);
            found.map(|entry| entry.begun.part)
        };
        part(number) != part(number + 1)
    }
}

pub fn has_video(format: FileFormat) -> bool {
    matches!(format, FileFormat::Hls | FileFormat::Mp4 | FileFormat::Flv)
}

fn end(last: &Entry) -> MediaTime {
    let ticks = last.length().as_nanos() * u128::from(last.begun.rate);
    last.start().plus(((ticks + 500_000_000) / 1_000_000_000) as u64)
}

fn make(format: FileFormat, source: &Source<'_>, started: Duration, out: &Path) -> Result<Summary, MuxError> {
    match format {
        FileFormat::Mp4 => mp4::write(source, started, out),
        FileFormat::Flv => flv_file::write(source, out),
        FileFormat::Aac => adts::write(source, out),
        FileFormat::Mp3 => mp3_file::write(source, out),
        FileFormat::Hls => Err(MuxError::Codec),
    }
}
