//! A recording on the disk: a folder named by its id, with segments, and a journal from which everything else can
//! be rebuilt.
//!
//! | file | content |
//! | --- | --- |
//! | `recording.json` | [`Manifest`]: the source, the tenant and the files of the recording |
//! | `journal.jsonl` | one [`Line`] when a segment begins and one when it ends |
//! | `init-<n>.mp4`, `<n>.m4s` | CMAF init segments and segments |
//! | `index.m3u8` | the growing playlist |
//! | `<name>.<ending>` | finished files, and the complete playlist |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rotunda_media::time::MediaTime;
use rotunda_proto::name_time_zone::NameTimeZone;
use rotunda_proto::program::ProgramDescriptor;
use rotunda_proto::recording::{FileFormat, Gap, RecordedLayout};
use serde::{Deserialize, Serialize};

use crate::finisher::has_video;

pub const MANIFEST: &str = "recording.json";
pub const JOURNAL: &str = "journal.jsonl";
/// The growing playlist.
pub const GROWING: &str = "index.m3u8";

/// The source, the formats and the names of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub recording_id: String,
    /// Without its push addresses, which are secret.
    pub program: ProgramDescriptor,
    pub formats: Vec<FileFormat>,
    /// The prefix of file names.
    pub prefix: String,
    /// Minimum length of a segment, seconds.
    pub segment_seconds: u64,
    /// Of the times in file names, if the application has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_time_zone: Option<NameTimeZone>,
}

impl Manifest {
    /// Whether its segments have no audio.
    pub fn has_video_only(&self) -> bool {
        let single = self.program.single.as_ref();
        let recording = single.and_then(|single| single.recording.as_ref());
        recording.is_some_and(|recording| recording.video_only) && self.formats.iter().any(|format| has_video(*format))
    }
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Line {
    Begin(Begun),
    End {
        number: u64,
        duration_us: u64,
    },
    /// Something is missing in a part, other than what lies between two segments.
    Gap {
        part: u64,
        gap: Gap,
    },
    /// A layout of the recorded mix.
    Layout(RecordedLayout),
}

/// What is missing in a part.
#[derive(Debug, Clone, PartialEq)]
pub struct PartGap {
    pub part: u64,
    pub gap: Gap,
}

/// The content of a journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    pub entries: Vec<Entry>,
    pub gaps: Vec<PartGap>,
    pub layouts: Vec<RecordedLayout>,
}

/// A segment that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    pub number: u64,
    pub init: u64,
    /// The index of the file, if the recording is split.
    pub part: u64,
    pub discontinuity: bool,
    pub independent: bool,
    /// Since the recording's zero, in ticks of `rate`: its decode time.
    pub start_ticks: u64,
    pub rate: u32,
    /// Its start, since 1970.
    pub wall_unix_us: u64,
    /// Pixels; None for audio only.
    pub resolution: Option<(u16, u16)>,
    /// The gap before it.
    #[serde(default)]
    pub gap: Option<Gap>,
}

/// A segment in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub begun: Begun,
    /// None: it was being written when the process ended.
    pub duration: Option<Duration>,
}

impl Entry {
    pub fn start(&self) -> MediaTime {
        MediaTime::new(self.begun.start_ticks, self.begun.rate)
    }

    pub fn length(&self) -> Duration {
        self.duration.unwrap_or_default()
    }
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(directory: &Path, recording_id: &str) -> Self {
        Self(directory.join(recording_id))
    }

    /// Creates the folder and writes its manifest. After an error there is no folder.
    pub fn create(&self, manifest: &Manifest) -> io::Result<()> {
        let created = self.try_create(manifest);
        if created.is_err() {
            self.remove()?;
        }
        created
    }

