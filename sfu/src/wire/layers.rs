//! Layers inside one RTP stream: what a packet says of its place among them, whatever codec says it.

/// An operating point of a stream: the highest spatial and temporal layer that is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Point {
    pub spatial: u8,
    pub temporal: u8,
}

impl Point {
    /// Every layer that there can be.
    pub const WHOLE: Self = Self {
        spatial: 7,
        temporal: Self::EVERY_PICTURE,
    };
    /// Temporal layer of who is shown all pictures, however many layers they are of.
    pub const EVERY_PICTURE: u8 = 7;

    /// Whether who is shown `other` sees what belongs to this.
    pub fn is_within(self, other: Self) -> bool {
        self.spatial <= other.spatial && self.temporal <= other.temporal
    }

    /// Whether who is shown `other` sees pictures of this rate, of whatever size.
    pub fn is_within_rate(self, other: Self) -> bool {
        self.temporal <= other.temporal
    }

    /// The part that both have.
    pub fn and(self, other: Self) -> Self {
        Self {
            spatial: self.spatial.min(other.spatial),
            temporal: self.temporal.min(other.temporal),
        }
    }
}

/// A set of operating points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Points(u64);

impl Points {
    pub const ALL: Self = Self(u64::MAX);

    /// Every temporal layer of one spatial layer.
    pub fn of_spatial(spatial: u8) -> Self {
        Self(0xff << (8 * u32::from(spatial & 7)))
    }

    pub fn insert(&mut self, point: Point) {
        self.0 |= Self::bit(point);
    }

    pub fn contains(self, point: Point) -> bool {
        self.0 & Self::bit(point) != 0
    }

    fn bit(Point { spatial, temporal }: Point) -> u64 {
        1 << (8 * u32::from(spatial & 7) + u32::from(temporal & 7))
    }
}

/// Where a packet stands among the layers of its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerFrame {
    pub point: Point,
    /// First and last packet of the frame, which is one layer's part of a picture.
    pub begins: bool,
    pub ends: bool,
    /// Who can decode this frame can decode all later ones of these operating points.
    pub switches: Points,
    /// It needs the base layer alone, so that who is shown the layer right below can be shown this one from here on (VP8, Y).
    pub needs_base_alone: bool,
}
