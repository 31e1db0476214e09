//! The tracks that sessions are to receive.

use rotunda_proto::ids::{RoomKey, Source};

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    pub audio: Vec<Source>,
    pub video: Vec<WantedVideo>,
}

/// A video, and the largest useful frame height in coded pixels: a larger simulcast layer is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedVideo {
    pub video: Source,
    /// None: the best layer.
    pub max_height: Option<u16>,
}

impl Wants {
    /// What the session of one room is to receive.
    pub fn of_room(&self, room: &RoomKey) -> Self {
        let of_room = |want: &&WantedVideo| want.video.room == *room;
        Self {
            audio: self.audio.iter().filter(|audio| audio.room == *room).cloned().collect(),
            video: self.video.iter().filter(of_room).cloned().collect(),
        }
    }

    /// The rooms of all wanted tracks; a room may come several times.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomKey> {
        let video = self.video.iter().map(|want| &want.video.room);
        self.audio.iter().map(|audio| &audio.room).chain(video)
    }
}
