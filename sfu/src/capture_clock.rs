//! When a packet was captured, on our clock, from the publisher's RTCP sender reports (RFC 3550 §6.4.1).
//!
//! Every track of a publisher maps its RTP time to the publisher's clock by its own reports; one offset for the whole
//! publisher then maps that clock to ours, so that sound and picture keep their distance.

use std::time::{Duration, Instant, SystemTime};

use foldhash::HashMap;
use str0m::rtp::Ssrc;
use str0m::rtp::rtcp::SenderInfo;

/// The offset follows the least delay seen; it may grow by this share of the difference with each packet, so that drifting
/// clocks are followed without steps (a step of sound's wallclock costs a browser half a minute of wrong lip-sync).
const CREEP: f64 = 0.0005;

#[derive(Debug, Default)]
pub struct CaptureClock {
    reports: HashMap<Ssrc, Report>,
    /// Our time minus the publisher's, seconds, least delay included.
    offset: Option<f64>,
    /// Zero of both scales.
    epoch: Option<(Instant, SystemTime)>,
}

#[derive(Debug, Clone, Copy)]
struct Report {
    /// Publisher's time since the epoch, seconds.
    time: f64,
    rtp: u32,
}

impl CaptureClock {
    pub fn handle_report(&mut self, now: Instant, info: &SenderInfo) {
        let (_, zero) = *self.epoch.get_or_insert((now, info.ntp_time));
        let time = match info.ntp_time.duration_since(zero) {
            Ok(after) => after.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        };
        // The wire's 32 bits are what packets are compared with.
        self.reports.insert(
            info.ssrc,
            Report {
                time,
                rtp: info.rtp_time.numer() as u32,
            },
        );
    }

    /// Capture time of a packet that arrived at `arrival`; the arrival itself until there is a report. Never later than
    /// the arrival.
    pub fn capture_time(&mut self, ssrc: Ssrc, rtp: u32, clock_rate: u32, arrival: Instant) -> Instant {
        let (Some(report), Some((epoch, _))) = (self.reports.get(&ssrc), self.epoch) else {
            return arrival;
        };
        let distance = f64::from(rtp.wrapping_sub(report.rtp) as i32) / f64::from(clock_rate.max(1));
        let captured = report.time + distance;
        let delay = arrival.saturating_duration_since(epoch).as_secs_f64() - captured;
        let offset = match self.offset {
            Some(offset) if delay >= offset => offset + (delay - offset) * CREEP,
            _ => delay,
        };
        self.offset = Some(offset);
        let since = captured + offset;
        if since <= 0.0 {
            epoch.min(arrival)
        } else {
            (epoch + Duration::from_secs_f64(since)).min(arrival)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use str0m::media::{Frequency, MediaTime};

    fn report(ssrc: u32, ntp_ms: u64, rtp: u64, rate: Frequency) -> SenderInfo {
        SenderInfo {
            ssrc: ssrc.into(),
            ntp_time: SystemTime::UNIX_EPOCH + Duration::from_millis(ntp_ms),
            rtp_time: MediaTime::new(rtp, rate),
            sender_packet_count: 0,
            sender_octet_count: 0,
        }
    }

    #[test]
    fn sound_and_picture_of_one_moment_get_one_capture_time() {
        let start = rotunda_proto::clock::Clock.now();
        let ms = Duration::from_millis;
        let mut clock = CaptureClock::default();
        // The publisher's clock is far from ours and both tracks count from somewhere else.
        clock.handle_report(start, &report(1, 1_000_000_000, 48_000, Frequency::FORTY_EIGHT_KHZ));
        clock.handle_report(
            start,
            &report(2, 1_000_000_000, u64::from(u32::MAX), Frequency::NINETY_KHZ),
        );
        // One second later: sound took 10 ms to get here, the picture 60 ms.
        let sound = clock.capture_time(1.into(), 96_000, 48_000, start + ms(1010));
        let picture = clock.capture_time(2.into(), 89_999, 90_000, start + ms(1060));
        let apart = picture.max(sound) - picture.min(sound);
        assert!(apart < ms(1), "{apart:?}");
        assert!(picture <= start + ms(1060));
    }

    #[test]
    fn without_a_report_the_arrival_is_all_there_is() {
        let now = rotunda_proto::clock::Clock.now();
        assert_eq!(CaptureClock::default().capture_time(1.into(), 7, 90_000, now), now);
    }
}
