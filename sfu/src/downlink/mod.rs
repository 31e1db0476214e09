//! The downlink of a session: its slots, the estimate of the link, and the packet queue.

pub mod allocator;
mod audio_resend_buffer;
pub mod egress;
pub mod estimate;
mod layer_selector;
mod nack_limiter;
mod protection;
mod round_trip;
mod sequence_remap;
pub mod slot;
mod twcc_send_log;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::sfu::{Loudest, SlotMap};
use str0m::media::Mid;
use str0m::rtp::Ssrc;

use crate::ingress::packet::Packet;
use crate::ingress::track::{MOST_OLDER, Pending};
use crate::slab::{Index, SlotIndex};
use crate::units::{Bitrate, SeqNo};
use crate::wire::rtcp::{Reception, TransportFeedback};
use crate::wire::rtp::ExtensionIds;
use crate::wire::srtp;
use allocator::Link;
use egress::{Body, Egress, Outgoing, Path, Totals};
use estimate::Estimator;
use protection::Protection;
pub use protection::REPEAT_AFTER;
use round_trip::RoundTrip;
use slot::{Pace, PayloadTypes, Slot, Source, Take, Want};
pub use twcc_send_log::Readings;

/// Share of the estimate that layers are planned with; the rest is for retransmissions and bursts.
const PLANNED: f64 = 0.92;
/// Bitrate of an audio slot in use, headers included.
const AUDIO: Bitrate = Bitrate::bits(60_000);
/// How far above all that is wanted the link is probed.
const PROBED: f64 = 1.3;
/// A cached group of pictures is sent when the link carries it in this time.
const CATCH_UP: Duration = Duration::from_millis(800);

/// The downlink of a session: its slots, and the one queue that they share.
///
/// Life of an entry: the worker [sends](Self::send) a packet to a slot, which renumbers it; it waits in the queue ([`Egress`]) until
/// the worker [polls](Self::poll) the queue into one buffer. [`Flush`] names the worker's queue in which the session waits for that.
pub struct Downlink {
    /// Audio slots, then video slots.
    slots: Vec<Slot>,
    audio_slots: usize,
    egress: Egress,
    /// Opens the viewer's RTCP.
    feedback: Option<srtp::Receiver>,
    protection: Protection,
    round_trip: RoundTrip,
    /// All that the viewer watches, in the best quality.
    wanted: Bitrate,
    flush: Flush,
    /// Set: the audio slots carry the room's loudest speakers.
    loudest: Option<Loudest>,
}

/// The queue of the worker in which a session waits to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    Idle,
    /// The queue of sessions that wait for more packets of the same moment.
    Waiting,
    /// The queue of sessions that send now.
    Ready,
}

/// The outcome of a packet for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the queue.
    Queued,
    /// It is in the queue, and is to be retransmitted unasked: the viewer loses much.
    ToRepeat(SeqNo),
    /// The slot waits for a keyframe of the packet's stream.
    WaitsForKeyframe,
    /// The viewer cannot decode the codec.
    Undecodable,
    /// The slot shows something else, or not this layer.
    NotShown,
}

/// How a missed packet can be retransmitted.
pub enum Retransmission {
    /// On the slot's RTX stream, of this payload type.
    Rtx(u8),
    /// The same bytes on the slot's own stream.
    Same(Path, Vec<u8>),
}

impl Downlink {
    /// `slots`: audio slots, then video slots.
    pub fn new(now: Instant, slots: Vec<Slot>, ids: ExtensionIds) -> Self {
        Self {
            audio_slots: slots.iter().filter(|slot| !slot.is_video()).count(),
            slots,
            egress: Egress::new(now, ids),
            feedback: None,
            protection: Protection::default(),
            round_trip: RoundTrip::default(),
            wanted: Bitrate::ZERO,
            flush: Flush::Idle,
            loudest: None,
        }
    }

    /// The viewer sends NACKs for audio.
    pub fn keep_audio(&mut self) {
        self.egress.keep_audio(self.audio_slots);
    }

