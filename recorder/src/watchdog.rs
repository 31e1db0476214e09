//! Tells a source that is silent from a disk that is slow. Pure.

use std::time::{Duration, Instant};

use rotunda_media::program::{ProgramHeader, Track};
use rotunda_proto::recording::RecordingState;

/// When a source or a disk counts as stalled.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A track without a frame for this time is silent.
    pub silent: Duration,
    /// A disk that takes no data for this time is slow.
    pub slow_disk: Duration,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Watchdog {
    limits: Limits,
    /// When a frame of each track was last seen. None: the program has no such track.
    audio: Option<Instant>,
    video: Option<Instant>,
    /// A write that has not ended.
    writing_since: Option<Instant>,
}

impl Watchdog {
    /// Frames of at least one track are expected from `now` on.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            audio: Some(now),
            video: None,
            writing_since: None,
        }
    }

    pub fn handle_frame(&mut self, track: Track, header: &ProgramHeader, now: Instant) {
        match track {
            Track::Audio => self.audio = Some(now),
            Track::Video => self.video = Some(now),
        }
        match header.video {
            Some(_) => {
                self.video.get_or_insert(now);
            }
            None => self.video = None,
        }
    }

    /// Data goes to the disk. Until [`handle_written`](Self::handle_written) no frame can be seen.
    pub fn handle_write(&mut self, now: Instant) {
        self.writing_since = Some(now);
    }

    pub fn handle_written(&mut self, now: Instant) {
        let Some(since) = self.writing_since.take() else {
            return;
        };
        // The tracks were not read meanwhile.
        let taken = now.saturating_duration_since(since);
        for seen in [&mut self.audio, &mut self.video].into_iter().flatten() {
            *seen += taken;
        }
    }

    /// The state of a recording that is not paused.
    pub fn state(&self, now: Instant) -> RecordingState {
        let has_lasted = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if let Some(since) = self.writing_since {
            return match has_lasted(since, self.limits.slow_disk) {
                true => RecordingState::SlowDisk,
                false => RecordingState::Recording,
            };
        }
        let is_silent = |seen: Instant| has_lasted(seen, self.limits.silent);
        match (self.video.map(is_silent), self.audio.map(is_silent)) {
            (Some(true) | None, Some(true) | None) => RecordingState::NoMedia,
            (Some(true), Some(false)) => RecordingState::NoVideo,
            (Some(false), Some(true)) => RecordingState::NoAudio,
            _ => RecordingState::Recording,
        }
    }

    /// When the state may change next by itself.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let ends = match self.writing_since {
            Some(since) => [Some(since + self.limits.slow_disk), None],
            None => [self.audio, self.video].map(|seen| seen.map(|seen| seen + self.limits.silent)),
        };
        ends.into_iter().flatten().filter(|end| *end > now).min()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rotunda_media::program::{AudioHeader, VideoHeader};
    use rotunda_proto::clock::Clock;

    use super::*;

    const LIMITS: Limits = Limits {
        silent: Duration::from_secs(10),
        slow_disk: Duration::from_secs(5),
    };

    fn header(has_video: bool) -> ProgramHeader {
        ProgramHeader {
            video: has_video.then(|| VideoHeader {
                width: 2,
                height: 2,
                framerate: 15,
                bitrate_kbps: 1,
                sps: Bytes::new(),
                pps: Bytes::new(),
            }),
            audio: AudioHeader {
                sample_rate: 48_000,
                channels: 2,
                bitrate_kbps: 1,
                config: Bytes::new(),
            },
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_track_that_stops_is_named_and_both_are_no_media() {
        let start = Clock.now();
        let mut watchdog = Watchdog::new(LIMITS, start);
        watchdog.handle_frame(Track::Video, &header(true), start);
        for second in 1..20 {
            watchdog.handle_frame(Track::Audio, &header(true), after(start, second));
            let expected = match second {
                ..10 => RecordingState::Recording,
                _ => RecordingState::NoVideo,
            };
            assert_eq!(watchdog.state(after(start, second)), expected, "{second}");
        }
        assert_eq!(watchdog.next_change(after(start, 19)), Some(after(start, 29)));
        assert_eq!(watchdog.state(after(start, 29)), RecordingState::NoMedia);
        assert_eq!(watchdog.next_change(after(start, 29)), None);
        watchdog.handle_frame(Track::Video, &header(true), after(start, 30));
        assert_eq!(watchdog.state(after(start, 30)), RecordingState::NoAudio);
    }

    #[test]
    fn a_program_without_video_lacks_none() {
        let start = Clock.now();
        let mut watchdog = Watchdog::new(LIMITS, start);
        watchdog.handle_frame(Track::Audio, &header(false), after(start, 1));
        assert_eq!(watchdog.state(after(start, 10)), RecordingState::Recording);
        assert_eq!(watchdog.state(after(start, 11)), RecordingState::NoMedia);
    }

    #[test]
    fn a_slow_disk_is_not_taken_for_a_silent_source() {
        let start = Clock.now();
        let mut watchdog = Watchdog::new(LIMITS, start);
        watchdog.handle_frame(Track::Video, &header(true), start);
        watchdog.handle_write(after(start, 1));
        assert_eq!(watchdog.next_change(after(start, 1)), Some(after(start, 6)));
        assert_eq!(watchdog.state(after(start, 5)), RecordingState::Recording);
        assert_eq!(watchdog.state(after(start, 30)), RecordingState::SlowDisk);
        watchdog.handle_written(after(start, 30));
        assert_eq!(watchdog.state(after(start, 30)), RecordingState::Recording);
        assert_eq!(watchdog.state(after(start, 39)), RecordingState::NoMedia);
    }
}
