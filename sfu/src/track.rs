//! What a publisher sends of one source: its streams (one, or a simulcast layer each), and who watches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::ids::{RoomKey, TrackSource, UserId};
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Mid, Rid};

use crate::allocator::Layer;
use crate::demand::Demand;
use crate::layers::Layers;
use crate::packet::{History, Packet, StreamId};
use crate::wire::dependency::Structure;
use crate::wire::descriptor::SPATIAL_LAYERS;
use crate::wire::layers::Point;
use crate::worker::Pending;

/// Packets of a stream that can be sent again: video at 500 a second two seconds, sound at 50 a second one.
const VIDEO_HISTORY: usize = 1024;
const AUDIO_HISTORY: usize = 64;
/// At most one key frame request in this time reaches the publisher, however many viewers ask.
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(1);
/// A layer that has sent nothing for this time is not one to switch to.
const STALL: Duration = Duration::from_secs(1);
/// Packets overtake each other by less than this.
const OVERTAKEN: Duration = Duration::from_millis(15);
/// What a viewer is sent beside each payload, bytes: RTP header, its extensions, the tag. His link's estimate counts them too.
const BESIDE_PAYLOAD: usize = 40;
/// The bitrate is measured over this time.
const METER: Duration = Duration::from_millis(500);

/// A slot of a session that is to show a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    pub session: usize,
    pub slot: usize,
}

/// A stream that is watched, up to this spatial layer of those inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    pub stream: StreamId,
    pub spatial: u8,
}

#[derive(Debug)]
pub struct Track {
    pub publisher: Publisher,
    pub room: RoomKey,
    pub source: TrackSource,
    pub streams: Vec<StreamId>,
    pub viewers: Vec<Viewer>,
    /// What the viewers have not been given yet.
    pub pending: Vec<Pending>,
    /// Workers that have a replica.
    pub neighbours: Vec<usize>,
    /// Layers that replicas' viewers watch, by worker.
    pub watched_there: Vec<(usize, Vec<Watched>)>,
    /// Of a replica: what its publisher's worker was told so.
    pub told_watched: Vec<Watched>,
}

/// Who sends a track.
#[derive(Debug)]
pub enum Publisher {
    /// A session of this worker.
    Here(usize),
    There(Replica),
}

/// What is known of a publisher at another worker of the node.
#[derive(Debug)]
pub struct Replica {
    pub worker: usize,
    /// There.
    pub track: usize,
    pub user: UserId,
    /// Whether he may send it.
    pub permitted: bool,
}

impl Track {
    pub fn new(publisher: Publisher, room: RoomKey, source: TrackSource) -> Self {
        Self {
            publisher,
            room,
            source,
            streams: Vec::new(),
            viewers: Vec::new(),
            pending: Vec::new(),
            neighbours: Vec::new(),
            watched_there: Vec::new(),
            told_watched: Vec::new(),
        }
    }
}

/// Of a stream's pictures, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub struct Heights {
    whole: Option<u16>,
    /// Of its spatial layers; 0: not known.
    inside: Option<[u16; SPATIAL_LAYERS]>,
}

/// One RTP stream of a publisher.
#[derive(Debug)]
pub struct Stream {
    pub track: usize,
    pub mid: Mid,
    pub rid: Option<Rid>,
    pub params: PayloadParams,
    pub history: History,
    pub height: Option<u16>,
    /// The newest structure of its dependency descriptors.
    pub structure: Option<Arc<Structure>>,
    pub layers: Option<Box<Layers>>,
    pub last_packet: Instant,
    pub demand: Demand,
    pub counts: Counts,
    /// Milliseconds there and back (RFC 3611 §4.5), of publishers that answer such reports.
    pub round_trip: Option<u32>,
    jitter: Jitter,
    meter: Meter,
    keyframe: KeyframeRequest,
}

