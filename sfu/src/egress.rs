//! What one viewer is sent: packets wait here for a moment, become SRTP side by side in one buffer, and leave in one segmented
//! send.
//!
//! No allocation per packet: the queue, the log of what was sent and the buffer keep their memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::MediaKind;
use str0m::net::Protocol;

use std::net::SocketAddr;

use crate::copies::Copies;
use crate::estimate::{Cluster, Estimator};
use crate::packet::Packet;
use crate::protection::MOST_OLDER;
use crate::resends::Resends;
use crate::sent_log::{Readings, SentLog};
use crate::slot::{Rewritten, Slot};
use crate::srtp;
use crate::wire::red;
use crate::wire::rtcp::{SenderReport, TransportFeedback};
use crate::wire::rtp::{DependencyField, ExtensionIds, Header};

/// Segments of one send have one size: packets that are shorter by no more than this are padded (RFC 3550 §5.1, P).
const MOST_PADDING: usize = 32;
/// Segments and bytes of one send (Linux's UDP_MAX_SEGMENTS, the IP limit).
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 60_000;
/// Packets waiting for one viewer: beyond it the oldest are dropped, as a router would.
const QUEUE: usize = 2048;
/// Padding of a probe packet; with what makes segments equal it stays below the 255 that its last byte can say.
const PROBE_PADDING: usize = 220;

/// Where a viewer's datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    pub proto: Protocol,
    /// Our side.
    pub from: SocketAddr,
    pub to: SocketAddr,
}

/// A packet in the queue.
#[derive(Debug)]
pub struct Outgoing {
    pub slot: usize,
    pub body: Body,
    pub rewritten: Rewritten,
    /// Bytes on the wire without padding.
    size: usize,
}

#[derive(Debug)]
pub enum Body {
    Media(Arc<Packet>),
    /// Opus with the packets before it, newest first, as redundant audio (RFC 2198).
    Redundant {
        packet: Arc<Packet>,
        older: Box<[Option<Arc<Packet>>; MOST_OLDER]>,
        red: u8,
    },
    /// A missed packet again, on the resend stream (RFC 4588).
    Resend {
        packet: Arc<Packet>,
        seq: u64,
        resend: u8,
    },
    /// Nothing but padding, on the resend stream.
    Probe {
        seq: u64,
        resend: u8,
        cluster: Cluster,
    },
}

/// Counts since they were last taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub packets: u64,
    pub bytes: u64,
    /// System calls: `packets` of them would have been needed without segments.
    pub sends: u64,
    /// Lost to a full queue.
    pub dropped: u64,
    /// How long one packet of many was here, from its arrival.
    pub transit: Option<Duration>,
}

pub struct Egress {
    pub path: Option<Path>,
    pub estimator: Estimator,
    pub round_trip: Duration,
    pub totals: Totals,
    ids: ExtensionIds,
    srtp: Option<srtp::Sender>,
    pub resends: Resends,
    /// Of sound, for viewers who ask for what they miss of it.
    copies: Option<Copies>,
    queue: Vec<Outgoing>,
    /// The first of the queue that has not left.
    next: usize,
    /// What times in the log count from.
    epoch: Instant,
    sent: SentLog,
}

impl Egress {
    pub fn new(now: Instant, ids: ExtensionIds) -> Self {
        Self {
            path: None,
            estimator: Estimator::default(),
            round_trip: Duration::from_millis(100),
            totals: Totals::default(),
            ids,
            srtp: None,
            resends: Resends::default(),
            copies: None,
            queue: Vec::new(),
            next: 0,
            epoch: now,
            sent: SentLog::default(),
        }
    }

    /// From the handshake on packets can be sent.
    pub fn set_keys(&mut self, srtp: srtp::Sender) {
        self.srtp = Some(srtp);
    }

    /// From now on sound can be had again by [`sound_again`](Self::sound_again).
    pub fn keep_sound(&mut self) {
        self.copies.get_or_insert_default();
    }

