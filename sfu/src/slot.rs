//! A receive line of a viewer: one continuous RTP stream, whatever source it shows.

mod segment;

use std::collections::VecDeque;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::ids::{TrackSource, UserId};
use str0m::format::Codec;
use str0m::media::{MediaKind, Mid};

use crate::allocator::{Decision, Tries};
use crate::packet::{Packet, StreamId};
use crate::quality::ReportedLoss;
use crate::selector::Selector;
use crate::wire::layers::Point;
use segment::Segment;
pub use segment::{Origin, PayloadTypes, Rewritten};

/// Changes of source whose packets can still be asked for again.
const SEGMENTS: usize = 8;
/// A catch-up of cached pictures takes 1/32 of its real time, so that it ends where the present begins.
const CATCH_UP: u32 = 5;
/// 20 ms of sound: less as a step would make the receiver drop the packet or hurry.
const SOUND_STEP: u32 = 960;

/// What a slot is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub user: UserId,
    pub source: TrackSource,
    pub max_height: Option<u16>,
}

/// Empty -> Waiting (wanted) -> Flowing (first packet of a key frame) -> Empty (not wanted). A flowing slot that is to show
/// another source or layer goes on with the old one until the new one's key frame, when the old one may still be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forwarding {
    Empty,
    Waiting,
    /// The newest segment's source is shown.
    Flowing,
}

/// What was written last; the next source goes on from there.
#[derive(Debug)]
struct Written {
    next_seq: u64,
    time: u32,
    at: Option<Instant>,
    captured: Option<Instant>,
    picture: u16,
    tl0: u8,
    frame: u16,
    /// RTP time at the source.
    source_time: u32,
}

/// What a slot does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    Forward,
    /// It can be the first of its stream: [`Slot::switch`].
    Switch,
    Leave,
}

#[derive(Debug)]
pub struct Slot {
    pub mid: Mid,
    pub kind: MediaKind,
    pub ssrc: u32,
    pub rtx_ssrc: Option<u32>,
    /// The track that has what is wanted, of which the slot is a viewer; None: nobody sends it.
    pub track: Option<usize>,
    /// The stream to show: the source's, or the layer that fits the viewer's link. None: paused.
    pub target: Option<StreamId>,
    /// The payload type of the target at its publisher: another one may be another codec.
    pub target_type: Option<u8>,
    /// The viewer cannot decode what the source is sent in, and has been told.
    pub refused: Option<Codec>,
    /// The layer that the viewer is to have, which may have to be woken: the target is what he can have until then.
    pub chosen: Option<StreamId>,
    /// By the allocator, for what is wanted now.
    pub decided: Decision,
    /// What of it the link has failed to carry.
    pub tries: Tries,
    /// Up to which layers of the target; and all that it has.
    point: [Point; 2],
    /// None: all of what flows is shown.
    selector: Option<Box<Selector>>,
    /// The source is wanted but cannot be sent, as the link does not carry it.
    pub paused: bool,
    want: Option<Want>,
    state: Forwarding,
    /// What flows, or has flowed last.
    segment: Option<Segment>,
    /// Before it, oldest first.
    past: VecDeque<Segment>,
    written: Written,
    clock_rate: u32,
    /// Sound: how far the timestamps are ahead of the packets' arrivals, ticks, as some were sent that had come before.
    ahead: u32,
    next_rtx: u64,
    pub packets: u32,
    pub octets: u32,
    /// Packets that the viewer missed and got again.
    pub resent: u32,
    pub reported: ReportedLoss,
    pub reported_at: Option<Instant>,
    /// Packets and octets when they were last looked at.
    before: [u32; 2],
}

