//! State clips: the idle one, and those that `/set_audiotype` shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rotunda_client::source::{Clip, Player, SourceError};
use rotunda_media::video_frame::VideoFrame;
use thiserror::Error;

use crate::audio::PIECE;
use crate::config;
use crate::decode::decode;
use crate::session::Piece;

/// Longest audio of a clip, samples: ten minutes.
const LONGEST: usize = 600 * 16_000;

/// Why the clips are not there.
#[derive(Debug, Error)]
pub enum ClipsError {
    #[error("avatar.face.{key}")]
    Clip {
        key: String,
        #[source]
        source: SourceError,
    },
}

/// All clips of the settings, read once for all sessions.
#[derive(Default)]
pub struct Clips {
    idle: Option<Arc<StateClip>>,
    states: BTreeMap<u32, Arc<StateClip>>,
}

struct StateClip {
    video: Clip,
    /// Empty: it has none.
    audio: Vec<i16>,
}

impl Clips {
    /// Reads the files. Blocking.
    pub fn load(config: &config::Face) -> Result<Self, ClipsError> {
        let read =
            |key: String, path: &PathBuf| StateClip::read(path).map_err(|source| ClipsError::Clip { key, source });
        let idle = match config.idle_clip.as_os_str().is_empty() {
            true => None,
            false => Some(Arc::new(read("idle_clip".to_owned(), &config.idle_clip)?)),
        };
        let mut states = BTreeMap::new();
        for (name, path) in &config.clips {
            if let Ok(number) = name.parse() {
                states.insert(number, Arc::new(read(format!("clips.{name}"), path)?));
            }
        }
        Ok(Self { idle, states })
    }

    pub fn idle(&self) -> Option<Playing> {
        self.idle.clone().map(Playing::new)
    }

    pub fn state(&self, audiotype: u32) -> Option<Playing> {
        self.states.get(&audiotype).cloned().map(Playing::new)
    }

    pub fn known(&self) -> Vec<u32> {
        self.states.keys().copied().collect()
    }
}

impl StateClip {
    fn read(path: &Path) -> Result<Self, SourceError> {
        let video = Clip::read(path)?;
        let audio = std::fs::read(path).ok();
        // A clip without audio, or with one that nothing here decodes, is silent.
        let audio = audio.and_then(|file| decode(file.into(), LONGEST).ok());
        Ok(Self {
            video,
            audio: audio.unwrap_or_default(),
        })
    }
}

/// A clip that plays in a loop.
pub struct Playing {
    clip: Arc<StateClip>,
    player: Option<Player>,
    /// Pieces of 20 ms since its beginning.
    pieces: u64,
}

impl Playing {
    fn new(clip: Arc<StateClip>) -> Self {
        Self {
            clip,
            player: None,
            pieces: 0,
        }
    }

    /// Its next 20 ms pass. None: it has no audio.
    pub fn next_piece(&mut self) -> Option<Piece> {
        let start = self.pieces * PIECE as u64;
        self.pieces += 1;
        let audio = &self.clip.audio;
        if audio.is_empty() {
            return None;
        }
        // Video and audio begin their loops together.
        let length = (self.clip.video.seconds() * 16_000.0).max(1.0) as u64;
        let mut piece = Piece::SILENCE;
        for (to, at) in piece.samples.iter_mut().zip(start..) {
            *to = audio.get((at % length) as usize).copied().unwrap_or(0);
        }
        Some(piece)
    }

    /// The frame of now. None: it cannot be decoded.
    pub fn frame(&mut self) -> Option<&VideoFrame> {
        let player = match &mut self.player {
            Some(player) => player,
            none => none.insert(self.clip.video.clone().player().ok()?),
        };
        player.at(self.pieces as f64 * 0.02)
    }
}
