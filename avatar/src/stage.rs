//! Output of an avatar in steps of 20 ms: speech, a clip's audio or silence, and the matching face. Sans-IO.

use std::collections::VecDeque;

use rotunda_media::video_frame::VideoFrame;

use crate::config::Config;
use crate::face::{Show, StateError};
use crate::session::Piece;

/// 20 ms that go out.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Counts pieces from the avatar's beginning: its time is 20 ms times this.
    pub number: u64,
    pub piece: Piece,
}

impl Block {
    /// A frame is seen from its beginning on: every second one, 25 a second.
    pub fn has_frame(&self) -> bool {
        self.number.is_multiple_of(2)
    }
}

/// See the [module](self).
pub struct Stage {
    show: Show,
    /// Pieces whose frames a renderer is making. Always as many.
    ahead: VecDeque<Piece>,
    number: u64,
    /// Pieces that the renderer has got.
    fed: u64,
}

impl Stage {
    pub fn new(show: Show, config: &Config) -> Self {
        let delay = match config.face.has_renderer() {
            true => config.face.renderer_delay_ms.div_ceil(40) as usize * 2,
            false => 0,
        };
        Self::with_delay(show, delay)
    }

    /// `delay`: in pieces, even.
    fn with_delay(show: Show, delay: usize) -> Self {
        Self {
            show,
            ahead: std::iter::repeat_n(Piece::SILENCE, delay).collect(),
            number: 0,
            fed: 0,
        }
    }

    /// Takes the session's piece and answers with the one to send now.
    pub fn handle_piece(&mut self, piece: Piece) -> Block {
        let clip = self.show.clip_piece();
        let piece = match clip {
            Some(clip) if !piece.is_speech => clip,
            _ => piece,
        };
        self.show.feed(&piece);
        self.fed += 1;
        self.ahead.push_back(piece);
        let piece = self.ahead.pop_front().unwrap_or(Piece::SILENCE);
        self.show.hear(&piece);
        let number = self.number;
        self.number += 1;
        Block { number, piece }
    }

    /// The frame of the last block.
    pub fn paint(&mut self) -> &VideoFrame {
        let fed = self.fed.saturating_sub(1 + self.ahead.len() as u64);
        self.show.paint(fed / 2).0
    }

    /// The number of the next block.
    pub fn next_number(&self) -> u64 {
        self.number
    }

    /// Time passes without pieces; an even number of them.
    pub fn skip(&mut self, pieces: u32) {
        self.number += u64::from(pieces);
    }

    /// Drops the audio that was not sent yet.
    pub fn interrupt(&mut self) {
        self.ahead.iter_mut().for_each(|piece| *piece = Piece::SILENCE);
    }

    pub fn is_speaking(&self) -> bool {
        self.ahead.iter().any(|piece| piece.is_speech)
    }

    pub fn set_state(&mut self, audiotype: u32, reinit: bool) -> Result<(), StateError> {
        self.show.set_state(audiotype, reinit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::Clips;
    use std::sync::Arc;

    fn stage(delay: usize) -> Stage {
        Stage::with_delay(Show::new(Arc::new(Clips::default()), None, 64, 64), delay)
    }

    fn speech(value: i16) -> Piece {
        Piece {
            samples: [value; crate::audio::PIECE],
            is_speech: true,
            viseme: None,
        }
    }

    #[test]
    fn audio_waits_for_the_renderer_and_no_longer() {
        let mut stage = stage(4);
        let heard: Vec<i16> = (1..=6)
            .map(|value| stage.handle_piece(speech(value)).piece.samples[0])
            .collect();
        assert_eq!(heard, [0, 0, 0, 0, 1, 2]);
        assert!(stage.is_speaking());
    }

    #[test]
    fn an_interruption_reaches_what_waits() {
        let mut stage = stage(4);
        for value in 1..=5 {
            stage.handle_piece(speech(value));
        }
        stage.interrupt();
        assert!(!stage.is_speaking());
        assert_eq!(stage.handle_piece(Piece::SILENCE).piece, Piece::SILENCE);
    }

    #[test]
    fn every_second_block_has_a_frame() {
        let mut stage = stage(0);
        let frames: Vec<bool> = (0..4).map(|_| stage.handle_piece(Piece::SILENCE).has_frame()).collect();
        assert_eq!(frames, [true, false, true, false]);
    }
}
