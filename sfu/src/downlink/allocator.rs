//! Chooses the layer of each wanted video for what the viewer's link carries.
//!
//! The first aim is that nothing is paused, and nothing is before the link has shown that it is narrow. Then come the screen, the
//! stage in its order, and quality. A layer goes down at once when packets wait or are lost, but not because the estimate falls while
//! everything that is sent gets through. It goes up only with room to spare, and with much of it for a while after that has failed.
//! Lower frame rates are for links that do not carry the smallest size in full.

mod decision;
mod layer_backoff;

use crate::ingress::layer::{Layer, Shown};
use crate::ingress::packet::StreamId;
use crate::units::Bitrate;
pub use decision::{Decision, Reason};
pub use layer_backoff::LayerBackoff;

/// On a link that has shown that it is narrow, going up needs the bitrate of the layer times this; so does coming back from a pause.
const ROOM_UP: f64 = 1.15;
/// The same for a layer that the link has lately failed to carry, until its wait is over ([`LayerBackoff`]).
const ROOM_AGAIN: f64 = 1.6;
/// The estimate varies by this much without meaning anything: a video is not paused for less.
const TOLERANCE: f64 = 0.85;

/// The state of a viewer's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// For video; None: no limit is known.
    pub budget: Option<Bitrate>,
    /// The link has shown that it carries no more; else the budget is what has been tried so far.
    pub narrow: bool,
    /// Everything that is sent now gets through without waiting, whatever the budget is.
    pub carries_all: bool,
}

/// A video that a viewer wants; in order of importance in [`allocate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Lowest first; no more than the viewer has a use for.
    pub layers: Vec<Layer>,
    /// The layer that the viewer is shown now.
    pub current: Option<Shown>,
    /// From this layer on, the link has lately failed.
    pub waits_from: Option<usize>,
}

impl Request {
    /// The position among the layers.
    fn position(&self, shown: Shown) -> Option<usize> {
        let is = |layer: &Layer| layer.stream == shown.stream && layer.point.is_within(shown.point);
        self.layers.iter().rposition(is)
    }

    /// The bitrate of what the viewer is shown now.
    fn takes(&self) -> Bitrate {
        let has = self.current.and_then(|current| self.position(current));
        has.map_or(Bitrate::ZERO, |has| self.layers[has].bitrate)
    }

    /// The lowest layer with the full frame rate.
    fn lowest_in_full(&self) -> usize {
        let pairs = self.layers.windows(2);
        pairs.take_while(|pair| pair[0].is_as_large_as(&pair[1])).count()
    }
}

/// The layer of each request; None: paused, or there is none.
pub fn allocate(link: Link, requests: &[Request]) -> Vec<Option<Shown>> {
    let narrow = link.narrow;
    let sent = requests.iter().map(Request::takes).sum();
    let least = if link.carries_all { sent } else { Bitrate::ZERO };
    let Some(budget) = link.budget.map(|budget| budget.max(least).as_f64()) else {
        return requests
            .iter()
            .map(|request| request.layers.last().map(Layer::shown))
            .collect();
    };
    let mut chosen: Vec<Option<usize>> = Vec::with_capacity(requests.len());
    let mut used = 0.0;
    for (index, request) in requests.iter().enumerate() {
        let first = if narrow { 0 } else { request.lowest_in_full() };
        let Some(lowest) = request.layers.get(first) else {
            chosen.push(None);
            continue;
        };
        let cost = lowest.bitrate.as_f64();
        let factor = if request.current.is_some() { TOLERANCE } else { ROOM_UP };
        // The most important video is sent whatever the link carries: one that stutters is better than none.
        if index == 0 || !narrow || (used + cost) * factor <= budget {
            used += cost;
            chosen.push(Some(first));
        } else {
            chosen.push(None);
        }
    }
    // A step for each in turn, the most important first, until nothing fits any more.
    let mut stepped = true;
    while stepped {
        stepped = false;
        for (request, chosen) in requests.iter().zip(&mut chosen) {
            let Some(at) = *chosen else {
                continue;
            };
            let Some(next) = request.layers.get(at + 1) else {
                continue;
            };
            let step = next.bitrate.as_f64() - request.layers[at].bitrate.as_f64();
            let has = request.current.and_then(|current| request.position(current));
            let factor = if has.is_some_and(|has| has > at) {
                1.0
            } else if request.waits_from.is_some_and(|from| from <= at + 1) {
                ROOM_AGAIN
            } else if narrow {
                ROOM_UP
            } else {
                1.0
            };
            if (used + step) * factor <= budget {
                used += step;
                *chosen = Some(at + 1);
                stepped = true;
            }
        }
    }
    let shown = |(request, chosen): (&Request, Option<usize>)| Some(request.layers.get(chosen?)?.shown());
    requests.iter().zip(chosen).map(shown).collect()
}

