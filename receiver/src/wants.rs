//! The tracks that a session wants to receive.

use rotunda_proto::ids::UserId;
use rotunda_proto::mix::VideoRef;

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    pub audio: Vec<UserId>,
    pub video: Vec<WantedVideo>,
}

/// A video, and the largest useful frame height in coded pixels: a larger simulcast layer is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedVideo {
    pub video: VideoRef,
    /// None: the best layer.
    pub max_height: Option<u16>,
}
