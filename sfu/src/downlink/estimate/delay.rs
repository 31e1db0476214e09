//! Whether a queue builds up on the way: the trend of the one-way delay.
//!
//! Source: draft-ietf-rmcat-gcc-02 §5.1 to §5.4; the slope of a line through the last delays takes the place of its Kalman
//! filter, as in libwebrtc.

use std::collections::VecDeque;

/// Packets sent within this time are one group, microseconds.
const GROUP: i64 = 5_000;
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
/// The threshold of the trend, in ms, and how fast it follows.
const FIRST_THRESHOLD: f64 = 12.5;
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
const THRESHOLDS: (f64, f64) = (6.0, 600.0);
/// A trend is believed when it has lasted this long, ms.
const OVERUSE_TIME: f64 = 10.0;
/// After such a pause the old delays say nothing, microseconds.
const PAUSE: i64 = 3_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    #[default]
    Normal,
    Over,
    Under,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    last_arrived: i64,
}

#[derive(Debug)]
pub struct DelayDetector {
    current: Option<Group>,
    previous: Option<Group>,
    /// Arrival (ms since the first) and smoothed delay (ms).
    delays: VecDeque<(f64, f64)>,
    accumulated: f64,
    smoothed: f64,
    first_arrival: Option<i64>,
    deltas: u32,
    threshold: f64,
    threshold_at: Option<f64>,
    over_for: Option<f64>,
    over_count: u32,
    last_trend: f64,
    usage: Usage,
}

impl Default for DelayDetector {
    fn default() -> Self {
        Self {
            current: None,
            previous: None,
            delays: VecDeque::with_capacity(WINDOW + 1),
            accumulated: 0.0,
            smoothed: 0.0,
            first_arrival: None,
            deltas: 0,
            threshold: FIRST_THRESHOLD,
            threshold_at: None,
            over_for: None,
            over_count: 0,
            last_trend: 0.0,
            usage: Usage::Normal,
        }
    }
}

impl DelayDetector {
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Microseconds on the sender's and on the receiver's clock.
    pub fn handle_arrival(&mut self, sent: i64, arrived: i64) -> Usage {
        let Some(current) = &mut self.current else {
            self.current = Some(Group {
                first_sent: sent,
                last_sent: sent,
                last_arrived: arrived,
            });
            return self.usage;
        };
        if sent < current.first_sent {
            // Reordered: of an older group.
            return self.usage;
        }
        if arrived - current.last_arrived > PAUSE || arrived < current.last_arrived - PAUSE {
            *self = Self {
                threshold: self.threshold,
                ..Self::default()
            };
            return self.usage;
        }
        // Packets that arrive together although they were sent apart have waited together: they are one group too.
        let waited = arrived - current.last_arrived < sent - current.last_sent;
        let burst = waited && arrived - current.last_arrived <= GROUP && sent - current.first_sent < 100_000;
        if sent - current.first_sent <= GROUP || burst {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrived = current.last_arrived.max(arrived);
            return self.usage;
        }
        let finished = *current;
        *current = Group {
            first_sent: sent,
            last_sent: sent,
            last_arrived: arrived,
        };
        if let Some(previous) = self.previous.replace(finished) {
            let sent = (finished.last_sent - previous.last_sent) as f64 / 1000.0;
            let received = (finished.last_arrived - previous.last_arrived) as f64 / 1000.0;
            self.handle_delta(received - sent, sent, finished.last_arrived);
        }
        self.usage
    }

    /// `delta`: growth of the delay from group to group, ms.
    fn handle_delta(&mut self, delta: f64, sent_delta: f64, arrived: i64) {
        let first = *self.first_arrival.get_or_insert(arrived);
        let at = (arrived - first) as f64 / 1000.0;
        self.deltas = (self.deltas + 1).min(1000);
        self.accumulated += delta;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.delays.push_back((at, self.smoothed));
        if self.delays.len() > WINDOW {
            self.delays.pop_front();
        }
        let slope = if self.delays.len() == WINDOW {
            slope(&self.delays).unwrap_or(self.last_trend)
        } else {
            0.0
        };
        self.detect(slope, sent_delta, at);
    }

    fn detect(&mut self, slope: f64, sent_delta: f64, at: f64) {
        if self.deltas < 2 {
            return;
        }
        let trend = f64::from(self.deltas.min(60)) * slope * GAIN;
        if trend > self.threshold {
            let over = self.over_for.map_or(sent_delta / 2.0, |over| over + sent_delta);
            self.over_for = Some(over);
            self.over_count += 1;
            if over > OVERUSE_TIME && self.over_count > 1 && slope >= self.last_trend {
                self.over_for = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for = None;
            self.over_count = 0;
            self.usage = if trend < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.last_trend = slope;
        self.follow(trend, at);
    }

    /// The threshold follows the trend, so that other traffic does not starve us.
    fn follow(&mut self, trend: f64, at: f64) {
        let last = self.threshold_at.replace(at).unwrap_or(at);
        let size = trend.abs();
        if size > self.threshold + 15.0 {
            // A sudden jump of the route is not a queue.
            return;
        }
        let speed = if size < self.threshold {
            THRESHOLD_DOWN
        } else {
            THRESHOLD_UP
        };
        let step = (at - last).min(100.0);
        let (least, most) = THRESHOLDS;
        self.threshold = (self.threshold + speed * (size - self.threshold) * step).clamp(least, most);
    }
}

/// Least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        let dx = point.0 - x;
        (above + dx * (point.1 - y), below + dx * dx)
    });
    (below > 0.0).then(|| above / below)
}
