//! Previews of a recording: a poster and a sheet of thumbnails, and a waveform. They are made segment by segment from a bounded number of
//! frames, so that neither time nor memory grows with the recording.

mod thumbnails;
mod waveform;
mod webvtt;

use std::path::Path;
use std::time::Duration;

use crate::mux::MuxError;
use crate::mux::movie::TrackDescription;
use crate::mux::stored::{self, StoredSample};
use crate::program::Track;
use crate::time::MediaTime;

pub use thumbnails::{Images, Sheet};
pub use waveform::Waveform;
pub use webvtt::webvtt;

use thumbnails::Thumbnails;
use waveform::Peaks;

/// See the [module](self).
pub struct PreviewMaker {
    thumbnails: Option<Thumbnails>,
    peaks: Peaks,
}

/// A segment of the file.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    pub path: &'a Path,
    /// Its first decode time.
    pub begin: MediaTime,
    /// When the file presents it.
    pub at: Duration,
}

impl Segment<'_> {
    /// When the file presents a sample; None: before its begin.
    fn presented(&self, track: &TrackDescription, sample: &StoredSample) -> Option<Duration> {
        let time = MediaTime::new(sample.decode_time, track.timescale.get());
        (self.at + time.duration()).checked_sub(self.begin.duration())
    }
}

/// The tracks of a recording: there are no images without video, and no waveform without audio.
#[derive(Debug, Default)]
pub struct Previews {
    pub images: Option<Images>,
    pub waveform: Option<Waveform>,
}

impl PreviewMaker {
    /// `length`: of what the file presents.
    pub fn new(length: Duration, has_images: bool) -> Self {
        Self {
            thumbnails: has_images.then(|| Thumbnails::new(length)),
            peaks: Peaks::new(length),
        }
    }

    /// Takes the next segment, whose tracks are those of its init segment.
    ///
    /// Errors: [`MuxError::Io`], [`MuxError::Box`]. Frames that cannot be decoded are left out.
    pub fn add(&mut self, tracks: &[TrackDescription], segment: Segment<'_>) -> Result<(), MuxError> {
        let mut samples: Vec<StoredSample> = Vec::new();
        stored::scan(segment.path, 0, &mut samples)?;
        for track in tracks {
            let samples = samples.iter().filter(|sample| sample.track == track.track);
            match (track.track, &mut self.thumbnails) {
                (Track::Audio, _) => self.peaks.add(track, segment, samples)?,
                (Track::Video, Some(thumbnails)) => thumbnails.add(track, segment, samples)?,
                (Track::Video, None) => {}
            }
        }
        Ok(())
    }

    /// Errors: [`MuxError::Io`], [`MuxError::Picture`].
    pub fn finish(self) -> Result<Previews, MuxError> {
        Ok(Previews {
            images: self.thumbnails.map_or(Ok(None), Thumbnails::finish)?,
            waveform: self.peaks.finish(),
        })
    }
}

#[cfg(test)]
mod tests;
