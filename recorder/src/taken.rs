//! The tracks of a program that its recording takes. Pure.

use std::sync::Arc;
use std::time::Duration;

use rotunda_media::mux::segmenter::{Lengths, Segmenter};
use rotunda_media::program::{Frame, ProgramHeader, Track};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Both,
    /// Even if the program has video.
    Audio,
    /// The program's audio is silence, which says how long its video stands still.
    Video,
}

impl Taken {
    pub fn takes(self, track: Track) -> bool {
        match track {
            Track::Video => self != Self::Audio,
            Track::Audio => self != Self::Video,
        }
    }

    /// `created`: since 1970.
    pub fn segmenter(self, lengths: Lengths, created: Duration) -> Segmenter {
        match self {
            Self::Both | Self::Audio => Segmenter::new(lengths, created),
            Self::Video => Segmenter::of_video(lengths, created),
        }
    }
}

/// A program's audio as a program of its own.
#[derive(Default)]
pub struct AudioOnly {
    /// The program's header, and the header without video.
    headers: Option<(Arc<ProgramHeader>, Arc<ProgramHeader>)>,
}

impl AudioOnly {
    pub fn of(&mut self, frame: &Arc<Frame>) -> Option<Arc<Frame>> {
        if frame.track == Track::Video {
            return None;
        }
        let known = self
            .headers
            .as_ref()
            .filter(|(whole, _)| Arc::ptr_eq(whole, &frame.header));
        let header = match known {
            Some((_, audio)) => audio.clone(),
            None => {
                let audio = Arc::new(ProgramHeader {
                    video: None,
                    audio: frame.header.audio.clone(),
                });
                self.headers = Some((frame.header.clone(), audio.clone()));
                audio
            }
        };
        Some(Arc::new(Frame {
            header,
            ..Frame::clone(frame)
        }))
    }
}
