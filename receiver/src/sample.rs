//! Received frames.

use std::sync::Arc;

use rotunda_media::codec::VideoCodec;
use rotunda_media::video_frame::Rotation;
use rotunda_proto::ids::{TrackSource, UserId};

use crate::timeline::Stamp;

/// One received frame.
#[derive(Debug, Clone)]
pub struct Sample {
    pub user: UserId,
    pub source: TrackSource,
    pub stamp: Stamp,
    pub payload: Payload,
}

#[derive(Debug, Clone)]
pub enum Payload {
    /// One Opus packet.
    Audio(Arc<[u8]>),
    Video(CodedVideo),
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
