//! The HLS of a recording: a folder of segments and a playlist that grows, and is complete at the end.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rotunda_media::mux::fmp4::Fragment;
use rotunda_media::mux::hls::{Kind, Segment, playlist};

pub struct HlsFile {
    folder: PathBuf,
    segments: Vec<Segment>,
    /// The segment being filled.
    open: Vec<u8>,
    open_ms: u64,
    segment_ms: u64,
    has_init: bool,
    size: u64,
}

impl HlsFile {
    pub fn create(folder: PathBuf, segment_seconds: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let segment_ms = segment_seconds * 1000;
        Ok(Self {
            folder,
            segments: Vec::new(),
            open: Vec::new(),
            open_ms: 0,
            segment_ms,
            has_init: false,
            size: 0,
        })
    }

    pub fn write(&mut self, init: &[u8], fragment: &Fragment) -> io::Result<()> {
        if !self.has_init {
            write_synced(&self.folder.join("init.mp4"), init)?;
            self.size += init.len() as u64;
            self.has_init = true;
        }
        if fragment.starts_with_key && self.open_ms >= self.segment_ms {
            self.close_segment(Kind::Event)?;
        }
        self.open.extend_from_slice(&fragment.bytes);
        self.open_ms += fragment.duration_ms;
        Ok(())
    }

    /// Writes the last segment and the complete playlist, and gives the folder its name. Answers length (ms) and size.
    pub fn finish(mut self, folder: &Path) -> io::Result<(u64, u64)> {
        self.close_segment(Kind::Vod)?;
        fs::rename(&self.folder, folder)?;
        Ok((self.segments.iter().map(|segment| segment.duration_ms).sum(), self.size))
    }

    fn close_segment(&mut self, kind: Kind) -> io::Result<()> {
        if !self.open.is_empty() {
            let uri = format!("seg{:05}.m4s", self.segments.len());
            write_synced(&self.folder.join(&uri), &self.open)?;
            self.size += self.open.len() as u64;
            self.segments.push(Segment {
                uri,
                duration_ms: self.open_ms,
                program_date_time: None,
                init_uri: "init.mp4".to_owned(),
            });
            self.open.clear();
            self.open_ms = 0;
        }
        // A GOP is at most 5 s, so a segment ends at most that much after its least length.
        let target = self.segment_ms / 1000 + 5;
        let text = playlist(kind, &self.segments, 0, 0, target);
        // Whole or not at all: players read it at any moment.
        let new = self.folder.join("index.m3u8.tmp");
        write_synced(&new, text.as_bytes())?;
        fs::rename(new, self.folder.join("index.m3u8"))
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}
