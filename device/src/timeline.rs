//! The camera's time stamps on our clock. Sans-IO.
//!
//! Audio and video of a stream share one timeline, so that receivers play them in sync (RFC 3550 §6.4.1). A camera's clock may leap (a
//! seek in a recording): RTP time goes on evenly all the same.

use std::time::{Duration, Instant};

/// Stamps that are further from the time at which they come are taken anew.
const LEAP: Duration = Duration::from_millis(800);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Timeline {
    /// A stamp and when it was.
    anchor: Option<(u64, Instant)>,
    start: Option<Instant>,
    last_audio: Option<Instant>,
    last_video: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    Audio,
    Video,
}

/// When a frame was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    pub at: Instant,
    /// Since the stream began.
    pub since_start: Duration,
}

impl Timeline {
    /// `pts_us`: the camera's stamp of a frame that comes `now`. Of each track, the answers increase.
    pub fn place(&mut self, now: Instant, track: Track, pts_us: u64) -> Captured {
        let start = *self.start.get_or_insert(now);
        let (base_pts, base) = *self.anchor.get_or_insert((pts_us, now));
        let wanted = if pts_us >= base_pts {
            base.checked_add(Duration::from_micros(pts_us - base_pts))
        } else {
            base.checked_sub(Duration::from_micros(base_pts - pts_us))
        };
        let near = wanted.filter(|at| distance(*at, now) <= LEAP);
        let mut at = near.unwrap_or_else(|| {
            self.anchor = Some((pts_us, now));
            now
        });
        let last = match track {
            Track::Audio => &mut self.last_audio,
            Track::Video => &mut self.last_video,
        };
        if let Some(last) = *last {
            at = at.max(last + Duration::from_millis(1));
        }
        at = at.max(start);
        *last = Some(at);
        Captured {
            at,
            since_start: at.duration_since(start),
        }
    }
}

fn distance(one: Instant, other: Instant) -> Duration {
    one.saturating_duration_since(other)
        .max(other.saturating_duration_since(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::clock::Clock;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn frames_are_as_far_apart_as_the_camera_says_whenever_they_come() {
        let (start, mut line) = (Clock.now(), Timeline::default());
        let placed: Vec<Duration> = [(0, 0), (40, 55), (80, 81), (120, 190)]
            .map(|(pts, came)| {
                line.place(start + ms(came), Track::Video, 7_000_000 + pts * 1000)
                    .since_start
            })
            .to_vec();
        assert_eq!(placed, [ms(0), ms(40), ms(80), ms(120)]);
    }

    #[test]
    fn audio_and_video_of_one_moment_are_at_one_time() {
        let (start, mut line) = (Clock.now(), Timeline::default());
        line.place(start, Track::Video, 1_000_000);
        let audio = line.place(start + ms(30), Track::Audio, 1_100_000);
        let video = line.place(start + ms(99), Track::Video, 1_100_000);
        assert_eq!(audio, video);
    }

    #[test]
    fn a_seek_goes_on_from_now_without_a_gap() {
        let (start, mut line) = (Clock.now(), Timeline::default());
        line.place(start, Track::Video, 0);
        for pts in [3_600_000_000, 5_000_000] {
            let placed = line.place(start + ms(40), Track::Video, pts);
            assert!(
                placed.since_start >= ms(40) && placed.since_start <= ms(41),
                "{placed:?}"
            );
        }
        let next = line.place(start + ms(80), Track::Video, 5_040_000);
        assert_eq!(next.since_start, ms(80));
    }
}
