//! The playlists of a recording: the finished one, and the one that grows with it.

use std::io;

use rotunda_media::mux::hls::{Head, Kind, Segment, Tail, playlist, put_segment, start};
use rotunda_media::mux::segmenter::Lengths;

use crate::folder::{Entry, Folder, init_name, segment_name};

/// The playlist of the complete segments of a file.
pub fn finished(entries: &[Entry], lengths: Lengths) -> String {
    let segments: Vec<Segment> = entries.iter().filter_map(segment).collect();
    playlist(head(Kind::Vod, lengths), &segments, &Tail::default())
}

/// The playlist of a recording that goes on. Lines are only added, so that a segment costs the same in the first hour and in the last.
pub struct Growing {
    /// Bytes that are in the file.
    whole: u64,
    /// Lines that are not in the file yet.
    waiting: String,
    /// The initialization segment of the last one.
    init: Option<String>,
}

impl Growing {
    /// Whether all segments will begin with a keyframe is not known yet: nothing is said about it.
    pub fn new(lengths: Lengths) -> Self {
        Self {
            whole: 0,
            waiting: start(head(Kind::Event, lengths), false),
            init: None,
        }
    }

    /// Adds a segment, if it is complete.
    pub fn add(&mut self, entry: &Entry) {
        if let Some(segment) = segment(entry) {
            put_segment(&mut self.waiting, &segment, self.init.as_deref());
            self.init = Some(segment.init_uri);
        }
    }

    /// Writes what has been added.
    ///
    /// Errors: [`io::Error`]; it is written the next time.
    pub fn write(&mut self, folder: &Folder) -> io::Result<()> {
        folder.append_to_growing_playlist(self.whole, &self.waiting)?;
        self.whole += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

fn segment(entry: &Entry) -> Option<Segment> {
    Some(Segment {
        uri: segment_name(entry.begun.number),
        duration: entry.duration?,
        program_date_time: None,
        init_uri: init_name(entry.begun.init),
        discontinuity: entry.begun.discontinuity,
        independent: entry.begun.independent,
        parts: Vec::new(),
    })
}

fn head(kind: Kind, lengths: Lengths) -> Head {
    Head {
        kind,
        media_sequence: 0,
        discontinuities: 0,
        target_seconds: lengths.target_seconds(),
        low_latency: None,
    }
}
