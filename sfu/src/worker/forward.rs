//! The packet path: from a publisher to every viewer, and a viewer's feedback back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, Histogram, counter, histogram};
use rotunda_proto::ids::TrackSource;
use str0m::format::Codec;
use str0m::net::Protocol;
use str0m::rtp::{ExtensionValues, RtpPacket};

use super::fan_out::Pending;
use super::spread::Handover;
use super::{Datagram, Worker, drop_datagram};
use crate::egress::{Body, Totals};
use crate::packet::{Packet, StreamId};
use crate::sent_log::Readings;
use crate::session::Session;
use crate::track::{Publisher, Stream};
use crate::wire::dependency::{Carried, Dependency, Structure};
use crate::wire::descriptor::Descriptor;
use crate::wire::red::{self, StandIn};
use crate::wire::rtcp::{self, Feedback};

/// RTP streams of one publisher: microphone, and three layers of camera and screen. Beyond it the one that was silent longest
/// is forgotten, as of a sender that began anew.
const MOST_STREAMS: usize = 16;

/// How a missed packet is sent again.
enum Again {
    /// On the slot's resend stream, of this payload type.
    Apart(u8),
    /// As it was.
    Same(Datagram),
}

/// Buffers that are used again for every packet of feedback.
#[derive(Default)]
pub(super) struct Scratch {
    plain: Vec<u8>,
    /// Slot and wire sequence number.
    missed: Vec<(usize, u16)>,
    pictures: Vec<usize>,
    readings: Readings,
}

/// Handles of counters, looked up once.
pub(super) struct Counters {
    received: Counter,
    pub(super) unknown_peer: Counter,
    pub(super) forwarded_video: Counter,
    pub(super) forwarded_audio: Counter,
    not_permitted: Counter,
    pub(super) undecodable: Counter,
    resent: Counter,
    resend_refused: Counter,
    missed: Counter,
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
    /// What a viewer was sent since the last tick.
    pub(super) fn handle_totals(&self, totals: &Totals, estimate: Option<u64>) {
        self.sent.increment(totals.packets);
        self.sent_bytes.increment(totals.bytes);
        self.sends.increment(totals.sends);
        self.queue_full.increment(totals.dropped);
        if let Some(transit) = totals.transit {
            self.transit.record(transit.as_secs_f64());
        }
        if let Some(estimate) = estimate {
            self.estimate.record(estimate as f64);
        }
    }
}

impl Worker {
    /// A packet of a publisher.
    pub(super) fn handle_rtp(&mut self, now: Instant, index: usize, rtp: RtpPacket) {
        self.counters.received.increment(1);
        if let Some(Some(session)) = self.sessions.get_mut(index) {
            session.heard_at = now;
        }
        let Some((id, redundant)) = self.admit(now, index, &rtp) else {
            self.counters.not_permitted.increment(1);
            return;
        };
        let (Some(Some(session)), Some(stream)) = (self.sessions.get_mut(index), self.streams.get(&id)) else {
            return;
        };
        let ssrc = rtp.header.ssrc;
        let rate = stream.clock_rate();
        let captured = session
            .clock
            .capture_time(ssrc, rtp.header.timestamp, rate, rtp.timestamp);
        let level = rtp.header.ext_vals.audio_level;
        if let (Some(level), Some(user)) = (level, &session.user)
            && let Some(room) = self.rooms.get_mut(&session.room)
        {
            room.speakers.handle_level(now, user, level);
        }
        let (codec, structure) = (stream.codec(), stream.structure.clone());
        let make = |seq: u64, time: u32, payload: Arc<[u8]>| {
            let dependency = dependency_of(codec, &rtp, structure.as_ref());
            Arc::new(Packet {
                seq,
                time,
                marker: rtp.header.marker,
                descriptor: Descriptor::read(codec, &payload).with(dependency.as_deref()),
                payload,
                dependency,
                arrived: rtp.timestamp,
                captured,
                audio_level: level_on_wire(&rtp.header.ext_vals),
                orientation: orientation_on_wire(&rtp.header.ext_vals),
            })
        };
        let (seq, time) = (*rtp.seq_no, rtp.header.timestamp);
        if !redundant {
            self.forward(now, id, &make(seq, time, Arc::clone(&rtp.payload)));
            return;
        }
        let Some(blocks) = red::split(&rtp.payload) else {
            drop_datagram("unparsable");
            return;
        };
        // Older blocks stand in for packets that were lost on the way here.
        let history = &stream.history;
        let missed = |seq: u64| history.first().is_some_and(|first| first < seq) && history.get(seq).is_none();
        for StandIn { seq, offset, block } in blocks.stand_ins(seq, missed) {
            self.forward(now, id, &make(seq, time.wrapping_sub(offset), block.into()));
        }
        self.forward(now, id, &make(seq, time, blocks.primary.into()));
    }

