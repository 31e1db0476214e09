//! The avatar's video: 25 frames per second, in time with the audio.

mod clips;
mod drawn;
mod mouth;
mod renderer;
mod show;

use rotunda_media::video_frame::VideoFrame;

use crate::session::Piece;
pub use clips::{Clips, ClipsError};
pub use drawn::Drawn;
pub use show::{Show, StateError};

pub const FRAMES_A_SECOND: u8 = 25;

/// A face.
pub trait Face: Send {
    /// The 20 ms that are heard next.
    fn hear(&mut self, piece: &Piece);

    /// Paints the frame that is seen with what was heard last; called after every second piece.
    fn paint(&mut self, canvas: &mut VideoFrame);
}
