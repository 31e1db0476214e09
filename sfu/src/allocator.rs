//! Which layer of each wanted picture a viewer gets on the link that he has.
//!
//! Nobody is paused first, and nobody at all before the link has shown that it is narrow; then the screen, then the stage in its order; then quality. Down at once, up only with room to
//! spare.

use crate::packet::StreamId;

/// Going up needs so much more than the layer takes; coming back from a pause too.
const ROOM_UP: f64 = 1.15;
/// The estimate moves by this much without meaning anything: a picture is not paused for less.
const TOLERANCE: f64 = 0.85;

/// A layer that can be sent, lowest first in [`Request::layers`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer {
    pub stream: StreamId,
    /// Bits a second, as measured.
    pub bitrate: u64,
    /// Pixels; None: not known.
    pub height: Option<u16>,
}

/// One picture that a viewer wants; in order of importance in [`allocate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Lowest first; not more than what the viewer has a use for.
    pub layers: Vec<Layer>,
    /// What he has now.
    pub current: Option<StreamId>,
}

/// The layer of each request; None: paused, or there is none. `budget`: bits a second; None: no limit is known. `narrow`: the
/// link has shown that it carries no more; else the budget is what has been tried so far.
pub fn allocate(budget: Option<u64>, narrow: bool, requests: &[Request]) -> Vec<Option<StreamId>> {
    let Some(budget) = budget.map(|bits| bits as f64) else {
        return requests
            .iter()
            .map(|request| request.layers.last().map(|layer| layer.stream))
            .collect();
    };
    let mut chosen: Vec<Option<usize>> = Vec::with_capacity(requests.len());
    let mut used = 0.0;
    for (index, request) in requests.iter().enumerate() {
        let Some(lowest) = request.layers.first() else {
            chosen.push(None);
            continue;
        };
        let cost = lowest.bitrate as f64;
        let factor = if request.current.is_some() { TOLERANCE } else { ROOM_UP };
        // The most important picture is sent whatever the link says: a picture that stutters beats none.
        if index == 0 || !narrow || (used + cost) * factor <= budget {
            used += cost;
            chosen.push(Some(0));
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
            let step = next.bitrate as f64 - request.layers[at].bitrate as f64;
            let has = request.current.and_then(|current| position(request, current));
            let factor = if has.is_some_and(|has| has > at) { 1.0 } else { ROOM_UP };
            if (used + step) * factor <= budget {
                used += step;
                *chosen = Some(at + 1);
                stepped = true;
            }
        }
    }
    let stream = |(request, chosen): (&Request, Option<usize>)| Some(request.layers.get(chosen?)?.stream);
    requests.iter().zip(chosen).map(stream).collect()
}

/// What to ask for as long as the chosen layer has to be woken first. `comes`: whether a layer is being sent.
///
/// Who sees a lower layer goes on with it until the chosen one's key frame. Who sees nothing, or a higher one that his link
/// does not carry any more, gets the nearest that there is, rather below than above.
pub fn stand_in(request: &Request, chosen: StreamId, comes: impl Fn(StreamId) -> bool) -> StreamId {
    let Some(at) = position(request, chosen).filter(|_| !comes(chosen)) else {
        return chosen;
    };
    let current = request.current.filter(|current| comes(*current));
    if current
        .and_then(|current| position(request, current))
        .is_some_and(|has| has < at)
    {
        return chosen;
    }
    let (below, above) = request.layers.split_at(at);
    let nearest = below.iter().rev().chain(above).find(|layer| comes(layer.stream));
    nearest.map_or(chosen, |layer| layer.stream)
}

/// What all of it in the best quality would take, bits a second.
pub fn wanted(requests: &[Request]) -> u64 {
    requests
        .iter()
        .filter_map(|request| request.layers.last())
        .map(|layer| layer.bitrate)
        .sum()
}

fn position(request: &Request, stream: StreamId) -> Option<usize> {
    request.layers.iter().position(|layer| layer.stream == stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Layers of 100, 400 and 1500 kbit/s; ids are 10 times the picture plus the layer.
    fn simulcast(picture: u64, current: Option<u64>) -> Request {
        let layer = |index: u64, kilobits: u64| Layer {
            stream: StreamId(10 * picture + index),
            bitrate: 1000 * kilobits,
            height: None,
        };
        Request {
            layers: vec![layer(0, 100), layer(1, 400), layer(2, 1500)],
            current: current.map(|index| StreamId(10 * picture + index)),
        }
    }

    fn layers(budget: u64, requests: &[Request]) -> Vec<Option<u64>> {
        let chosen = allocate(Some(1000 * budget), true, requests);
        chosen.iter().map(|stream| stream.map(|stream| stream.0 % 10)).collect()
    }

    #[test]
    fn nobody_is_paused_before_quality_is_given() {
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
    fn a_link_that_has_shown_no_limit_pauses_nobody() {
        let requests = [simulcast(1, None), simulcast(2, None), simulcast(3, None)];
        let lowest = requests.iter().map(|request| Some(request.layers[0].stream));
        assert_eq!(allocate(Some(100_000), false, &requests), lowest.collect::<Vec<_>>());
    }

    #[test]
    fn without_an_estimate_everybody_gets_the_best() {
        assert_eq!(allocate(None, false, &[simulcast(1, None)]), [Some(StreamId(12))]);
        assert_eq!(
            allocate(
                None,
                false,
                &[Request {
                    layers: Vec::new(),
                    current: None
                }]
            ),
            [None]
        );
    }

    #[test]
    fn until_a_sleeping_layer_wakes_there_is_always_a_picture_that_the_link_carries() {
        let only_lowest = |id: StreamId| id.0.is_multiple_of(10);
        let stand_in = |current: Option<u64>, chosen: u64| {
            let request = simulcast(1, current);
            super::stand_in(&request, StreamId(10 + chosen), only_lowest).0 % 10
        };
        assert_eq!(stand_in(None, 2), 0, "a new viewer sees the lowest first");
        assert_eq!(stand_in(Some(0), 2), 2, "and goes on with it until the key frame");
        assert_eq!(stand_in(None, 0), 0);
        let all_but_middle = |id: StreamId| id.0 % 10 != 1;
        let down = super::stand_in(&simulcast(1, Some(2)), StreamId(11), all_but_middle);
        assert_eq!(down, StreamId(10), "down at once, though only one further than needed");
        let none = super::stand_in(&simulcast(1, None), StreamId(12), |_| false);
        assert_eq!(none, StreamId(12), "nothing comes: the wish stands");
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_the_link_carries(budget in 100u64..5000, pictures in 1u64..6) {
            let requests: Vec<_> = (0..pictures).map(|picture| simulcast(picture, None)).collect();
            let kilobits = [100, 400, 1500];
            let used: u64 = layers(budget, &requests).iter().flatten().map(|layer| kilobits[*layer as usize]).sum();
            prop_assert!(used <= budget);
        }
    }
}
