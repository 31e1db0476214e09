//! What was sent to a viewer and when, by transport-wide number, until his feedback says when it arrived.
//!
//! Source: draft-holmer-rmcat-transport-wide-cc-extensions-01.

use std::time::Duration;

use crate::estimate::Report;
use crate::wire::rtcp::{Arrival, TransportFeedback};

/// Packets whose feedback is awaited, at first and at most: the log grows when it wraps before feedback has come, so that
/// hundreds of viewers' logs stay in the processor's cache.
const SENT: usize = 128;
const MOST_SENT: usize = 4096;

#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    /// Extended transport-wide number, from 1; 0: none, or its arrival is known.
    seq: u64,
    /// Microseconds since the log's epoch.
    at: i64,
    bytes: u16,
    /// Of a probe.
    cluster: Option<u8>,
}

pub struct SentLog {
    /// Extended transport-wide number, from 1.
    next: u64,
    /// A ring: an entry's place is its number's.
    entries: Vec<Sent>,
    acknowledged_below: u64,
}

/// Memory of [`SentLog::handle_feedback`], one for many viewers: each one's own would have to be fetched.
#[derive(Debug, Default)]
pub struct Readings {
    arrivals: Vec<Arrival>,
    reports: Vec<Report>,
}

impl Default for SentLog {
    fn default() -> Self {
        Self {
            next: 1,
            entries: Vec::new(),
            acknowledged_below: 0,
        }
    }
}

impl SentLog {
    /// As the next packet carries it.
    pub fn next_number(&self) -> u16 {
        self.next as u16
    }

    /// The next packet of this number has left, `sent` after the log's epoch, as so many bytes.
    pub fn note(&mut self, sent: Duration, bytes: usize, cluster: Option<u8>) {
        let seq = self.next;
        self.next += 1;
        // Who never gives feedback needs no long log.
        let most = if self.acknowledged_below == 0 {
            MOST_SENT / 4
        } else {
            MOST_SENT
        };
        let old = self.entries.get(self.place_of(seq));
        if self.entries.len() < most && old.is_none_or(|old| old.seq > self.acknowledged_below) {
            self.grow();
        }
        let place = self.place_of(seq);
        self.entries[place] = Sent {
            seq,
            at: sent.as_micros() as i64,
            bytes: bytes as u16,
            cluster,
        };
    }

    fn place_of(&self, seq: u64) -> usize {
        seq as usize & self.entries.len().wrapping_sub(1)
    }

    /// To the next power of two.
    fn grow(&mut self) {
        let size = (self.entries.len() * 2).clamp(SENT, MOST_SENT);
        let old = std::mem::replace(&mut self.entries, vec![Sent::default(); size]);
        for entry in old.into_iter().filter(|entry| entry.seq != 0) {
            let place = self.place_of(entry.seq);
            self.entries[place] = entry;
        }
    }

    /// What feedback tells of packets that it is news of.
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
            let place = self.place_of(seq);
            let entry = &mut self.entries[place];
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
