//! Decides which packet a publisher sends when: frames are evenly spread in time, each publisher with its own
//! phase. Sans-IO.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::plan::{Flow, Plan};
use super::stamp::{Stamp, Vp8Packet, opus_payload};
use super::turns::{Turns, Voice};

/// A sender that is further behind than this skips the missed packets instead of sending them in a burst.
const GIVE_UP_BEHIND: Duration = Duration::from_millis(500);
/// At most one frame in this time is a keyframe on request.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
/// Loudness of speech and of an open microphone without speech, dBov.
const SPEECH_DBOV: i8 = -30;
const BREATH_DBOV: i8 = -80;
const VIDEO_CLOCK: f64 = 90_000.0;
const AUDIO_CLOCK: f64 = 48_000.0;
/// The fractional part of the golden ratio: any number of its multiples is spread evenly.
const SPREAD: f64 = 0.618_033_988_749_895;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Video,
    Audio,
}

/// An RTP packet to send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub kind: Kind,
    pub sequence: u64,
    /// RTP time.
    pub time: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    /// Audio only: loudness, dBov (RFC 6464).
    pub level_dbov: Option<i8>,
}

/// One publisher's packets.
#[derive(Debug)]
pub struct Schedule {
    publisher: u32,
    epoch: Instant,
    video: Flow,
    frame_packets: u32,
    frames: Pace,
    audio: Option<(Flow, Pace)>,
    turns: Option<Turns>,
    keyframe_every: Duration,
    last_keyframe: Option<Instant>,
    keyframe_asked: bool,
    sent_video: u32,
    sent_audio: u32,
    ready: VecDeque<Packet>,
}

impl Schedule {
    /// `epoch`: the start of the stamps' time. The first packets are due within one interval from `now`.
    pub fn new(now: Instant, epoch: Instant, plan: &Plan, publisher: u32) -> Self {
        let phase = f64::from(publisher) * SPREAD % 1.0;
        let audio = (plan.audio.packets_per_second > 0).then(|| {
            let interval = Duration::from_secs_f64(1.0 / f64::from(plan.audio.packets_per_second));
            (plan.audio, Pace::new(now, interval, phase))
        });
        Self {
            publisher,
            epoch,
            video: plan.video,
            frame_packets: plan.frame_packets,
            frames: Pace::new(now, plan.frame_interval(), phase),
            audio,
            turns: Turns::new(epoch, plan, publisher),
            keyframe_every: Duration::from_secs_f64(plan.gop),
            last_keyframe: None,
            keyframe_asked: false,
            sent_video: 0,
            sent_audio: 0,
            ready: VecDeque::new(),
        }
    }

    /// Makes the next frame a keyframe.
    pub fn request_keyframe(&mut self) {
        self.keyframe_asked = true;
    }

    /// A packet that is due, stamped with `now`; None: nothing is due before [`poll_timeout`](Self::poll_timeout).
    pub fn poll_packet(&mut self, now: Instant) -> Option<Packet> {
        if self.ready.is_empty() {
            if let Some(tick) = self.frames.poll(now) {
                self.make_frame(now, tick);
            }
            self.make_audio(now);
        }
        self.ready.pop_front()
    }

    pub fn poll_timeout(&self) -> Instant {
        let frame = self.frames.due();
        self.audio.as_ref().map_or(frame, |(_, audio)| frame.min(audio.due()))
    }

    fn make_audio(&mut self, now: Instant) {
        let Some((flow, pace)) = &mut self.audio else { return };
        let Some(tick) = pace.poll(now) else { return };
        let level_dbov = match self.turns.map(|turns| turns.voice(now)) {
            Some(Voice::Absent) => return,
            Some(Voice::Quiet) => BREATH_DBOV,
            Some(Voice::Speaking) | None => SPEECH_DBOV,
        };
        let stamp = Stamp {
            sent: now.saturating_duration_since(self.epoch),
            publisher: self.publisher,
            sequence: self.sent_audio,
        };
        self.ready.push_back(Packet {
            kind: Kind::Audio,
            sequence: u64::from(self.sent_audio),
            time: rtp_time(pace.offset(tick), AUDIO_CLOCK),
            marker: false,
            payload: opus_payload(stamp, flow.bytes),
            level_dbov: Some(level_dbov),
        });
        self.sent_audio += 1;
    }

    fn make_frame(&mut self, now: Instant, tick: u64) {
        let since = |last: Instant| now.saturating_duration_since(last);
        let keyframe = self.last_keyframe.is_none_or(|last| {
            since(last) >= self.keyframe_every || self.keyframe_asked && since(last) >= KEYFRAME_INTERVAL
        });
        if keyframe {
            self.last_keyframe = Some(now);
            self.keyframe_asked = false;
        }
        for index in 0..self.frame_packets {
            let packet = Vp8Packet {
                keyframe,
                first: index == 0,
                // Both numbers wrap at their width (RFC 7741 §4.2).
                picture_id: tick as u16 & 0x7fff,
                tl0: tick as u8,
                stamp: Stamp {
                    sent: now.saturating_duration_since(self.epoch),
                    publisher: self.publisher,
                    sequence: self.sent_video,
                },
            };
            self.ready.push_back(Packet {
                kind: Kind::Video,
                sequence: u64::from(self.sent_video),
                time: rtp_time(self.frames.offset(tick), VIDEO_CLOCK),
                marker: index + 1 == self.frame_packets,
                payload: packet.payload(self.video.bytes),
                level_dbov: None,
            });
            self.sent_video += 1;
        }
    }
}

