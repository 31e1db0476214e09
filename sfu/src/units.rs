//! Numbers with a unit or a meaning of their own.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// An RTP sequence number, extended to 64 bits (RFC 3550 A.1): `<` is the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeqNo(u64);

impl SeqNo {
    pub const fn new(extended: u64) -> Self {
        Self(extended)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    /// The 16 bits that a packet carries.
    pub const fn on_wire(self) -> u16 {
        self.0 as u16
    }

    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    pub const fn after(self, distance: u64) -> Self {
        Self(self.0 + distance)
    }

    /// None: there is no number so far before.
    pub fn before(self, distance: u64) -> Option<Self> {
        self.0.checked_sub(distance).map(Self)
    }

    /// How many numbers `earlier` is before this one; None: it is later.
    pub fn distance_from(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }

    /// The newest number up to `newest` with these 16 bits on the wire.
    pub fn up_to(newest: Self, on_wire: u16) -> Option<Self> {
        newest.before(newest.on_wire().wrapping_sub(on_wire).into())
    }
}

/// Bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    pub const ZERO: Self = Self(0);

    pub const fn bits(bits_per_second: u64) -> Self {
        Self(bits_per_second)
    }

    #[cfg(test)]
    pub const fn kilobits(kilobits_per_second: u64) -> Self {
        Self(kilobits_per_second * 1000)
    }

    pub fn of_bytes(bytes: u64, time: Duration) -> Self {
        Self((bytes as f64 * 8.0 / time.as_secs_f64()) as u64)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// This bitrate times `factor`.
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor) as u64)
    }

    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub fn mean_with(self, other: Self) -> Self {
        Self(u64::midpoint(self.0, other.0))
    }
}

impl Add for Bitrate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Bitrate {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Bitrate {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for Bitrate {
    fn sum<I: Iterator<Item = Self>>(bitrates: I) -> Self {
        Self(bitrates.map(|bitrate| bitrate.0).sum())
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bit/s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_on_the_wire_is_the_newest_one_that_has_been_sent() {
        let newest = SeqNo::new(0x3_0005);
        assert_eq!(SeqNo::up_to(newest, 5), Some(newest));
        assert_eq!(SeqNo::up_to(newest, 0xffff), Some(SeqNo::new(0x2_ffff)));
        assert_eq!(SeqNo::up_to(SeqNo::new(5), 6), None, "it has not been sent");
    }

    #[test]
    fn bytes_in_a_time_are_bits_a_second() {
        assert_eq!(
            Bitrate::of_bytes(1000, Duration::from_millis(500)),
            Bitrate::kilobits(16)
        );
    }
}