    /// The keys of the handshake: from now on packets can be sent, and reports opened.
    pub fn set_keys(&mut self, sender: srtp::Sender, receiver: srtp::Receiver) {
        self.egress.set_keys(sender);
        self.feedback = Some(receiver);
    }

    pub fn path(&self) -> Option<Path> {
        self.egress.path()
    }

    pub fn set_path(&mut self, path: Path) {
        self.egress.set_path(path);
    }
}

/// Slots.
impl Downlink {
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    pub fn indexed_slots(&self) -> impl Iterator<Item = (SlotIndex, &Slot)> {
        self.slots
            .iter()
            .enumerate()
            .map(|(position, slot)| (SlotIndex::at(position), slot))
    }

    #[inline]
    pub fn slot(&self, index: SlotIndex) -> Option<&Slot> {
        self.slots.get(index.position())
    }

    #[inline]
    pub fn slot_mut(&mut self, index: SlotIndex) -> Option<&mut Slot> {
        self.slots.get_mut(index.position())
    }

    /// The audio slots, and the video slots.
    pub fn slots_by_kind(&self) -> (&[Slot], &[Slot]) {
        self.slots.split_at(self.audio_slots)
    }

    /// The slot that sends with this SSRC.
    pub fn slot_of(&self, ssrc: Ssrc) -> Option<SlotIndex> {
        let position = self.slots.iter().position(|slot| slot.ssrc() == ssrc)?;
        Some(SlotIndex::at(position))
    }

    /// The slot that is wanted to show this source of a user.
    pub fn slot_wanting(&self, user: &UserId, source: TrackSource) -> Option<SlotIndex> {
        let wants = |slot: &Slot| {
            slot.want()
                .is_some_and(|want| want.user == *user && want.source == source)
        };
        self.slots.iter().position(wants).map(SlotIndex::at)
    }

    /// Sets the sources that the slots are wanted to show.
    pub fn set_slots(&mut self, map: &SlotMap) {
        self.loudest.clone_from(&map.loudest);
        if map.loudest.is_none() {
            self.set_speakers(&map.audio);
        }
        let (_, video) = self.slots.split_at_mut(self.audio_slots);
        for (index, slot) in video.iter_mut().enumerate() {
            let want = map.video.get(index).cloned().flatten();
            slot.set_want(want.map(|want| Want {
                user: want.user,
                source: want.source,
                max_height: want.max_height,
            }));
        }
    }

    /// The users that the audio slots carry.
    pub fn set_speakers(&mut self, users: &[Option<UserId>]) {
        for (index, slot) in self.slots.iter_mut().take(self.audio_slots).enumerate() {
            let user = users.get(index).cloned().flatten();
            slot.set_want(user.map(|user| Want {
                user,
                source: TrackSource::Audio,
                max_height: None,
            }));
        }
    }

    /// The users that the audio slots carry.
    pub fn speakers(&self) -> Vec<Option<UserId>> {
        let (audio, _) = self.slots_by_kind();
        audio
            .iter()
            .map(|slot| slot.want().map(|want| want.user.clone()))
            .collect()
    }

    /// Set: the audio slots carry the room's loudest speakers.
    pub fn loudest(&self) -> Option<&Loudest> {
        self.loudest.as_ref()
    }
}

/// The link.
impl Downlink {
    pub fn estimator(&self) -> &Estimator {
        self.egress.estimator()
    }

    pub fn estimator_mut(&mut self) -> &mut Estimator {
        self.egress.estimator_mut()
    }

    pub fn wanted(&self) -> Bitrate {
        self.wanted
    }

    /// The bitrate that the link carries for video, beside this many used audio slots.
    pub fn link(&self, now: Instant, audio_slots: usize) -> Link {
        let estimator = self.egress.estimator();
        let audio: Bitrate = std::iter::repeat_n(AUDIO, audio_slots).sum();
        Link {
            budget: estimator
                .estimate()
                .map(|estimate| estimate.scaled(PLANNED).saturating_sub(audio)),
            narrow: estimator.is_narrow(now),
            carries_all: estimator.carries_all(now),
        }
    }