impl Slot {
    /// `first_seq`: random numbers; only 15 bits are used, so that the first has no rollover (RFC 3711 §3.3.1).
    pub fn new(mid: Mid, kind: MediaKind, ssrc: u32, rtx_ssrc: Option<u32>, first_seq: u32) -> Self {
        Self {
            mid,
            kind,
            ssrc,
            rtx_ssrc,
            track: None,
            target: None,
            target_type: None,
            refused: None,
            chosen: None,
            decided: Decision::default(),
            tries: Tries::default(),
            point: [Point::default(); 2],
            selector: None,
            paused: false,
            want: None,
            state: Forwarding::Empty,
            segment: None,
            past: VecDeque::new(),
            written: Written {
                next_seq: u64::from(first_seq & 0x7fff),
                time: 0,
                at: None,
                captured: None,
                picture: 0,
                tl0: 0,
                frame: 0,
                source_time: 0,
            },
            clock_rate: if kind == MediaKind::Audio { 48_000 } else { 90_000 },
            ahead: 0,
            next_rtx: u64::from(first_seq >> 16 & 0x7fff),
            packets: 0,
            octets: 0,
            resent: 0,
            reported: ReportedLoss::default(),
            reported_at: None,
            before: [0; 2],
        }
    }

    pub fn want(&self) -> Option<&Want> {
        self.want.as_ref()
    }

    /// Shows another source from its next key frame on, or nothing; what was shown before stops at once.
    pub fn set_want(&mut self, want: Option<Want>) {
        let source = |want: &Option<Want>| want.as_ref().map(|want| (want.user.clone(), want.source));
        if source(&want) != source(&self.want) {
            self.target = None;
            self.refused = None;
            self.chosen = None;
            self.decided = Decision::default();
            self.tries = Tries::default();
            self.paused = false;
            // What was sent of another source is not sent again.
            self.segment = None;
            self.past.clear();
            self.state = if want.is_some() {
                Forwarding::Waiting
            } else {
                Forwarding::Empty
            };
        }
        self.want = want;
    }

    /// What flows now.
    pub fn flowing(&self) -> Option<StreamId> {
        (self.state == Forwarding::Flowing)
            .then(|| self.segment.as_ref().map(|segment| segment.stream))
            .flatten()
    }

    /// Up to which layers the flowing stream is shown.
    pub fn shown(&self) -> Point {
        let shown = |selector: &Selector| Point {
            // More pictures come soon after they are wanted.
            temporal: selector.target.temporal,
            ..selector.current()
        };
        self.selector.as_deref().map_or(Point::WHOLE, shown)
    }

    /// Of the target, layers up to `point` are to be shown, of those up to `top` that it has. Larger pictures begin with a key
    /// frame, more pictures where the stream lets one in; what is too much is left out from the next picture on.
    pub fn set_point(&mut self, point: Point, top: Point) {
        self.point = [point, top];
        if self.target.is_none() || self.flowing() != self.target {
            return;
        }
        if let Some(selector) = &mut self.selector {
            selector.target = point;
        } else if point != top
            && let Some(segment) = &self.segment
        {
            let next = self.written.next_seq - segment.first_seq[1] + segment.first_seq[0];
            let selector = Selector::new(top, point, next, Some(self.written.source_time));
            self.selector = Some(Box::new(selector));
        }
    }

    /// As [`set_want`](Self::set_want), of the same kind of source.
    pub fn set_user(&mut self, user: &UserId) {
        let want = self.want.as_ref().map(|want| Want {
            user: user.clone(),
            ..want.clone()
        });
        self.set_want(want);
    }

    /// Up to which spatial layer of a stream it is to show, or still shows.
    pub fn watches(&self, stream: StreamId) -> Option<u8> {
        if self.target == Some(stream) || self.chosen == Some(stream) {
            return Some(self.point[0].spatial);
        }
        (self.flowing() == Some(stream)).then(|| self.shown().spatial)
    }

    /// Up to which layers of its target it is to show.
    pub fn wanted_point(&self) -> Point {
        self.point[0]
    }

    /// Waits for the first packet of a key frame of its target.
    pub fn waits_for(&self) -> Option<StreamId> {
        let waits = |target: &StreamId| {
            let flows = self.flowing() == Some(*target);
            !flows || self.selector.as_ref().is_some_and(|selector| selector.waits())
        };
        self.target
            .filter(|target| self.state != Forwarding::Empty && waits(target))
    }

    /// Flowing | Waiting => Waiting: the source has ended, or the link does not carry it.
    pub fn stop(&mut self) {
        if self.state == Forwarding::Flowing {
            self.state = Forwarding::Waiting;
        }
    }

