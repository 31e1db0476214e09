//! A receive line (m-line) of a viewer: one continuous RTP stream, whatever source it shows.

mod counts;
mod renumbering;
mod segment;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::ids::{TrackSource, UserId};
use str0m::format::Codec;
use str0m::media::{MediaKind, Mid};
use str0m::rtp::Ssrc;

use super::allocator::{Decision, LayerBackoff, Reason, Request};
use crate::ingress::layer::Shown;
use crate::ingress::packet::{Packet, StreamId};
use crate::slab::TrackIndex;
use crate::units::SeqNo;
use crate::wire::layers::OperatingPoint;
use crate::wire::rtcp::SenderReport;
pub use counts::Counts;
use renumbering::Renumbering;
pub use renumbering::{Pace, Source};
pub use segment::{Origin, PayloadTypes, Rewritten};

/// Browsers need two reports before audio and video are in sync.
const REPORT_INTERVAL: Duration = Duration::from_millis(900);

/// The source that a slot is wanted to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub user: UserId,
    pub source: TrackSource,
    pub max_height: Option<u16>,
}

/// The part of its track that the slot is to show. Nothing -> Stream (there is one) -> Paused (the link does not carry it) -> Stream;
/// Stream -> Refused (another codec) -> Stream; any -> Nothing (the track has gone).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Nothing is wanted, or nobody sends it.
    Nothing,
    /// The link does not carry the lowest layer.
    Paused,
    /// The viewer cannot decode this codec, and has been told.
    Refused(Codec),
    Stream {
        stream: StreamId,
        /// The payload type at the publisher: another one may be another codec.
        source_type: u8,
        /// Up to which layers inside the stream; and all that it can have.
        point: OperatingPoint,
        top: OperatingPoint,
        /// The layer that the viewer is to have. It may have to be woken, and `stream` stands in for it until then.
        chosen: Option<StreamId>,
    },
}

/// Empty -> Waiting (something is wanted) -> Flowing (first packet of a keyframe) -> Empty (nothing is wanted). A flowing slot that
/// is to show another source or layer goes on with the old one until the new one's keyframe, if the old one may still be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forwarding {
    Empty,
    Waiting,
    /// The newest segment's source is shown.
    Flowing,
}

/// The decision of a slot about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    Forward,
    /// It can be the first of its stream: [`Slot::switch`].
    Switch,
    Leave,
}

/// Has many fields, as it is a whole RTP sender: its identity, the source that it shows, and its counts.
#[derive(Debug)]
pub struct Slot {
    mid: Mid,
    kind: MediaKind,
    ssrc: Ssrc,
    rtx_ssrc: Option<Ssrc>,
    want: Option<Want>,
    /// The track that has what is wanted, of which the slot is a viewer; None: nobody sends it.
    track: Option<TrackIndex>,
    target: Target,
    /// The allocator's last decision, and the layers that the link has failed to carry.
    decided: Decision,
    backoff: LayerBackoff,
    state: Forwarding,
    renumbering: Renumbering,
    next_rtx: SeqNo,
    counts: Counts,
    reported_at: Option<Instant>,
}

impl Slot {
    /// `random`: only 15 bits are used for each first sequence number, so that it has no rollover (RFC 3711 §3.3.1).
    pub fn new(mid: Mid, kind: MediaKind, ssrc: Ssrc, rtx_ssrc: Option<Ssrc>, random: u32) -> Self {
        Self {
            mid,
            kind,
            ssrc,
            rtx_ssrc,
            want: None,
            track: None,
            target: Target::Nothing,
            decided: Decision::default(),
            backoff: LayerBackoff::default(),
            state: Forwarding::Empty,
            renumbering: Renumbering::new(kind, SeqNo::new(u64::from(random & 0x7fff))),
            next_rtx: SeqNo::new(u64::from(random >> 16 & 0x7fff)),
            counts: Counts::default(),
            reported_at: None,
        }
    }

    pub fn mid(&self) -> &Mid {
        &self.mid
    }

    pub fn is_video(&self) -> bool {
        self.kind == MediaKind::Video
    }

    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    pub fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.rtx_ssrc
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }
}

/// The wanted source, and the layer that is to be shown of it.
impl Slot {
    pub fn want(&self) -> Option<&Want> {
        self.want.as_ref()
    }

    /// Shows another source from its next keyframe on, or nothing. The source that was shown before stops at once.
    pub fn set_want(&mut self, want: Option<Want>) {
        let source = |want: &Option<Want>| want.as_ref().map(|want| (want.user.clone(), want.source));
        if source(&want) != source(&self.want) {
            self.target = Target::Nothing;
            self.decided = Decision::default();
            self.backoff = LayerBackoff::default();
            // Packets of another source are not sent again.
            self.renumbering.forget();
            self.state = if want.is_some() {
                Forwarding::Waiting
            } else {
                Forwarding::Empty
            };
        }
        self.want = want;
    }