    /// `video`: all that is watched in the best quality. It decides whether the link is probed.
    pub fn set_wanted(&mut self, video: Bitrate, audio_slots: usize) {
        let audio = std::iter::repeat_n(AUDIO, audio_slots).sum();
        self.wanted = video + audio;
        let probed = if video > Bitrate::ZERO {
            video.scaled(PROBED) + audio
        } else {
            Bitrate::ZERO
        };
        self.egress.estimator_mut().set_wanted(probed);
    }

    /// Whether the link carries so many bytes of cached frames at once.
    pub fn carries_catch_up(&self, bytes: usize) -> bool {
        let carried = |estimate: Bitrate| bytes as f64 * 8.0 <= estimate.as_f64() * CATCH_UP.as_secs_f64();
        self.egress.estimator().estimate().is_none_or(carried)
    }

    /// None: no report has measured it.
    pub fn measured_round_trip(&self) -> Option<Duration> {
        self.round_trip.measured()
    }

    /// How often a video packet is to be retransmitted unasked.
    pub fn repeats(&self) -> usize {
        self.protection.repeats()
    }
}

/// Packets out.
impl Downlink {
    /// From the handshake on packets can be sent; before they are dropped.
    pub fn is_ready(&self) -> bool {
        self.egress.is_ready()
    }

    pub fn is_empty(&self) -> bool {
        self.egress.is_empty()
    }

    pub fn flush(&self) -> Flush {
        self.flush
    }

    pub fn set_flush(&mut self, flush: Flush) {
        self.flush = flush;
    }

    /// The one way of a packet to a viewer: live, from the cache for a new viewer, or from the cache of a new speaker. A slot that shows
    /// something else switches to the packet's stream if that is its target and the packet begins a keyframe. `types`: the payload
    /// types under which the viewer takes the codec on this line, asked for at a switch alone.
    #[inline]
    pub fn send(
        &mut self,
        now: Instant,
        index: SlotIndex,
        pending: &Pending,
        pace: Pace,
        types: impl FnOnce(Mid) -> Option<PayloadTypes>,
    ) -> Sent {
        let Pending {
            stream,
            params,
            packet,
            older,
        } = pending;
        let Some(slot) = self.slots.get_mut(index.position()) else {
            return Sent::NotShown;
        };
        let source_type = *params.pt();
        match slot.takes(*stream, source_type, packet) {
            Take::Forward => {}
            Take::Switch => {
                let Some(types) = types(*slot.mid()) else {
                    return Sent::Undecodable;
                };
                let source = Source {
                    stream: *stream,
                    payload_type: source_type,
                    clock_rate: params.spec().clock_rate.get(),
                };
                slot.switch(source, packet, types, pace);
            }
            Take::Leave if slot.waits_for() == Some(*stream) => return Sent::WaitsForKeyframe,
            Take::Leave => return Sent::NotShown,
        }
        let Some(rewritten) = slot.rewrite(packet) else {
            return Sent::NotShown;
        };
        let body = match (rewritten.types.red, self.protection.older()) {
            (Some(red), count @ 1..) => Body::Redundant {
                packet: Arc::clone(packet),
                older: Box::new(std::array::from_fn::<_, MOST_OLDER, _>(|at| {
                    older[at].clone().filter(|_| at < count)
                })),
                red,
            },
            _ => Body::Media(Arc::clone(packet)),
        };
        let repeats = pace == Pace::RealTime
            && self.protection.repeats() > 0
            && rewritten.types.rtx.is_some()
            && !self.egress.estimator().is_congested(now);
        let seq = rewritten.seq;
        self.egress.push(&self.slots, index, rewritten, body);
        if repeats { Sent::ToRepeat(seq) } else { Sent::Queued }
    }

