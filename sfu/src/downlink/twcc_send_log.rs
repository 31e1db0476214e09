//! When each packet was sent to a viewer, by transport-wide sequence number, until feedback (TWCC) says when it arrived.
//!
//! Source: draft-holmer-rmcat-transport-wide-cc-extensions-01.

use std::time::Duration;

use super::estimate::Report;
use crate::wire::rtcp::{Arrival, TransportFeedback};

/// Packets whose feedback is awaited, at first and at most: the log grows when it wraps before feedback has come, so that
/// hundreds of viewers' logs stay in the CPU's cache.
const SENT: usize = 128;
const MOST_SENT: usize = 4096;

#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    /// Extended transport-wide sequence number, from 1; 0: none, or the arrival is known.
    seq: u64,
    /// Microseconds since the log's epoch.
    at: i64,
    bytes: u16,
    /// The probe that the packet belongs to.
    cluster: Option<u8>,
}

pub struct TwccSendLog {
    /// Extended transport-wide sequence number, from 1.
    next: u64,
    /// A ring: the number gives the place.
    entries: Vec<Sent>,
    acknowledged_below: u64,
}

/// Memory of [`TwccSendLog::handle_feedback`]. All viewers share one: it stays in the CPU's cache.
#[derive(Debug, Default)]
pub struct Readings {
    arrivals: Vec<Arrival>,
    reports: Vec<Report>,
}

impl Default for TwccSendLog {
    fn default() -> Self {
        Self {
            next: 1,
            entries: Vec::new(),
            acknowledged_below: 0,
        }
    }
}

impl TwccSendLog {
    /// The number that the next packet carries.
    pub fn next_number(&self) -> u16 {
        self.next as u16
    }

    /// A packet with the [next number](Self::next_number) was sent, `sent` after the log's epoch.
    pub fn note(&mut self, sent: Duration, bytes: usize, cluster: Option<u8>) {
        let seq = self.next;
        self.next += 1;
        // A viewer without feedback needs no long log.
        let most = if self.acknowledged_below == 0 {
            MOST_SENT / 4
        } else {
            MOST_SENT
        };
        let old = self.entries.get(self.index_of(seq));
        if self.entries.len() < most && old.is_none_or(|old| old.seq > self.acknowledged_below) {
            self.grow();
        }
        let index = self.index_of(seq);
        self.entries[index] = Sent {
            seq,
            at: sent.as_micros() as i64,
            bytes: bytes as u16,
            cluster,
        };
    }

    fn index_of(&self, seq: u64) -> usize {
        seq as usize & self.entries.len().wrapping_sub(1)
    }

    /// Grows to the next power of two.
    fn grow(&mut self) {
        let size = (self.entries.len() * 2).clamp(SENT, MOST_SENT);
        let old = std::mem::replace(&mut self.entries, vec![Sent::default(); size]);
        for entry in old.into_iter().filter(|entry| entry.seq != 0) {
            let index = self.index_of(entry.seq);
            self.entries[index] = entry;
        }
    }

    /// The packets that this feedback reports for the first time.
    pub fn handle_feedback<'a>(&mut self, feedback: TransportFeedback<'_>, readings: &'a mut Readings) -> &'a [Report] {
        let Readings { arrivals, reports } = readings;
        arrivals.clear();
        reports.clear();
        if self.entries.is_empty() {
            return reports;
        }
        feedback.arrivals(arrivals);
        let newest = self.next - 1;
        for arrival in arrivals.iter() {
            let back = u64::from((newest as u16).wrapping_sub(arrival.sequence));
            let Some(seq) = newest.checked_sub(back) else {
                continue;
            };
            let index = self.index_of(seq);
            let entry = &mut self.entries[index];
            if entry.seq != seq {
                continue;
            }
            // A packet is reported lost once; it may be reported as arrived later.
            if arrival.at.is_none() && seq < self.acknowledged_below {
                continue;
            }
            reports.push(Report {
                sent: entry.at,
                arrived: arrival.at,
                bytes: entry.bytes,
                cluster: entry.cluster,
            });
            if arrival.at.is_some() {
                // Each arrival counts once.
                entry.seq = 0;
            }
            self.acknowledged_below = self.acknowledged_below.max(seq + 1);
        }
        reports
    }
}
