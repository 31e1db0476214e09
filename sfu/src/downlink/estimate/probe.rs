//! Probes: short bursts above the present rate that show whether the link carries more.

use std::time::{Duration, Instant};

use super::Report;
use crate::units::Bitrate;

/// A burst lasts this long and has at least so many packets. After a probe that found nothing it is longer: with jitter, a short one
/// looks slower than the link is.
const LENGTH: Duration = Duration::from_millis(15);
const LONG: Duration = Duration::from_millis(30);
const LEAST_PACKETS: usize = 5;
/// How far a probe goes above the estimate, and above what is wanted.
const STEP: f64 = 2.0;
const BEYOND_WANTED: f64 = 1.2;
/// A probe that was not answered is forgotten.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time to the next probe after one that found nothing, doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A probe has succeeded when this share of it arrived at its rate: the next goes further at once.
const SUCCESS: f64 = 0.7;
/// Share of the packets that must have arrived.
const ENOUGH: f64 = 0.8;

/// One burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cluster {
    pub id: u8,
    /// Bits a second.
    pub rate: f64,
    /// How much to send.
    pub bytes: usize,
    pub packets: usize,
}

#[derive(Debug, Default)]
pub struct ProbeController {
    wanted: f64,
    next_id: u8,
    pause: Option<Duration>,
    next_at: Option<Instant>,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    cluster: Cluster,
    since: Instant,
    sent_packets: usize,
    arrived: usize,
    bytes: usize,
    /// Other bytes that were sent since the probe's newest packet: they share the link.
    between: usize,
    /// First and last, microseconds.
    sent: Option<(i64, i64)>,
    received: Option<(i64, i64)>,
    edge_bytes: (u16, u16),
}

impl ProbeController {
    pub fn set_wanted(&mut self, wanted: Bitrate) {
        let wanted = wanted.as_f64();
        if wanted > 1.2 * self.wanted {
            // Something new is wanted: the pause ends.
            self.next_at = None;
            self.pause = None;
        }
        self.wanted = wanted;
    }

    pub fn cancel(&mut self) {
        self.pending = None;
    }

    pub fn poll(&mut self, now: Instant, estimate: f64) -> Option<Cluster> {
        if let Some(pending) = &self.pending {
            if now.saturating_duration_since(pending.since) < PATIENCE {
                return None;
            }
            self.pending = None;
            self.back_off(now);
        }
        if self.wanted <= estimate * 1.02 || self.next_at.is_some_and(|at| now < at) {
            return None;
        }
        let rate = (STEP * estimate).min(BEYOND_WANTED * self.wanted);
        self.next_id = self.next_id.wrapping_add(1);
        let length = if self.pause.is_some() { LONG } else { LENGTH };
        let cluster = Cluster {
            id: self.next_id,
            rate,
            bytes: (rate * length.as_secs_f64() / 8.0) as usize,
            packets: LEAST_PACKETS,
        };
        self.pending = Some(Pending {
            cluster,
            since: now,
            sent_packets: 0,
            arrived: 0,
            bytes: 0,
            between: 0,
            sent: None,
            received: None,
            edge_bytes: (0, 0),
        });
        Some(cluster)
    }

    pub fn handle_sent(&mut self, cluster: Cluster) {
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.cluster.id == cluster.id) {
            pending.sent_packets += 1;
        }
    }

    /// Answers the rate that a probe has shown to get through.
    pub fn handle_reports(&mut self, now: Instant, reports: &[Report]) -> Option<f64> {
        let pending = self.pending.as_mut()?;
        for report in reports {
            let Some(arrived) = report.arrived else {
                continue;
            };
            if report.cluster != Some(pending.cluster.id) {
                if pending.sent.is_some_and(|(_, last)| report.sent >= last) {
                    pending.between += usize::from(report.bytes);
                }
                continue;
            }
            pending.arrived += 1;
            pending.bytes += usize::from(report.bytes) + std::mem::take(&mut pending.between);
            let widen = |span: Option<(i64, i64)>, at: i64| span.map_or((at, at), |(a, b)| (a.min(at), b.max(at)));
            if pending.sent.is_none_or(|(_, last)| report.sent >= last) {
                pending.edge_bytes.1 = report.bytes;
            }
            if pending.received.is_none() {
                pending.edge_bytes.0 = report.bytes;
            }
            pending.sent = Some(widen(pending.sent, report.sent));
            pending.received = Some(widen(pending.received, arrived));
        }
        let enough = pending.sent_packets.max(1) as f64 * ENOUGH;
        if pending.sent_packets < pending.cluster.packets || (pending.arrived as f64) < enough {
            return None;
        }
        let (sent, received) = (pending.sent?, pending.received?);
        let bits = |edge: u16| (pending.bytes.saturating_sub(edge.into())) as f64 * 8e6;
        let send_rate = bits(pending.edge_bytes.1) / ((sent.1 - sent.0).max(1)) as f64;
        let receive_rate = bits(pending.edge_bytes.0) / ((received.1 - received.0).max(1)) as f64;
        let rate = pending.cluster.rate;
        self.pending = None;
        let mut shown = send_rate.min(receive_rate);
        if receive_rate < 0.9 * send_rate {
            // The link was full: it carries what got through, less a little to drain the queue.
            shown = 0.95 * receive_rate;
        }
        if shown >= SUCCESS * rate {
            self.pause = None;
            self.next_at = Some(now + Duration::from_millis(200));
        } else {
            self.back_off(now);
        }
        Some(shown.min(rate))
    }

    fn back_off(&mut self, now: Instant) {
        let pause = self.pause.map_or(FIRST_PAUSE, |pause| (2 * pause).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        self.next_at = Some(now + pause);
    }
}