    /// As [`set_want`](Self::set_want), of the same kind of source.
    pub fn set_user(&mut self, user: &UserId) {
        let want = self.want.as_ref().map(|want| Want {
            user: user.clone(),
            ..want.clone()
        });
        self.set_want(want);
    }

    pub fn track(&self) -> Option<TrackIndex> {
        self.track
    }

    /// The slot is a viewer of this track from now on. Answers the track before.
    pub fn attach(&mut self, track: TrackIndex) -> Option<TrackIndex> {
        self.track.replace(track)
    }

    /// Nobody sends what is wanted. Answers the track before.
    pub fn detach(&mut self) -> Option<TrackIndex> {
        self.stop(Target::Nothing);
        self.track.take()
    }

    /// The stream that is to be shown, from its next keyframe on if it does not flow yet.
    pub fn target(&self) -> Option<StreamId> {
        match self.target {
            Target::Stream { stream, .. } => Some(stream),
            Target::Nothing | Target::Paused | Target::Refused(_) => None,
        }
    }

    /// The target is this stream, with the same codec.
    pub fn aims_at(&self, shown: StreamId, codec: u8) -> bool {
        matches!(self.target, Target::Stream { stream, source_type, .. } if (stream, source_type) == (shown, codec))
    }

    /// Shows another stream from its next keyframe on. `top`: the highest layers that it can have.
    pub fn retarget(&mut self, shown: Shown, source_type: u8, top: OperatingPoint) {
        self.target = Target::Stream {
            stream: shown.stream,
            source_type,
            point: shown.point,
            top,
            chosen: None,
        };
        self.set_point(shown.point, top);
    }

    /// The link does not carry what is wanted: nothing is sent until it does.
    pub fn pause(&mut self) {
        self.stop(Target::Paused);
    }

    /// There is nothing to show: the track has no stream.
    pub fn clear_target(&mut self) {
        self.stop(Target::Nothing);
    }

    /// The viewer cannot decode what the source is sent in. Answers whether this has to be told.
    pub fn refuse(&mut self, codec: Codec) -> bool {
        let is_new = self.target != Target::Refused(codec);
        self.stop(Target::Refused(codec));
        is_new
    }

    /// Flowing | Waiting => Waiting: what was shown is not sent any more.
    fn stop(&mut self, target: Target) {
        self.target = target;
        if self.state == Forwarding::Flowing {
            self.state = Forwarding::Waiting;
        }
    }

    /// The source is wanted but not sent, as the link does not carry it.
    pub fn is_paused(&self) -> bool {
        self.target == Target::Paused
    }

    /// The layer that the viewer is to have when it has been woken.
    pub fn choose(&mut self, layer: Option<StreamId>) {
        if let Target::Stream { chosen, .. } = &mut self.target {
            *chosen = layer;
        }
    }

    pub fn chosen(&self) -> Option<StreamId> {
        match self.target {
            Target::Stream { chosen, .. } => chosen,
            Target::Nothing | Target::Paused | Target::Refused(_) => None,
        }
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.target, Target::Refused(_))
    }

    /// From which layer on the link has lately failed.
    pub fn backs_off_from(&self, now: Instant, request: &Request) -> Option<usize> {
        self.backoff.waits_from(now, request)
    }

    /// Notes what the allocator has decided. Answers why it differs from the decision before, if it does.
    pub fn note_decision(&mut self, now: Instant, request: &Request, chosen: Option<Shown>) -> Option<Reason> {
        let decision = Decision::new(request, chosen);
        let before = std::mem::replace(&mut self.decided, decision);
        let reason = decision.reason(&before, request)?;
        if let (Reason::LinkFalls | Reason::Pauses, Some(failed)) = (reason, before.shown_of(request)) {
            self.backoff.fail(now, failed);
        }
        Some(reason)
    }

    /// Layers of the target up to `point` are to be shown, of those up to `top` that it can have. Larger frames begin with a keyframe,
    /// a higher frame rate where the stream lets it in, and fewer layers with the next frame.
    pub fn set_point(&mut self, point: OperatingPoint, top: OperatingPoint) {
        if let Target::Stream {
            point: target_point,
            top: target_top,
            ..
        } = &mut self.target
        {
            (*target_point, *target_top) = (point, top);
        }
        if self.target().is_none() || self.flowing() != self.target() {
            return;
        }
        self.renumbering.set_point(point, top);
    }

    /// The stream that flows now.
    pub fn flowing(&self) -> Option<StreamId> {
        self.renumbering.stream().filter(|_| self.state == Forwarding::Flowing)
    }

    /// Up to which layers the flowing stream is shown.
    pub fn shown_point(&self) -> OperatingPoint {
        self.renumbering.shown_point()
    }

    /// Up to which layers of its target it is to show.
    pub fn wanted_point(&self) -> OperatingPoint {
        match self.target {
            Target::Stream { point, .. } => point,
            Target::Nothing | Target::Paused | Target::Refused(_) => OperatingPoint::default(),
        }
    }

    /// Up to which spatial layer of a stream it is to show, or still shows.
    pub fn watches(&self, stream: StreamId) -> Option<u8> {
        if self.target() == Some(stream) || self.chosen() == Some(stream) {
            return Some(self.wanted_point().spatial);
        }
        (self.flowing() == Some(stream)).then(|| self.shown_point().spatial)
    }

    /// The target, while the slot waits for the first packet of a keyframe of it.
    pub fn waits_for(&self) -> Option<StreamId> {
        let waits = |target: &StreamId| {
            let flows = self.flowing() == Some(*target);
            !flows || self.renumbering.waits_for_layer()
        };
        self.target()
            .filter(|target| self.state != Forwarding::Empty && waits(target))
    }
}

