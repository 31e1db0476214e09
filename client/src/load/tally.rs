//! Counts the packets that viewers received, per stream of a viewer and summed up per thread. Sans-IO.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use serde::Serialize;
use str0m::rtp::Ssrc;

use super::audience::AudienceTally;
use super::delay::Delays;
use super::schedule::Kind;
use super::sequence::{Arrival, Sequence};
use super::stamp::Stamp;

/// A video without a packet for longer than this is frozen.
const FREEZE: Duration = Duration::from_millis(500);

/// The measured time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub start: Instant,
    pub end: Instant,
}

impl Window {
    pub fn contains(&self, at: Instant) -> bool {
        (self.start..self.end).contains(&at)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Different packets that arrived before they were given up.
    pub delivered: u64,
    /// Missing for a second.
    pub lost: u64,
    pub duplicates: u64,
    /// Lost packets that arrived after all.
    pub too_late: u64,
    /// Bytes of the delivered payloads.
    pub payload_bytes: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.too_late += other.too_late;
        self.payload_bytes += other.payload_bytes;
    }
}

/// Counts and delays of one kind.
#[derive(Debug, Clone, Default)]
pub struct KindTally {
    pub counts: Counts,
    pub delays: Delays,
}

/// The packets that several viewers received in a span of time.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub video: KindTally,
    pub audio: KindTally,
    /// Number of times that a video stopped for more than half a second.
    pub freezes: u64,
    /// Packets without a stamp of this tool: somebody else publishes in the room.
    pub foreign: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in [(&mut self.video, &other.video), (&mut self.audio, &other.audio)] {
            mine.counts += others.counts;
            mine.delays.add(&others.delays);
        }
        self.freezes += other.freezes;
        self.foreign += other.foreign;
    }

    pub fn counts(&self) -> Counts {
        let mut sum = self.video.counts;
        sum += self.audio.counts;
        sum
    }

    fn of(&mut self, kind: Kind) -> &mut KindTally {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }
}

/// The tallies of one thread: of the current second, and of the measured time.
#[derive(Debug, Default)]
pub struct Meter {
    pub window: Option<Window>,
    pub second: Tally,
    pub measured: Tally,
    /// Packets that this thread's publishers sent in the measured time.
    pub sent: u64,
    /// Confirmed mutes and unmutes of this thread's publishers.
    pub mutes: u64,
    /// Turns to speak that this thread's publishers began in the measured time, each with its microphone published.
    pub turns: u64,
    /// Of the audience members that have left.
    pub audience: AudienceTally,
}

impl Meter {
    /// Whether `now` is in the measured time.
    pub fn measures(&self, now: Instant) -> bool {
        self.window.is_some_and(|window| window.contains(now))
    }

    /// Whether the measured time has passed.
    pub fn is_over(&self, now: Instant) -> bool {
        self.window.is_some_and(|window| window.end <= now)
    }

    pub fn count_sent(&mut self, now: Instant) {
        if self.measures(now) {
            self.sent += 1;
        }
    }

    fn count(&mut self, at: Instant, count: impl Fn(&mut Tally)) {
        count(&mut self.second);
        if self.measures(at) {
            count(&mut self.measured);
        }
    }
}

/// One viewer's streams.
#[derive(Debug)]
pub struct ViewerTally {
    epoch: Instant,
    streams: HashMap<Ssrc, Stream>,
}

#[derive(Debug)]
struct Stream {
    kind: Kind,
    sequence: Sequence,
    last_packet: Instant,
    motion: Motion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Motion {
    Moving,
    Frozen,
}

/// A packet as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    pub kind: Kind,
    pub ssrc: Ssrc,
    /// The extended sequence number.
    pub sequence: u64,
    pub payload: &'a [u8],
}

impl ViewerTally {
    /// `epoch`: the start of the stamps' time.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            streams: HashMap::new(),
        }
    }

    pub fn handle_packet(&mut self, now: Instant, packet: Received<'_>, meter: &mut Meter) {
        let Received {
            kind,
            ssrc,
            sequence,
            payload,
        } = packet;
        let stamp = match kind {
            Kind::Video => Stamp::of_vp8(payload),
            Kind::Audio => Stamp::of_opus(payload),
        };
        let Some(stamp) = stamp else {
            meter.count(now, |tally| tally.foreign += 1);
            return;
        };
        let stream = self.streams.entry(ssrc).or_insert_with(|| Stream {
            kind,
            sequence: Sequence::default(),
            last_packet: now,
            motion: Motion::Moving,
        });
        stream.check_freeze(now, meter);
        stream.last_packet = now;
        stream.motion = Motion::Moving;
        let arrival = stream.sequence.handle(now, sequence);
        let delay = now.saturating_duration_since(self.epoch + stamp.sent);
        meter.count(now, |tally| {
            let tally = tally.of(kind);
            match arrival {
                Arrival::Duplicate => tally.counts.duplicates += 1,
                Arrival::TooLate => tally.counts.too_late += 1,
                Arrival::New | Arrival::Filled => {
                    tally.counts.delivered += 1;
                    tally.counts.payload_bytes += payload.len() as u64;
                    tally.delays.record(delay);
                }
            }
        });
    }

    /// Notices missing packets. Call it a few times per second.
    pub fn handle_timeout(&mut self, now: Instant, meter: &mut Meter) {
        for stream in self.streams.values_mut() {
            stream.check_freeze(now, meter);
            let kind = stream.kind;
            stream.sequence.give_up(now, |noticed| {
                meter.count(noticed, |tally| tally.of(kind).counts.lost += 1);
            });
        }
    }

    /// True once a frame has arrived.
    pub fn has_video(&self) -> bool {
        self.streams.values().any(|stream| stream.kind == Kind::Video)
    }
}

