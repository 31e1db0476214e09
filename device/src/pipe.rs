//! A stream's send buffer: what the program hands over faster than the link carries it waits here, and nothing is dropped in
//! silence. Sans-IO.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

use crate::access_unit::FrameKind;
use crate::timeline::{Captured, Track};

/// A frame on its way to the network.
#[derive(Debug, Clone)]
pub struct Frame {
    pub track: Track,
    pub captured: Captured,
    pub data: Bytes,
}

/// Bytes at which the program is told; `None`: it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    pub low: usize,
    pub warn: usize,
    pub high: usize,
}

/// A mark that the level has crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watermark {
    Low,
    Warn,
    High,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError {
    #[error("the send buffer is full")]
    Full,
    #[error("the frame depends on one that was not sent: a keyframe is needed")]
    NeedKeyframe,
}

/// Highest mark passed and not fallen back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Normal,
    Warned,
    High,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Pipe {
    capacity: usize,
    marks: Option<Marks>,
    level: Level,
    queue: VecDeque<Frame>,
    bytes: usize,
    needs_keyframe: bool,
    /// Bytes a second; None: as fast as they come.
    rate: Option<u64>,
    /// Bytes that may leave at `credited_at`; negative after a frame that was larger.
    credit: i64,
    credited_at: Option<Instant>,
    /// Bytes that left lately, by time.
    recent: VecDeque<(Instant, usize)>,
}

/// The bytes that may leave at once after a pause.
const BURST: Duration = Duration::from_millis(100);
/// Over which the rate now is measured.
const WINDOW: Duration = Duration::from_millis(250);

impl Pipe {
    pub fn new(capacity: usize, marks: Option<Marks>) -> Self {
        Self {
            capacity,
            marks,
            level: Level::Normal,
            queue: VecDeque::new(),
            bytes: 0,
            needs_keyframe: true,
            rate: None,
            credit: 0,
            credited_at: None,
            recent: VecDeque::new(),
        }
    }

    /// Takes a frame, or says why not; `kind`: of a video frame. Answers the mark that it crosses.
    pub fn push(&mut self, frame: Frame, kind: Option<FrameKind>) -> Result<Option<Watermark>, PushError> {
        if kind == Some(FrameKind::Delta) && self.needs_keyframe {
            return Err(PushError::NeedKeyframe);
        }
        if self.bytes + frame.data.len() > self.capacity {
            self.needs_keyframe |= kind.is_some();
            return Err(PushError::Full);
        }
        if kind == Some(FrameKind::Key) {
            self.needs_keyframe = false;
        }
        self.bytes += frame.data.len();
        self.queue.push_back(frame);
        Ok(self.risen())
    }

    /// The next frame, if the link has room for it, and the mark that this crosses.
    pub fn pop(&mut self, now: Instant) -> Option<(Frame, Option<Watermark>)> {
        self.earn(now);
        if self.rate.is_some() && self.credit <= 0 {
            return None;
        }
        let frame = self.queue.pop_front()?;
        let length = frame.data.len();
        self.bytes -= length;
        self.credit -= length as i64;
        self.recent.push_back((now, length));
        self.forget(now);
        let fallen = self.fallen();
        Some((frame, fallen))
    }

