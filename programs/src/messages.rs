//! The messages between two nodes about one program. Each is framed as in [`framing`]; the payload is a frame's data.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rotunda_media::program::{Absence, AbsenceReason, Track};
use rotunda_media::program_messages::{ProgramMessage, ProgramMessageError};
use rotunda_proto::framing::{self, FramingError};
use rotunda_proto::ids::{NodeId, StreamKey};
use rotunda_proto::mix_layout::ShownLayout;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Of these messages. A node refuses a reader of another version.
pub const VERSION: u32 = 1;

/// To the node that makes the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToSource {
    /// Comes once and first.
    Read(Read),
    /// The reader has everything until this program time on its disk.
    Written { until_us: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    pub version: u32,
    /// The node that the reader means to speak to.
    pub node: NodeId,
    pub stream: StreamKey,
    /// Distinguishes programs of one stream.
    pub started_unix_ms: u64,
    pub from: ReadFrom,
    /// The reader understands [`FromSource::Layout`]. Earlier versions do not.
    #[serde(default)]
    pub takes_layouts: bool,
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    /// With the frames since the last keyframe.
    Keyframe,
    /// Where the last recorder's disk ends, or as early as possible when there was none.
    Unwritten,
    /// After this position, which the reader has.
    After(u64),
}

/// From the node that makes the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromSource {
    /// Comes once and first. When the program's time was 0, since 1970.
    Begin {
        zero_unix_us: u64,
    },
    Program {
        position: u64,
        message: ProgramMessage,
    },
    Absence {
        position: u64,
        video: bool,
        from_us: u64,
        to_us: u64,
        muted: bool,
    },
    /// A layout of the mix. A reader that comes again is told it again.
    Layout(ShownLayout),
    /// So many frames are no longer kept; the next one is a keyframe.
    Lost {
        position: u64,
        frames: u64,
    },
    /// The reader has caught up with the program.
    Live,
    /// The program is over.
    End,
}

/// Why a message is not understood.
#[derive(Debug, Error)]
pub enum MessageError {
    #[error("a message between nodes")]
    Framing(#[from] FramingError),
    #[error("a message between nodes is cut off, or has more after its end")]
    Length,
    #[error("a frame of a program on another node")]
    Program(#[from] ProgramMessageError),
}

pub fn write<T: Serialize>(head: &T, payload: &[u8]) -> Result<Bytes, MessageError> {
    let mut framed = BytesMut::new();
    framing::write(&mut framed, head, payload)?;
    Ok(framed.freeze())
}

/// Reads exactly one message.
pub fn read<T: DeserializeOwned>(framed: Bytes) -> Result<(T, Bytes), MessageError> {
    let mut framed = BytesMut::from(framed);
    let message = framing::read(&mut framed)?.ok_or(MessageError::Length)?;
    match framed.is_empty() {
        true => Ok(message),
        false => Err(MessageError::Length),
    }
}

impl FromSource {
    pub fn absence(position: u64, absence: Absence) -> Self {
        Self::Absence {
            position,
            video: absence.track == Track::Video,
            from_us: micros(absence.from),
            to_us: micros(absence.to),
            muted: absence.reason == AbsenceReason::Muted,
        }
    }

    /// The absence that a message tells.
    pub fn as_absence(&self) -> Option<Absence> {
        let Self::Absence {
            video,
            from_us,
            to_us,
            muted,
            ..
        } = *self
        else {
            return None;
        };
        Some(Absence {
            track: if video { Track::Video } else { Track::Audio },
            from: Duration::from_micros(from_us),
            to: Duration::from_micros(to_us),
            reason: match muted {
                true => AbsenceReason::Muted,
                false => AbsenceReason::NotReceived,
            },
        })
    }
}

pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_whole_or_not_at_all() {
        let head = FromSource::Lost { position: 7, frames: 3 };
        let framed = write(&head, b"payload").unwrap();
        let (same, payload) = read::<FromSource>(framed.clone()).unwrap();
        assert_eq!((same, &payload[..]), (head, &b"payload"[..]));
        for length in 0..framed.len() {
            let half = read::<FromSource>(framed.slice(..length));
            assert!(matches!(half, Err(MessageError::Length)), "{length}");
        }
        let more = [&framed[..], b"x"].concat();
        assert!(matches!(read::<FromSource>(more.into()), Err(MessageError::Length)));
        let huge = Bytes::from_static(&[255; 8]);
        let refused = read::<FromSource>(huge);
        assert!(matches!(refused, Err(MessageError::Framing(FramingError::TooLong(_)))));
    }

    #[test]
    fn an_absence_comes_out_as_it_went_in() {
        let absence = Absence {
            track: Track::Video,
            from: Duration::from_millis(1500),
            to: Duration::from_secs(4),
            reason: AbsenceReason::Muted,
        };
        assert_eq!(FromSource::absence(1, absence).as_absence(), Some(absence));
        assert_eq!(FromSource::Live.as_absence(), None);
    }
}
