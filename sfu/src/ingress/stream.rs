//! One RTP stream of a publisher: its history, what is measured of it, and when its publisher is asked for a keyframe.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::format::{Codec, PayloadParams};
use str0m::media::{Mid, Rid};

use super::demand::Demand;
use super::layer::Layer;
use super::meters::{Jitter, Meter};
use super::packet::{History, Packet, StreamId};
use super::stream_layers::StreamLayers;
use crate::slab::TrackIndex;
use crate::units::Bitrate;
use crate::wire::dependency::Structure;
use crate::wire::descriptor::SPATIAL_LAYERS;
use crate::wire::layers::OperatingPoint;

/// Packets of a stream that can be sent again: two seconds of video at 500 a second, one second of audio at 50 a second.
const VIDEO_HISTORY: usize = 1024;
const AUDIO_HISTORY: usize = 64;
/// A publisher gets at most one keyframe request (PLI) in this time, however many viewers need one.
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(1);
/// A layer that has sent nothing for this time is not one to switch to.
const STALL: Duration = Duration::from_secs(1);
/// Packets overtake each other by less than this.
const OVERTAKEN: Duration = Duration::from_millis(15);
/// Bytes that a viewer is sent beside each payload: RTP header, its extensions, the tag. The estimate of the link counts them too.
const BESIDE_PAYLOAD: usize = 40;

/// Heights of a stream's frames, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub struct Heights {
    whole: Option<u16>,
    /// Of its spatial layers; 0: not known.
    inside: Option<[u16; SPATIAL_LAYERS]>,
}

impl Heights {
    pub fn new(whole: Option<u16>, inside: Option<[u16; SPATIAL_LAYERS]>) -> Self {
        Self { whole, inside }
    }

    pub fn whole(&self) -> Option<u16> {
        self.whole
    }

    pub fn inside(&self) -> Option<[u16; SPATIAL_LAYERS]> {
        self.inside
    }
}

/// Where a replica's stream is barred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Barred {
    /// By this worker.
    pub here: bool,
    /// By a worker before it on the way from the publisher.
    pub before: bool,
}

/// One RTP stream of a publisher, or the replica of one.
#[derive(Debug)]
pub struct Stream {
    track: TrackIndex,
    mid: Mid,
    rid: Option<Rid>,
    params: PayloadParams,
    history: History,
    height: Option<u16>,
    /// The newest structure of its dependency descriptors.
    structure: Option<Arc<Structure>>,
    layers: Option<Box<StreamLayers>>,
    last_packet: Instant,
    demand: Demand,
    /// Of a replica: a link on its way does not carry it.
    barred: Barred,
    counts: Counts,
    /// Milliseconds (RFC 3611 §4.5), of publishers that answer such reports.
    round_trip: Option<u32>,
    jitter: Jitter,
    meter: Meter,
    keyframe: KeyframeRequest,
}

impl Stream {
    pub fn new(now: Instant, track: TrackIndex, mid: Mid, rid: Option<Rid>, params: PayloadParams) -> Self {
        let capacity = if params.spec().codec.is_audio() {
            AUDIO_HISTORY
        } else {
            VIDEO_HISTORY
        };
        Self {
            track,
            mid,
            rid,
            params,
            history: History::new(capacity),
            height: None,
            structure: None,
            layers: None,
            last_packet: now,
            demand: Demand::Unwatched { since: now },
            barred: Barred::default(),
            counts: Counts::default(),
            round_trip: None,
            jitter: Jitter::default(),
            meter: Meter::new(now),
            keyframe: KeyframeRequest::default(),
        }
    }

    pub fn track(&self) -> TrackIndex {
        self.track
    }

    pub fn mid(&self) -> Mid {
        self.mid
    }

    pub fn rid(&self) -> Option<Rid> {
        self.rid
    }

    pub fn params(&self) -> PayloadParams {
        self.params
    }