    /// The stream of a packet that may be forwarded, and whether it is redundant audio. None: unknown line, not permitted,
    /// unknown codec.
    fn admit(&mut self, now: Instant, index: usize, rtp: &RtpPacket) -> Option<(StreamId, bool)> {
        let session = self.sessions.get_mut(index)?.as_mut()?;
        let (ssrc, pt) = (rtp.header.ssrc, rtp.header.payload_type);
        if let Some(id) = session.streams.get(&ssrc).copied() {
            let stream = self.streams.get_mut(&id)?;
            let source = self.tracks.get(stream.track)?.as_ref()?.source;
            if !session.may_send(source) {
                return None;
            }
            if stream.params.red() == Some(pt) {
                return Some((id, true));
            }
            if stream.params.pt() != pt {
                stream.params = *session.rtc.codec_config().find(|params| params.pt() == pt)?;
                self.tell_stream(id);
            }
            return Some((id, false));
        }
        let (mid, rid) = session.line_of(ssrc)?;
        let source = *session.sources.get(&mid)?;
        let track = *session.tracks.get(&source)?;
        if !session.may_send(source) {
            return None;
        }
        let fits = |params: &str0m::format::PayloadParams| params.pt() == pt || params.red() == Some(pt);
        let params = *session.rtc.codec_config().find(|params| fits(params))?;
        if source == TrackSource::Audio
            && session.sound_again
            && let Some(stream) = session.rtc.direct_api().stream_rx(&ssrc)
        {
            // `str0m` takes a line without a resend stream for one that cannot send again.
            stream.suppress_nack(false);
        }
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        let streams = &self.streams;
        let silent = session
            .streams
            .iter()
            .min_by_key(|(_, id)| streams.get(id).map(|stream| stream.last_packet));
        if session.streams.len() >= MOST_STREAMS
            && let Some((silent_ssrc, silent)) = silent.map(|(ssrc, id)| (*ssrc, *id))
        {
            session.streams.remove(&silent_ssrc);
            session.clock.forget(silent_ssrc);
            session.streams.insert(ssrc, id);
            self.forget_stream(silent);
        } else {
            session.streams.insert(ssrc, id);
        }
        self.streams.insert(id, Stream::new(now, track, mid, rid, params));
        if let Some(Some(track)) = self.tracks.get_mut(track) {
            track.streams.push(id);
        }
        self.tell_stream(id);
        self.reallocate_viewers(now, track);
        Some((id, params.red() == Some(pt)))
    }

    /// Takes a packet into its stream. Viewers get it when the picture is complete or the batch window is over.
    pub(super) fn forward(&mut self, now: Instant, id: StreamId, packet: &Arc<Packet>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.history.insert(packet) {
            return;
        }
        if let Some(Some(track)) = self.tracks.get(stream.track) {
            for worker in &track.neighbours {
                let packet = Arc::clone(packet);
                self.handovers.push(*worker, Handover::Packet { stream: id, packet });
            }
        }
        stream.handle_packet(now, packet);
        if let Some(dependency) = packet
            .dependency
            .as_ref()
            .filter(|dependency| dependency.carries_structure)
            && stream.history.newest() == Some(packet.seq)
        {
            stream.structure = Some(Arc::clone(&dependency.structure));
        }
        let mut grown = false;
        if packet.descriptor.starts_keyframe {
            stream.keyframe_came();
            if packet.descriptor.height.is_some() && packet.descriptor.height != stream.height {
                stream.height = packet.descriptor.height;
                grown = true;
            }
        }
        let is_audio = stream.codec().is_audio();
        let older = |distance: u64| {
            let seq = packet.seq.checked_sub(distance).filter(|_| is_audio)?;
            stream.history.get(seq).cloned()
        };
        let pending = Pending {
            stream: id,
            params: stream.params,
            packet: Arc::clone(packet),
            older: [older(1), older(2), older(3)],
        };
        let track = stream.track;
        self.want_fan_out(now, track, pending, packet.marker && !is_audio);
        if grown {
            self.reallocate_viewers(now, track);
        }
        if is_audio {
            self.hear(now, track, packet);
        }
    }

