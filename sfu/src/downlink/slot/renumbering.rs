//! Renumbers the packets of one source after another, so that a slot is one RTP stream without gaps or jumps.

use std::collections::VecDeque;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::MediaKind;

use super::segment::{Origin, PayloadTypes, Rewritten, Segment};
use crate::downlink::layer_selector::LayerSelector;
use crate::ingress::packet::{Packet, StreamId};
use crate::units::SeqNo;
use crate::wire::layers::OperatingPoint;

/// Changes of source whose packets can still be retransmitted.
const SEGMENTS: usize = 8;
/// The cached frames of a catch-up take 1/32 of their real time, so that the catch-up ends where the present begins.
const CATCH_UP: u32 = 5;
/// 20 ms of audio: with a smaller step the receiver would drop the packet or play faster.
const AUDIO_STEP: u32 = 960;

/// The stream that a slot switches to.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    pub stream: StreamId,
    /// At the publisher.
    pub payload_type: u8,
    pub clock_rate: u32,
}

/// How fast the time of the forwarded packets goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    RealTime,
    /// The packets are cached ones: their time goes by quickly, until [`Renumbering::finish_catch_up`].
    CatchUp,
}

/// The last packet that was written; the next source goes on from there.
#[derive(Debug)]
struct Written {
    next_seq: SeqNo,
    time: u32,
    at: Option<Instant>,
    captured: Option<Instant>,
    picture_id: u16,
    tl0: u8,
    frame: u16,
    /// RTP time at the source.
    source_time: u32,
}

/// Begins with [`switch`](Self::switch); then [`rewrite`](Self::rewrite) answers each packet as the viewer gets it, and
/// [`origin`](Self::origin) finds the packet that a NACK names.
#[derive(Debug)]
pub struct Renumbering {
    kind: MediaKind,
    /// None: all layers of the stream are shown.
    selector: Option<Box<LayerSelector>>,
    /// The source that is sent, or was sent last.
    segment: Option<Segment>,
    /// The segments before it, oldest first.
    past: VecDeque<Segment>,
    written: Written,
    clock_rate: u32,
    /// Of audio: how far the timestamps are ahead of the packets' arrivals, ticks, as earlier packets were sent late (pre-roll).
    ahead: u32,
}

impl Renumbering {
    pub fn new(kind: MediaKind, first: SeqNo) -> Self {
        Self {
            kind,
            selector: None,
            segment: None,
            past: VecDeque::new(),
            written: Written {
                next_seq: first,
                time: 0,
                at: None,
                captured: None,
                picture_id: 0,
                tl0: 0,
                frame: 0,
                source_time: 0,
            },
            clock_rate: if kind == MediaKind::Audio { 48_000 } else { 90_000 },
            ahead: 0,
        }
    }

    /// The stream of the newest switch.
    pub fn stream(&self) -> Option<StreamId> {
        self.segment.map(|segment| segment.stream)
    }

    /// The newest switch was to this stream, with the same codec.
    #[inline]
    pub fn goes_on_with(&self, stream: StreamId, source_type: u8) -> bool {
        let newest = self.segment.as_ref();
        newest.is_some_and(|segment| segment.stream == stream && segment.source_type == source_type)
    }

    /// Nothing of before is retransmitted any more. The numbers go on.
    pub fn forget(&mut self) {
        self.segment = None;
        self.past.clear();
    }

    /// Up to which layers the stream is shown.
    pub fn shown_point(&self) -> OperatingPoint {
        let shown = |selector: &LayerSelector| OperatingPoint {
            // A higher frame rate comes soon after it is wanted.
            temporal: selector.target().temporal,
            ..selector.current()
        };
        self.selector.as_deref().map_or(OperatingPoint::WHOLE, shown)
    }