    /// A protected packet of sound as it was sent.
    pub fn sound_again(&self, ssrc: u32, seq: u64) -> Option<Vec<u8>> {
        self.copies.as_ref()?.find(ssrc, seq as u16)
    }

    pub fn is_ready(&self) -> bool {
        self.srtp.is_some() && self.path.is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.next == self.queue.len()
    }

    /// Has another queue's memory for this one's, when there is nothing in it.
    pub fn trade_queue(&mut self, empty: &mut Vec<Outgoing>) {
        if self.queue.is_empty() && empty.is_empty() {
            std::mem::swap(&mut self.queue, empty);
        }
    }

    /// Queues a packet. Before there are keys and a path it is dropped.
    #[inline]
    pub fn push(&mut self, slots: &[Slot], slot: usize, rewritten: Rewritten, body: Body) {
        if !self.is_ready() {
            return;
        }
        if self.queue.len() - self.next >= QUEUE {
            self.totals.dropped += 1;
            self.next += 1;
        }
        if matches!(body, Body::Media(_) | Body::Redundant { .. }) {
            self.resends.handle_packet();
        }
        let mut outgoing = Outgoing {
            slot,
            body,
            rewritten,
            size: 0,
        };
        let header = self.header(&slots[slot], &outgoing, Duration::ZERO).length(&self.ids);
        let tag = self.srtp.as_ref().map_or(0, srtp::Sender::tag_length);
        outgoing.size = header + outgoing.body_length() + tag;
        self.queue.push(outgoing);
    }

    fn header<'a>(&self, slot: &'a Slot, outgoing: &'a Outgoing, sent: Duration) -> Header<'a> {
        let Rewritten {
            seq,
            time,
            types,
            marker,
            frame,
            point,
            ..
        } = outgoing.rewritten;
        let rtx_ssrc = slot.rtx_ssrc.unwrap_or(slot.ssrc);
        let (payload_type, sequence, ssrc, packet) = match &outgoing.body {
            Body::Media(packet) => (types.media, seq, slot.ssrc, Some(packet)),
            Body::Redundant { packet, red, .. } => (*red, seq, slot.ssrc, Some(packet)),
            Body::Resend { packet, seq, resend } => (*resend, *seq, rtx_ssrc, Some(packet)),
            Body::Probe { seq, resend, .. } => (*resend, *seq, rtx_ssrc, None),
        };
        Header {
            payload_type,
            marker,
            sequence: sequence as u16,
            timestamp: time,
            ssrc,
            mid: &slot.mid,
            transport_sequence: self.sent.next_number(),
            sent,
            audio_level: packet.and_then(|packet| packet.audio_level),
            orientation: packet.and_then(|packet| packet.orientation),
            dependency: packet
                .and_then(|packet| packet.dependency.as_deref())
                .filter(|_| types.dependency)
                .map(|dependency| DependencyField {
                    dependency,
                    frame,
                    active: point.map(|point| dependency.active_within(point)),
                }),
        }
    }

    /// Writes the next packets that can leave in one send into `buffer`, which is overwritten. Answers where to, and the
    /// size of a segment (all but the last are so long). None: the queue is empty.
    pub fn poll(&mut self, now: Instant, slots: &[Slot], buffer: &mut Vec<u8>) -> Option<(Path, usize)> {
        let path = self.path?;
        buffer.clear();
        if self.is_empty() || self.srtp.is_none() {
            self.queue.clear();
            self.next = 0;
            return None;
        }
        let (count, segment) = self.run(path.proto);
        let queue = std::mem::take(&mut self.queue);
        if let Some(Body::Media(packet)) = queue.get(self.next).map(|outgoing| &outgoing.body) {
            self.totals.transit = Some(now.saturating_duration_since(packet.arrived));
        }
        for (index, outgoing) in queue[self.next..self.next + count].iter().enumerate() {
            let padding = if index + 1 < count { segment - outgoing.size } else { 0 };
            self.write(now, &slots[outgoing.slot], outgoing, padding, buffer);
        }
        self.queue = queue;
        self.next += count;
        self.totals.sends += 1;
        self.totals.packets += count as u64;
        self.totals.bytes += buffer.len() as u64;
        if self.is_empty() {
            self.queue.clear();
            self.next = 0;
        }
        Some((path, segment))
    }

