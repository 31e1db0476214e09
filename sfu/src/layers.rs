//! The layers inside one stream, as they are measured: which there are, how large, and what each takes.

use std::time::{Duration, Instant};

use crate::allocator::Layer;
use crate::demand::Demand;
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
    /// Whether the publisher is asked for a spatial layer; for the lowest he always is.
    demands: [Demand; SPATIAL_LAYERS],
}

impl Layers {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            measured: Default::default(),
            heights: [0; SPATIAL_LAYERS],
            demands: [Demand::Unwatched { since: now }; SPATIAL_LAYERS],
        }
    }

    /// A packet of this layer. `heights`: as far as it says them.
    pub fn add(&mut self, now: Instant, point: Point, bytes: usize, heights: [u16; SPATIAL_LAYERS]) {
        if heights[0] > 0 {
            for ((known, new), demand) in self.heights.iter_mut().zip(heights).zip(&self.demands) {
                // What sleeps is not spoken of, and will be as it was.
                if new > 0 || !demand.sleeps() {
                    *known = new;
                }
            }
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
        for (layers, demand) in self.measured.iter_mut().zip(&self.demands) {
            let holds = is_pause || demand.sleeps();
            for layer in layers {
                let bytes = std::mem::take(&mut layer.bytes);
                let measured = (bytes as f64 * 8.0 / elapsed.as_secs_f64()) as u64;
                layer.bitrate = match layer.bitrate {
                    before if holds => before,
                    0 => measured,
                    before => (before + measured) / 2,
                };
            }
        }
    }

    /// All that comes now.
    pub fn top(&self) -> Point {
        Point {
            temporal: Point::EVERY_PICTURE,
            ..self.highest()
        }
    }

    /// All that could be had: what sleeps comes when it is asked for.
    pub fn reach(&self) -> Point {
        let top = self.top();
        let asleep = (0..SPATIAL_LAYERS as u8).rev().find(|spatial| self.sleeps(*spatial));
        Point {
            spatial: top.spatial.max(asleep.unwrap_or(0)),
            ..top
        }
    }

    /// The publisher is told to pause this spatial layer, or has not yet begun with it again.
    pub fn sleeps(&self, spatial: u8) -> bool {
        let demand = self.demands.get(usize::from(spatial));
        demand.is_some_and(|demand| demand.sleeps())
    }

    pub fn is_off(&self, spatial: u8) -> bool {
        self.demands.get(usize::from(spatial)).is_some_and(Demand::is_off)
    }

    pub fn demands(&self) -> [Demand; SPATIAL_LAYERS] {
        self.demands
    }

    /// Of a replica: what its publisher's worker says.
    pub fn set_demand(&mut self, spatial: u8, demand: Demand) {
        if let Some(known) = self.demands.get_mut(usize::from(spatial)) {
            *known = demand;
        }
    }

    /// 0: not known.
    pub fn heights(&self) -> [u16; SPATIAL_LAYERS] {
        self.heights
    }

    /// Of a replica: of what its publisher pauses, nothing comes that would say it.
    pub fn set_heights(&mut self, heights: [u16; SPATIAL_LAYERS]) {
        self.heights = heights;
    }

    /// `watched`: the highest spatial layer that somebody watches.
    pub fn update_demands(&mut self, now: Instant, watched: Option<u8>) {
        let newest = self.newest();
        for spatial in 1..SPATIAL_LAYERS {
            let last = self.measured[spatial].iter().filter_map(|layer| layer.last).max();
            let (Some(last), Some(newest)) = (last, newest) else {
                continue;
            };
            let demand = &mut self.demands[spatial];
            // One that the publisher leaves out by his own choice is his affair, and the rest has to have a name.
            let is_his = !comes(last, newest) && !demand.sleeps() || self.heights[spatial - 1] == 0;
            let is_watched = watched.is_some_and(|highest| usize::from(highest) >= spatial);
            demand.update(now, is_watched || is_his, last);
        }
    }

    /// Height of the largest size that the publisher is asked for; None: he is asked for all that there is.
    pub fn asked(&self) -> Option<u16> {
        let off = self.demands.iter().position(Demand::is_off)?;
        self.height(off.checked_sub(1)? as u8)
    }

    fn newest(&self) -> Option<Instant> {
        self.measured.iter().flatten().filter_map(|layer| layer.last).max()
    }

    /// The highest spatial and temporal layer that come now.
    fn highest(&self) -> Point {
        let newest = self.newest();
        let mut top = Point::default();
        for (spatial, layers) in self.measured.iter().enumerate() {
            for (temporal, layer) in layers.iter().enumerate() {
                if layer.last.zip(newest).is_some_and(|(last, newest)| comes(last, newest)) {
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

    /// The operating points that can be chosen, lowest first. `whole`: all that comes now.
    pub fn choices(&self, whole: Layer, is_lowest: bool) -> Vec<Layer> {
        let (top, highest) = (self.top(), self.highest());
        let is_measured = self.bitrate(top) > 0;
        let slower = (0..highest.temporal).filter(|_| is_lowest && is_measured);
        let sizes = (0..=self.reach().spatial).filter(|spatial| *spatial <= top.spatial || self.sleeps(*spatial));
        let points = slower
            .map(|temporal| Point { spatial: 0, temporal })
            .chain(sizes.map(|spatial| Point { spatial, ..top }));
        let choice = |point: Point| match point == top {
            // What has just been woken is known for what it took before.
            true => Layer {
                bitrate: whole.bitrate.max(self.bitrate(top)),
                ..whole
            },
            false => Layer {
                point,
                bitrate: self.bitrate(point),
                height: self.height(point.spatial),
                ..whole
            },
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

/// A picture that stands still sends nothing, and has not become smaller: `last` is seen from the stream's newest packet.
fn comes(last: Instant, newest: Instant) -> bool {
    newest.saturating_duration_since(last) < STALL
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
            point: layers.top(),
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
