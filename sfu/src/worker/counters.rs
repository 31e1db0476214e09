//! The counters of the packet path, looked up once.

use metrics::{Counter, Histogram, counter, histogram};

use crate::downlink::egress::Totals;
use crate::units::Bitrate;

pub struct Counters {
    pub received: Counter,
    pub unknown_peer: Counter,
    pub forwarded_video: Counter,
    pub forwarded_audio: Counter,
    pub not_permitted: Counter,
    pub undecodable: Counter,
    pub resent: Counter,
    pub resend_refused: Counter,
    pub missed: Counter,
    sent: Counter,
    sent_bytes: Counter,
    sends: Counter,
    queue_full: Counter,
    transit: Histogram,
    estimate: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: counter!("rotunda_sfu_packets_received_total"),
            unknown_peer: counter!("rotunda_sfu_datagrams_dropped_total", "reason" => "unknown_peer"),
            forwarded_video: counter!("rotunda_sfu_packets_forwarded_total", "kind" => "video"),
            forwarded_audio: counter!("rotunda_sfu_packets_forwarded_total", "kind" => "audio"),
            not_permitted: counter!("rotunda_sfu_packets_dropped_total", "reason" => "not_permitted"),
            undecodable: counter!("rotunda_sfu_packets_dropped_total", "reason" => "codec"),
            resent: counter!("rotunda_sfu_packets_resent_total"),
            resend_refused: counter!("rotunda_sfu_packets_dropped_total", "reason" => "resends"),
            missed: counter!("rotunda_sfu_packets_missed_total"),
            sent: counter!("rotunda_sfu_packets_sent_total"),
            sent_bytes: counter!("rotunda_sfu_bytes_sent_total"),
            sends: counter!("rotunda_sfu_sends_total"),
            queue_full: counter!("rotunda_sfu_packets_dropped_total", "reason" => "queue"),
            transit: histogram!("rotunda_sfu_transit_seconds"),
            estimate: histogram!("rotunda_sfu_estimate_bits"),
        }
    }
}

impl Counters {
    /// Adds the counts of a viewer since the last tick.
    pub fn handle_totals(&self, totals: &Totals, estimate: Option<Bitrate>) {
        self.sent.increment(totals.packets);
        self.sent_bytes.increment(totals.bytes);
        self.sends.increment(totals.sends);
        self.queue_full.increment(totals.dropped);
        if let Some(transit) = totals.transit {
            self.transit.record(transit.as_secs_f64());
        }
        if let Some(estimate) = estimate {
            self.estimate.record(estimate.as_f64());
        }
    }
}