    #[inline]
    pub fn takes(&self, stream: StreamId, source_type: u8, packet: &Packet) -> Take {
        if self.state == Forwarding::Flowing
            && let Some(segment) = &self.segment
            && segment.stream == stream
            && segment.source_type == source_type
        {
            return Take::Forward;
        }
        if self.state != Forwarding::Empty && self.target == Some(stream) && packet.descriptor.starts_keyframe {
            return Take::Switch;
        }
        Take::Leave
    }

    /// Waiting | Flowing(other) => Flowing(stream): `packet` is the first.
    pub fn switch(&mut self, stream: StreamId, source_type: u8, packet: &Packet, clock_rate: u32, types: PayloadTypes) {
        let hurry = 0;
        self.begin(stream, source_type, packet, clock_rate, types, hurry);
    }

    /// As [`switch`](Self::switch), for pictures of the past: their time goes by quickly, until [`catch_up_done`].
    ///
    /// [`catch_up_done`]: Self::catch_up_done
    pub fn switch_to_past(
        &mut self,
        stream: StreamId,
        source_type: u8,
        packet: &Packet,
        clock_rate: u32,
        types: PayloadTypes,
    ) {
        self.begin(stream, source_type, packet, clock_rate, types, CATCH_UP);
    }

    /// From `next` on (the packet that will follow the cached ones) time is real again. `last`: the last cached packet.
    pub fn catch_up_done(&mut self, last: &Packet) {
        let Some(segment) = self.segment else {
            return;
        };
        let seq = last.seq + 1;
        let mut real = segment;
        real.hurry = 0;
        real.first_seq = [seq, seq - segment.first_seq[0] + segment.first_seq[1]];
        // The next frame's distance from the last one is kept.
        real.first_time = [last.time, segment.time(last.time)];
        self.push(real);
    }

    fn begin(
        &mut self,
        stream: StreamId,
        source_type: u8,
        packet: &Packet,
        clock_rate: u32,
        types: PayloadTypes,
        hurry: u32,
    ) {
        let step = self
            .written
            .at
            .map_or(0, |at| self.step(at, packet.arrived, clock_rate));
        let descriptor = &packet.descriptor;
        let [point, top] = self.point;
        let is_part = self.target == Some(stream) && point != top;
        self.selector = is_part.then(|| Box::new(Selector::new(point, point, packet.seq, None)));
        self.push(Segment {
            stream,
            types,
            source_type,
            first_seq: [packet.seq, self.written.next_seq],
            first_time: [packet.time, self.written.time.wrapping_add(step)],
            first_picture: [
                descriptor.picture_id.map_or(0, |id| id.value),
                self.written.picture.wrapping_add(1),
            ],
            first_tl0: [
                descriptor.tl0.map_or(0, |tl0| tl0.value),
                self.written.tl0.wrapping_add(1),
            ],
            first_frame: [
                packet.dependency.as_ref().map_or(0, |dependency| dependency.frame),
                self.written.frame.wrapping_add(1),
            ],
            hurry,
        });
        self.clock_rate = clock_rate;
        self.state = Forwarding::Flowing;
    }

    /// Timestamp units from the last packet of one source, which came `before`, to the first of the next.
    fn step(&mut self, before: Instant, arrived: Instant, clock_rate: u32) -> u32 {
        let ticks = |time: Duration| (time.as_secs_f64() * f64::from(clock_rate)) as u32;
        let elapsed = ticks(arrived.saturating_duration_since(before));
        if self.kind == MediaKind::Video {
            return elapsed.max(1);
        }
        // What is sent of the past takes its full time at the listener's; the next pause is shorter for it.
        let behind = ticks(before.saturating_duration_since(arrived));
        let step = elapsed.saturating_sub(self.ahead).max(SOUND_STEP);
        self.ahead = (self.ahead + step + behind).saturating_sub(elapsed);
        step
    }

    fn push(&mut self, segment: Segment) {
        if self.past.len() == SEGMENTS - 1 {
            self.past.pop_front();
        }
        self.past.extend(self.segment.replace(segment));
    }

