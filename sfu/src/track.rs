//! What a publisher sends of one source: its streams (one, or a simulcast layer each), and who watches.

use std::time::{Duration, Instant};

use rotunda_proto::ids::TrackSource;
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Mid, Rid};

use crate::allocator::Layer;
use crate::packet::{History, StreamId};
use crate::worker::Pending;

/// Packets of a stream that can be sent again: video at 500 a second two seconds, sound at 50 a second one.
const VIDEO_HISTORY: usize = 1024;
const AUDIO_HISTORY: usize = 64;
/// At most one key frame request in this time reaches the publisher, however many viewers ask.
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(1);
/// A layer that has sent nothing for this time is not one to switch to.
const STALL: Duration = Duration::from_secs(1);
/// The bitrate is measured over this time.
const METER: Duration = Duration::from_millis(500);

/// A slot of a session that is to show a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    pub session: usize,
    pub slot: usize,
}

#[derive(Debug)]
pub struct Track {
    pub session: usize,
    pub source: TrackSource,
    pub streams: Vec<StreamId>,
    pub viewers: Vec<Viewer>,
    /// What the viewers have not been given yet.
    pub pending: Vec<Pending>,
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
    pub last_packet: Instant,
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
            last_packet: now,
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

    pub fn handle_packet(&mut self, now: Instant, bytes: usize) {
        self.last_packet = now;
        self.meter.add(now, bytes);
    }

    pub fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_packet) < STALL
    }

    pub fn layer(&self, id: StreamId) -> Layer {
        Layer {
            stream: id,
            bitrate: self.meter.bitrate,
            height: self.height,
        }
    }

    /// Place among the layers, lowest first: by height where it is known, else by the usual names.
    pub fn rank(&self) -> (u16, u8) {
        let name = match self.rid.as_deref() {
            Some("q" | "l") => 0,
            Some("h" | "m") => 1,
            _ => 2,
        };
        (self.height.unwrap_or(0), name)
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