/// The layer to show while the chosen one has to be woken first. `comes`: whether a layer is being sent.
///
/// A viewer of a lower layer goes on with it until the chosen one's keyframe. A viewer who sees nothing, or a higher layer that the
/// link does not carry any more, gets the nearest layer that there is, rather below than above.
pub fn stand_in(request: &Request, chosen: Shown, comes: impl Fn(StreamId) -> bool) -> Shown {
    let Some(at) = request.position(chosen).filter(|_| !comes(chosen.stream)) else {
        return chosen;
    };
    let current = request.current.filter(|current| comes(current.stream));
    if current
        .and_then(|current| request.position(current))
        .is_some_and(|has| has < at)
    {
        return chosen;
    }
    let (below, above) = request.layers.split_at(at);
    let nearest = below.iter().rev().chain(above).find(|layer| comes(layer.stream));
    nearest.map_or(chosen, Layer::shown)
}

/// The bitrate of everything in the best quality.
pub fn wanted(requests: &[Request]) -> Bitrate {
    requests
        .iter()
        .filter_map(|request| request.layers.last())
        .map(|layer| layer.bitrate)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::layers::OperatingPoint;
    use proptest::prelude::*;

    fn link(bits: u64, narrow: bool) -> Link {
        Link {
            budget: Some(Bitrate::bits(bits)),
            narrow,
            carries_all: false,
        }
    }

    /// Layers of 100, 400 and 1500 kbit/s; ids are 10 times the video plus the layer.
    fn simulcast(video: u64, current: Option<u64>) -> Request {
        let layer = |index: u64, kilobits: u64| Layer {
            stream: StreamId(10 * video + index),
            point: OperatingPoint::default(),
            bitrate: Bitrate::kilobits(kilobits),
            height: None,
        };
        Request {
            layers: vec![layer(0, 100), layer(1, 400), layer(2, 1500)],
            current: current.map(|index| whole(10 * video + index)),
            waits_from: None,
        }
    }

    fn whole(stream: u64) -> Shown {
        Shown {
            stream: StreamId(stream),
            point: OperatingPoint::default(),
        }
    }

    /// One stream of two sizes, each with a third, two thirds and all of its frames.
    fn layered(current: Option<OperatingPoint>) -> Request {
        let rungs = [(0, 0, 50), (0, 1, 75), (0, 2, 100), (1, 2, 400)];
        let layers = rungs.map(|(spatial, temporal, kilobits)| Layer {
            stream: StreamId(1),
            point: OperatingPoint { spatial, temporal },
            bitrate: Bitrate::kilobits(kilobits),
            height: None,
        });
        let stream = StreamId(1);
        Request {
            layers: layers.into(),
            current: current.map(|point| Shown { stream, point }),
            waits_from: None,
        }
    }

    #[test]
    fn a_lower_frame_rate_comes_before_a_pause_and_the_full_one_before_a_larger_size() {
        let points = |budget: u64, narrow: bool, requests: &[Request]| {
            let chosen = allocate(link(1000 * budget, narrow), requests);
            let point = |shown: Option<Shown>| shown.map(|shown| [shown.point.spatial, shown.point.temporal]);
            chosen.into_iter().map(point).collect::<Vec<_>>()
        };
        let two = [layered(None), layered(None)];
        assert_eq!(points(120, true, &two), [Some([0, 0]), Some([0, 0])]);
        assert_eq!(points(150, true, &two), [Some([0, 1]), Some([0, 0])]);
        assert_eq!(points(70, true, &two), [Some([0, 0]), None]);
        assert_eq!(points(600, true, &two), [Some([1, 2]), Some([0, 2])]);
        assert_eq!(
            points(70, false, &two),
            [Some([0, 2]), Some([0, 2])],
            "the link has shown no limit"
        );
        assert_eq!(
            points(410, true, &[layered(Some(OperatingPoint::WHOLE))]),
            [Some([1, 2])],
            "what is there is kept"
        );
        let small = OperatingPoint {
            spatial: 0,
            temporal: 2,
        };
        assert_eq!(
            points(410, true, &[layered(Some(small))]),
            [Some([0, 2])],
            "not enough room to go up"
        );
    }

    fn layers(budget: u64, requests: &[Request]) -> Vec<Option<u64>> {
        let chosen = allocate(link(1000 * budget, true), requests);
        chosen
            .iter()
            .map(|shown| shown.map(|shown| shown.stream.0 % 10))
            .collect()
    }

    #[test]
    fn nothing_is_paused_before_quality_is_given() {
        let requests = [simulcast(1, None), simulcast(2, None), simulcast(3, None)];
        assert_eq!(layers(400, &requests), [Some(0), Some(0), Some(0)]);
        assert_eq!(
            layers(700, &requests),
            [Some(1), Some(0), Some(0)],
            "then by importance"
        );
        assert_eq!(layers(1400, &requests), [Some(1), Some(1), Some(1)]);
        assert_eq!(layers(9000, &requests), [Some(2), Some(2), Some(2)]);
    }

    #[test]
    fn too_little_for_all_pauses_the_least_important_and_never_the_first() {
        let requests = [simulcast(1, None), simulcast(2, None), simulcast(3, None)];
        assert_eq!(layers(240, &requests), [Some(0), Some(0), None]);
        assert_eq!(layers(30, &requests), [Some(0), None, None]);
    }

    #[test]
    fn a_layer_is_kept_where_it_would_not_be_taken_anew() {
        assert_eq!(
            layers(430, &[simulcast(1, Some(0))]),
            [Some(0)],
            "not enough room to go up"
        );
        assert_eq!(layers(430, &[simulcast(1, Some(1))]), [Some(1)], "enough to stay");
        assert_eq!(layers(390, &[simulcast(1, Some(1))]), [Some(0)], "down at once");
    }

    #[test]
    fn an_estimate_that_falls_takes_nothing_away_while_all_that_is_sent_gets_through() {
        let kept = |requests: &[Request]| {
            let link = Link {
                carries_all: true,
                ..link(200_000, true)
            };
            let shown = allocate(link, requests).into_iter();
            shown
                .map(|shown| shown.map(|shown| shown.stream.0 % 10))
                .collect::<Vec<_>>()
        };
        let both = [simulcast(1, Some(1)), simulcast(2, Some(2))];
        assert_eq!(kept(&both), [Some(1), Some(2)]);
        let third = simulcast(3, None);
        let [first, second] = both;
        assert_eq!(
            kept(&[first, second, third]),
            [Some(1), Some(1), Some(1)],
            "but for somebody who is not seen at all"
        );
    }

    #[test]
    fn a_failed_layer_comes_back_early_only_on_a_much_wider_link() {
        let mut request = simulcast(1, Some(0));
        request.waits_from = Some(1);
        assert_eq!(layers(600, std::slice::from_ref(&request)), [Some(0)]);
        assert_eq!(layers(650, std::slice::from_ref(&request)), [Some(1)]);
        request.waits_from = Some(2);
        assert_eq!(layers(600, std::slice::from_ref(&request)), [Some(1)]);
        let keeps = Request {
            current: Some(whole(12)),
            ..request
        };
        assert_eq!(layers(1600, &[keeps]), [Some(2)], "what is there is kept");
    }

    #[test]
    fn a_link_that_has_shown_no_limit_pauses_nobody() {
        let requests = [simulcast(1, None), simulcast(2, None), simulcast(3, None)];
        let lowest = requests.iter().map(|request| Some(request.layers[0].shown()));
        assert_eq!(allocate(link(100_000, false), &requests), lowest.collect::<Vec<_>>());
    }

    #[test]
    fn without_an_estimate_everybody_gets_the_best() {
        let unknown = Link {
            budget: None,
            ..link(0, false)
        };
        assert_eq!(allocate(unknown, &[simulcast(1, None)]), [Some(whole(12))]);
        assert_eq!(
            allocate(
                unknown,
                &[Request {
                    layers: Vec::new(),
                    current: None,
                    waits_from: None
                }]
            ),
            [None]
        );
    }

    #[test]
    fn until_a_paused_layer_wakes_there_is_always_one_that_the_link_carries() {
        let only_lowest = |id: StreamId| id.0.is_multiple_of(10);
        let stand_in = |current: Option<u64>, chosen: u64| {
            let request = simulcast(1, current);
            super::stand_in(&request, whole(10 + chosen), only_lowest).stream.0 % 10
        };
        assert_eq!(stand_in(None, 2), 0, "a new viewer sees the lowest first");
        assert_eq!(stand_in(Some(0), 2), 2, "and goes on with it until the keyframe");
        assert_eq!(stand_in(None, 0), 0);
        let all_but_middle = |id: StreamId| id.0 % 10 != 1;
        let down = super::stand_in(&simulcast(1, Some(2)), whole(11), all_but_middle);
        assert_eq!(down, whole(10), "down at once, though only one further than needed");
        let none = super::stand_in(&simulcast(1, None), whole(12), |_| false);
        assert_eq!(none, whole(12), "nothing comes: the wish stands");
    }

    proptest! {
        #[test]
        fn no_more_is_allocated_than_the_link_carries(budget in 100u64..5000, videos in 1u64..6) {
            let requests: Vec<_> = (0..videos).map(|video| simulcast(video, None)).collect();
            let kilobits = [100, 400, 1500];
            let used: u64 = layers(budget, &requests).iter().flatten().map(|layer| kilobits[*layer as usize]).sum();
            prop_assert!(used <= budget);
        }
    }
}
