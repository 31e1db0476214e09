//! The packet path, first half: from a publisher's RTP packet to the pending packets of its track.

use std::sync::Arc;
use std::time::Instant;

use rotunda_proto::ids::TrackSource;
use str0m::format::{Codec, PayloadParams};
use str0m::rtp::{ExtensionValues, RtpPacket};

use super::relay::RelayMessage;
use super::{Worker, drop_datagram};
use crate::ingress::packet::{Packet, StreamId};
use crate::ingress::stream::{Inserted, Stream};
use crate::ingress::track::{Pending, Publisher, Watched};
use crate::slab::{SessionIndex, TrackIndex, WorkerIndex};
use crate::units::SeqNo;
use crate::wire::dependency::{Carried, Dependency, Structure};
use crate::wire::descriptor::Descriptor;
use crate::wire::red::{self, StandIn};

/// The stream of a packet that may be forwarded.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    stream: StreamId,
    /// The packet is redundant audio (RFC 2198).
    is_redundant: bool,
}

impl Worker {
    /// A packet of a publisher.
    pub(super) fn handle_rtp(&mut self, now: Instant, index: SessionIndex, rtp: RtpPacket) {
        self.counters.received.increment(1);
        if let Some(session) = self.sessions.get_mut(index) {
            session.transport.handle_sign_of_life(now);
        }
        let Some(Admitted {
            stream: id,
            is_redundant,
        }) = self.admit(now, index, &rtp)
        else {
            self.counters.not_permitted.increment(1);
            return;
        };
        let (Some(session), Some(stream)) = (self.sessions.get_mut(index), self.tracks.stream(id)) else {
            return;
        };
        let (ssrc, rate) = (rtp.header.ssrc, stream.clock_rate());
        let captured = session
            .uplink
            .capture_time(ssrc, rtp.header.timestamp, rate, rtp.timestamp);
        let level = rtp.header.ext_vals.audio_level;
        if let (Some(level), Some(user)) = (level, session.user())
            && let Some(room) = self.rooms.get_mut(session.room())
        {
            room.speakers.handle_level(now, user, level);
        }
        let (codec, structure) = (stream.codec(), stream.structure().cloned());
        let make = |seq: SeqNo, time: u32, payload: Arc<[u8]>| {
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
        let (seq, time) = (SeqNo::new(*rtp.seq_no), rtp.header.timestamp);
        if !is_redundant {
            self.forward(now, id, &make(seq, time, Arc::clone(&rtp.payload)));
            return;
        }
        let Some(blocks) = red::split(&rtp.payload) else {
            drop_datagram("unparsable");
            return;
        };
        // Older blocks stand in for packets that were lost on the way here.
        let history = stream.history();
        let missed = |seq: SeqNo| history.first().is_some_and(|first| first < seq) && history.get(seq).is_none();
        for StandIn { seq, offset, block } in blocks.stand_ins(seq, missed) {
            self.forward(now, id, &make(seq, time.wrapping_sub(offset), block.into()));
        }
        self.forward(now, id, &make(seq, time, blocks.primary.into()));
    }

    /// None: the packet is of an unknown line or codec, or its source is not permitted.
    fn admit(&mut self, now: Instant, index: SessionIndex, rtp: &RtpPacket) -> Option<Admitted> {
        let session = self.sessions.get_mut(index)?;
        let pt = rtp.header.payload_type;
        let Some(stream) = session.uplink.stream(rtp.header.ssrc) else {
            return self.add_stream(now, index, rtp);
        };
        let (state, track) = self.tracks.stream_and_track(stream)?;
        if !session.uplink.may_send(track?.source()) {
            return None;
        }
        let is_redundant = state.params().red() == Some(pt);
        if !is_redundant && state.params().pt() != pt {
            state.set_params(*session.transport.codecs().find(|params| params.pt() == pt)?);
            self.relay_stream(stream);
        }
        Some(Admitted { stream, is_redundant })
    }

    /// The first packet of a stream.
    fn add_stream(&mut self, now: Instant, index: SessionIndex, rtp: &RtpPacket) -> Option<Admitted> {
        let session = self.sessions.get_mut(index)?;
        let (ssrc, pt) = (rtp.header.ssrc, rtp.header.payload_type);
        let (mid, rid) = session.transport.line_of(ssrc)?;
        let source = session.uplink.source_of(mid)?;
        let track = session.uplink.track(source)?;
        if !session.uplink.may_send(source) {
            return None;
        }
        let fits = |params: &PayloadParams| params.pt() == pt || params.red() == Some(pt);
        let params = *session.transport.codecs().find(|params| fits(params))?;
        if source == TrackSource::Audio && session.uplink.nacks_audio() {
            session.transport.nack_audio(ssrc);
        }
        let stream = self.tracks.next_stream_id();
        let last_packet = |id| self.tracks.last_packet(id);
        let forgotten = session.uplink.add_stream(ssrc, stream, last_packet);
        if let Some(forgotten) = forgotten {
            self.forget_stream(forgotten);
        }
        self.tracks
            .add_stream(stream, Stream::new(now, track, mid, rid, params));
        self.relay_stream(stream);
        self.reallocate_viewers(now, track);
        let is_redundant = params.red() == Some(pt);
        Some(Admitted { stream, is_redundant })
    }

    /// Takes a packet into its stream. Viewers get it when the frame is complete or the batch window is over.
    pub(super) fn forward(&mut self, now: Instant, id: StreamId, packet: &Arc<Packet>) {
        let Some((stream, track)) = self.tracks.stream_and_track(id) else {
            return;
        };
        let Some(inserted) = stream.handle_packet(now, packet) else {
            return;
        };
        let layer = Watched {
            stream: id,
            spatial: packet.spatial(),
        };
        let receivers = track.into_iter().flat_map(|track| {
            let gets = |worker: &&WorkerIndex| !track.is_paused(**worker, layer);
            track.receivers().iter().filter(gets)
        });
        for worker in receivers {
            let packet = Arc::clone(packet);
            self.relay.push(*worker, RelayMessage::Packet { stream: id, packet });
        }
        let is_audio = stream.codec().is_audio();
        let older = |distance: u64| {
            let seq = packet.seq.before(distance).filter(|_| is_audio)?;
            stream.history().get(seq).cloned()
        };
        let pending = Pending {
            stream: id,
            params: stream.params(),
            packet: Arc::clone(packet),
            older: [older(1), older(2), older(3)],
        };
        let track = stream.track();
        self.want_fan_out(now, track, pending, packet.marker && !is_audio);
        if inserted == Inserted::OtherHeight {
            self.reallocate_viewers(now, track);
        }
        if is_audio {
            self.handle_audio_level(now, track, packet);
        }
    }

    /// Whether a track's publisher may send it.
    pub(super) fn may_flow(&self, track: TrackIndex) -> bool {
        let Some(track) = self.tracks.get(track) else {
            return false;
        };
        match track.publisher() {
            Publisher::Here(index) => {
                let publisher = self.sessions.get(*index);
                publisher.is_some_and(|publisher| publisher.uplink.may_send(track.source()))
            }
            Publisher::Elsewhere(replica) => replica.permitted,
        }
    }
}

/// The dependency descriptor, of codecs whose payload does not have the same information.
fn dependency_of(codec: Codec, rtp: &RtpPacket, structure: Option<&Arc<Structure>>) -> Option<Box<Dependency>> {
    let Carried(bytes) = rtp.header.ext_vals.user_values.get()?;
    let needs = matches!(codec, Codec::Av1 | Codec::H264 | Codec::H265);
    let read = needs.then(|| Dependency::read(bytes, structure));
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
