//! The MP4 of a recording: fragments while it runs, a fast-start file at the end.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rotunda_media::mux::MuxError;
use rotunda_media::mux::fmp4::Fragment;
use rotunda_media::mux::mp4::{self, Mp4Summary};

/// Ending of the files that are being written.
pub const PART: &str = ".part.mp4";

pub struct Mp4File {
    part: PathBuf,
    file: File,
    has_init: bool,
}

impl Mp4File {
    /// `part`: the file to write, ending in [`PART`].
    pub fn create(part: PathBuf) -> std::io::Result<Self> {
        Ok(Self {
            file: File::create(&part)?,
            part,
            has_init: false,
        })
    }

    /// Appends a fragment and syncs it to the disk.
    pub fn write(&mut self, init: &[u8], fragment: &Fragment) -> std::io::Result<()> {
        if !self.has_init {
            self.file.write_all(init)?;
            self.has_init = true;
        }
        self.file.write_all(&fragment.bytes)?;
        self.file.sync_data()
    }

    /// Makes the fast-start file and, once it is whole on the disk, removes the fragments.
    pub fn finish(self, out: &Path) -> Result<Mp4Summary, MuxError> {
        drop(self.file);
        finish_part(&self.part, out)
    }
}

/// Makes the fast-start file of a part that an earlier process left.
pub fn finish_part(part: &Path, out: &Path) -> Result<Mp4Summary, MuxError> {
    let unfinished = out.with_extension("tmp");
    let summary = mp4::finish(part, &unfinished)?;
    fs::rename(&unfinished, out).map_err(|error| MuxError::Io("name the finished file", error))?;
    fs::remove_file(part).map_err(|error| MuxError::Io("remove the fragments", error))?;
    Ok(summary)
}
