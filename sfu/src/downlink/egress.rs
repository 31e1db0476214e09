//! The packet queue of one viewer: packets wait here for a moment, become SRTP side by side in one buffer, and leave in one
//! segmented send.
//!
//! Nothing is allocated per packet: the queue, the send log and the buffer keep their memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::net::Protocol;
use str0m::rtp::Ssrc;

use super::audio_resend_buffer::AudioResendBuffer;
use super::estimate::{Cluster, Estimator};
use super::nack_limiter::NackLimiter;
use super::round_trip::RoundTrip;
use super::slot::{PayloadTypes, Rewritten, Slot};
use super::twcc_send_log::{Readings, TwccSendLog};
use crate::ingress::packet::Packet;
use crate::ingress::track::MOST_OLDER;
use crate::slab::{Index, SlotIndex};
use crate::units::SeqNo;
use crate::wire::red;
use crate::wire::rtcp::TransportFeedback;
use crate::wire::rtp::{DependencyField, ExtensionIds, Header};
use crate::wire::srtp;

/// The segments of one send have one size: packets that are shorter by no more than this are padded (RFC 3550 §5.1, P).
const MOST_PADDING: usize = 32;
/// Segments and bytes of one send (Linux's UDP_MAX_SEGMENTS, the IP limit).
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 60_000;
/// Packets waiting for one viewer. Beyond it the oldest are dropped, as a router would.
const QUEUE: usize = 2048;
/// Padding of a probe packet. With the padding of its segment it stays below 255, the most that the last byte can say.
const PROBE_PADDING: usize = 220;

/// The way that a peer's datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    pub proto: Protocol,
    /// On this side.
    pub from: SocketAddr,
    pub to: SocketAddr,
}

/// A packet in the queue.
#[derive(Debug)]
pub struct Outgoing {
    slot: SlotIndex,
    body: Body,
    rewritten: Rewritten,
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
    /// A retransmission on the RTX stream (RFC 4588).
    Rtx {
        packet: Arc<Packet>,
        seq: SeqNo,
        payload_type: u8,
    },
    /// Nothing but padding, on the RTX stream.
    Probe {
        seq: SeqNo,
        payload_type: u8,
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
    /// Dropped by a full queue.
    pub dropped: u64,
    /// From the arrival of one packet of many to its send.
    pub transit: Option<Duration>,
}

pub struct Egress {
    path: Option<Path>,
    estimator: Estimator,
    totals: Totals,
    ids: ExtensionIds,
    srtp: Option<srtp::Sender>,
    nack_limiter: NackLimiter,
    /// For viewers who send NACKs for audio.
    audio_resends: Option<AudioResendBuffer>,
    queue: Vec<Outgoing>,
    /// The first of the queue that has not been sent.
    next: usize,
    /// Times in the send log count from here.
    epoch: Instant,
    sent: TwccSendLog,
}

impl Egress {
    pub fn new(now: Instant, ids: ExtensionIds) -> Self {
        Self {
            path: None,
            estimator: Estimator::default(),
            totals: Totals::default(),
            ids,
            srtp: None,
            nack_limiter: NackLimiter::default(),
            audio_resends: None,
            queue: Vec::new(),
            next: 0,
            epoch: now,
            sent: TwccSendLog::default(),
        }
    }

    pub fn path(&self) -> Option<Path> {
        self.path
    }

    pub fn set_path(&mut self, path: Path) {
        self.path = Some(path);
    }

    pub fn estimator(&self) -> &Estimator {
        &self.estimator
    }

    pub fn estimator_mut(&mut self) -> &mut Estimator {
        &mut self.estimator
    }

    pub fn nack_limiter(&mut self) -> &mut NackLimiter {
        &mut self.nack_limiter
    }

    /// Counts since the last call.
    pub fn take_totals(&mut self) -> Totals {
        std::mem::take(&mut self.totals)
    }

    /// From the handshake on packets can be sent.
    pub fn set_keys(&mut self, srtp: srtp::Sender) {
        self.srtp = Some(srtp);
    }

    /// From now on the audio of so many slots is kept for [`sent_audio`](Self::sent_audio).
    pub fn keep_audio(&mut self, slots: usize) {
        self.audio_resends.get_or_insert_with(|| AudioResendBuffer::new(slots));
    }

    /// A protected audio packet as it was sent.
    pub fn sent_audio(&self, ssrc: Ssrc, seq: SeqNo) -> Option<Vec<u8>> {
        self.audio_resends.as_ref()?.find(ssrc, seq.on_wire())
    }

    pub fn is_ready(&self) -> bool {
        self.srtp.is_some() && self.path.is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.next == self.queue.len()
    }

    /// Swaps the memory of this queue for another one's, if both are empty.
    pub fn trade_queue(&mut self, empty: &mut Vec<Outgoing>) {
        if self.queue.is_empty() && empty.is_empty() {
            std::mem::swap(&mut self.queue, empty);
        }
    }