    fn try_create(&self, manifest: &Manifest) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let json = serde_json::to_vec_pretty(manifest).map_err(io::Error::other)?;
        self.replace(MANIFEST, &json)?;
        File::create(self.0.join(JOURNAL))?.sync_all()?;
        self.sync()?;
        // The folder's own name is durable once its parent is on the disk.
        self.0.parent().map_or(Ok(()), sync_folder)
    }

    pub fn exists(&self) -> bool {
        self.0.join(MANIFEST).exists()
    }

    pub fn manifest(&self) -> io::Result<Manifest> {
        serde_json::from_slice(&fs::read(self.0.join(MANIFEST))?).map_err(io::Error::other)
    }

    /// The journal, without an incomplete last line.
    pub fn journal(&self) -> io::Result<Journal> {
        let text = fs::read(self.0.join(JOURNAL))?;
        let Journal {
            mut entries,
            mut gaps,
            mut layouts,
        } = Journal::default();
        for line in text.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Begin(begun)) => entries.push(Entry { begun, duration: None }),
                Ok(Line::End { number, duration_us }) => {
                    if let Some(entry) = entries.iter_mut().find(|entry| entry.begun.number == number) {
                        entry.duration = Some(Duration::from_micros(duration_us));
                    }
                }
                Ok(Line::Gap { part, gap }) => gaps.push(PartGap { part, gap }),
                Ok(Line::Layout(layout)) => layouts.push(layout),
                Err(_) => {}
            }
        }
        Ok(Journal { entries, gaps, layouts })
    }

    /// Writes a line of the journal. After an error the journal is as before: a piece of a line would damage the next one.
    pub fn append(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
        text.push(b'\n');
        let mut journal = OpenOptions::new().append(true).open(self.0.join(JOURNAL))?;
        let length = journal.metadata()?.len();
        let written = journal.write_all(&text).and_then(|()| journal.sync_data());
        if written.is_err() {
            journal.set_len(length)?;
        }
        written
    }

    pub fn segment(&self, number: u64) -> PathBuf {
        self.0.join(segment_name(number))
    }

    pub fn init(&self, number: u64) -> PathBuf {
        self.0.join(init_name(number))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces the file atomically: players read it at any moment.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.0.join(format!("{name}.new"));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written {
            // On a full disk it would take space for ever.
            remove(&new)?;
            return Err(error);
        }
        fs::rename(new, self.0.join(name))?;
        self.sync()
    }

    /// Adds lines to the growing playlist, after the `whole` bytes that it has.
    ///
    /// Errors: [`io::Error`]; no part of the lines stays.
    pub fn append_to_growing_playlist(&self, whole: u64, lines: &str) -> io::Result<()> {
        let mut file = File::options().create(true).append(true).open(self.0.join(GROWING))?;
        let written = file.write_all(lines.as_bytes());
        if written.is_err() {
            // Shortening a file needs no space.
            file.set_len(whole)?;
        }
        written
    }

    pub fn remove_growing_playlist(&self) -> io::Result<()> {
        remove(&self.0.join(GROWING))
    }

    /// Returns when the content of the folder is on the disk, including its names.
    pub fn sync(&self) -> io::Result<()> {
        sync_folder(&self.0)
    }

    /// Removes a finished file, if it is there.
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        remove(&self.0.join(name))
    }

    /// Removes a segment.
    pub fn remove_segment(&self, number: u64) -> io::Result<()> {
        remove(&self.segment(number))
    }

    /// Removes the whole folder.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

pub fn segment_name(number: u64) -> String {
    format!("{number}.m4s")
}

pub fn init_name(number: u64) -> String {
    format!("init-{number}.mp4")
}

/// The ids of the recordings whose folder is at least `least` old.
pub fn recordings_in(directory: &Path, now: SystemTime, least: Duration) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Ok(manifest) = fs::metadata(directory.join(&name).join(MANIFEST)) else {
            continue;
        };
        if now.duration_since(manifest.modified()?).unwrap_or_default() >= least {
            found.push(name);
        }
    }
    Ok(found)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