    /// The packet as this slot sends it; None for one from before the switch (a late resend), or when nothing flows.
    #[inline]
    pub fn rewrite(&mut self, packet: &Arc<Packet>) -> Option<Rewritten> {
        let segment = self.segment.as_ref()?;
        let mut rewritten = segment.rewrite(packet)?;
        if let Some(selector) = &mut self.selector {
            rewritten.place(selector.take(packet)?);
        }
        let written = &mut self.written;
        if rewritten.seq >= written.next_seq {
            written.next_seq = rewritten.seq + 1;
            written.time = rewritten.time;
            written.source_time = packet.time;
            written.at = Some(packet.arrived);
            written.captured = Some(packet.captured);
            if packet.descriptor.picture_id.is_some() {
                written.picture = rewritten.picture;
            }
            if packet.descriptor.tl0.is_some() {
                written.tl0 = rewritten.tl0;
            }
            if packet.dependency.is_some() {
                written.frame = rewritten.frame;
            }
        }
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        Some(rewritten)
    }

    /// Packets and octets since the last call.
    pub fn since_last(&mut self) -> (u32, u32) {
        let [packets, octets] = std::mem::replace(&mut self.before, [self.packets, self.octets]);
        (self.packets.wrapping_sub(packets), self.octets.wrapping_sub(octets))
    }

    /// Where a packet that the viewer misses came from: stream and sequence number there. None for what was shown before the
    /// present stream: its key frame made that useless, and on a narrow link resends of a layer that was too large would keep
    /// the smaller one from coming through.
    pub fn origin(&self, wire_seq: u16) -> Option<Origin> {
        // The extended number nearest below what was written.
        let newest = self.written.next_seq.checked_sub(1)?;
        let back = u64::from((newest as u16).wrapping_sub(wire_seq));
        let seq = newest.checked_sub(back)?;
        let newest = self.segment.as_ref()?;
        let shown = newest.stream;
        let mut segments = iter::once(newest)
            .chain(self.past.iter().rev())
            .take_while(|segment| segment.stream == shown);
        let (segment, source) = match &self.selector {
            None => {
                let segment = segments.find(|segment| segment.first_seq[1] <= seq)?;
                (segment, seq - segment.first_seq[1] + segment.first_seq[0])
            }
            // Numbers of the present stream are lowered by what was left out.
            Some(selector) => {
                let source = selector.source(seq.wrapping_add(newest.offset()))?;
                let same = |segment: &&Segment| segment.offset() == newest.offset();
                let segment = segments
                    .take_while(same)
                    .find(|segment| segment.first_seq[0] <= source)?;
                (segment, source)
            }
        };
        Some(Origin {
            stream: segment.stream,
            seq: source,
            segment: *segment,
        })
    }

    /// A packet that was sent before, exactly as it was.
    pub fn rewrite_again(&self, origin: &Origin, packet: &Packet) -> Option<Rewritten> {
        let mut rewritten = origin.segment.rewrite(packet)?;
        if let Some(selector) = &self.selector {
            rewritten.place(selector.place(packet)?);
        }
        Some(rewritten)
    }

    /// The next sequence number of the slot's resend stream (RFC 4588 §4).
    pub fn next_resend(&mut self) -> u64 {
        let seq = self.next_rtx;
        self.next_rtx += 1;
        seq
    }

    /// Payload type of padding on the resend stream, when something has been sent that it can belong to.
    pub fn resend_type(&self) -> Option<u8> {
        self.segment.as_ref()?.types.resend
    }

    /// Timestamp of padding: that of the last packet.
    pub fn last_time(&self) -> u32 {
        self.written.time
    }

    /// RTP time that belongs to `now`, for a sender report; None before the first packet.
    pub fn time_at(&self, now: Instant) -> Option<u32> {
        let captured = self.written.captured?;
        let since = now.saturating_duration_since(captured).as_secs_f64();
        let ticks = (since * f64::from(self.clock_rate)) as u64;
        Some(self.written.time.wrapping_add(ticks as u32))
    }
}

#[cfg(test)]
mod tests;
