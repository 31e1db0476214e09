//! Estimates how much a viewer's link carries from the reported arrival times: Google congestion control (GCC).
//!
//! Delay decides ([`delay`], [`rate`]), loss limits, and probes find out what is free above the present rate ([`probe`]).
//! Source: draft-ietf-rmcat-gcc-02, with the trendline detector and the probing of libwebrtc.

mod acknowledged;
mod delay;
mod probe;
mod queue;
mod rate;
mod receiver;

use std::time::{Duration, Instant};

pub use acknowledged::Acknowledged;
use delay::{DelayDetector, Usage};
pub use probe::{Cluster, ProbeController};
pub use queue::StandingQueue;
use rate::RateControl;
use receiver::ReceiverLimit;

use crate::units::Bitrate;

/// Bits a second, before anything is known.
const INITIAL: f64 = 1_000_000.0;
const LEAST: f64 = 50_000.0;
/// Share lost from which the rate goes down, and share in which losses are counted.
const HIGH_LOSS: f64 = 0.10;
const LOW_LOSS: f64 = 0.02;
const LOSS_WINDOW: Duration = Duration::from_millis(500);
/// Loss is judged by at least so many packets: with fewer, a link that loses one in twenty often seems to lose one in ten.
const LOSS_PACKETS: u32 = 60;
/// Time between two polls of the loss, for protection, and the least packets for one.
const POLL_INTERVAL: Duration = Duration::from_millis(400);
const POLL_PACKETS: u64 = 25;
/// A link is known to be narrow for so long after it was last overused.
const NARROW: Duration = Duration::from_secs(10);
/// A queue that shows so soon after a probe comes from the probe.
const PROBE_QUEUE: Duration = Duration::from_millis(400);
/// Sending less than this share of the estimate says nothing about the link.
const APPLICATION_LIMITED: f64 = 0.65;

/// A packet that a viewer has reported on.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Microseconds on this server's clock.
    pub sent: i64,
    /// Microseconds on the viewer's clock; None: lost.
    pub arrived: Option<i64>,
    pub bytes: u16,
    /// The probe it belonged to.
    pub cluster: Option<u8>,
}

#[derive(Debug)]
pub struct Estimator {
    delay: DelayDetector,
    rate: RateControl,
    acknowledged: Acknowledged,
    queue: StandingQueue,
    probes: ProbeController,
    /// When the last probe ended, and the rate that it found, bits a second.
    probed: Option<(Instant, f64)>,
    /// Bits a second, from losses; None: no limit.
    loss_limit: Option<f64>,
    lost: u32,
    /// In a row.
    lossy_windows: u32,
    counted: u32,
    counted_since: Option<Instant>,
    /// Packets that were reported on, and lost packets among them: in all, and at the last look.
    reported: [u64; 2],
    taken: [u64; 2],
    /// Lost packets that were not dropped by a full queue: in all, and at the last poll.
    strayed: u64,
    polled: [u64; 2],
    polled_at: Option<Instant>,
    /// Whether any feedback has come: without it there is no estimate to obey.
    heard: bool,
    /// The viewer's own estimate (REMB), which counts where there is no transport-wide feedback.
    receiver: ReceiverLimit,
}

impl Default for Estimator {
    fn default() -> Self {
        Self {
            delay: DelayDetector::default(),
            rate: RateControl::new(INITIAL),
            acknowledged: Acknowledged::default(),
            queue: StandingQueue::default(),
            probes: ProbeController::default(),
            probed: None,
            loss_limit: None,
            lost: 0,
            lossy_windows: 0,
            counted: 0,
            counted_since: None,
            reported: [0; 2],
            taken: [0; 2],
            strayed: 0,
            polled: [0; 2],
            polled_at: None,
            heard: false,
            receiver: ReceiverLimit::default(),
        }
    }
}

impl Estimator {
    /// None: the viewer gives no feedback, so nothing is known.
    pub fn estimate(&self) -> Option<Bitrate> {
        if self.heard {
            return Some(Bitrate::bits(self.value() as u64));
        }
        self.receiver
            .bound()
            .map(|bound| bound.max(Bitrate::bits(LEAST as u64)))
    }

    /// The viewer's own estimate of the link (REMB).
    pub fn handle_receiver_figure(&mut self, now: Instant, figure: Bitrate) {
        self.receiver.handle_figure(now, figure);
    }

    fn value(&self) -> f64 {
        let delay = self.rate.target();
        self.loss_limit.map_or(delay, |limit| limit.min(delay)).max(LEAST)
    }