    /// How many of the queue's next packets go into one send, and the size of its segments.
    fn run(&self, proto: Protocol) -> (usize, usize) {
        let waiting = &self.queue[self.next..];
        let first = waiting.first().map_or(0, |outgoing| outgoing.size);
        if proto != Protocol::Udp {
            return (1, first);
        }
        let (mut least, mut most, mut count) = (first, first, 1);
        for outgoing in waiting.iter().skip(1).take(MOST_SEGMENTS - 1) {
            if (count + 1) * most.max(outgoing.size) > MOST_BYTES {
                break;
            }
            let (lower, upper) = (least.min(outgoing.size), most.max(outgoing.size));
            if upper - lower <= MOST_PADDING {
                (least, most) = (lower, upper);
                count += 1;
            } else {
                // A much shorter one may be the last.
                if outgoing.size < most {
                    count += 1;
                }
                break;
            }
        }
        (count, most)
    }

    fn write(&mut self, now: Instant, slot: &Slot, outgoing: &Outgoing, padding: usize, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        let sent = now.saturating_duration_since(self.epoch);
        let header = self.header(slot, outgoing, sent);
        let probe = matches!(outgoing.body, Body::Probe { .. });
        header.write(&self.ids, padding > 0 || probe, buffer);
        let header_length = buffer.len() - start;
        let Rewritten {
            picture,
            tl0,
            seq,
            types,
            ..
        } = &outgoing.rewritten;
        let (index, cluster) = match &outgoing.body {
            Body::Media(packet) => {
                let payload = buffer.len();
                buffer.extend_from_slice(&packet.payload);
                packet.descriptor.patch(&mut buffer[payload..], *picture, *tl0);
                (*seq, None)
            }
            Body::Redundant { packet, older, .. } => {
                red::join(types.media, &packet.payload, &blocks(packet, older), buffer);
                (*seq, None)
            }
            Body::Resend {
                packet, seq: resend, ..
            } => {
                buffer.extend_from_slice(&(*seq as u16).to_be_bytes());
                let payload = buffer.len();
                buffer.extend_from_slice(&packet.payload);
                packet.descriptor.patch(&mut buffer[payload..], *picture, *tl0);
                (*resend, None)
            }
            Body::Probe { seq, cluster, .. } => {
                buffer.resize(buffer.len() + PROBE_PADDING, 0);
                (*seq, Some(*cluster))
            }
        };
        if padding > 0 {
            buffer.resize(buffer.len() + padding, 0);
        }
        if padding > 0 || probe {
            let count = if probe { PROBE_PADDING + padding } else { padding };
            if let Some(last) = buffer.last_mut() {
                *last = count as u8;
            }
        }
        if let Some(srtp) = &self.srtp {
            srtp.protect_rtp(buffer, start, header_length, header.ssrc, index);
        }
        if slot.kind == MediaKind::Audio
            && let Some(copies) = &mut self.copies
        {
            copies.keep(header.ssrc, index as u16, &buffer[start..]);
        }
        if self.ids.transport_sequence.is_some() {
            let cluster = cluster.map(|cluster| cluster.id);
            self.sent.note(sent, buffer.len() - start, cluster);
        }
        if let Some(cluster) = cluster {
            self.estimator.handle_probe_sent(cluster);
        }
    }