/// Ticks at a fixed interval that do not drift.
#[derive(Debug)]
struct Pace {
    first: Instant,
    interval: Duration,
    next: u64,
}

impl Pace {
    /// `phase`: the part of the interval that passes before the first tick, 0 to 1.
    fn new(now: Instant, interval: Duration, phase: f64) -> Self {
        Self {
            first: now + interval.mul_f64(phase),
            interval,
            next: 0,
        }
    }

    fn offset(&self, tick: u64) -> Duration {
        Duration::from_secs_f64(self.interval.as_secs_f64() * tick as f64)
    }

    fn due(&self) -> Instant {
        self.first + self.offset(self.next)
    }

    /// The number of the tick that is due.
    fn poll(&mut self, now: Instant) -> Option<u64> {
        let behind = now.checked_duration_since(self.due())?;
        if behind > GIVE_UP_BEHIND {
            self.next += (behind.as_secs_f64() / self.interval.as_secs_f64()) as u64;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// Wraps, like RTP time.
fn rtp_time(offset: Duration, clock: f64) -> u32 {
    (offset.as_secs_f64() * clock) as u64 as u32
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::super::plan::tests::plan;
    use super::*;

    /// The packets of a span of time, with their send times.
    fn run(schedule: &mut Schedule, start: Instant, time: Duration) -> Vec<(Duration, Packet)> {
        let mut sent = Vec::new();
        while schedule.poll_timeout() < start + time {
            let now = schedule.poll_timeout();
            while let Some(packet) = schedule.poll_packet(now) {
                sent.push((now - start, packet));
            }
        }
        sent
    }

    fn of(kind: Kind, sent: &[(Duration, Packet)]) -> Vec<(Duration, Packet)> {
        sent.iter().filter(|(_, packet)| packet.kind == kind).cloned().collect()
    }

    #[test]
    fn rates_are_as_planned_and_a_frame_leaves_together() {
        let start = Clock.now();
        let mut schedule = Schedule::new(start, start, &plan(), 0);
        let sent = run(&mut schedule, start, Duration::from_secs(3));
        let video = of(Kind::Video, &sent);
        assert_eq!(video.len(), 600);
        assert_eq!(of(Kind::Audio, &sent).len(), 150);
        for frame in video.chunks(6) {
            assert!(
                frame
                    .iter()
                    .all(|(at, packet)| *at == frame[0].0 && packet.time == frame[0].1.time)
            );
            assert!(frame[5].1.marker && !frame[4].1.marker);
        }
        assert_eq!(video[6].1.time - video[0].1.time, 2700);
        assert_eq!(video[6].0 - video[0].0, Duration::from_millis(30));
    }

    #[test]
    fn publishers_are_not_in_phase() {
        let start = Clock.now();
        let phase = |publisher| Schedule::new(start, start, &plan(), publisher).frames.due() - start;
        let mut phases: Vec<_> = (0..4).map(phase).collect();
        phases.sort();
        assert!(
            phases.windows(2).all(|two| two[1] - two[0] > Duration::from_millis(3)),
            "{phases:?}"
        );
    }

    #[test]
    fn keyframes_come_at_the_interval_and_on_request() {
        let start = Clock.now();
        let mut schedule = Schedule::new(start, start, &plan(), 0);
        let mut sent = run(&mut schedule, start, Duration::from_millis(3500));
        schedule.request_keyframe();
        sent.extend(run(&mut schedule, start, Duration::from_millis(5000)));
        let is_key = |payload: &[u8]| {
            let descriptor = str0m::rtp::Vp8Descriptor::parse(payload).unwrap();
            descriptor.starts_keyframe(payload)
        };
        let keys: Vec<u128> = of(Kind::Video, &sent)
            .iter()
            .filter(|(_, packet)| is_key(&packet.payload))
            .map(|(at, _)| at.as_millis())
            .collect();
        assert_eq!(keys, [0, 2010, 3510]);
    }

    #[test]
    fn a_sender_that_was_held_up_does_not_burst() {
        let start = Clock.now();
        let mut schedule = Schedule::new(start, start, &plan(), 0);
        let late = start + Duration::from_secs(10);
        let mut burst = 0;
        while schedule.poll_packet(late).is_some() {
            burst += 1;
        }
        assert!(burst <= 14, "{burst} packets");
        assert!(schedule.poll_timeout() > late);
    }
}
