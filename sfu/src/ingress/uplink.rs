//! The uplink of a session: what it may send, and the tracks and streams of what it sends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use rotunda_proto::ids::TrackSource;
use str0m::media::Mid;
use str0m::rtp::Ssrc;
use str0m::rtp::rtcp::SenderInfo;

use super::capture_clock::CaptureClock;
use super::packet::StreamId;
use crate::slab::TrackIndex;

/// RTP streams of one publisher: microphone, and three layers of camera and screen. Beyond it the stream that was silent longest
/// is forgotten, as its sender began anew.
const MOST_STREAMS: usize = 16;
/// Viewers of a publisher's layers are counted so often.
const LAYER_INTERVAL: Duration = Duration::from_millis(500);

pub struct Uplink {
    /// Of the session's send lines.
    sources: HashMap<Mid, TrackSource>,
    /// Made with the session.
    tracks: HashMap<TrackSource, TrackIndex>,
    streams: HashMap<Ssrc, StreamId>,
    clock: CaptureClock,
    permitted: BTreeSet<TrackSource>,
    /// When its layers' viewers are counted next.
    layers_at: Instant,
    /// Other workers may know of the tracks.
    announced: bool,
    /// The client retransmits audio when it gets a NACK.
    audio_nack: bool,
}

impl Uplink {
    pub fn new(now: Instant, sources: HashMap<Mid, TrackSource>, audio_nack: bool) -> Self {
        Self {
            sources,
            tracks: HashMap::new(),
            streams: HashMap::new(),
            clock: CaptureClock::default(),
            permitted: BTreeSet::new(),
            layers_at: now,
            announced: false,
            audio_nack,
        }
    }

    pub fn sources(&self) -> Vec<TrackSource> {
        self.sources.values().copied().collect()
    }

    pub fn source_of(&self, line: Mid) -> Option<TrackSource> {
        self.sources.get(&line).copied()
    }

    pub fn set_track(&mut self, source: TrackSource, track: TrackIndex) {
        self.tracks.insert(source, track);
    }

    pub fn track(&self, source: TrackSource) -> Option<TrackIndex> {
        self.tracks.get(&source).copied()
    }

    pub fn tracks(&self) -> impl Iterator<Item = (TrackSource, TrackIndex)> {
        self.tracks.iter().map(|(source, track)| (*source, *track))
    }

    /// From now on these sources may be sent, and no other. Answers whether that is a change.
    pub fn permit(&mut self, sources: BTreeSet<TrackSource>) -> bool {
        let is_new = self.permitted != sources;
        self.permitted = sources;
        is_new
    }

    #[inline]
    pub fn may_send(&self, source: TrackSource) -> bool {
        self.permitted.contains(&source)
    }

    pub fn nacks_audio(&self) -> bool {
        self.audio_nack
    }

    #[inline]
    pub fn stream(&self, ssrc: Ssrc) -> Option<StreamId> {
        self.streams.get(&ssrc).copied()
    }

    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.values().copied()
    }

    pub fn is_sending(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Answers the stream that is forgotten for it, if there are too many. `last_packet`: of a stream.
    pub fn add_stream(
        &mut self,
        ssrc: Ssrc,
        stream: StreamId,
        last_packet: impl Fn(StreamId) -> Option<Instant>,
    ) -> Option<StreamId> {
        let silent = self.streams.iter().min_by_key(|(_, id)| last_packet(**id));
        let forgotten = silent
            .map(|(ssrc, id)| (*ssrc, *id))
            .filter(|_| self.streams.len() >= MOST_STREAMS);
        if let Some((silent, _)) = forgotten {
            self.streams.remove(&silent);
            self.clock.forget(silent);
        }
        self.streams.insert(ssrc, stream);
        forgotten.map(|(_, id)| id)
    }

    pub fn handle_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        self.clock.handle_report(now, info);
    }

    /// As [`CaptureClock::capture_time`].
    pub fn capture_time(&mut self, ssrc: Ssrc, rtp: u32, clock_rate: u32, arrival: Instant) -> Instant {
        self.clock.capture_time(ssrc, rtp, clock_rate, arrival)
    }

    /// Whether it is time to count the viewers of its layers.
    pub fn poll_layers(&mut self, now: Instant) -> bool {
        let due = self.is_sending() && now >= self.layers_at;
        if due {
            self.layers_at = now + LAYER_INTERVAL;
        }
        due
    }

    /// Other workers may know of the tracks.
    pub fn is_announced(&self) -> bool {
        self.announced
    }

    pub fn set_announced(&mut self) {
        self.announced = true;
    }
}