    /// When the next frame may leave; None: nothing waits.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        self.queue.front()?;
        let Some(rate) = self.rate.filter(|_| self.credit <= 0) else {
            return Some(now);
        };
        let missing = (1 - self.credit) as u64;
        let at = self.credited_at.unwrap_or(now) + Duration::from_micros(missing * 1_000_000 / rate.max(1));
        Some(at.max(now))
    }

    /// `rate`: bytes a second that the link carries.
    pub fn set_rate(&mut self, now: Instant, rate: u64) {
        self.earn(now);
        self.rate = Some(rate.max(1));
    }

    /// Bytes that wait.
    pub fn buffered(&self) -> usize {
        self.bytes
    }

    /// Bytes a second that left in the last quarter of a second.
    pub fn rate_now(&mut self, now: Instant) -> u32 {
        self.forget(now);
        let bytes: usize = self.recent.iter().map(|(_, bytes)| bytes).sum();
        u32::try_from(bytes as u128 * 1000 / WINDOW.as_millis()).unwrap_or(u32::MAX)
    }

    /// Drops the queue: the path has changed, or another visitor's frames follow.
    pub fn begin_again(&mut self) -> Option<Watermark> {
        self.queue.clear();
        self.bytes = 0;
        self.needs_keyframe = true;
        self.fallen()
    }

    fn earn(&mut self, now: Instant) {
        let since = self.credited_at.replace(now).unwrap_or(now);
        if let Some(rate) = self.rate {
            let earned = now.saturating_duration_since(since).as_micros() * u128::from(rate) / 1_000_000;
            let most = (u128::from(rate) * BURST.as_millis() / 1000) as i64;
            self.credit = self.credit.saturating_add(earned as i64).min(most.max(1));
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.recent.front()
            && now.saturating_duration_since(*at) > WINDOW
        {
            self.recent.pop_front();
        }
    }

    fn risen(&mut self) -> Option<Watermark> {
        let marks = self.marks?;
        if self.bytes > marks.high && self.level < Level::High {
            self.level = Level::High;
            Some(Watermark::High)
        } else if self.bytes > marks.warn && self.level < Level::Warned {
            self.level = Level::Warned;
            Some(Watermark::Warn)
        } else {
            None
        }
    }

    fn fallen(&mut self) -> Option<Watermark> {
        let marks = self.marks?;
        if self.level > Level::Normal && self.bytes <= marks.low {
            self.level = Level::Normal;
            return Some(Watermark::Low);
        }
        // Between high and warn: the next rise past high is a crossing again.
        if self.level == Level::High && self.bytes <= marks.warn {
            self.level = Level::Warned;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::clock::Clock;

    const MARKS: Marks = Marks {
        low: 200,
        warn: 400,
        high: 500,
    };

    fn frame(now: Instant, bytes: usize) -> Frame {
        Frame {
            track: Track::Video,
            captured: Captured {
                at: now,
                since_start: Duration::ZERO,
            },
            data: vec![0; bytes].into(),
        }
    }

    fn drain(pipe: &mut Pipe, now: Instant) -> Vec<Watermark> {
        std::iter::from_fn(|| pipe.pop(now))
            .filter_map(|(_, mark)| mark)
            .collect()
    }

    #[test]
    fn each_crossing_of_a_mark_is_told_once() {
        let (now, mut pipe) = (Clock.now(), Pipe::new(1000, Some(MARKS)));
        let told: Vec<Watermark> = (0..9)
            .filter_map(|_| pipe.push(frame(now, 100), Some(FrameKind::Key)).unwrap())
            .collect();
        assert_eq!(told, [Watermark::Warn, Watermark::High]);
        assert_eq!(drain(&mut pipe, now), [Watermark::Low]);
        let again: Vec<Watermark> = (0..6)
            .filter_map(|_| pipe.push(frame(now, 100), Some(FrameKind::Key)).unwrap())
            .collect();
        assert_eq!(again, [Watermark::Warn, Watermark::High]);
    }

    #[test]
    fn without_marks_nothing_is_told() {
        let (now, mut pipe) = (Clock.now(), Pipe::new(1000, None));
        for _ in 0..10 {
            assert_eq!(pipe.push(frame(now, 100), Some(FrameKind::Key)), Ok(None));
        }
        assert_eq!(drain(&mut pipe, now), []);
    }

    #[test]
    fn the_first_video_frame_must_be_a_keyframe() {
        let (now, mut pipe) = (Clock.now(), Pipe::new(1000, None));
        assert_eq!(
            pipe.push(frame(now, 1), Some(FrameKind::Delta)),
            Err(PushError::NeedKeyframe)
        );
        assert_eq!(pipe.push(frame(now, 1), None), Ok(None));
        assert_eq!(pipe.push(frame(now, 1), Some(FrameKind::Key)), Ok(None));
        assert_eq!(pipe.push(frame(now, 1), Some(FrameKind::Delta)), Ok(None));
    }

    #[test]
    fn after_a_frame_that_does_not_fit_a_keyframe_is_needed() {
        let (now, mut pipe) = (Clock.now(), Pipe::new(1000, None));
        pipe.push(frame(now, 900), Some(FrameKind::Key)).unwrap();
        assert_eq!(pipe.push(frame(now, 200), Some(FrameKind::Delta)), Err(PushError::Full));
        assert_eq!(
            pipe.push(frame(now, 10), Some(FrameKind::Delta)),
            Err(PushError::NeedKeyframe)
        );
        // Audio goes on.
        assert_eq!(pipe.push(frame(now, 10), None), Ok(None));
        drain(&mut pipe, now);
        assert_eq!(pipe.push(frame(now, 200), Some(FrameKind::Key)), Ok(None));
        assert_eq!(pipe.push(frame(now, 10), Some(FrameKind::Delta)), Ok(None));
    }

    #[test]
    fn frames_leave_at_the_rate_of_the_link() {
        let (start, mut pipe) = (Clock.now(), Pipe::new(1_000_000, None));
        pipe.set_rate(start, 10_000);
        for _ in 0..100 {
            pipe.push(frame(start, 100), Some(FrameKind::Key)).unwrap();
        }
        let mut left = 0;
        for millisecond in 0..500 {
            let now = start + Duration::from_millis(millisecond);
            while pipe.pop(now).is_some() {
                left += 100;
            }
        }
        assert!((4900..=5200).contains(&left), "{left} bytes in half a second");
        let now = start + Duration::from_millis(500);
        assert!(pipe.due(now).is_some_and(|at| at <= now + Duration::from_millis(11)));
        assert_eq!(pipe.buffered(), 10_000 - left);
        let rate = pipe.rate_now(now);
        assert!((9000..=11_000).contains(&rate), "{rate}");
    }
}
