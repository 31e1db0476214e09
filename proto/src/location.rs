//! Where a node is, as far as placement needs to know it.

use serde::{Deserialize, Serialize};

/// The region and the zone of a node; empty: not known. A zone has its name only within its region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
}

/// Nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    SameZone,
    SameRegion,
    /// Or not known.
    Elsewhere,
}

impl Distance {
    pub const NEAREST_FIRST: [Self; 3] = [Self::SameZone, Self::SameRegion, Self::Elsewhere];
}

impl Location {
    pub fn is_unknown(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty()
    }

    pub fn distance_to(&self, other: &Self) -> Distance {
        let same_region = self.region == other.region;
        match () {
            () if same_region && self.zone == other.zone && !self.zone.is_empty() => Distance::SameZone,
            () if same_region && !self.region.is_empty() => Distance::SameRegion,
            () => Distance::Elsewhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(region: &str, zone: &str) -> Location {
        Location {
            region: region.to_owned(),
            zone: zone.to_owned(),
        }
    }

    #[test]
    fn a_zone_is_near_a_region_is_farther_and_what_is_not_known_is_elsewhere() {
        let own = at("eu", "a");
        assert_eq!(own.distance_to(&at("eu", "a")), Distance::SameZone);
        assert_eq!(own.distance_to(&at("eu", "b")), Distance::SameRegion);
        assert_eq!(own.distance_to(&at("eu", "")), Distance::SameRegion);
        assert_eq!(
            own.distance_to(&at("us", "a")),
            Distance::Elsewhere,
            "another zone of that name"
        );
        assert_eq!(own.distance_to(&at("", "")), Distance::Elsewhere);
        assert_eq!(at("", "").distance_to(&at("", "")), Distance::Elsewhere);
        assert_eq!(at("", "a").distance_to(&at("", "a")), Distance::SameZone, "zones alone");
    }
}
