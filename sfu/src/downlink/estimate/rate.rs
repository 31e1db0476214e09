//! The rate that follows the delay: additive or multiplicative increase, multiplicative decrease.
//!
//! Source: draft-ietf-rmcat-gcc-02 §5.5.

use std::time::{Duration, Instant};

use super::delay::Usage;

const DECREASE: f64 = 0.85;
/// A second, far from the link's known capacity.
const INCREASE: f64 = 0.08;
/// Most above what has arrived.
const HEADROOM: f64 = 1.5;
const MOST: f64 = 30_000_000.0;
/// Near the capacity the rate grows by one packet in a response time.
const PACKET_BITS: f64 = 1200.0 * 8.0;
const LEAST_STEP: f64 = 4_000.0;
/// A second decrease waits for the first to have an effect, besides the round trip.
const RESPONSE: Duration = Duration::from_millis(100);
/// Standard deviations within which a rate is near the capacity.
const NEAR: f64 = 3.0;
const CAPACITY_SMOOTHING: f64 = 0.05;

#[derive(Debug)]
pub struct RateControl {
    rate: f64,
    capacity: Option<Capacity>,
    changed_at: Option<Instant>,
    decreased_at: Option<Instant>,
}

/// The rate that arrived when the link was overused, kbit/s.
#[derive(Debug, Clone, Copy)]
struct Capacity {
    mean: f64,
    variance: f64,
}

impl RateControl {
    pub fn new(initial: f64) -> Self {
        Self {
            rate: initial,
            capacity: None,
            changed_at: None,
            decreased_at: None,
        }
    }

    pub fn target(&self) -> f64 {
        self.rate
    }

    /// Whether the link was overused within this time.
    pub fn decreased_within(&self, now: Instant, time: Duration) -> bool {
        self.decreased_at
            .is_some_and(|at| now.saturating_duration_since(at) < time)
    }

    /// A probe got through at this rate.
    pub fn set_probed(&mut self, rate: f64) {
        if rate > self.rate {
            self.rate = rate.min(MOST);
            if self.capacity.is_some_and(|capacity| rate > capacity.upper()) {
                self.capacity = None;
            }
        }
    }

    /// `application_limited`: too little is sent to learn from.
    pub fn handle_usage(
        &mut self,
        now: Instant,
        usage: Usage,
        acknowledged: Option<f64>,
        round_trip: Duration,
        application_limited: bool,
    ) {
        let elapsed = self
            .changed_at
            .replace(now)
            .map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64().min(1.0));
        match usage {
            Usage::Over => self.decrease(now, acknowledged, round_trip),
            // The queue drains: wait.
            Usage::Under => {}
            Usage::Normal if application_limited => {}
            Usage::Normal => self.increase(elapsed, acknowledged, round_trip),
        }
    }

    fn decrease(&mut self, now: Instant, acknowledged: Option<f64>, round_trip: Duration) {
        let again = round_trip + RESPONSE;
        if self
            .decreased_at
            .is_some_and(|at| now.saturating_duration_since(at) < again)
        {
            return;
        }
        self.decreased_at = Some(now);
        let Some(acknowledged) = acknowledged else {
            self.rate *= 0.5;
            return;
        };
        self.rate = self.rate.min(DECREASE * acknowledged);
        if self.capacity.is_some_and(|capacity| acknowledged < capacity.lower()) {
            self.capacity = None;
        }
        self.capacity
            .get_or_insert(Capacity::new(acknowledged))
            .add(acknowledged);
    }

    fn increase(&mut self, elapsed: f64, acknowledged: Option<f64>, round_trip: Duration) {
        if let (Some(capacity), Some(acknowledged)) = (self.capacity, acknowledged)
            && acknowledged > capacity.upper()
        {
            self.capacity = None;
        }
        let step = match self.capacity {
            Some(capacity) if self.rate > capacity.lower() => {
                let response = (round_trip + RESPONSE).as_secs_f64();
                (PACKET_BITS / response).max(LEAST_STEP) * elapsed
            }
            _ => self.rate * ((1.0 + INCREASE).powf(elapsed) - 1.0),
        };
        let most = acknowledged.map_or(f64::INFINITY, |rate| HEADROOM * rate + 10_000.0);
        if self.rate < most {
            self.rate = (self.rate + step).min(most).min(MOST);
        }
    }
}

impl Capacity {
    fn new(rate: f64) -> Self {
        Self {
            mean: rate / 1000.0,
            variance: 0.4,
        }
    }

    fn add(&mut self, rate: f64) {
        let rate = rate / 1000.0;
        self.mean += CAPACITY_SMOOTHING * (rate - self.mean);
        let error = self.mean - rate;
        let normalized = error * error / self.mean.max(1.0);
        self.variance = ((1.0 - CAPACITY_SMOOTHING) * self.variance + CAPACITY_SMOOTHING * normalized).clamp(0.4, 2.5);
    }

    fn deviation(&self) -> f64 {
        (self.variance * self.mean).sqrt()
    }

    fn upper(&self) -> f64 {
        1000.0 * (self.mean + NEAR * self.deviation())
    }

    fn lower(&self) -> f64 {
        1000.0 * (self.mean - NEAR * self.deviation()).max(0.0)
    }
}
