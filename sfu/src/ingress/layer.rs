//! The layers of a track that a viewer can be shown: one of its streams, up to an operating point inside it.

use crate::ingress::packet::StreamId;
use crate::units::Bitrate;
use crate::wire::layers::OperatingPoint;

/// A layer that can be sent to a viewer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer {
    pub stream: StreamId,
    /// Up to which layers inside the stream.
    pub point: OperatingPoint,
    /// As measured.
    pub bitrate: Bitrate,
    /// Pixels; None: not known.
    pub height: Option<u16>,
}

/// The shown part of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    pub stream: StreamId,
    /// Up to which layers inside it.
    pub point: OperatingPoint,
}

impl Layer {
    /// The two layers differ in their frame rate alone.
    pub fn is_as_large_as(&self, other: &Self) -> bool {
        self.stream == other.stream && self.point.spatial == other.point.spatial
    }

    pub fn shown(&self) -> Shown {
        Shown {
            stream: self.stream,
            point: self.point,
        }
    }
}
