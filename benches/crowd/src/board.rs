//! The members' findings so far. They share one thread.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rotunda_client::load::{Delays, Quantiles};
use rotunda_proto::room::{MAX_VIDEO_PUBLISHERS, TrackState};
use rotunda_proto::signaling::PublisherView;
use serde::Serialize;
use tokio::sync::Notify;

/// Each publisher's camera.
pub type Cameras = [Option<TrackState>; MAX_VIDEO_PUBLISHERS];

/// All counts.
pub struct Board {
    pub entered: u32,
    pub failed: u32,
    pub first_failure: Option<String>,
    /// When the last one entered.
    pub last_at: Option<Instant>,
    pub joins: Delays,
    pub replies: Delays,
    received: Vec<Received>,
    /// The state that each member knows, by member.
    known: Vec<Cameras>,
    change: Option<Change>,
    /// Notified when a member has entered, failed or received a change.
    news: Rc<Notify>,
}

/// Counts of one member since the last [`Board::clear`]: WebSocket frames with their headers.
#[derive(Debug, Clone, Copy, Default)]
struct Received {
    frames: u64,
    bytes: u64,
}

/// A change that every member should learn.
struct Change {
    wanted: Cameras,
    asked_at: Instant,
    /// Members who know it.
    count: usize,
    delays: Delays,
}

/// The traffic that signaling sent to each member per minute.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EachMinute {
    pub bytes: f64,
    /// Of the member who received most.
    pub most_bytes: f64,
    pub frames: f64,
}

/// The time that a change took to reach the members.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Reached {
    /// Members who know the change at the end.
    pub members: usize,
    /// Delays of the members who did not know it before.
    pub delay_ms: Quantiles,
}

impl Board {
    pub fn new(members: usize) -> Self {
        Self {
            entered: 0,
            failed: 0,
            first_failure: None,
            last_at: None,
            joins: Delays::default(),
            replies: Delays::default(),
            received: vec![Received::default(); members],
            known: vec![Cameras::default(); members],
            change: None,
            news: Rc::default(),
        }
    }

    /// Notified of every change that affects [`is_settled`](Self::is_settled) and [`all_know`](Self::all_know).
    pub fn news(&self) -> Rc<Notify> {
        self.news.clone()
    }

    /// Whether each member has entered or failed.
    pub fn is_settled(&self) -> bool {
        (self.entered + self.failed) as usize >= self.known.len()
    }

    pub fn handle_entered(&mut self, now: Instant, whole: Duration, reply: Duration) {
        self.entered += 1;
        self.last_at = Some(now);
        self.joins.record(whole);
        self.replies.record(reply);
        self.news.notify_one();
    }

    pub fn handle_failed(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| format!("{error:#}"));
        self.news.notify_one();
    }

    pub fn handle_frame(&mut self, member: usize, bytes: usize) {
        let received = &mut self.received[member];
        received.frames += 1;
        received.bytes += bytes as u64;
    }

    /// Ignores publishers of others, and views without a change.
    pub fn handle_publishing(&mut self, now: Instant, member: usize, view: &PublisherView) {
        let number = view.user_id.as_str().strip_prefix(PUBLISHER_PREFIX);
        let number = number.and_then(|number| number.parse::<usize>().ok());
        let known = &mut self.known[member];
        let Some(number) = number.filter(|number| known.get(*number).is_some_and(|camera| *camera != view.camera))
        else {
            return;
        };
        let before = *known;
        known[number] = view.camera;
        let Some(change) = &mut self.change else { return };
        match (before == change.wanted, *known == change.wanted) {
            (true, _) => change.count -= 1,
            (false, true) => {
                change.count += 1;
                change.delays.record(now.saturating_duration_since(change.asked_at));
                self.news.notify_one();
            }
            (false, false) => {}
        }
    }

    /// Counts frames from now on.
    pub fn clear(&mut self) {
        self.received.fill(Received::default());
    }

    /// For the time since [`clear`](Self::clear).
    pub fn each_minute(&self, time: Duration) -> EachMinute {
        let minutes = time.as_secs_f64() / 60.0;
        let mean = |of: fn(&Received) -> u64| {
            self.received.iter().map(of).sum::<u64>() as f64 / self.received.len() as f64 / minutes
        };
        let most = self.received.iter().map(|received| received.bytes).max();
        EachMinute {
            bytes: mean(|received| received.bytes),
            most_bytes: most.unwrap_or_default() as f64 / minutes,
            frames: mean(|received| received.frames),
        }
    }

    /// From now on, members should learn this.
    pub fn expect(&mut self, now: Instant, wanted: Cameras) {
        self.change = Some(Change {
            wanted,
            asked_at: now,
            count: self.known.iter().filter(|known| **known == wanted).count(),
            delays: Delays::default(),
        });
    }

    pub fn all_know(&self) -> bool {
        let count = self.change.as_ref().map(|change| change.count);
        count >= Some(self.entered as usize)
    }

    /// The result of the expected change.
    pub fn take_reached(&mut self) -> Option<Reached> {
        let change = self.change.take()?;
        Some(Reached {
            members: change.count,
            delay_ms: change.delays.summary(),
        })
    }
}

/// The prefix of publishers' ids, before their number.
pub const PUBLISHER_PREFIX: &str = "crowd-p";
