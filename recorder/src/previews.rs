//! The previews of a finished file: made from the segments, beside the file, and shared by the files of one part.

use std::io;
use std::time::Duration;

use rotunda_media::mux::stored;
use rotunda_media::previews::{PreviewMaker, Segment, webvtt};
use rotunda_media::program::Track;
use rotunda_proto::recording::{FileFormat, Preview, Previews};

use crate::finisher::{FinishError, Finisher, has_video};
use crate::folder::Entry;

impl Finisher<'_> {
    /// Makes those previews of a finished file that are not there yet.
    ///
    /// Errors: [`FinishError`]; the file itself is well.
    pub fn previews(&self, part: u64, format: FileFormat, name: &str) -> Result<Previews, FinishError> {
        let folder = self.folder();
        let is_there = |preview: Preview| folder.file(&preview.of(name)).exists();
        let before = Previews {
            // It is written last.
            images: has_video(format) && is_there(Preview::ThumbnailTimes),
            waveform: is_there(Preview::Waveform),
        };
        if (before.waveform || self.has_silence()) && (before.images || !has_video(format)) {
            return Ok(before);
        }
        let made = self.make(&self.entries_of(part, format), format)?;
        if let Some(waveform) = &made.waveform {
            let json = serde_json::to_vec(waveform).map_err(io::Error::other)?;
            folder.replace(&Preview::Waveform.of(name), &json)?;
        }
        if let Some(images) = &made.images {
            let sheet = Preview::Thumbnails.of(name);
            folder.replace(&Preview::Poster.of(name), &images.poster)?;
            folder.replace(&sheet, &images.sheet)?;
            let times = webvtt(&images.layout, &sheet);
            folder.replace(&Preview::ThumbnailTimes.of(name), times.as_bytes())?;
        }
        Ok(Previews {
            images: made.images.is_some(),
            waveform: made.waveform.is_some(),
        })
    }

    fn make(&self, entries: &[&Entry], format: FileFormat) -> Result<rotunda_media::previews::Previews, FinishError> {
        let Some(first) = entries.first() else {
            return Ok(rotunda_media::previews::Previews::default());
        };
        // A playlist leaves out the time between its segments; a file has it.
        let place = |entry: &Entry, before: Duration| match format {
            FileFormat::Hls => before,
            _ => entry.start().since(first.start()),
        };
        let (mut length, mut places) = (Duration::ZERO, Vec::new());
        for entry in entries.iter().copied() {
            let at = place(entry, length);
            places.push(at);
            length = at + entry.length();
        }
        let mut maker = PreviewMaker::new(length, has_video(format));
        let (mut init, mut tracks) = (None, Vec::new());
        for (entry, at) in entries.iter().zip(places) {
            if init.replace(entry.begun.init) != Some(entry.begun.init) {
                tracks = stored::read_init(&self.folder().init(entry.begun.init))?;
                if self.has_silence() {
                    tracks.retain(|track| track.track == Track::Video);
                }
            }
            let segment = Segment {
                path: &self.folder().segment(entry.begun.number),
                begin: entry.start(),
                at,
            };
            maker.add(&tracks, segment)?;
        }
        Ok(maker.finish()?)
    }
}
