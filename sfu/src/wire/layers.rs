//! Layers inside one RTP stream: where a packet stands among them, whatever the codec.

/// An operating point of a stream: the highest spatial and temporal layer that is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperatingPoint {
    pub spatial: u8,
    pub temporal: u8,
}

impl OperatingPoint {
    /// Every layer that there can be.
    pub const WHOLE: Self = Self {
        spatial: 7,
        temporal: Self::EVERY_FRAME,
    };
    /// The temporal layer that stands for the full frame rate, whatever the number of layers.
    pub const EVERY_FRAME: u8 = 7;

    /// Whether a viewer who is shown `other` sees this layer.
    pub fn is_within(self, other: Self) -> bool {
        self.spatial <= other.spatial && self.temporal <= other.temporal
    }

    /// Whether a viewer who is shown `other` sees frames of this temporal layer, of whatever size.
    pub fn is_within_rate(self, other: Self) -> bool {
        self.temporal <= other.temporal
    }

    /// The layers that both have.
    pub fn and(self, other: Self) -> Self {
        Self {
            spatial: self.spatial.min(other.spatial),
            temporal: self.temporal.min(other.temporal),
        }
    }
}

/// A set of operating points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperatingPoints(u64);

impl OperatingPoints {
    pub const ALL: Self = Self(u64::MAX);

    /// Every temporal layer of one spatial layer.
    pub fn of_spatial(spatial: u8) -> Self {
        Self(0xff << (8 * u32::from(spatial & 7)))
    }

    pub fn insert(&mut self, point: OperatingPoint) {
        self.0 |= Self::bit(point);
    }

    pub fn contains(self, point: OperatingPoint) -> bool {
        self.0 & Self::bit(point) != 0
    }

    fn bit(OperatingPoint { spatial, temporal }: OperatingPoint) -> u64 {
        1 << (8 * u32::from(spatial & 7) + u32::from(temporal & 7))
    }
}

/// Where a packet stands among the layers of its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerFrame {
    pub point: OperatingPoint,
    /// First and last packet of the frame: one layer's part of a picture.
    pub begins: bool,
    pub ends: bool,
    /// A decoder of this frame can decode all later ones of these operating points.
    pub switches: OperatingPoints,
    /// It needs the base layer alone, so that a viewer of the layer right below can be shown this one from here on (VP8, Y).
    pub needs_base_alone: bool,
}
