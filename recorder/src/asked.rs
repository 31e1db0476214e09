//! The recording that a program asks for. Pure.

use rotunda_media::codec::mp3;
use rotunda_proto::config::RecordFormat;
use rotunda_proto::ids::RecordId;
use rotunda_proto::program::ProgramDescriptor;
use rotunda_proto::recording::{FileFormat, FileWishes};
use tracing::warn;

use crate::config::Config;
use crate::finisher::has_video;
use crate::taken::Taken;

/// The same stream may run again while the last files of it are being finished.
pub use rotunda_programs::claims::ProgramKey;

/// See the [module](self).
pub struct Asked {
    /// The prefix of file names.
    pub prefix: String,
    pub taken: Taken,
    pub record_id: Option<RecordId>,
    pub files: FileWishes,
}

impl Asked {
    /// None: the program is not to be recorded.
    pub fn of(program: &ProgramDescriptor) -> Option<Self> {
        if let Some(record) = &program.record {
            return Some(Self {
                prefix: record.record_id.to_string(),
                taken: if record.audio_only { Taken::Audio } else { Taken::Both },
                record_id: Some(record.record_id.clone()),
                files: record.files.clone(),
            });
        }
        let recording = program.single.as_ref()?.recording.as_ref()?;
        Some(Self {
            prefix: recording.prefix.clone(),
            taken: if recording.video_only {
                Taken::Video
            } else {
                Taken::Both
            },
            record_id: recording.record_id.clone(),
            files: recording.files.clone(),
        })
    }

    /// The tracks of files of these formats. Files that can only have audio have the program's.
    pub fn taken(&self, formats: &[FileFormat]) -> Taken {
        match self.taken {
            Taken::Video if !formats.iter().any(|format| has_video(*format)) => Taken::Both,
            taken => taken,
        }
    }

    /// Those of the request win over `of_application`, and these over those of the recorder.
    pub fn formats(&self, config: &Config, of_application: &[RecordFormat]) -> Vec<FileFormat> {
        if self.taken != Taken::Audio {
            let mut formats: Vec<FileFormat> = Vec::new();
            let wanted = match (self.files.formats.as_slice(), of_application) {
                ([], []) => config.formats.as_slice(),
                ([], of_application) => of_application,
                (of_request, _) => of_request,
            };
            for format in wanted.iter().map(|format| format.file_format()) {
                if !formats.contains(&format) {
                    formats.push(format);
                }
            }
            if self.taken == Taken::Video && formats.iter().any(|format| has_video(*format)) {
                formats.retain(|format| has_video(*format));
            }
            return formats;
        }
        if mp3::is_available() {
            return vec![FileFormat::Mp3];
        }
        warn!("libmp3lame is not installed (Debian: libmp3lame0): RecordAudioOnly is recorded as AAC");
        vec![FileFormat::Aac]
    }
}

pub fn key(program: &ProgramDescriptor) -> ProgramKey {
    (program.stream(), program.started_unix_ms)
}