    /// `reports`: in order of sending.
    pub fn handle_reports(&mut self, now: Instant, round_trip: Duration, reports: &[Report]) {
        if reports.is_empty() {
            return;
        }
        self.heard = true;
        let before = self.value();
        let mut usage = self.delay.usage();
        for report in reports {
            self.counted += 1;
            match report.arrived {
                Some(arrived) => {
                    self.acknowledged.add(arrived, report.bytes);
                    self.queue.add(now, report.sent, arrived);
                    usage = self.delay.handle_arrival(report.sent, arrived);
                }
                None => {
                    self.lost += 1;
                    self.reported[1] += 1;
                    self.strayed += u64::from(!self.queue.is_long());
                }
            }
        }
        self.reported[0] += reports.len() as u64;
        let acknowledged = self.acknowledged.rate();
        let probed = self.probes.handle_reports(now, reports);
        if let Some(probed) = probed {
            self.probed = Some((now, probed));
        }
        let limited = acknowledged.is_some_and(|rate| rate < APPLICATION_LIMITED * before);
        // A trend without a queue is usually jitter: the rate does not fall below what has arrived.
        let carried = acknowledged.map(|rate| {
            if self.queue.is_empty(now) {
                rate.max(before)
            } else {
                rate
            }
        });
        let learned = if usage == Usage::Over { carried } else { acknowledged };
        self.rate.handle_usage(now, usage, learned, round_trip, limited);
        if let Some((at, rate)) = self.probed
            && now.saturating_duration_since(at) < PROBE_QUEUE
        {
            self.rate.set_probed(rate);
        }
        if let Some(probed) = probed {
            self.loss_limit = self.loss_limit.map(|limit| limit.max(probed.min(self.rate.target())));
        }
        if usage == Usage::Over {
            self.probes.cancel();
        }
        self.judge_losses(now, acknowledged);
    }

    fn judge_losses(&mut self, now: Instant, acknowledged: Option<f64>) {
        let since = *self.counted_since.get_or_insert(now);
        if now.saturating_duration_since(since) < LOSS_WINDOW || self.counted < LOSS_PACKETS {
            return;
        }
        let loss = f64::from(self.lost) / f64::from(self.counted);
        (self.lost, self.counted, self.counted_since) = (0, 0, Some(now));
        let value = self.value();
        self.lossy_windows = if loss > HIGH_LOSS { self.lossy_windows + 1 } else { 0 };
        if loss > HIGH_LOSS {
            // One bad moment of a link that has room does not cost a layer.
            if self.lossy_windows == 1 && self.delay.usage() != Usage::Over {
                return;
            }
            // The packets that arrive get through, whatever else is lost; but not in time when all of them wait.
            let least = acknowledged.filter(|_| !self.queue.stands(now)).unwrap_or(LEAST);
            self.loss_limit = Some((value * (1.0 - 0.5 * loss)).max(least.min(value)));
            return;
        }
        // Loss without a queue comes from the link itself and is no sign that less should be sent.
        let growth = match (loss < LOW_LOSS, self.delay.usage() == Usage::Over) {
            (true, _) => 1.08,
            (false, false) => 1.02,
            (false, true) => return,
        };
        self.loss_limit = self
            .loss_limit
            .map(|limit| limit * growth + 1000.0)
            .filter(|limit| *limit < self.rate.target());
    }

    /// The link has lately carried less than it was given. Until then the estimate is what has been tried, and no limit.
    pub fn is_narrow(&self, now: Instant) -> bool {
        let by_receiver = !self.heard && self.receiver.bound().is_some();
        by_receiver || self.loss_limit.is_some() || self.rate.decreased_within(now, NARROW)
    }

    /// Everything that is sent gets through without waiting, even if the estimate has fallen.
    pub fn carries_all(&self, now: Instant) -> bool {
        self.loss_limit.is_none() && self.lossy_windows == 0 && self.queue.is_empty(now)
    }

    /// Packets queue up on the way, or lately did: sending more would make it worse.
    pub fn is_congested(&self, now: Instant) -> bool {
        self.delay.usage() == Usage::Over || self.rate.decreased_within(now, NARROW) || self.queue.stands(now)
    }

    /// Percent of packets lost since the last call; None: nothing was reported.
    pub fn take_loss(&mut self) -> Option<u8> {
        let before = std::mem::replace(&mut self.taken, self.reported);
        share(before, self.reported, 1, 100)
    }

    /// Share of 256 that was lost since the last answer; None: not yet, or too little was sent to know. Packets that a full queue
    /// dropped do not count: more protection would fill it more.
    pub fn poll_loss(&mut self, now: Instant) -> Option<u8> {
        let at = *self.polled_at.get_or_insert(now);
        if now.saturating_duration_since(at) < POLL_INTERVAL {
            return None;
        }
        let strayed = [self.reported[0], self.strayed];
        let lost = share(self.polled, strayed, POLL_PACKETS, 256)?;
        (self.polled, self.polled_at) = (strayed, Some(now));
        Some(lost)
    }

    /// The bitrate of everything that could be sent: decides whether to probe.
    pub fn set_wanted(&mut self, wanted: Bitrate) {
        self.probes.set_wanted(wanted);
    }

    /// The probe to send now.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Cluster> {
        if !self.heard || self.delay.usage() == Usage::Over {
            return None;
        }
        let value = self.value();
        self.probes.poll(now, value)
    }

    pub fn handle_probe_sent(&mut self, cluster: Cluster) {
        self.probes.handle_sent(cluster);
    }
}

/// Lost of the packets reported on between two counts, of `whole`; None: fewer than `least`.
fn share(before: [u64; 2], after: [u64; 2], least: u64, whole: u64) -> Option<u8> {
    let [packets, lost] = std::array::from_fn(|which| after[which] - before[which]);
    let share = (lost * whole).checked_div(packets).filter(|_| packets >= least)?;
    Some(share.min(255) as u8)
}

#[cfg(test)]
mod tests;