    /// Feedback of a viewer. What it says of his own sending is for `str0m`, if he sends.
    pub(super) fn handle_rtcp(
        &mut self,
        now: Instant,
        index: usize,
        from: SocketAddr,
        to: SocketAddr,
        proto: Protocol,
        bytes: &[u8],
    ) {
        let unix = self.unix(now);
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let Some(receiver) = session.feedback.as_mut() else {
            return;
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Err(error) = receiver.unprotect_rtcp(bytes, &mut scratch.plain) {
            tracing::debug!(%error, session = %session.id, "feedback was refused");
            drop_datagram("refused");
            self.scratch = scratch;
            return;
        }
        session.heard_at = now;
        // Who moves to another network goes on from his new address: authentic packets show it first.
        let path = crate::egress::Path {
            proto,
            from: to,
            to: from,
        };
        if session.egress.path.is_some_and(|known| known != path) {
            session.egress.path = Some(path);
        }
        scratch.missed.clear();
        scratch.pictures.clear();
        let mut about_sending = false;
        rtcp::read(&scratch.plain, |feedback| match feedback {
            Feedback::AboutSending => about_sending = true,
            Feedback::Reception(report) => {
                if let Some(slot) = session.slot_of(report.ssrc) {
                    session.protection.handle_report(report.fraction_lost);
                    session.slots[slot].reported.handle_report(report.fraction_lost);
                    session.handle_round_trip(report.round_trip(unix));
                } else {
                    about_sending = true;
                }
            }
            Feedback::Nack { ssrc, lost } => {
                if let Some(slot) = session.slot_of(ssrc) {
                    scratch.missed.extend(lost.sequences().map(|seq| (slot, seq)));
                }
            }
            Feedback::Keyframe { ssrc } => scratch.pictures.extend(session.slot_of(ssrc)),
            Feedback::Transport(transport) => {
                session.egress.handle_feedback(now, transport, &mut scratch.readings);
            }
            // Those without transport-wide feedback: their own word for it.
            Feedback::Remb { bitrate } => session.egress.estimator.handle_receiver_figure(now, bitrate),
        });
        self.counters.missed.increment(scratch.missed.len() as u64);
        let round_trip = session.round_trip.unwrap_or_default();
        let resends = &mut session.egress.resends;
        scratch
            .missed
            .retain(|(slot, seq)| resends.handle_request(now, round_trip, *slot, *seq));
        for (slot, seq) in scratch.missed.drain(..) {
            self.resend(index, slot, seq);
        }
        self.want_flush_of_queue(now, index);
        for slot in scratch.pictures.drain(..) {
            let Some(Some(session)) = self.sessions.get(index) else {
                break;
            };
            if let Some(stream) = session.slots[slot].flowing() {
                counter!("rotunda_sfu_keyframe_requests_total", "from" => "viewer").increment(1);
                self.want_keyframe(now, stream);
            }
        }
        self.scratch = scratch;
        let sends = |session: &Session| !session.streams.is_empty();
        if about_sending && self.sessions.get(index).and_then(Option::as_ref).is_some_and(sends) {
            self.give(now, index, from, to, proto, bytes);
        }
    }

    fn want_flush_of_queue(&mut self, now: Instant, index: usize) {
        if let Some(Some(session)) = self.sessions.get(index)
            && !session.egress.is_empty()
        {
            self.want_flush(now, index, false);
        }
    }

    /// Sends a missed packet again, when it is still known.
    pub(super) fn resend(&mut self, index: usize, slot: usize, seq: u16) {
        let viewer = self.sessions.get(index).and_then(Option::as_ref);
        let Some(origin) = viewer.and_then(|viewer| viewer.slots.get(slot)?.origin(seq)) else {
            return;
        };
        let Some(stream) = self.streams.get(&origin.stream) else {
            return;
        };
        // A permission that was taken away holds for what was sent before, too.
        let permitted = self.may_flow(stream.track);
        let packet = stream.history.get(origin.seq).filter(|_| permitted);
        let found = packet.zip(viewer.and_then(|viewer| viewer.slots.get(slot)));
        let rewritten = found.and_then(|(packet, slot)| Some((packet, slot.rewrite_again(&origin, packet)?)));
        let Some((packet, rewritten)) = rewritten else {
            return;
        };
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let again = match (
            rewritten.types.resend,
            session.slots[slot].rtx_ssrc,
            session.egress.path,
        ) {
            (Some(resend), Some(_), _) => Again::Apart(resend),
            (None, _, Some(path)) => match session.egress.sound_again(session.slots[slot].ssrc, rewritten.seq) {
                Some(bytes) => Again::Same(Datagram { path, bytes }),
                None => return,
            },
            _ => return,
        };
        if !session.egress.resends.take() {
            self.counters.resend_refused.increment(1);
            return;
        }
        match again {
            Again::Apart(resend) => {
                let body = Body::Resend {
                    packet: Arc::clone(packet),
                    seq: session.slots[slot].next_resend(),
                    resend,
                };
                session.egress.push(&session.slots, slot, rewritten, body);
            }
            Again::Same(datagram) => self.control.push_back(datagram),
        }
        session.slots[slot].resent += 1;
        self.counters.resent.increment(1);
    }

    /// Asks a stream's publisher for a key frame, unless he was asked just now: then a little later.
    pub(super) fn want_keyframe(&mut self, now: Instant, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.want_keyframe(now) {
            self.ask_for_keyframe(id);
        }
    }

    pub(super) fn ask_for_keyframe(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        match self.publisher_of(stream.track) {
            Some(Publisher::Here(index)) => {
                let (index, mid, rid) = (*index, stream.mid, stream.rid);
                if let Some(Some(session)) = self.sessions.get_mut(index) {
                    session.request_keyframe(mid, rid);
                    self.touched.push(index);
                    counter!("rotunda_sfu_keyframe_requests_total", "from" => "forwarded").increment(1);
                }
            }
            Some(Publisher::There(replica)) => {
                let worker = replica.worker;
                self.handovers.push(worker, Handover::Keyframe(id));
            }
            None => {}
        }
    }

    fn publisher_of(&self, track: usize) -> Option<&Publisher> {
        Some(&self.tracks.get(track)?.as_ref()?.publisher)
    }

    /// Whether a track's publisher may send it.
    pub(super) fn may_flow(&self, track: usize) -> bool {
        let Some(Some(track)) = self.tracks.get(track) else {
            return false;
        };
        match &track.publisher {
            Publisher::Here(index) => {
                let publisher = self.sessions.get(*index).and_then(Option::as_ref);
                publisher.is_some_and(|publisher| publisher.may_send(track.source))
            }
            Publisher::There(replica) => replica.permitted,
        }
    }
}

/// The dependency descriptor of a codec whose payload does not say what it says.
fn dependency_of(codec: Codec, rtp: &RtpPacket, structure: Option<&Arc<Structure>>) -> Option<Box<Dependency>> {
    let Carried(bytes) = rtp.header.ext_vals.user_values.get()?;
    let is_silent = matches!(codec, Codec::Av1 | Codec::H264 | Codec::H265);
    let read = is_silent.then(|| Dependency::read(bytes, structure));
    read?.map(Box::new)
}

/// RFC 6464 §3: voice flag and level below full scale.
fn level_on_wire(values: &ExtensionValues) -> Option<u8> {
    let level = values.audio_level?.unsigned_abs().min(127);
    let voice = if values.voice_activity == Some(true) { 0x80 } else { 0 };
    Some(voice | level)
}

/// 3GPP TS 26.114 §7.4.5: rotation in the lowest two bits.
fn orientation_on_wire(values: &ExtensionValues) -> Option<u8> {
    values.video_orientation.map(|orientation| orientation as u8)
}