    /// Writes the next packets of the queue that can leave in one send into `buffer`, as [`Egress::poll`] does.
    pub fn poll(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<(Path, usize)> {
        self.egress.poll(now, &self.slots, buffer)
    }

    /// Swaps the memory of the queue for another one's, if both are empty.
    pub fn trade_queue(&mut self, empty: &mut Vec<Outgoing>) {
        self.egress.trade_queue(empty);
    }

    /// Counts since the last call.
    pub fn take_totals(&mut self) -> Totals {
        self.egress.take_totals()
    }

    /// Writes the sender reports that are due into `buffer`, as [`Egress::poll_reports`] does.
    pub fn poll_reports(&mut self, now: Instant, unix: Duration, buffer: &mut Vec<u8>) -> Option<Path> {
        self.egress.poll_reports(now, unix, &mut self.slots, buffer)
    }

    /// Queues the packets of the probe that is due. Answers whether there is one.
    pub fn queue_probe(&mut self, now: Instant) -> bool {
        let Some(cluster) = self.egress.estimator_mut().poll_probe(now) else {
            return false;
        };
        let packets = cluster.packets.max(cluster.bytes / Egress::probe_packet());
        self.egress.push_probe(&mut self.slots, cluster, packets);
        true
    }
}

/// The viewer's feedback.
impl Downlink {
    /// Opens an SRTCP packet into `plain`, which is overwritten. None: there are no keys yet.
    pub fn open_feedback(&mut self, packet: &[u8], plain: &mut Vec<u8>) -> Option<Result<(), srtp::SrtpError>> {
        let receiver = self.feedback.as_mut()?;
        Some(receiver.unprotect_rtcp(packet, plain))
    }

    /// How the viewer receives one slot. Answers whether it is one of these slots.
    pub fn handle_reception(&mut self, report: &Reception, unix: Duration) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.ssrc() == report.ssrc) else {
            return false;
        };
        slot.counts_mut().handle_loss(report.fraction_lost);
        self.protection.handle_report(report.fraction_lost);
        if let Some(sample) = report.round_trip(unix) {
            self.round_trip.handle_report(sample);
        }
        true
    }

    pub fn handle_transport_feedback(
        &mut self,
        now: Instant,
        feedback: TransportFeedback<'_>,
        readings: &mut Readings,
    ) {
        self.egress
            .handle_feedback(now, feedback, &mut self.round_trip, readings);
    }

    /// Protection follows the loss that transport-wide feedback tells of.
    pub fn update_protection(&mut self, now: Instant) {
        if let Some(lost) = self.egress.estimator_mut().poll_loss(now) {
            self.protection.handle_transport(lost);
        }
    }

    /// Whether a NACK asks for something that is not on its way already.
    pub fn handle_nack(&mut self, now: Instant, slot: SlotIndex, on_wire: u16) -> bool {
        let round_trip = self.round_trip.value();
        self.egress
            .nack_limiter()
            .handle_request(now, round_trip, slot, on_wire)
    }

    /// How a packet can be retransmitted; None: not at all.
    pub fn retransmission(&self, slot: &Slot, types: &PayloadTypes, seq: SeqNo) -> Option<Retransmission> {
        match (types.rtx, slot.rtx_ssrc()) {
            (Some(payload_type), Some(_)) => Some(Retransmission::Rtx(payload_type)),
            (Some(_), None) => None,
            (None, _) => {
                let bytes = self.egress.sent_audio(slot.ssrc(), seq)?;
                Some(Retransmission::Same(self.egress.path()?, bytes))
            }
        }
    }

    /// Whether one more packet may be retransmitted.
    pub fn take_retransmission(&mut self) -> bool {
        self.egress.nack_limiter().take()
    }

    /// Queues a retransmission on the slot's RTX stream.
    pub fn send_rtx(&mut self, index: SlotIndex, rewritten: slot::Rewritten, packet: Arc<Packet>, payload_type: u8) {
        let Some(slot) = self.slots.get_mut(index.position()) else {
            return;
        };
        let seq = slot.next_rtx();
        let body = Body::Rtx {
            packet,
            seq,
            payload_type,
        };
        self.egress.push(&self.slots, index, rewritten, body);
    }
}
