//! The bitrate that a viewer has received.

use std::collections::VecDeque;

/// Microseconds.
const WINDOW: i64 = 500_000;
/// Too short a time says nothing.
const LEAST: i64 = 100_000;

#[derive(Debug, Default)]
pub struct Acknowledged {
    packets: VecDeque<(i64, u16)>,
    bytes: u64,
}

impl Acknowledged {
    /// `arrived`: microseconds on the viewer's clock.
    pub fn add(&mut self, arrived: i64, bytes: u16) {
        self.packets.push_back((arrived, bytes));
        self.bytes += u64::from(bytes);
        while let Some((at, size)) = self.packets.front().copied()
            && at < arrived - WINDOW
        {
            self.packets.pop_front();
            self.bytes -= u64::from(size);
        }
    }

    pub fn rate(&self) -> Option<f64> {
        let (first, last) = (self.packets.front()?.0, self.packets.back()?.0);
        let span = last - first;
        (span >= LEAST).then(|| self.bytes as f64 * 8.0 * 1e6 / span as f64)
    }
}
