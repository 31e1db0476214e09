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
        temporal: 7,
    };

    /// Whether who is shown `other` sees what belongs to this.
    pub fn is_within(self, other: Self) -> bool {
        self.spatial <= other.spatial && self.temporal <= other.temporal
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

/// What a frame above the layers that are shown needs, so that they can be shown from it on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Entry {
    /// It is no place to begin.
    #[default]
    Closed,
    /// The layer right below: of the same picture (VP9, P clear), or the base layer (VP8, Y set).
    Below,
    /// The frames so far back in the stream's numbers: bit 0 is the frame before.
    References(u64),
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
    pub entry: Entry,
}
