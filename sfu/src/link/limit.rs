//! Which layers a link between nodes has to do without, when it carries less than is asked for: simulcast streams, or spatial layers inside one
//! stream (SVC). Pure.
//!
//! The largest layers are barred first, of one stream those above before those below, and the lowest layer of a track never is. They are tried again
//! one by one, each later the more often that has failed.

use std::time::{Duration, Instant};

use crate::ingress::packet::StreamId;
use crate::ingress::track::Watched;
use crate::units::Bitrate;

/// What has been barred or tried has its effect after so long: viewers have changed to other layers, and the queue has drained.
const EFFECT: Duration = Duration::from_secs(3);
/// A stream that is tried again has failed when the link does not carry it within this time.
const TRIAL: Duration = Duration::from_secs(10);
const LEAST_WAIT: Duration = Duration::from_secs(15);
const MOST_WAIT: Duration = Duration::from_secs(160);
/// Percent of what gets through that is asked for.
const SHARE: u64 = 90;

/// A layer that comes, or may come, over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    pub layer: Watched,
    /// Of this layer alone, as it was measured last; 0: it does not come.
    pub bitrate: Bitrate,
    /// There is no smaller one of its track.
    pub is_lowest: bool,
}

/// A layer is barred from now on, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub layer: Watched,
    pub is_barred: bool,
}

#[derive(Debug)]
pub struct LinkLimit {
    /// In the order in which they were barred.
    barred: Vec<Watched>,
    changed_at: Option<Instant>,
    /// A stream was allowed again last.
    is_trial: bool,
    wait: Duration,
}

impl Default for LinkLimit {
    fn default() -> Self {
        Self {
            barred: Vec::new(),
            changed_at: None,
            is_trial: false,
            wait: LEAST_WAIT,
        }
    }
}

impl LinkLimit {
    /// `limit`: the bitrate of all that gets through, if that is less than what is sent. `flows`: all layers of the link.
    pub fn update(&mut self, now: Instant, limit: Option<Bitrate>, flows: &[Flow]) -> Vec<Change> {
        self.barred
            .retain(|barred| flows.iter().any(|flow| flow.layer == *barred && !flow.is_lowest));
        let elapsed = self.changed_at.map(|at| now.saturating_duration_since(at));
        if elapsed.is_some_and(|elapsed| elapsed < EFFECT) {
            return Vec::new();
        }
        match limit {
            Some(limit) => {
                if self.is_trial && elapsed.is_some_and(|elapsed| elapsed < TRIAL) {
                    self.wait = (self.wait * 2).min(MOST_WAIT);
                }
                self.bar(now, limit, flows)
            }
            None if elapsed.is_some_and(|elapsed| elapsed >= self.wait) => self.allow(now),
            None => Vec::new(),
        }
    }

    pub fn has_barred(&self) -> bool {
        !self.barred.is_empty()
    }

    /// The lowest spatial layer inside a stream that is barred, and so are those above. None: all can be had.
    pub fn barred_inside(&self, stream: StreamId) -> Option<u8> {
        let inside = self.barred.iter().filter(|layer| layer.stream == stream);
        inside.map(|layer| layer.spatial).filter(|spatial| *spatial > 0).min()
    }

    /// The largest streams, until the rest is carried.
    fn bar(&mut self, now: Instant, limit: Bitrate, flows: &[Flow]) -> Vec<Change> {
        let comes = |flow: &&Flow| flow.bitrate > Bitrate::ZERO && !self.barred.contains(&flow.layer);
        let mut coming: Vec<&Flow> = flows.iter().filter(comes).collect();
        coming.sort_by_key(|flow| (flow.bitrate, flow.layer.stream, flow.layer.spatial));
        let mut sum: u64 = coming.iter().map(|flow| flow.bitrate.get()).sum();
        let share = limit.get() * SHARE / 100;
        let mut changes = Vec::new();
        while let Some(largest) = coming.pop() {
            if largest.is_lowest {
                continue;
            }
            let is_above =
                |flow: &&Flow| flow.layer.stream == largest.layer.stream && flow.layer.spatial > largest.layer.spatial;
            let above = coming
                .iter()
                .copied()
                .filter(is_above)
                .max_by_key(|flow| flow.layer.spatial);
            let largest = match above {
                Some(above) => {
                    coming.retain(|flow| flow.layer != above.layer);
                    coming.push(largest);
                    above
                }
                None => largest,
            };
            // Something has to go: beside these streams there is audio, and video without layers.
            if !changes.is_empty() && sum <= share {
                break;
            }
            sum -= largest.bitrate.get();
            self.barred.push(largest.layer);
            changes.push(Change {
                layer: largest.layer,
                is_barred: true,
            });
        }
        if !changes.is_empty() {
            (self.changed_at, self.is_trial) = (Some(now), false);
        }
        changes
    }

