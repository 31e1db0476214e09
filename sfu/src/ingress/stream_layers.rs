//! The layers inside one stream (SVC), as they are measured: which there are, their heights and bitrates.

use std::time::{Duration, Instant};

use super::demand::Demand;
use super::layer::Layer;
use crate::units::Bitrate;
use crate::wire::descriptor::SPATIAL_LAYERS;
use crate::wire::layers::OperatingPoint;

const TEMPORAL_LAYERS: usize = 4;
/// Bitrates are measured over this time.
const WINDOW: Duration = Duration::from_millis(500);
/// A layer that was silent for this time while others were not is not there any more.
const STALL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    bytes: usize,
    /// Of this layer alone; zero: not known yet.
    bitrate: Bitrate,
    last: Option<Instant>,
}

/// Spatial and temporal layers beyond the fourth count as the fourth.
#[derive(Debug)]
pub struct StreamLayers {
    since: Instant,
    measured: [[Measured; TEMPORAL_LAYERS]; SPATIAL_LAYERS],
    /// 0: not known.
    heights: [u16; SPATIAL_LAYERS],
    /// Whether the publisher is asked for a spatial layer; it is always asked for the lowest.
    demands: [Demand; SPATIAL_LAYERS],
    barred: BarredLayers,
}

/// From which spatial layer on a replica's layers are barred; None: all can be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BarredLayers {
    /// By this worker.
    pub here: Option<u8>,
    /// By a worker before it on the way from the publisher.
    pub before: Option<u8>,
}