impl Stream {
    /// Counts a freeze once, when it has lasted long enough.
    fn check_freeze(&mut self, now: Instant, meter: &mut Meter) {
        let frozen_at = self.last_packet + FREEZE;
        if self.kind == Kind::Video && self.motion == Motion::Moving && now > frozen_at {
            self.motion = Motion::Frozen;
            meter.count(frozen_at, |tally| tally.freezes += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::super::stamp::opus_payload;
    use super::*;

    /// One viewer measured from the start for 10 s.
    struct Viewing {
        start: Instant,
        tally: ViewerTally,
        meter: Meter,
    }

    impl Viewing {
        fn new() -> Self {
            let start = Clock.now();
            let end = start + Duration::from_secs(10);
            let meter = Meter {
                window: Some(Window { start, end }),
                ..Meter::default()
            };
            Self {
                start,
                tally: ViewerTally::new(start),
                meter,
            }
        }

        /// A video packet arrives `delay` ms after it was sent.
        fn video(&mut self, at: u64, delay: u64, sequence: u64) -> &mut Self {
            let stamp = Stamp {
                sent: Duration::from_millis(at - delay),
                publisher: 0,
                sequence: 0,
            };
            let packet = super::super::stamp::Vp8Packet {
                keyframe: false,
                first: true,
                picture_id: 0,
                tl0: 0,
                stamp,
            };
            let received = Received {
                kind: Kind::Video,
                ssrc: 1.into(),
                sequence,
                payload: &packet.payload(100),
            };
            let now = self.start + Duration::from_millis(at);
            self.tally.handle_packet(now, received, &mut self.meter);
            self
        }

        fn wait_until(&mut self, at: u64) -> &mut Self {
            let now = self.start + Duration::from_millis(at);
            self.tally.handle_timeout(now, &mut self.meter);
            self
        }
    }

    #[test]
    fn packets_losses_and_delays_are_counted() {
        let mut viewing = Viewing::new();
        viewing
            .video(100, 7, 1)
            .video(130, 7, 2)
            .video(160, 7, 4)
            .video(160, 7, 4);
        viewing.wait_until(1500);
        let video = &viewing.meter.measured.video;
        let counts = video.counts;
        assert_eq!((counts.delivered, counts.lost, counts.duplicates), (3, 1, 1));
        assert_eq!(counts.payload_bytes, 300);
        assert!((video.delays.summary().p50 - 7.0).abs() < 0.1);
    }

    #[test]
    fn only_the_window_is_measured_and_its_losses_are_found_after_it() {
        let mut viewing = Viewing::new();
        viewing.video(9_900, 5, 1).video(9_990, 5, 3);
        viewing.video(10_010, 5, 4).video(10_020, 5, 6);
        viewing.wait_until(12_000);
        let counts = viewing.meter.measured.video.counts;
        assert_eq!((counts.delivered, counts.lost), (2, 1));
        assert_eq!(viewing.meter.second.video.counts.delivered, 4);
    }

    #[test]
    fn a_video_without_packets_is_one_freeze_however_long() {
        let mut viewing = Viewing::new();
        viewing.video(100, 5, 1).wait_until(500).wait_until(700).wait_until(900);
        viewing.video(2_000, 5, 2).video(2_400, 5, 3);
        assert_eq!(viewing.meter.measured.freezes, 1);
        viewing.video(3_000, 5, 4);
        assert_eq!(viewing.meter.measured.freezes, 2, "also noticed by the next packet");
    }

    #[test]
    fn media_of_others_is_counted_separately() {
        let mut viewing = Viewing::new();
        let (stamp, now) = (
            Stamp {
                sent: Duration::ZERO,
                publisher: 0,
                sequence: 0,
            },
            viewing.start,
        );
        for payload in [opus_payload(stamp, 80), vec![0xf8; 80]] {
            let received = Received {
                kind: Kind::Audio,
                ssrc: 2.into(),
                sequence: 1,
                payload: &payload,
            };
            viewing.tally.handle_packet(now, received, &mut viewing.meter);
        }
        assert_eq!(viewing.meter.measured.foreign, 1);
        assert_eq!(viewing.meter.measured.audio.counts.delivered, 1);
        assert!(!viewing.tally.has_video());
    }
}