    /// Queues a packet. Before there are keys and a path it is dropped.
    #[inline]
    pub fn push(&mut self, slots: &[Slot], slot: SlotIndex, rewritten: Rewritten, body: Body) {
        if !self.is_ready() {
            return;
        }
        if self.queue.len() - self.next >= QUEUE {
            self.totals.dropped += 1;
            self.next += 1;
        }
        if matches!(body, Body::Media(_) | Body::Redundant { .. }) {
            self.nack_limiter.handle_packet();
        }
        let mut outgoing = Outgoing {
            slot,
            body,
            rewritten,
            size: 0,
        };
        let sender = &slots[slot.position()];
        let header = self.header(sender, &outgoing, Duration::ZERO).length(&self.ids);
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
        let (ssrc, rtx_ssrc) = (slot.ssrc(), slot.rtx_ssrc().unwrap_or(slot.ssrc()));
        let (payload_type, sequence, ssrc, packet) = match &outgoing.body {
            Body::Media(packet) => (types.media, seq, ssrc, Some(packet)),
            Body::Redundant { packet, red, .. } => (*red, seq, ssrc, Some(packet)),
            Body::Rtx {
                packet,
                seq,
                payload_type,
            } => (*payload_type, *seq, rtx_ssrc, Some(packet)),
            Body::Probe { seq, payload_type, .. } => (*payload_type, *seq, rtx_ssrc, None),
        };
        Header {
            payload_type,
            marker,
            sequence: sequence.on_wire(),
            timestamp: time,
            ssrc,
            mid: slot.mid(),
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

    /// Writes the next packets that can leave in one send into `buffer`, which is overwritten. Answers the path, and the size of each
    /// segment but the last. None: the queue is empty.
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
            self.write(now, &slots[outgoing.slot.position()], outgoing, padding, buffer);
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

    /// How many of the queue's next packets fit into one send, and the size of its segments.
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
                // The last one may be much shorter.
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
            picture_id,
            tl0,
            seq,
            types,
            ..
        } = &outgoing.rewritten;
        let (index, cluster) = match &outgoing.body {
            Body::Media(packet) => {
                let payload = buffer.len();
                buffer.extend_from_slice(&packet.payload);
                packet.descriptor.patch(&mut buffer[payload..], *picture_id, *tl0);
                (*seq, None)
            }
            Body::Redundant { packet, older, .. } => {
                red::join(types.media, &packet.payload, &blocks(packet, older), buffer);
                (*seq, None)
            }
            Body::Rtx { packet, seq: rtx, .. } => {
                // RFC 4588 §4: the original sequence number.
                buffer.extend_from_slice(&seq.on_wire().to_be_bytes());
                let payload = buffer.len();
                buffer.extend_from_slice(&packet.payload);
                packet.descriptor.patch(&mut buffer[payload..], *picture_id, *tl0);
                (*rtx, None)
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
        if !slot.is_video()
            && let Some(audio_resends) = &mut self.audio_resends
        {
            audio_resends.keep(header.ssrc, index.on_wire(), &buffer[start..]);
        }
        if self.ids.transport_sequence.is_some() {
            let cluster = cluster.map(|cluster| cluster.id);
            self.sent.note(sent, buffer.len() - start, cluster);
        }
        if let Some(cluster) = cluster {
            self.estimator.handle_probe_sent(cluster);
        }
    }

    /// Feeds the estimate of the link, and the round-trip time, with the viewer's arrival times.
    pub fn handle_feedback(
        &mut self,
        now: Instant,
        feedback: TransportFeedback<'_>,
        round_trip: &mut RoundTrip,
        readings: &mut Readings,
    ) {
        let reports = self.sent.handle_feedback(feedback, readings);
        if let Some(last) = reports.iter().rev().find(|report| report.arrived.is_some()) {
            let elapsed = now.saturating_duration_since(self.epoch).as_micros() as i64 - last.sent;
            round_trip.handle_feedback(Duration::from_micros(elapsed.max(0) as u64));
        }
        self.estimator.handle_reports(now, round_trip.value(), reports);
    }

    /// Queues a probe's packets on a slot with an RTX stream; none while there is no such slot.
    pub fn push_probe(&mut self, slots: &mut [Slot], cluster: Cluster, packets: usize) {
        let found = slots
            .iter()
            .position(|slot| slot.rtx_ssrc().is_some() && slot.rtx_type().is_some());
        let Some(position) = found else {
            return;
        };
        for _ in 0..packets {
            let slot = &mut slots[position];
            let Some(payload_type) = slot.rtx_type() else {
                return;
            };
            let seq = slot.next_rtx();
            let rewritten = Rewritten {
                seq,
                time: slot.last_time(),
                picture_id: 0,
                tl0: 0,
                types: PayloadTypes {
                    media: payload_type,
                    rtx: Some(payload_type),
                    red: None,
                    dependency: false,
                },
                marker: false,
                frame: 0,
                point: None,
            };
            let body = Body::Probe {
                seq,
                payload_type,
                cluster,
            };
            self.push(slots, SlotIndex::at(position), rewritten, body);
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
            if let Some(report) = slot.poll_report(now, unix) {
                report.write(buffer);
            }
        }
        if buffer.is_empty() {
            return None;
        }
        srtp.protect_rtcp(buffer, 0);
        Some(path)
    }
}

impl Outgoing {
    fn body_length(&self) -> usize {
        match &self.body {
            Body::Media(packet) => packet.payload.len(),
            Body::Redundant { packet, older, .. } => red::joined_length(&packet.payload, &blocks(packet, older)),
            Body::Rtx { packet, .. } => 2 + packet.payload.len(),
            Body::Probe { .. } => PROBE_PADDING,
        }
    }
}

/// The blocks before an audio packet's own, oldest first: how much older, and the payload.
fn blocks<'a>(packet: &Packet, older: &'a [Option<Arc<Packet>>; MOST_OLDER]) -> [Option<red::Block<'a>>; MOST_OLDER] {
    let block = |older: &'a Option<Arc<Packet>>| {
        let older = older.as_ref()?;
        Some((packet.time.wrapping_sub(older.time), &*older.payload))
    };
    let mut blocks = older.each_ref().map(block);
    blocks.reverse();
    blocks
}