/// Packets, and how they are renumbered.
impl Slot {
    #[inline]
    pub fn takes(&self, stream: StreamId, source_type: u8, packet: &Packet) -> Take {
        if self.state == Forwarding::Flowing && self.renumbering.goes_on_with(stream, source_type) {
            return Take::Forward;
        }
        if self.state != Forwarding::Empty && self.target() == Some(stream) && packet.descriptor.starts_keyframe {
            return Take::Switch;
        }
        Take::Leave
    }

    /// Waiting | Flowing(other) => Flowing(stream): `packet` is the first.
    pub fn switch(&mut self, source: Source, packet: &Packet, types: PayloadTypes, pace: Pace) {
        let point = match self.target {
            Target::Stream { stream, point, top, .. } if stream == source.stream && point != top => Some(point),
            _ => None,
        };
        self.renumbering.switch(source, packet, types, pace, point);
        self.state = Forwarding::Flowing;
    }

    /// Time is real again from the packet after `last` on, the last cached one.
    pub fn finish_catch_up(&mut self, last: &Packet) {
        self.renumbering.finish_catch_up(last);
    }

    /// The packet as this slot sends it. None: it is from before the switch (a late retransmission), of a layer that is not shown, or
    /// nothing flows.
    #[inline]
    pub fn rewrite(&mut self, packet: &Arc<Packet>) -> Option<Rewritten> {
        let rewritten = self.renumbering.rewrite(packet)?;
        self.counts.add(packet.payload.len());
        Some(rewritten)
    }

    /// Which packet of which stream was sent with this sequence number. None for what was shown before the present stream: its
    /// keyframe made that useless, and on a narrow link retransmissions of a layer that was too large would keep the smaller one from
    /// coming through.
    pub fn origin(&self, on_wire: u16) -> Option<Origin> {
        self.renumbering.origin(on_wire)
    }

    /// A packet that was sent before, exactly as it was.
    pub fn rewrite_again(&self, origin: &Origin, packet: &Packet) -> Option<Rewritten> {
        self.renumbering.rewrite_again(origin, packet)
    }

    /// The next sequence number of the slot's RTX stream (RFC 4588 §4).
    pub fn next_rtx(&mut self) -> SeqNo {
        let seq = self.next_rtx;
        self.next_rtx = seq.next();
        seq
    }

    /// Payload type of padding on the RTX stream, when something has been sent that it can belong to.
    pub fn rtx_type(&self) -> Option<u8> {
        self.renumbering.rtx_type()
    }

    /// Timestamp of padding: that of the last packet.
    pub fn last_time(&self) -> u32 {
        self.renumbering.last_time()
    }

    /// The sender report that is due, once a second after the first packet.
    pub fn poll_report(&mut self, now: Instant, unix: Duration) -> Option<SenderReport> {
        let due = self
            .reported_at
            .is_none_or(|at| now.saturating_duration_since(at) >= REPORT_INTERVAL);
        let timestamp = self.renumbering.time_at(now).filter(|_| due)?;
        self.reported_at = Some(now);
        Some(SenderReport {
            ssrc: self.ssrc,
            time: unix,
            timestamp,
            packets: self.counts.packets(),
            octets: self.counts.octets(),
        })
    }
}

#[cfg(test)]
mod tests;
