//! Received frames.

use std::sync::Arc;

use rotunda_media::codec::VideoCodec;
use rotunda_media::video_frame::Rotation;
use rotunda_proto::ids::Source;

use crate::timeline::Stamp;

/// One received frame.
#[derive(Debug, Clone)]
pub struct Sample {
    pub source: Source,
    pub stamp: Stamp,
    pub payload: Payload,
}

#[derive(Debug, Clone)]
pub enum Payload {
    /// One Opus packet.
    Audio(Arc<[u8]>),
    Video(CodedVideo),
}

/// Takes the received frames of a session. It must not wait.
pub trait SampleSink: Send + Sync + 'static {
    /// Errors: the sample, if there is no room for it.
    fn try_take(&self, sample: Sample) -> Result<(), Box<Sample>>;
}

impl SampleSink for std::sync::mpsc::SyncSender<Sample> {
    fn try_take(&self, sample: Sample) -> Result<(), Box<Sample>> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        self.try_send(sample)
            .map_err(|(Full(sample) | Disconnected(sample))| Box::new(sample))
    }
}

impl SampleSink for tokio::sync::mpsc::Sender<Sample> {
    fn try_take(&self, sample: Sample) -> Result<(), Box<Sample>> {
        use tokio::sync::mpsc::error::TrySendError::{Closed, Full};
        self.try_send(sample)
            .map_err(|(Full(sample) | Closed(sample))| Box::new(sample))
    }
}

/// A published track that the SFU does not send, as nothing here decodes its codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    pub source: Source,
    /// As in SDP: `H265`.
    pub codec: String,
}

/// One coded video frame.
#[derive(Debug, Clone)]
pub struct CodedVideo {
    pub codec: VideoCodec,
    pub data: Arc<[u8]>,
    pub is_key: bool,
    /// No frame is missing between this frame and the previous one.
    pub contiguous: bool,
    /// Orientation that came with the frame; None: none did.
    pub rotation: Option<Rotation>,
}