impl Stream {
    pub fn new(now: Instant, track: usize, mid: Mid, rid: Option<Rid>, params: PayloadParams) -> Self {
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
            counts: Counts::default(),
            round_trip: None,
            jitter: Jitter::default(),
            meter: Meter::new(now),
            keyframe: KeyframeRequest::default(),
        }
    }

    pub fn codec(&self) -> Codec {
        self.params.spec().codec
    }

    pub fn clock_rate(&self) -> u32 {
        self.params.spec().clock_rate.get()
    }

    /// A new packet, which is in the history already.
    pub fn handle_packet(&mut self, now: Instant, packet: &Packet) {
        let bytes = packet.payload.len();
        if !self.is_alive(now) {
            self.meter.restart(now);
            self.jitter.prior = None;
            let is_cut = packet
                .seq
                .checked_sub(1)
                .is_some_and(|before| self.history.get(before).is_none());
            if is_cut && self.counts.packets > 0 {
                // The publisher was cut off: what he was asked for meanwhile has not reached him.
                self.keyframe.wanted = true;
                self.keyframe.asked_at = None;
            }
        }
        self.last_packet = now;
        self.counts.packets += 1;
        self.counts.bytes += bytes as u64;
        if self.history.newest() == Some(packet.seq) {
            self.jitter
                .add(packet.arrived, packet.time, self.params.spec().clock_rate.get());
        } else if self.came_by_resending(packet) {
            self.counts.resent += 1;
        }
        let bytes = bytes + BESIDE_PAYLOAD;
        self.meter.add(now, bytes);
        if let Some(layer) = packet.descriptor.layer {
            let layers = self.layers.get_or_insert_with(|| Box::new(Layers::new(now)));
            layers.add(now, layer.point, bytes, packet.descriptor.heights);
        }
    }

    /// A packet that comes so long after its successors was not overtaken on the way, but lost and sent again.
    fn came_by_resending(&self, packet: &Packet) -> bool {
        let mut after = (packet.seq + 1..packet.seq + 8).filter_map(|seq| self.history.get(seq));
        after
            .next()
            .is_some_and(|next| packet.arrived.saturating_duration_since(next.arrived) > OVERTAKEN)
    }

    pub fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_packet) < STALL
    }

    /// Interarrival jitter.
    pub fn jitter_milliseconds(&self) -> u32 {
        (self.jitter.seconds * 1000.0).round() as u32
    }

    /// Packets between the first and the newest that never came, resent or not.
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.counts.packets)
    }

    /// Packets that the publisher has sent, by their numbers (RFC 3550 A.3).
    fn expected(&self) -> u64 {
        let ends = self.history.newest().zip(self.history.first());
        ends.map_or(0, |(newest, first)| newest - first + 1)
    }

    /// What has come since the last call.
    pub fn since_last(&mut self) -> Window {
        let at_once = self.counts.packets - self.counts.resent;
        let now = [self.counts.packets, self.counts.bytes, self.expected(), at_once];
        let before = std::mem::replace(&mut self.counts.before, now);
        // What came by resending was missing in the window before, perhaps.
        let [packets, bytes, expected, at_once] = std::array::from_fn(|which| now[which] - before[which]);
        let lost = expected.saturating_sub(at_once);
        Window {
            packets,
            bytes,
            loss: (lost * 100).checked_div(expected).unwrap_or(0) as u8,
        }
    }

    /// How many key frames the publisher was asked for.
    pub fn keyframe_requests(&self) -> u32 {
        self.keyframe.made
    }

    /// What can be chosen of the stream, lowest first. `is_lowest`: there is no smaller stream of the same source, so that
    /// what is too much for a link is sent with fewer pictures.
    pub fn choices(&self, id: StreamId, is_lowest: bool) -> Vec<Layer> {
        let top = self.top();
        let whole = Layer {
            stream: id,
            point: top,
            bitrate: self.meter.bitrate,
            height: self.height_of(top),
        };
        match &self.layers {
            Some(layers) => layers.choices(whole, is_lowest),
            None => vec![whole],
        }
    }

    /// The highest layers that it has now.
    pub fn top(&self) -> Point {
        self.layers.as_ref().map_or(Point::default(), |layers| layers.top())
    }

    /// What its publisher is asked for: the stream (0), and the spatial layers inside above the lowest.
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
                let layers = self.layers.get_or_insert_with(|| Box::new(Layers::new(now)));
                layers.set_demand(above, demand);
            }
        }
    }

    /// The highest layers that it could have.
    pub fn reach(&self) -> Point {
        self.layers.as_ref().map_or(Point::default(), |layers| layers.reach())
    }

    /// Its publisher is told to pause this.
    pub fn is_off(&self, point: Point) -> bool {
        let layers = self.layers.as_ref();
        self.demand.is_off() || layers.is_some_and(|layers| layers.is_off(point.spatial))
    }

    /// Layers up to `point` come with a key frame of themselves when they are woken.
    pub fn sleeps(&self, point: Point) -> bool {
        let layers = self.layers.as_ref();
        layers.is_some_and(|layers| layers.sleeps(point.spatial))
    }

    /// Picture height of what is shown up to `point`.
    pub fn height_of(&self, point: Point) -> Option<u16> {
        let layers = self.layers.as_ref();
        layers.and_then(|layers| layers.height(point.spatial)).or(self.height)
    }

    /// Puts streams of one source in order, the smallest first: by height if all are known, else by the usual names.
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

    /// Of a replica that has just been made.
    pub fn set_heights(&mut self, now: Instant, heights: &Heights) {
        self.height = heights.whole;
        if let Some(inside) = heights.inside {
            let layers = self.layers.get_or_insert_with(|| Box::new(Layers::new(now)));
            layers.set_heights(inside);
        }
    }

    /// A key frame is needed: answers whether to ask the publisher now. A request that came too early is made later
    /// ([`due_keyframe_request`](Self::due_keyframe_request)).
    pub fn want_keyframe(&mut self, now: Instant) -> bool {
        self.keyframe.wanted = true;
        self.due_keyframe_request(now)
    }

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

    /// A key frame has come: what was wanted is there.
    pub fn keyframe_came(&mut self) {
        self.keyframe.wanted = false;
    }
}

