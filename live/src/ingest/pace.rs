//! Maps a source's timestamps to times of capture, and says how long a source that is faster than real time must wait. Pure.

use std::time::{Duration, Instant};

/// Media that is ahead of its time by more than this waits. Transport streams have audio up to 350 ms after the video of its time.
const AHEAD: i64 = 500;
/// Media that is later than this has another clock: after a pause of the source, or a jump of its timestamps.
const LATE: i64 = 10_000;
/// Media that is ahead by more than this comes from a jump of the timestamps: sources are kept from being this fast.
const JUMP: i64 = 3000;

/// A source's clock beside ours.
#[derive(Debug)]
pub struct Pace {
    /// The time of the first frame.
    begin: Instant,
    /// The newest timestamp, without the wrap-around of its 32 bits, and as it came.
    newest: Option<(i64, u32)>,
    /// Media time minus timestamp, milliseconds.
    offset: i64,
    /// The largest media time so far, milliseconds.
    furthest: i64,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            begin: now,
            newest: None,
            offset: 0,
            furthest: 0,
        }
    }

    /// The timestamps begin anew: the next frame follows at the present time, after all that came before.
    pub fn restart(&mut self) {
        self.newest = None;
    }

    /// The media time of a frame that came now, from the first frame on.
    pub fn handle(&mut self, now: Instant, timestamp_ms: u32) -> Duration {
        let elapsed = millis(now.saturating_duration_since(self.begin));
        let timestamp = match self.newest {
            // The difference is right as long as it is less than half of the range.
            Some((newest, raw)) => newest + i64::from(timestamp_ms.wrapping_sub(raw) as i32),
            None => {
                self.offset = elapsed.max(self.furthest) - i64::from(timestamp_ms);
                i64::from(timestamp_ms)
            }
        };
        self.newest = Some((timestamp, timestamp_ms));
        let media = timestamp + self.offset;
        if media - elapsed > JUMP || elapsed - media > LATE {
            self.offset = elapsed - timestamp;
            self.furthest = elapsed;
        }
        let media = (timestamp + self.offset).max(0);
        self.furthest = self.furthest.max(media);
        Duration::from_millis(media.unsigned_abs())
    }

    /// The time of capture of media.
    pub fn captured(&self, media: Duration) -> Instant {
        self.begin + media
    }

    /// When more may be read; None: now.
    pub fn resume_at(&self, now: Instant) -> Option<Instant> {
        let wait = self.furthest - AHEAD - millis(now.saturating_duration_since(self.begin));
        (wait > 0).then(|| now + Duration::from_millis(wait.unsigned_abs()))
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::clock::Clock;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn media_goes_by_its_timestamps_from_the_first_frame_on() {
        let start = Clock.now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.handle(start, 5000), ms(0));
        assert_eq!(pace.handle(start + ms(70), 5033), ms(33), "the network was slow");
        assert_eq!(pace.handle(start + ms(71), 5021), ms(21), "audio after video");
        assert_eq!(pace.captured(ms(33)), start + ms(33));
    }

    #[test]
    fn timestamps_wrap_around() {
        let start = Clock.now();
        let mut pace = Pace::new(start);
        pace.handle(start, u32::MAX - 9);
        assert_eq!(pace.handle(start + ms(20), 10), ms(20));
    }

    #[test]
    fn after_a_restart_media_goes_on_where_it_was_and_never_in_the_past() {
        let start = Clock.now();
        let mut pace = Pace::new(start);
        pace.handle(start, 1000);
        assert_eq!(pace.handle(start, 1280), ms(280));
        pace.restart();
        assert_eq!(pace.handle(start + ms(100), 7), ms(280), "280 ms were sent already");
        pace.restart();
        assert_eq!(pace.handle(start + ms(9000), 1007), ms(9000), "a pause");
    }

    #[test]
    fn a_source_that_is_faster_than_real_time_waits() {
        let start = Clock.now();
        let mut pace = Pace::new(start);
        pace.handle(start, 0);
        assert_eq!(pace.resume_at(start), None);
        pace.handle(start, 1000);
        assert_eq!(pace.resume_at(start), Some(start + ms(500)));
        assert_eq!(pace.resume_at(start + ms(500)), None);
    }

    #[test]
    fn after_a_jump_of_the_timestamps_media_goes_on_at_the_present_time() {
        let start = Clock.now();
        for timestamp in [1_000_000, 40] {
            let mut pace = Pace::new(start);
            pace.handle(start, 20_000);
            let now = start + ms(15_000);
            assert_eq!(pace.handle(now, timestamp), ms(15_000));
            assert_eq!(pace.handle(now, timestamp + 40), ms(15_040));
            assert_eq!(pace.resume_at(now), None);
        }
    }
}