    /// The stream that was barred last, which is the smallest.
    fn allow(&mut self, now: Instant) -> Vec<Change> {
        let layer = self.barred.pop();
        if layer.is_some() {
            // The one before has been carried for long.
            if self.is_trial {
                self.wait = LEAST_WAIT;
            }
            (self.changed_at, self.is_trial) = (Some(now), true);
        }
        let change = |layer| Change {
            layer,
            is_barred: false,
        };
        layer.map(change).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(id: u64, kilobits: u64) -> Flow {
        Flow {
            layer: whole(id),
            bitrate: Bitrate::kilobits(kilobits),
            is_lowest: id.is_multiple_of(10),
        }
    }

    fn whole(id: u64) -> Watched {
        Watched {
            stream: StreamId(id),
            spatial: 0,
        }
    }

    fn change(id: u64, is_barred: bool) -> Change {
        Change {
            layer: whole(id),
            is_barred,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_largest_streams_are_barred_until_the_rest_fits_and_the_lowest_never_is() {
        let now = rotunda_proto::clock::Clock.now();
        let flows = [
            flow(10, 150),
            flow(11, 500),
            flow(12, 1500),
            flow(20, 900),
            flow(21, 1200),
        ];
        let mut limit = LinkLimit::default();
        assert_eq!(limit.update(now, None, &flows), []);
        let carried = Some(Bitrate::kilobits(2000));
        assert_eq!(
            limit.update(now, carried, &flows),
            [change(12, true), change(21, true)],
            "1550 of 1800"
        );
        assert_eq!(limit.update(now + seconds(1), carried, &flows), [], "it takes a moment");
        let less = Some(Bitrate::kilobits(500));
        assert_eq!(limit.update(now + seconds(3), less, &flows), [change(11, true)]);
        assert_eq!(
            limit.update(now + seconds(9), less, &flows),
            [],
            "nothing is left to bar"
        );
    }

    #[test]
    fn barred_streams_are_tried_again_later_each_time_they_fail() {
        let mut now = rotunda_proto::clock::Clock.now();
        let flows = [flow(10, 150), flow(11, 500), flow(12, 1500)];
        let narrow = Some(Bitrate::kilobits(900));
        let mut limit = LinkLimit::default();
        assert_eq!(limit.update(now, narrow, &flows), [change(12, true)]);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let barred_at = now;
            while limit.update(now, None, &flows).is_empty() {
                now += seconds(1);
            }
            waits.push((now - barred_at).as_secs());
            now += seconds(3);
            assert_eq!(limit.update(now, narrow, &flows), [change(12, true)]);
        }
        assert_eq!(waits, [15, 30, 60, 120, 160, 160]);
    }

    #[test]
    fn a_link_that_is_wide_again_has_everything_soon_and_streams_that_end_are_forgotten() {
        let mut now = rotunda_proto::clock::Clock.now();
        let flows = [flow(10, 150), flow(11, 500), flow(12, 1500)];
        let mut limit = LinkLimit::default();
        limit.update(now, Some(Bitrate::kilobits(400)), &flows);
        let mut allowed = Vec::new();
        for _ in 0..60 {
            now += seconds(1);
            allowed.extend(limit.update(now, None, &flows));
        }
        assert_eq!(allowed, [change(11, false), change(12, false)], "the smaller one first");
        limit.update(now, Some(Bitrate::kilobits(400)), &flows);
        now += seconds(200);
        assert_eq!(limit.update(now, None, &flows[..1]), []);
    }

    #[test]
    fn layers_inside_one_stream_are_barred_from_above_and_tried_again_from_below() {
        let mut now = rotunda_proto::clock::Clock.now();
        let inside = |spatial| Watched {
            stream: StreamId(7),
            spatial,
        };
        let flow = |spatial, kilobits| Flow {
            layer: inside(spatial),
            bitrate: Bitrate::kilobits(kilobits),
            is_lowest: spatial == 0,
        };
        // The middle layer is the largest, and is of no use without the lowest; nor is the highest without the middle one.
        let flows = [flow(0, 200), flow(1, 900), flow(2, 800)];
        let mut limit = LinkLimit::default();
        let barred = limit.update(now, Some(Bitrate::kilobits(1300)), &flows);
        assert_eq!(
            barred.iter().map(|change| change.layer).collect::<Vec<_>>(),
            [inside(2)]
        );
        assert_eq!(limit.barred_inside(StreamId(7)), Some(2));
        now += seconds(4);
        limit.update(now, Some(Bitrate::kilobits(500)), &flows);
        assert_eq!(limit.barred_inside(StreamId(7)), Some(1));
        now += seconds(15);
        let allowed = limit.update(now, None, &flows);
        assert_eq!(
            allowed.iter().map(|change| change.layer).collect::<Vec<_>>(),
            [inside(1)]
        );
        assert_eq!(limit.barred_inside(StreamId(7)), Some(2));
    }
}