#[derive(Debug, Default)]
struct KeyframeRequest {
    wanted: bool,
    asked_at: Option<Instant>,
    made: u32,
}

/// New packets since the stream began, and where they stood when they were last looked at.
#[derive(Debug, Default)]
pub struct Counts {
    pub packets: u64,
    /// Of payload.
    pub bytes: u64,
    /// Of the packets, those that came by resending.
    resent: u64,
    /// Packets, bytes, expected packets, and those that came at once.
    before: [u64; 4],
}

/// What has come of a stream in some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub packets: u64,
    pub bytes: u64,
    /// Percent lost at the first sending.
    pub loss: u8,
}

/// Interarrival jitter (RFC 3550 A.8) of the first packets of frames: how far the rest of a frame is behind says how large it
/// is. What was sent again is left out, which is why `str0m`'s figure is of no use: browsers probe by resending.
#[derive(Debug, Default)]
struct Jitter {
    seconds: f64,
    prior: Option<(Instant, u32)>,
}

impl Jitter {
    fn add(&mut self, arrived: Instant, time: u32, clock_rate: u32) {
        if let Some((at, before)) = self.prior {
            if before == time {
                return;
            }
            let ticks = f64::from(time.wrapping_sub(before) as i32);
            let elapsed = arrived.saturating_duration_since(at).as_secs_f64();
            self.seconds += ((elapsed - ticks / f64::from(clock_rate)).abs() - self.seconds) / 16.0;
        }
        self.prior = Some((arrived, time));
    }
}

#[derive(Debug)]
struct Meter {
    since: Instant,
    bytes: usize,
    /// Bits a second; 0: not known yet.
    bitrate: u64,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            bitrate: 0,
        }
    }

    /// After a pause: what was measured before holds until something newer is.
    fn restart(&mut self, now: Instant) {
        self.since = now;
        self.bytes = 0;
    }

    fn add(&mut self, now: Instant, bytes: usize) {
        self.bytes += bytes;
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= METER {
            let measured = (self.bytes as f64 * 8.0 / elapsed.as_secs_f64()) as u64;
            self.bitrate = if self.bitrate == 0 {
                measured
            } else {
                (self.bitrate + measured) / 2
            };
            self.since = now;
            self.bytes = 0;
        }
    }
}