    /// A larger layer of the stream is wanted than is shown; it begins with a keyframe.
    pub fn waits_for_layer(&self) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.waits())
    }

    /// Layers of the stream up to `point` are to be shown, of those up to `top` that it can have.
    pub fn set_point(&mut self, point: OperatingPoint, top: OperatingPoint) {
        if let Some(selector) = &mut self.selector {
            selector.set_target(point);
        } else if point != top
            && let Some(segment) = &self.segment
        {
            let next = segment.source_seq(self.written.next_seq);
            let selector = LayerSelector::new(top, point, next, Some(self.written.source_time));
            self.selector = Some(Box::new(selector));
        }
    }

    /// Goes on with another source, whose first packet is `packet`. `point`: up to which layers it is shown; None: all.
    pub fn switch(
        &mut self,
        source: Source,
        packet: &Packet,
        types: PayloadTypes,
        pace: Pace,
        point: Option<OperatingPoint>,
    ) {
        let elapsed = self
            .written
            .at
            .map(|at| self.step(at, packet.arrived, source.clock_rate));
        let descriptor = &packet.descriptor;
        self.selector = point.map(|point| Box::new(LayerSelector::new(point, point, packet.seq, None)));
        self.push(Segment {
            stream: source.stream,
            types,
            source_type: source.payload_type,
            first_seq: [packet.seq, self.written.next_seq],
            first_time: [packet.time, self.written.time.wrapping_add(elapsed.unwrap_or(0))],
            first_picture_id: [
                descriptor.picture_id.map_or(0, |id| id.value),
                self.written.picture_id.wrapping_add(1),
            ],
            first_tl0: [
                descriptor.tl0.map_or(0, |tl0| tl0.value),
                self.written.tl0.wrapping_add(1),
            ],
            first_frame: [
                packet.dependency.as_ref().map_or(0, |dependency| dependency.frame),
                self.written.frame.wrapping_add(1),
            ],
            speed: match pace {
                Pace::RealTime => 0,
                Pace::CatchUp => CATCH_UP,
            },
        });
        self.clock_rate = source.clock_rate;
    }

    /// Time is real again from the packet after `last` on, the last cached one.
    pub fn finish_catch_up(&mut self, last: &Packet) {
        let Some(segment) = self.segment else {
            return;
        };
        let seq = last.seq.next();
        let mut real = segment;
        real.speed = 0;
        real.first_seq = [seq, segment.slot_seq(seq).unwrap_or(self.written.next_seq)];
        // The next frame's distance from the last one is kept.
        real.first_time = [last.time, segment.time(last.time)];
        self.push(real);
    }

    /// The packet as the slot sends it. None: it is from before the switch (a late retransmission), of a layer that is not shown, or
    /// there was no switch.
    #[inline]
    pub fn rewrite(&mut self, packet: &Arc<Packet>) -> Option<Rewritten> {
        let segment = self.segment.as_ref()?;
        let mut rewritten = segment.rewrite(packet)?;
        if let Some(selector) = &mut self.selector {
            rewritten.lower(selector.take(packet)?);
        }
        let written = &mut self.written;
        if rewritten.seq >= written.next_seq {
            written.next_seq = rewritten.seq.next();
            written.time = rewritten.time;
            written.source_time = packet.time;
            written.at = Some(packet.arrived);
            written.captured = Some(packet.captured);
            if packet.descriptor.picture_id.is_some() {
                written.picture_id = rewritten.picture_id;
            }
            if packet.descriptor.tl0.is_some() {
                written.tl0 = rewritten.tl0;
            }
            if packet.dependency.is_some() {
                written.frame = rewritten.frame;
            }
        }
        Some(rewritten)
    }

    /// Which packet of which stream was sent with this sequence number. None for what was shown before the present stream: its
    /// keyframe made that useless, and on a narrow link retransmissions of a layer that was too large would keep the smaller one from
    /// coming through.
    pub fn origin(&self, on_wire: u16) -> Option<Origin> {
        let seq = SeqNo::up_to(self.written.next_seq.before(1)?, on_wire)?;
        let newest = self.segment.as_ref()?;
        let shown = newest.stream;
        let mut segments = iter::once(newest)
            .chain(self.past.iter().rev())
            .take_while(|segment| segment.stream == shown);
        let (segment, source) = match &self.selector {
            None => {
                let segment = segments.find(|segment| segment.first_seq[1] <= seq)?;
                (segment, segment.source_seq(seq))
            }
            // Numbers of the present stream are lowered by those of the layers that are not shown.
            Some(selector) => {
                let source = selector.source(newest.source_seq(seq))?;
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
            rewritten.lower(selector.renumber(packet)?);
        }
        Some(rewritten)
    }

    /// Payload type of padding on the RTX stream, when something has been sent that it can belong to.
    pub fn rtx_type(&self) -> Option<u8> {
        self.segment.as_ref()?.types.rtx
    }

    /// Timestamp of the last packet.
    pub fn last_time(&self) -> u32 {
        self.written.time
    }

    /// RTP time of `now`; None before the first packet.
    pub fn time_at(&self, now: Instant) -> Option<u32> {
        let captured = self.written.captured?;
        let since = now.saturating_duration_since(captured).as_secs_f64();
        let ticks = (since * f64::from(self.clock_rate)) as u64;
        Some(self.written.time.wrapping_add(ticks as u32))
    }

    /// Timestamp units from the last packet of one source, which came `before`, to the first of the next.
    fn step(&mut self, before: Instant, arrived: Instant, clock_rate: u32) -> u32 {
        let ticks = |time: Duration| (time.as_secs_f64() * f64::from(clock_rate)) as u32;
        let elapsed = ticks(arrived.saturating_duration_since(before));
        if self.kind == MediaKind::Video {
            return elapsed.max(1);
        }
        // Audio of the past takes its full time at the listener's; the next pause is shorter for it.
        let behind = ticks(before.saturating_duration_since(arrived));
        let step = elapsed.saturating_sub(self.ahead).max(AUDIO_STEP);
        self.ahead = (self.ahead + step + behind).saturating_sub(elapsed);
        step
    }

    fn push(&mut self, segment: Segment) {
        if self.past.len() == SEGMENTS - 1 {
            self.past.pop_front();
        }
        self.past.extend(self.segment.replace(segment));
    }
}