impl StreamLayers {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            measured: Default::default(),
            heights: [0; SPATIAL_LAYERS],
            demands: [Demand::Unwatched { since: now }; SPATIAL_LAYERS],
            barred: BarredLayers::default(),
        }
    }

    /// A packet of this layer. `heights`: as far as the packet has them.
    pub fn add(&mut self, now: Instant, point: OperatingPoint, bytes: usize, heights: [u16; SPATIAL_LAYERS]) {
        if heights[0] > 0 {
            for ((known, new), demand) in self.heights.iter_mut().zip(heights).zip(&self.demands) {
                // A paused layer is not described, and has the same height when it comes back.
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
        // After a pause the last measured bitrates hold.
        let is_pause = elapsed > 2 * WINDOW;
        for (layers, demand) in self.measured.iter_mut().zip(&self.demands) {
            let holds = is_pause || demand.sleeps();
            for layer in layers {
                let bytes = std::mem::take(&mut layer.bytes);
                let measured = Bitrate::of_bytes(bytes as u64, elapsed);
                layer.bitrate = match layer.bitrate {
                    before if holds => before,
                    Bitrate::ZERO => measured,
                    before => before.mean_with(measured),
                };
            }
        }
    }

    /// The highest layers that come now.
    pub fn top(&self) -> OperatingPoint {
        OperatingPoint {
            temporal: OperatingPoint::EVERY_FRAME,
            ..self.highest()
        }
    }

    /// The highest layers that can be had: a paused one comes when it is asked for.
    pub fn reach(&self) -> OperatingPoint {
        let top = self.top();
        let asleep = (0..SPATIAL_LAYERS as u8).rev().find(|spatial| self.sleeps(*spatial));
        OperatingPoint {
            spatial: top.spatial.max(asleep.unwrap_or(0)),
            ..top
        }
    }

    /// The publisher has been told to pause this spatial layer, or has not yet begun to send it again.
    pub fn sleeps(&self, spatial: u8) -> bool {
        let demand = self.demands.get(usize::from(spatial));
        demand.is_some_and(|demand| demand.sleeps())
    }

    /// The lowest spatial layer that a link between nodes does not carry, so that it and those above cannot be had.
    pub fn barred_from(&self) -> Option<u8> {
        [self.barred.here, self.barred.before].into_iter().flatten().min()
    }

    pub fn barred_mut(&mut self) -> &mut BarredLayers {
        &mut self.barred
    }

    /// Of one spatial layer without those below it, as it was measured last; 0: it does not come.
    pub fn bitrate_of(&self, spatial: u8) -> Bitrate {
        let measured = self.measured.get(usize::from(spatial)).into_iter().flatten();
        let last = measured.clone().filter_map(|layer| layer.last).max();
        match last.zip(self.newest()) {
            Some((last, newest)) if comes(last, newest) => measured.map(|layer| layer.bitrate).sum(),
            _ => Bitrate::ZERO,
        }
    }

    pub fn is_off(&self, spatial: u8) -> bool {
        self.demands.get(usize::from(spatial)).is_some_and(Demand::is_off)
    }

    pub fn demands(&self) -> [Demand; SPATIAL_LAYERS] {
        self.demands
    }

    /// Of a replica: its publisher's worker says so.
    pub fn set_demand(&mut self, spatial: u8, demand: Demand) {
        if let Some(known) = self.demands.get_mut(usize::from(spatial)) {
            *known = demand;
        }
    }

    /// 0: not known.
    pub fn heights(&self) -> [u16; SPATIAL_LAYERS] {
        self.heights
    }

    /// Of a replica: no packet of a paused layer tells its height.
    pub fn set_heights(&mut self, heights: [u16; SPATIAL_LAYERS]) {
        self.heights = heights;
    }

    /// `watched`: the highest spatial layer that a viewer watches.
    pub fn update_demands(&mut self, now: Instant, watched: Option<u8>) {
        let newest = self.newest();
        for spatial in 1..SPATIAL_LAYERS {
            let last = self.measured[spatial].iter().filter_map(|layer| layer.last).max();
            let (Some(last), Some(newest)) = (last, newest) else {
                continue;
            };
            let demand = &mut self.demands[spatial];
            // The publisher may leave a layer out by its own choice, and a layer is named by the height of the one below.
            let is_left_alone = !comes(last, newest) && !demand.sleeps() || self.heights[spatial - 1] == 0;
            let is_watched = watched.is_some_and(|highest| usize::from(highest) >= spatial);
            demand.update(now, is_watched || is_left_alone, last);
        }
    }

    /// Height of the largest layer that the publisher is asked for; None: it is asked for all of them.
    pub fn asked(&self) -> Option<u16> {
        let off = self.demands.iter().position(Demand::is_off)?;
        self.height(off.checked_sub(1)? as u8)
    }

    fn newest(&self) -> Option<Instant> {
        self.measured.iter().flatten().filter_map(|layer| layer.last).max()
    }

    /// The highest spatial and temporal layer that come now.
    fn highest(&self) -> OperatingPoint {
        let newest = self.newest();
        let mut top = OperatingPoint::default();
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

    /// The operating points that can be chosen, lowest first. `whole`: all layers that come now. `is_lowest`: fewer frames are a
    /// choice, too.
    pub fn choices(&self, whole: Layer, is_lowest: bool) -> Vec<Layer> {
        let (top, highest) = (self.top(), self.highest());
        let is_measured = self.bitrate(top) > Bitrate::ZERO;
        let slower = (0..highest.temporal).filter(|_| is_lowest && is_measured);
        let can_be_had = |spatial: &u8| self.barred_from().is_none_or(|barred| *spatial < barred);
        let sizes = (0..=self.reach().spatial).filter(|spatial| *spatial <= top.spatial || self.sleeps(*spatial));
        let sizes = sizes.filter(can_be_had);
        let points = slower
            .map(|temporal| OperatingPoint { spatial: 0, temporal })
            .chain(sizes.map(|spatial| OperatingPoint { spatial, ..top }));
        let choice = |point: OperatingPoint| match point == top {
            // A layer that has just been woken is known by its bitrate from before.
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
    fn bitrate(&self, point: OperatingPoint) -> Bitrate {
        let spatial = &self.measured[..=usize::from(point.spatial).min(SPATIAL_LAYERS - 1)];
        let temporal = usize::from(point.temporal).min(TEMPORAL_LAYERS - 1);
        let layers = spatial.iter().flat_map(|layers| &layers[..=temporal]);
        layers.map(|layer| layer.bitrate).sum()
    }
}

/// Whether a layer is still sent. `newest`: of the stream, which sends nothing at all while a picture stands still.
fn comes(last: Instant, newest: Instant) -> bool {
    newest.saturating_duration_since(last) < STALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::packet::StreamId;

    #[test]
    fn the_choices_are_the_smallest_size_with_fewer_frames_and_then_each_size_in_full() {
        let start = rotunda_proto::clock::Clock.now();
        let mut layers = StreamLayers::new(start);
        let sizes = [180, 360, 0, 0];
        for frame in 0..60u32 {
            let now = start + frame * Duration::from_millis(25);
            for spatial in 0..2u8 {
                let temporal = (frame % 2) as u8;
                let bytes = if spatial == 0 { 250 } else { 1000 };
                layers.add(now, OperatingPoint { spatial, temporal }, bytes, sizes);
            }
        }
        let whole = Layer {
            stream: StreamId(1),
            point: layers.top(),
            bitrate: Bitrate::kilobits(400),
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
                    layer.bitrate.get() / 10_000,
                )
            })
            .collect();
        let expected = [(0, 0, Some(180), 4), (0, 7, Some(180), 8), (1, 7, Some(360), 40)];
        for (seen, expected) in seen.iter().zip(expected) {
            assert_eq!((seen.0, seen.1, seen.2), (expected.0, expected.1, expected.2));
            assert!(seen.3.abs_diff(expected.3) <= 1, "{seen:?}");
        }
        assert_eq!(layers.choices(whole, false).len(), 2);
        // The larger layer has ended.
        for frame in 60..120u32 {
            let point = OperatingPoint {
                spatial: 0,
                temporal: (frame % 2) as u8,
            };
            layers.add(start + frame * Duration::from_millis(25), point, 250, [0; 4]);
        }
        assert_eq!(
            layers.highest(),
            OperatingPoint {
                spatial: 0,
                temporal: 1
            }
        );
    }
}
