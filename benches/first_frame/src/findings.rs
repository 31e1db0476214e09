//! The measured times of all viewers so far.

use std::time::{Duration, Instant};

use rotunda_client::load::{Delays, Quantiles};
use serde::Serialize;

use crate::cluster::Branch;

/// Joins that begin within so long after the death are reported apart.
const STORM: Duration = Duration::from_secs(3);

pub struct Findings {
    viewers: Vec<Viewer>,
    pub failed: usize,
    pub first_failure: Option<String>,
    /// Connections that were refused and tried again.
    pub refused: usize,
    first_refusal: Option<String>,
    death: Option<(Instant, Branch)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Viewer {
    is_real: bool,
    due: Option<Instant>,
    /// The video was requested.
    asked: Option<Instant>,
    /// Signaling has told that its media is connected.
    connected: Option<Instant>,
    first_frame: Option<Instant>,
    last_frame: Option<Instant>,
    /// The longest time between two frames, since the death of a node; before it, of any two.
    gap: Duration,
    node: usize,
    /// When its node died, when it had asked for the video again, and the first frame after that.
    lost: Option<Instant>,
    asked_again: Option<Instant>,
    back: Option<Instant>,
}

/// Values of some viewers, milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    pub viewers: usize,
    #[serde(flatten)]
    pub ms: Quantiles,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Result {
    pub failed: usize,
    pub first_failure: Option<String>,
    pub refused: usize,
    pub first_refusal: Option<String>,
    /// From the start of the join until the reply to the request for the video; all viewers.
    pub asked: Measured,
    /// From the start of the join until signaling tells that media is connected; all viewers.
    pub connected: Measured,
    /// From the start of the join to the first frame; viewers with WebRTC sessions.
    pub first_frame: Measured,
    /// Viewers with WebRTC sessions that got no frame.
    pub without_frame: usize,
    /// Of joins that began just before the death of the node, or soon after it.
    pub first_frame_in_storm: Option<Measured>,
    pub death: Option<Death>,
}

/// The consequences of the death of a node; viewers with WebRTC sessions, unless stated otherwise.
#[derive(Debug, Serialize)]
pub struct Death {
    pub branch: String,
    /// The longest time between two frames at nodes behind the dead one.
    pub gap_behind: Measured,
    /// At all other nodes that live.
    pub gap_elsewhere: Measured,
    /// From the death to the first frame by another node.
    pub back: Measured,
    /// To the reply to the request for the video, of all viewers of the dead node.
    pub asked_again: Measured,
    /// Viewers of the dead node who got no other session.
    pub not_back: usize,
}

impl Findings {
    pub fn new(is_real: impl Iterator<Item = bool>) -> Self {
        let viewers = is_real.map(|is_real| Viewer {
            is_real,
            ..Viewer::default()
        });
        Self {
            viewers: viewers.collect(),
            failed: 0,
            first_failure: None,
            refused: 0,
            first_refusal: None,
            death: None,
        }
    }

    pub fn handle_joined(&mut self, viewer: usize, now: Instant, due: Instant, node: usize) {
        let viewer = &mut self.viewers[viewer];
        viewer.due = Some(due);
        viewer.asked = Some(now);
        viewer.node = node;
    }

    pub fn handle_connected(&mut self, viewer: usize, now: Instant) {
        self.viewers[viewer].connected.get_or_insert(now);
    }

    pub fn handle_frame(&mut self, viewer: usize, now: Instant) {
        let viewer = &mut self.viewers[viewer];
        viewer.first_frame.get_or_insert(now);
        if let Some(before) = viewer.last_frame.replace(now) {
            viewer.gap = viewer.gap.max(now - before);
        }
        if viewer.asked_again.is_some() {
            viewer.back.get_or_insert(now);
        }
    }

    pub fn handle_failed(&mut self, viewer: usize, error: &anyhow::Error) {
        self.failed += 1;
        self.first_failure
            .get_or_insert_with(|| format!("viewer {viewer}: {error:#}"));
    }

    pub fn handle_refused(&mut self, error: &anyhow::Error) {
        self.refused += 1;
        self.first_refusal.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Gaps count from now on.
    pub fn handle_death(&mut self, now: Instant, branch: Branch) {
        for viewer in &mut self.viewers {
            viewer.gap = Duration::ZERO;
        }
        self.death = Some((now, branch));
    }

    pub fn handle_lost(&mut self, viewer: usize, at: Instant) {
        self.viewers[viewer].lost = Some(at);
    }

    pub fn handle_back(&mut self, viewer: usize, now: Instant, node: usize) {
        let viewer = &mut self.viewers[viewer];
        viewer.asked_again = Some(now);
        viewer.node = node;
    }

    pub fn result(&self) -> Result {
        let real = || self.viewers.iter().filter(|viewer| viewer.is_real);
        let to_first = |viewer: &Viewer| Some(viewer.first_frame? - viewer.due?);
        let storm = self.death.as_ref().map(|(at, _)| {
            let is_in_it = |due: Instant| due + STORM >= *at && due <= *at + STORM;
            measure(real().filter_map(|viewer| to_first(viewer).filter(|_| viewer.due.is_some_and(is_in_it))))
        });
        Result {
            failed: self.failed,
            first_failure: self.first_failure.clone(),
            refused: self.refused,
            first_refusal: self.first_refusal.clone(),
            asked: measure(
                self.viewers
                    .iter()
                    .filter_map(|viewer| Some(viewer.asked? - viewer.due?)),
            ),
            connected: measure(
                self.viewers
                    .iter()
                    .filter_map(|viewer| Some(viewer.connected? - viewer.due?)),
            ),
            first_frame: measure(real().filter_map(to_first)),
            without_frame: real().filter(|viewer| viewer.first_frame.is_none()).count(),
            first_frame_in_storm: storm,
            death: self.death.as_ref().map(|(at, branch)| self.death(*at, branch)),
        }
    }

    fn death(&self, at: Instant, branch: &Branch) -> Death {
        let had_video = |viewer: &&Viewer| viewer.is_real && viewer.first_frame.is_some_and(|first| first < at);
        let stayed = || {
            self.viewers
                .iter()
                .filter(had_video)
                .filter(|viewer| viewer.lost.is_none())
        };
        let is_behind = |viewer: &&Viewer| branch.behind.contains(&viewer.node);
        let lost = || self.viewers.iter().filter(|viewer| viewer.lost.is_some());
        Death {
            branch: format!("node {} dies, behind it {:?}", branch.inner, branch.behind),
            gap_behind: measure(stayed().filter(is_behind).map(|viewer| viewer.gap)),
            gap_elsewhere: measure(stayed().filter(|viewer| !is_behind(viewer)).map(|viewer| viewer.gap)),
            back: measure(lost().filter_map(|viewer| Some(viewer.back? - at))),
            asked_again: measure(lost().filter_map(|viewer| Some(viewer.asked_again? - at))),
            not_back: lost()
                .filter(|viewer| viewer.asked_again.is_none() || viewer.is_real && viewer.back.is_none())
                .count(),
        }
    }
}

fn measure(values: impl Iterator<Item = Duration>) -> Measured {
    let mut delays = Delays::default();
    let viewers = values.map(|value| delays.record(value)).count();
    Measured {
        viewers,
        ms: delays.summary(),
    }
}