    /// Feeds the estimate with a viewer's arrivals.
    pub fn handle_feedback(&mut self, now: Instant, feedback: TransportFeedback<'_>, readings: &mut Readings) {
        let reports = self.sent.handle_feedback(feedback, readings);
        if let Some(last) = reports.iter().rev().find(|report| report.arrived.is_some()) {
            // From sending to hearing of it, the viewer's reporting interval included.
            let elapsed = now.saturating_duration_since(self.epoch).as_micros() as i64 - last.sent;
            let sample = Duration::from_micros(elapsed.max(0) as u64);
            self.round_trip = (self.round_trip * 7 + sample) / 8;
        }
        self.estimator.handle_reports(now, self.round_trip, reports);
    }

    /// Queues a probe's packets on a slot with a resend stream; none where there is no such slot yet.
    pub fn push_probe(&mut self, slots: &mut [Slot], cluster: Cluster, packets: usize) {
        let found = slots
            .iter()
            .position(|slot| slot.rtx_ssrc.is_some() && slot.resend_type().is_some());
        let Some(slot) = found else {
            return;
        };
        for _ in 0..packets {
            let Some(resend) = slots[slot].resend_type() else {
                return;
            };
            let seq = slots[slot].next_resend();
            let rewritten = Rewritten {
                seq,
                time: slots[slot].last_time(),
                picture: 0,
                tl0: 0,
                types: crate::slot::PayloadTypes {
                    media: resend,
                    resend: Some(resend),
                    red: None,
                    dependency: false,
                },
                marker: false,
                frame: 0,
                point: None,
            };
            let body = Body::Probe { seq, resend, cluster };
            self.push(slots, slot, rewritten, body);
        }
    }

    /// Bytes of a probe packet on the wire.
    pub const fn probe_packet() -> usize {
        PROBE_PADDING + 12 + 12 + srtp::MAX_TAG
    }

    /// Writes the sender reports of all slots that are due (once a second) as one compound packet into `buffer`, which is
    /// overwritten. None: none is due.
    pub fn poll_reports(
        &mut self,
        now: Instant,
        unix: Duration,
        slots: &mut [Slot],
        buffer: &mut Vec<u8>,
    ) -> Option<Path> {
        let (path, srtp) = (self.path?, self.srtp.as_mut()?);
        buffer.clear();
        for slot in slots {
            let due = slot
                .reported_at
                .is_none_or(|at| now.saturating_duration_since(at) >= REPORT_INTERVAL);
            if slot.packets == 0 || !due {
                continue;
            }
            let Some(timestamp) = slot.time_at(now) else {
                continue;
            };
            slot.reported_at = Some(now);
            SenderReport {
                ssrc: slot.ssrc,
                time: unix,
                timestamp,
                packets: slot.packets,
                octets: slot.octets,
            }
            .write(buffer);
        }
        if buffer.is_empty() {
            return None;
        }
        srtp.protect_rtcp(buffer, 0);
        Some(path)
    }
}

/// Browsers need two reports before sound and picture are in sync.
const REPORT_INTERVAL: Duration = Duration::from_millis(900);

impl Outgoing {
    fn body_length(&self) -> usize {
        match &self.body {
            Body::Media(packet) => packet.payload.len(),
            Body::Redundant { packet, older, .. } => red::joined_length(&packet.payload, &blocks(packet, older)),
            Body::Resend { packet, .. } => 2 + packet.payload.len(),
            Body::Probe { .. } => PROBE_PADDING,
        }
    }
}

/// What goes before a packet of sound, oldest first: how much older, and the payload.
fn blocks<'a>(packet: &Packet, older: &'a [Option<Arc<Packet>>; MOST_OLDER]) -> [Option<red::Block<'a>>; MOST_OLDER] {
    let block = |older: &'a Option<Arc<Packet>>| {
        let older = older.as_ref()?;
        Some((packet.time.wrapping_sub(older.time), &*older.payload))
    };
    let mut blocks = older.each_ref().map(block);
    blocks.reverse();
    blocks
}
