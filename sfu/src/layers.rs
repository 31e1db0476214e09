//! The layers inside one stream, as they are measured: which there are, how large, and what each takes.

use std::time::{Duration, Instant};

use crate::allocator::Layer;
use crate::wire::descriptor::SPATIAL_LAYERS;
use crate::wire::layers::Point;

const TEMPORAL_LAYERS: usize = 4;
/// Bitrates are measured over this time.
const WINDOW: Duration = Duration::from_millis(500);
/// A layer that was silent for this time while others were not is not there any more.
const STALL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    bytes: usize,
    /// Bits a second of this layer alone; 0: not known yet.
    bitrate: u64,
    last: Option<Instant>,
}

/// Spatial layers beyond the fourth and temporal ones beyond the fourth count as the fourth.
#[derive(Debug)]
pub struct Layers {
    since: Instant,
    measured: [[Measured; TEMPORAL_LAYERS]; SPATIAL_LAYERS],
    /// 0: not known.
    heights: [u16; SPATIAL_LAYERS],
}

impl Layers {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            measured: Default::default(),
            heights: [0; SPATIAL_LAYERS],
        }
    }

    /// A packet of this layer. `heights`: as far as it says them.
    pub fn add(&mut self, now: Instant, point: Point, bytes: usize, heights: [u16; SPATIAL_LAYERS]) {
        if heights[0] > 0 {
            self.heights = heights;
        }
        let spatial = usize::from(point.spatial).min(SPATIAL_LAYERS - 1);
        let temporal = usize::from(point.temporal).min(TEMPORAL_LAYERS - 1);
        let layer = &mut self.measured[spatial][temporal];
        layer.bytes += bytes;
        layer.last = Some(now);
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < WINDOW {
            return;
        }
        self.since = now;
        // After a pause what was measured before holds.
        let is_pause = elapsed > 2 * WINDOW;
        for layer in self.measured.iter_mut().flatten() {
            let bytes = std::mem::take(&mut layer.bytes);
            let measured = (bytes as f64 * 8.0 / elapsed.as_secs_f64()) as u64;
            layer.bitrate = match layer.bitrate {
                before if is_pause => before,
                0 => measured,
                before => (before + measured) / 2,
            };
        }
    }

    /// All that comes now.
    pub fn top(&self) -> Point {
        Point {
            temporal: Point::EVERY_PICTURE,
            ..self.highest()
        }
    }

    /// The highest spatial and temporal layer that come now.
    fn highest(&self) -> Point {
        // A picture that stands still sends nothing, and has not become smaller.
        let newest = self.measured.iter().flatten().filter_map(|layer| layer.last).max();
        let comes = |last: Instant| newest.is_some_and(|newest| newest.saturating_duration_since(last) < STALL);
        let mut top = Point::default();
        for (spatial, layers) in self.measured.iter().enumerate() {
            for (temporal, layer) in layers.iter().enumerate() {
                if layer.last.is_some_and(comes) {
                    top.spatial = top.spatial.max(spatial as u8);
                    top.temporal = top.temporal.max(temporal as u8);
                }
            }
        }
        top
    }

    pub fn height(&self, spatial: u8) -> Option<u16> {
        let height = self.heights.get(usize::from(spatial)).copied();
        height.filter(|height| *height > 0)
    }

    /// The operating points that can be chosen, lowest first; the last is all of the stream. `whole`: the stream.
    pub fn choices(&self, whole: Layer, is_lowest: bool) -> Vec<Layer> {
        let (top, highest) = (self.top(), self.highest());
        let is_measured = self.bitrate(top) > 0;
        let slower = (0..highest.temporal).filter(|_| is_lowest && is_measured);
        let points = slower
            .map(|temporal| Point { spatial: 0, temporal })
            .chain((0..=top.spatial).map(|spatial| Point { spatial, ..top }));
        let choice = |point: Point| Layer {
            point,
            bitrate: self.bitrate(point),
            height: self.height(point.spatial),
            ..whole
        };
        points.map(choice).collect()
    }

    /// Of all layers up to `point`.
    fn bitrate(&self, point: Point) -> u64 {
        let spatial = &self.measured[..=usize::from(point.spatial).min(SPATIAL_LAYERS - 1)];
        let temporal = usize::from(point.temporal).min(TEMPORAL_LAYERS - 1);
        let layers = spatial.iter().flat_map(|layers| &layers[..=temporal]);
        layers.map(|layer| layer.bitrate).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::StreamId;

    #[test]
    fn the_choices_are_the_smallest_with_fewer_pictures_and_then_each_size_in_full() {
        let start = rotunda_proto::clock::Clock.now();
        let mut layers = Layers::new(start);
        let sizes = [180, 360, 0, 0];
        for frame in 0..60u32 {
            let now = start + frame * Duration::from_millis(25);
            for spatial in 0..2u8 {
                let temporal = (frame % 2) as u8;
                let bytes = if spatial == 0 { 250 } else { 1000 };
                layers.add(now, Point { spatial, temporal }, bytes, sizes);
            }
        }
        let whole = Layer {
            stream: StreamId(1),
            point: Point::default(),
            bitrate: 400_000,
            height: Some(360),
        };
        let choices = layers.choices(whole, true);
        let seen: Vec<_> = choices
            .iter()
            .map(|layer| {
                (
                    layer.point.spatial,
                    layer.point.temporal,
                    layer.height,
                    layer.bitrate / 10_000,
                )
            })
            .collect();
        let expected = [(0, 0, Some(180), 4), (0, 7, Some(180), 8), (1, 7, Some(360), 40)];
        for (seen, expected) in seen.iter().zip(expected) {
            assert_eq!((seen.0, seen.1, seen.2), (expected.0, expected.1, expected.2));
            assert!(seen.3.abs_diff(expected.3) <= 1, "{seen:?}");
        }
        assert_eq!(layers.choices(whole, false).len(), 2);
        // The larger one has ended.
        for frame in 60..120u32 {
            let point = Point {
                spatial: 0,
                temporal: (frame % 2) as u8,
            };
            layers.add(start + frame * Duration::from_millis(25), point, 250, [0; 4]);
        }
        assert_eq!(
            layers.highest(),
            Point {
                spatial: 0,
                temporal: 1
            }
        );
    }
}
