//! When a packet was captured, on this server's clock.
//!
//! Arrival times give each track its own scale: the least delay seen, followed slowly. RTCP sender reports (RFC 3550 §6.4.1) say how
//! far two tracks of one publisher are apart on that publisher's clock, and only this distance is taken from them: it keeps audio and
//! video in sync. A wall clock that is missing, that steps, or that does not fit the arrival of the packets therefore moves
//! nothing.

use std::time::{Duration, Instant, SystemTime};

use foldhash::HashMap;
use str0m::rtp::Ssrc;
use str0m::rtp::rtcp::SenderInfo;

/// A packet that is later than the least delay moves the scale by this share of the difference, so that drifting clocks are
/// followed without steps. A step of the audio wallclock costs a browser half a minute of wrong lip-sync.
const CREEP: f64 = 0.0005;
/// Packets that are off their track's scale by more than this start a new one: the RTP clock has jumped.
const JUMP: f64 = 2.0;
/// A report names the RTP time of the moment when it is sent, so its packets arrive at about the same time. GStreamer 1.22 adds the
/// age of the session to it.
const MISFIT: f64 = 1.0;
/// Tracks of one publisher whose wall clocks differ by more than this are not compared: one of the two has stepped, and the
/// other one's next report tells whether it has, too.
const APART: f64 = 3.0;
/// Reports count for so long: senders repeat them every few seconds.
const REPORT_LIFE: Duration = Duration::from_secs(20);

/// The capture clock of one publisher.
#[derive(Debug, Default)]
pub struct CaptureClock {
    tracks: HashMap<Ssrc, TrackClock>,
}

#[derive(Debug, Default)]
struct TrackClock {
    scale: Option<Scale>,
    /// Came before the scale that it is compared with.
    unread: Option<Report>,
    wall: Option<Wall>,
    /// Seconds that this track's packets take longer than those of the publisher's fastest track.
    behind: f64,
}

/// The arrival of one RTP time with the least delay.
#[derive(Debug, Clone, Copy)]
struct Scale {
    rtp: u32,
    arrival: Instant,
    clock_rate: u32,
}

#[derive(Debug, Clone, Copy)]
struct Report {
    came: Instant,
    ntp: SystemTime,
    rtp: u32,
}

/// The content of a report that is believed.
#[derive(Debug, Clone, Copy)]
struct Wall {
    came: Instant,
    ntp: SystemTime,
    /// Seconds from the arrival of the report's RTP time, by the track's scale, to the arrival of the report.
    after: f64,
}

impl CaptureClock {
    pub fn handle_report(&mut self, now: Instant, info: &SenderInfo) {
        let track = self.tracks.entry(info.ssrc).or_default();
        // RFC 3550 §6.4.1: a sender without a wall clock may set it to zero.
        if info.ntp_time <= SystemTime::UNIX_EPOCH {
            track.unread = None;
            return;
        }
        track.unread = Some(Report {
            came: now,
            ntp: info.ntp_time,
            // The wire's 32 bits are what packets are compared with.
            rtp: info.rtp_time.numer() as u32,
        });
        self.read_reports(now);
    }

    /// Capture time of a packet that arrived at `arrival`; the arrival itself until there is a report. Never later than
    /// the arrival.
    pub fn capture_time(&mut self, ssrc: Ssrc, rtp: u32, clock_rate: u32, arrival: Instant) -> Instant {
        let track = self.tracks.entry(ssrc).or_default();
        let least = track.follow(rtp, clock_rate, arrival);
        if track.unread.is_some() {
            self.read_reports(arrival);
        }
        let behind = self.tracks.get(&ssrc).map_or(0.0, |track| track.behind);
        later(least, -behind).min(arrival)
    }

    /// The stream has ended.
    pub fn forget(&mut self, ssrc: Ssrc) {
        self.tracks.remove(&ssrc);
    }
}

impl CaptureClock {
    /// Reads the reports that can be compared with their packets, then compares the tracks.
    fn read_reports(&mut self, now: Instant) {
        let mut believed = false;
        for track in self.tracks.values_mut() {
            believed |= track.read_report();
        }
        if !believed {
            return;
        }
        let is_new = |wall: &&Wall| now.saturating_duration_since(wall.came) < REPORT_LIFE;
        let walls: Vec<Wall> = self
            .tracks
            .values()
            .filter_map(|track| track.wall.as_ref().filter(is_new).copied())
            .collect();
        for track in self.tracks.values_mut() {
            let Some(wall) = track.wall.as_ref().filter(is_new) else {
                continue;
            };
            let others = walls.iter().map(|other| wall.behind(other));
            // Itself among them, with 0.
            let near = others.filter(|apart| apart.abs() <= APART);
            let (count, behind) = near.fold((0, 0.0_f64), |(count, most), apart| (count + 1, most.max(apart)));
            if count > 1 {
                track.behind = behind;
            }
        }
    }
}

impl TrackClock {
    /// When this RTP time would arrive with the least delay. Takes the packet into the scale.
    fn follow(&mut self, rtp: u32, clock_rate: u32, arrival: Instant) -> Instant {
        let known = self.scale.filter(|scale| scale.clock_rate == clock_rate);
        let least = known.map_or(arrival, |scale| {
            let expected = scale.arrival_of(rtp);
            let late = seconds(expected, arrival);
            if late <= 0.0 || late > JUMP {
                arrival
            } else {
                later(expected, late * CREEP)
            }
        });
        self.scale = Some(Scale {
            rtp,
            arrival: least,
            clock_rate,
        });
        least
    }

    /// Answers whether there was a report, and it is believed.
    fn read_report(&mut self) -> bool {
        let (Some(report), Some(scale)) = (self.unread, &self.scale) else {
            return false;
        };
        self.unread = None;
        let after = seconds(scale.arrival_of(report.rtp), report.came);
        if after.abs() > MISFIT {
            (self.wall, self.behind) = (None, 0.0);
            return false;
        }
        self.wall = Some(Wall {
            came: report.came,
            ntp: report.ntp,
            after,
        });
        true
    }
}

impl Scale {
    fn arrival_of(&self, rtp: u32) -> Instant {
        let ticks = rtp.wrapping_sub(self.rtp) as i32;
        later(self.arrival, f64::from(ticks) / f64::from(self.clock_rate.max(1)))
    }
}

impl Wall {
    /// Seconds that this track takes longer than another one, from capture to arrival.
    fn behind(&self, other: &Self) -> f64 {
        let arrived = seconds(other.came, self.came) - self.after + other.after;
        let captured = match self.ntp.duration_since(other.ntp) {
            Ok(later) => later.as_secs_f64(),
            Err(earlier) => -earlier.duration().as_secs_f64(),
        };
        arrived - captured
    }
}

/// From one moment to another; negative when that is the earlier one.
fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(to).as_secs_f64()
}

/// A moment so many seconds later, or earlier. The moment itself where the clock does not reach so far.
fn later(moment: Instant, seconds: f64) -> Instant {
    let distance = Duration::from_secs_f64(seconds.abs());
    let moved = if seconds < 0.0 {
        moment.checked_sub(distance)
    } else {
        moment.checked_add(distance)
    };
    moved.unwrap_or(moment)
}

#[cfg(test)]
mod tests;
