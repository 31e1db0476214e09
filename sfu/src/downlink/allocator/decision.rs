//! The decision for a video, and why it differs from the one before: for metrics.

use super::Request;
use crate::ingress::layer::{Layer, Shown};

/// The layer that a viewer is to be shown, and the highest one that there was to choose. None: paused; nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decision {
    chosen: Option<Shown>,
    top: Option<Shown>,
}

/// Why a viewer is to be shown something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There was nothing to choose from before.
    Begins,
    /// The viewer asks for another size, or the publisher sends others.
    Offer,
    LinkFalls,
    LinkGrows,
    /// The link does not carry the lowest layer.
    Pauses,
    Resumes,
}

impl Reason {
    /// Its label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::Offer => "offer",
            Self::LinkFalls => "link_falls",
            Self::LinkGrows => "link_grows",
            Self::Pauses => "pauses",
            Self::Resumes => "resumes",
        }
    }
}

impl Decision {
    pub fn new(request: &Request, chosen: Option<Shown>) -> Self {
        let top = request.layers.last().map(Layer::shown);
        Self { chosen, top }
    }

    /// The chosen layer, if it is shown by now.
    pub fn shown_of(&self, request: &Request) -> Option<Shown> {
        let has = request.current.and_then(|current| request.position(current))?;
        let chosen = self.chosen?;
        (request.position(chosen)? <= has).then_some(chosen)
    }

    /// None: the decision is the same, or nothing is sent any more.
    pub fn reason(&self, before: &Self, request: &Request) -> Option<Reason> {
        if self.chosen == before.chosen || self.top.is_none() {
            return None;
        }
        let (was, is) = match (before.chosen, self.chosen) {
            (Some(was), Some(is)) => (was, is),
            (None, _) if before.top.is_none() => return Some(Reason::Begins),
            (None, _) => return Some(Reason::Resumes),
            (_, None) => return Some(Reason::Pauses),
        };
        // A viewer who has the most that there is, or has had it, is not limited by the link.
        let Some(was_at) = request.position(was) else {
            return Some(Reason::Offer);
        };
        let grows = request.position(is).is_some_and(|at| at > was_at);
        Some(match grows {
            true if before.chosen == before.top => Reason::Offer,
            true => Reason::LinkGrows,
            false if self.chosen == self.top => Reason::Offer,
            false => Reason::LinkFalls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::packet::StreamId;
    use crate::units::Bitrate;
    use crate::wire::layers::OperatingPoint;

    fn request(layers: &[u64]) -> Request {
        let layer = |id: &u64| Layer {
            stream: StreamId(*id),
            point: OperatingPoint::default(),
            bitrate: Bitrate::kilobits(1),
            height: None,
        };
        Request {
            layers: layers.iter().map(layer).collect(),
            current: None,
            waits_from: None,
        }
    }

    /// Layers and which of them, before and then.
    fn reason(before: (&[u64], Option<usize>), then: (&[u64], Option<usize>)) -> Option<Reason> {
        let decide = |(layers, at): (&[u64], Option<usize>)| {
            let request = request(layers);
            let chosen = at.map(|at| request.layers[at].shown());
            (Decision::new(&request, chosen), request)
        };
        let (before, _) = decide(before);
        let (then, request) = decide(then);
        then.reason(&before, &request)
    }

    #[test]
    fn every_change_has_its_reason() {
        let all: &[u64] = &[1, 2, 3];
        assert_eq!(reason((&[], None), (all, Some(2))), Some(Reason::Begins));
        assert_eq!(reason((all, Some(2)), (all, Some(0))), Some(Reason::LinkFalls));
        assert_eq!(reason((all, Some(0)), (all, Some(1))), Some(Reason::LinkGrows));
        assert_eq!(reason((all, Some(0)), (all, None)), Some(Reason::Pauses));
        assert_eq!(reason((all, None), (all, Some(0))), Some(Reason::Resumes));
        assert_eq!(
            reason((all, Some(2)), (&[1], Some(0))),
            Some(Reason::Offer),
            "less is asked for"
        );
        assert_eq!(
            reason((&[1], Some(0)), (all, Some(2))),
            Some(Reason::Offer),
            "and more again"
        );
    }

    #[test]
    fn a_decision_that_stays_or_ends_has_no_reason() {
        let all: &[u64] = &[1, 2, 3];
        assert_eq!(reason((all, Some(1)), (all, Some(1))), None);
        assert_eq!(reason((all, Some(1)), (&[], None)), None);
        assert_eq!(reason((all, None), (&[1], None)), None);
    }
}