    /// The publisher goes on with another codec.
    pub fn set_params(&mut self, params: PayloadParams) {
        self.params = params;
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn height(&self) -> Option<u16> {
        self.height
    }

    pub fn structure(&self) -> Option<&Arc<Structure>> {
        self.structure.as_ref()
    }

    pub fn has_layers(&self) -> bool {
        self.layers.is_some()
    }

    pub fn layers(&self) -> Option<&StreamLayers> {
        self.layers.as_deref()
    }

    pub fn layers_mut(&mut self) -> Option<&mut StreamLayers> {
        self.layers.as_deref_mut()
    }

    pub fn last_packet(&self) -> Instant {
        self.last_packet
    }

    /// Whether the publisher is asked for the stream.
    pub fn demand(&self) -> Demand {
        self.demand
    }

    pub fn update_demand(&mut self, now: Instant, watched: bool) {
        self.demand.update(now, watched, self.last_packet);
    }

    /// Whether a link between nodes does not carry it, so that it cannot be had.
    pub fn is_barred(&self) -> bool {
        self.barred.here || self.barred.before
    }

    pub fn barred_mut(&mut self) -> &mut Barred {
        &mut self.barred
    }

    /// As it was measured last; 0: nothing comes.
    pub fn bitrate(&self, now: Instant) -> Bitrate {
        if self.is_alive(now) {
            self.meter.bitrate()
        } else {
            Bitrate::ZERO
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn round_trip(&self) -> Option<u32> {
        self.round_trip
    }

    pub fn set_round_trip(&mut self, round_trip: Option<Duration>) {
        self.round_trip = round_trip.map(|time| time.as_millis() as u32);
    }

    pub fn codec(&self) -> Codec {
        self.params.spec().codec
    }

    pub fn clock_rate(&self) -> u32 {
        self.params.spec().clock_rate.get()
    }

    /// Takes a packet into the history. Answers what is new by it; None: the packet was there already, or is too old.
    pub fn handle_packet(&mut self, now: Instant, packet: &Arc<Packet>) -> Option<Inserted> {
        if !self.history.insert(packet) {
            return None;
        }
        self.measure(now, packet);
        let structure = packet
            .dependency
            .as_ref()
            .filter(|dependency| dependency.carries_structure);
        if let Some(dependency) = structure
            && self.history.newest() == Some(packet.seq)
        {
            self.structure = Some(Arc::clone(&dependency.structure));
        }
        let mut inserted = Inserted::Packet;
        if packet.descriptor.starts_keyframe {
            self.keyframe.wanted = false;
            if packet.descriptor.height.is_some() && packet.descriptor.height != self.height {
                self.height = packet.descriptor.height;
                inserted = Inserted::OtherHeight;
            }
        }
        Some(inserted)
    }

    fn measure(&mut self, now: Instant, packet: &Packet) {
        let bytes = packet.payload.len();
        if !self.is_alive(now) {
            self.meter.restart(now);
            self.jitter.restart();
            let before = packet.seq.before(1);
            let is_cut = before.is_some_and(|before| self.history.get(before).is_none());
            if is_cut && self.counts.packets > 0 {
                // The publisher was cut off: requests of that time have not reached it.
                self.keyframe.wanted = true;
                self.keyframe.asked_at = None;
            }
        }
        self.last_packet = now;
        self.counts.packets += 1;
        self.counts.bytes += bytes as u64;
        if self.history.newest() == Some(packet.seq) {
            let clock_rate = self.params.spec().clock_rate.get();
            if self.jitter.add(packet.arrived, packet.time, clock_rate) {
                self.counts.frames += 1;
            }
        } else if self.is_retransmission(packet) {
            self.counts.resent += 1;
        }
        let bytes = bytes + BESIDE_PAYLOAD;
        self.meter.add(now, bytes);
        if let Some(layer) = packet.descriptor.layer {
            let layers = self.layers.get_or_insert_with(|| Box::new(StreamLayers::new(now)));
            layers.add(now, layer.point, bytes, packet.descriptor.heights);
        }
    }

    /// A packet that comes so long after its successors was not overtaken on the way, but lost and sent again.
    fn is_retransmission(&self, packet: &Packet) -> bool {
        let mut after = (1..8).filter_map(|distance| self.history.get(packet.seq.after(distance)));
        after
            .next()
            .is_some_and(|next| packet.arrived.saturating_duration_since(next.arrived) > OVERTAKEN)
    }

    pub fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_packet) < STALL
    }

    /// Interarrival jitter.
    pub fn jitter_milliseconds(&self) -> u32 {
        self.jitter.milliseconds()
    }

    /// Packets between the first and the newest that never came, retransmissions included.
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.counts.packets)
    }

    /// Packets that the publisher has sent, by their sequence numbers (RFC 3550 A.3).
    fn expected(&self) -> u64 {
        let ends = self.history.newest().zip(self.history.first());
        let distance = ends.and_then(|(newest, first)| newest.distance_from(first));
        distance.map_or(0, |distance| distance + 1)
    }

    /// Counts since the last call.
    pub fn since_last(&mut self) -> Window {
        let at_once = self.counts.packets - self.counts.resent;
        let now = [
            self.counts.packets,
            self.counts.bytes,
            self.expected(),
            at_once,
            self.counts.frames,
        ];
        let before = std::mem::replace(&mut self.counts.before, now);
        // A retransmission may have been missing in the window before.
        let [packets, bytes, expected, at_once, frames] = std::array::from_fn(|which| now[which] - before[which]);
        let lost = expected.saturating_sub(at_once);
        Window {
            packets,
            bytes,
            frames,
            loss: (lost * 100).checked_div(expected).unwrap_or(0) as u8,
        }
    }

    /// Keyframe requests that the publisher was sent.
    pub fn keyframe_requests(&self) -> u32 {
        self.keyframe.made
    }

    /// The layers of the stream that can be chosen, lowest first. `is_lowest`: there is no smaller stream of the same source, so that a narrow
    /// link is sent fewer frames.
    pub fn choices(&self, id: StreamId, is_lowest: bool) -> Vec<Layer> {
        let top = self.top();
        let whole = Layer {
            stream: id,
            point: top,
            bitrate: self.meter.bitrate(),
            height: self.height_of(top),
        };
        match &self.layers {
            Some(layers) => layers.choices(whole, is_lowest),
            None => vec![whole],
        }
    }

    /// The highest layers that it has now.
    pub fn top(&self) -> OperatingPoint {
        self.layers
            .as_ref()
            .map_or(OperatingPoint::default(), |layers| layers.top())
    }

    /// The layers that its publisher is asked for: the stream (0), and the spatial layers above the lowest that are inside it.
    pub fn demands(&self) -> impl Iterator<Item = (u8, Demand)> + use<> {
        let inside = self.layers.as_ref().map(|layers| layers.demands());
        let inside = inside.into_iter().flatten().zip(0..).skip(1);
        let inside = inside.map(|(demand, spatial)| (spatial, demand));
        std::iter::once((0, self.demand)).chain(inside)
    }

    /// As [`demands`](Self::demands) has it.
    pub fn set_demand(&mut self, now: Instant, spatial: u8, demand: Demand) {
        match spatial {
            0 => self.demand = demand,
            above => {
                let layers = self.layers.get_or_insert_with(|| Box::new(StreamLayers::new(now)));
                layers.set_demand(above, demand);
            }
        }
    }

    /// The highest layers that it could have.
    pub fn reach(&self) -> OperatingPoint {
        self.layers
            .as_ref()
            .map_or(OperatingPoint::default(), |layers| layers.reach())
    }

    /// The publisher has been told to pause this.
    pub fn is_off(&self, point: OperatingPoint) -> bool {
        let layers = self.layers.as_ref();
        self.demand.is_off() || layers.is_some_and(|layers| layers.is_off(point.spatial))
    }

    /// Layers up to `point` are paused; when they are woken they begin with a keyframe, without being asked for one.
    pub fn sleeps(&self, point: OperatingPoint) -> bool {
        let layers = self.layers.as_ref();
        layers.is_some_and(|layers| layers.sleeps(point.spatial))
    }

    /// Height of the frames that are shown up to `point`.
    pub fn height_of(&self, point: OperatingPoint) -> Option<u16> {
        let layers = self.layers.as_ref();
        layers.and_then(|layers| layers.height(point.spatial)).or(self.height)
    }

    /// Sorts streams of one source, the smallest first: by height if all are known, else by the usual rids.
    pub fn sort_by_size(streams: &mut [(StreamId, &Self)]) {
        let are_known = streams.iter().all(|(_, stream)| stream.height.is_some());
        let name = |stream: &Self| match stream.rid.as_deref() {
            Some("q" | "l") => 0,
            Some("h" | "m") => 1,
            _ => 2,
        };
        streams.sort_by_key(|(id, stream)| (stream.height.filter(|_| are_known), name(stream), *id));
    }

    pub fn heights(&self) -> Heights {
        Heights {
            whole: self.height,
            inside: self.layers.as_ref().map(|layers| layers.heights()),
        }
    }

    /// Of a new replica: what its publisher's worker knows.
    pub fn set_heights(&mut self, now: Instant, heights: &Heights) {
        self.height = heights.whole;
        if let Some(inside) = heights.inside {
            let layers = self.layers.get_or_insert_with(|| Box::new(StreamLayers::new(now)));
            layers.set_heights(inside);
        }
    }

    /// A viewer needs a keyframe: answers whether to ask the publisher now. A request that comes too early is made later
    /// ([`due_keyframe_request`](Self::due_keyframe_request)).
    pub fn want_keyframe(&mut self, now: Instant) -> bool {
        self.keyframe.wanted = true;
        self.due_keyframe_request(now)
    }

    /// Whether to ask the publisher now for a keyframe that is still needed.
    pub fn due_keyframe_request(&mut self, now: Instant) -> bool {
        let asked_lately = self
            .keyframe
            .asked_at
            .is_some_and(|at| now.saturating_duration_since(at) < KEYFRAME_INTERVAL);
        if !self.keyframe.wanted || asked_lately || self.codec().is_audio() {
            return false;
        }
        self.keyframe = KeyframeRequest {
            wanted: false,
            asked_at: Some(now),
            made: self.keyframe.made + 1,
        };
        true
    }
}

/// The effects of a new packet on its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    Packet,
    /// The frames have another height from this keyframe on.
    OtherHeight,
}

#[derive(Debug, Default)]
struct KeyframeRequest {
    wanted: bool,
    asked_at: Option<Instant>,
    made: u32,
}

/// New packets since the stream began, and the counts at the last look.
#[derive(Debug, Default)]
pub struct Counts {
    packets: u64,
    /// Of payload.
    bytes: u64,
    /// Of the packets, the retransmissions.
    resent: u64,
    /// Frames that have begun, by their RTP timestamps.
    frames: u64,
    /// Packets, bytes, expected packets, packets that came at their first sending, and frames.
    before: [u64; 5],
}

impl Counts {
    pub fn packets(&self) -> u64 {
        self.packets
    }
}

/// The packets of a stream between two measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub packets: u64,
    pub bytes: u64,
    pub frames: u64,
    /// Percent lost at the first sending.
    pub loss: u8,
}
