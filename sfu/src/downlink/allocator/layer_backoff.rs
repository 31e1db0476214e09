//! Back-off of layers that the viewer's link could not carry: each waits before it is tried again, longer each time.

use std::time::{Duration, Instant};

use super::Request;
use crate::ingress::layer::Shown;

const LEAST_WAIT: Duration = Duration::from_secs(15);
const MOST_WAIT: Duration = Duration::from_secs(160);
/// A layer that has not failed for so long after its wait begins again with the shortest wait.
const FORGIVEN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct LayerBackoff {
    failed: Vec<Failed>,
}

#[derive(Debug)]
struct Failed {
    shown: Shown,
    at: Instant,
    wait: Duration,
}

impl LayerBackoff {
    /// The viewer was shown this, and the link did not carry it.
    pub fn fail(&mut self, now: Instant, shown: Shown) {
        self.failed
            .retain(|failed| now.saturating_duration_since(failed.at) < failed.wait + FORGIVEN);
        let again = self.failed.iter_mut().find(|failed| failed.shown == shown);
        match again {
            Some(failed) => {
                failed.wait = (failed.wait * 2).min(MOST_WAIT);
                failed.at = now;
            }
            None => self.failed.push(Failed {
                shown,
                at: now,
                wait: LEAST_WAIT,
            }),
        }
    }

    /// The lowest layer that still has to wait. A layer that is shown again by now does not count.
    pub fn waits_from(&self, now: Instant, request: &Request) -> Option<usize> {
        let waits = |failed: &&Failed| now.saturating_duration_since(failed.at) < failed.wait;
        let failed = self.failed.iter().filter(waits);
        let has = request.current.and_then(|current| request.position(current));
        let failed = failed.filter_map(|failed| request.position(failed.shown));
        failed.filter(|failed| has.is_none_or(|has| *failed > has)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::layer::Layer;
    use crate::ingress::packet::StreamId;
    use crate::units::Bitrate;
    use crate::wire::layers::OperatingPoint;

    fn request() -> Request {
        let layer = |id: u64| Layer {
            stream: StreamId(id),
            point: OperatingPoint::default(),
            bitrate: Bitrate::kilobits(1),
            height: None,
        };
        Request {
            layers: (0..3).map(layer).collect(),
            current: None,
            waits_from: None,
        }
    }

    /// Seconds for which a layer waits after it has failed now.
    fn waits(backoff: &mut LayerBackoff, now: Instant, layer: usize) -> u64 {
        let request = request();
        backoff.fail(now, request.layers[layer].shown());
        let waits = |second: &u64| backoff.waits_from(now + Duration::from_secs(*second), &request) == Some(layer);
        (0..1000).take_while(waits).count() as u64
    }

    #[test]
    fn each_failure_doubles_the_wait_and_a_long_time_without_one_forgives() {
        let mut now = rotunda_proto::clock::Clock.now();
        let mut backoff = LayerBackoff::default();
        let mut all = Vec::new();
        for _ in 0..6 {
            let wait = waits(&mut backoff, now, 1);
            all.push(wait);
            now += Duration::from_secs(wait + 5);
        }
        assert_eq!(all, [15, 30, 60, 120, 160, 160]);
        assert_eq!(waits(&mut backoff, now + FORGIVEN, 1), 15);
    }

    #[test]
    fn a_layer_that_failed_holds_back_those_above_it_alone() {
        let now = rotunda_proto::clock::Clock.now();
        let mut backoff = LayerBackoff::default();
        assert_eq!(backoff.waits_from(now, &request()), None);
        backoff.fail(now, request().layers[2].shown());
        assert_eq!(backoff.waits_from(now, &request()), Some(2));
        backoff.fail(now, request().layers[1].shown());
        assert_eq!(backoff.waits_from(now, &request()), Some(1));
        let again = Request {
            current: Some(request().layers[1].shown()),
            ..request()
        };
        assert_eq!(backoff.waits_from(now, &again), Some(2), "it is shown again");
    }
}
