//! The frames of a program that its node keeps for readers on other nodes. Pure.
//!
//! Every item has a position, and positions have no gaps. A reader that was interrupted says the last position that it has, and misses
//! nothing that is still kept. The window begins with a keyframe: what is dropped is dropped GOP by GOP, and readers that have not had it
//! are told how much it was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rotunda_media::program::{Absence, Frame, Track};

use crate::messages::ReadFrom;

/// How much is kept at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub bytes: usize,
    pub time: Duration,
}

/// A step of the program.
#[derive(Debug, Clone)]
pub enum Item {
    Frame(Arc<Frame>),
    Absence(Absence),
    /// So many frames were lost before they came here.
    Lost(u64),
}

/// A piece of a reader's way through the window, and its position.
#[derive(Debug, Clone)]
pub struct Piece {
    pub position: u64,
    pub item: Item,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Window {
    limits: Limits,
    kept: VecDeque<Kept>,
    /// Position of the first item that is kept.
    first: u64,
    bytes: usize,
    /// Until when a recorder has the program on its disk.
    written: Option<Duration>,
}

#[derive(Debug)]
struct Kept {
    item: Item,
    bytes: usize,
    /// Program time of the keyframe that it is, with which readers may begin.
    begins: Option<Duration>,
}

impl Window {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            kept: VecDeque::new(),
            first: 0,
            bytes: 0,
            written: None,
        }
    }

    /// Takes the next item. Answers how many were dropped for it.
    pub fn push(&mut self, item: Item) -> u64 {
        let (bytes, begins) = match &item {
            Item::Frame(frame) => (frame.data.len() + size_of::<Kept>(), beginning(frame)),
            Item::Absence(_) | Item::Lost(_) => (size_of::<Kept>(), None),
        };
        if self.kept.is_empty() && begins.is_none() {
            // Nobody can begin here.
            self.first += 1;
            return 1;
        }
        self.bytes += bytes;
        self.kept.push_back(Kept { item, bytes, begins });
        self.trim(begins)
    }

    /// A recorder has everything until then on its disk.
    pub fn handle_written(&mut self, until: Duration) {
        self.written = Some(self.written.map_or(until, |written| written.max(until)));
    }

    /// The position at which a reader begins.
    pub fn start(&self, from: ReadFrom) -> u64 {
        let beginnings = (self.first..)
            .zip(&self.kept)
            .filter_map(|(position, kept)| Some((position, kept.begins?)));
        match from {
            ReadFrom::Keyframe => beginnings.last().map_or(self.end(), |(position, _)| position),
            ReadFrom::After(position) => position.saturating_add(1).min(self.end()),
            ReadFrom::Unwritten => {
                let Some(written) = self.written else { return self.first };
                let last = beginnings.take_while(|(_, at)| *at <= written).last();
                last.map_or(self.first, |(position, _)| position)
            }
        }
    }

    /// The item at a reader's position, which goes on. None: it is not there yet.
    pub fn read(&self, position: &mut u64) -> Option<Piece> {
        if *position < self.first {
            let lost = self.first - *position;
            *position = self.first;
            return Some(Piece {
                position: self.first - 1,
                item: Item::Lost(lost),
            });
        }
        let kept = self.kept.get(usize::try_from(*position - self.first).ok()?)?;
        let piece = Piece {
            position: *position,
            item: kept.item.clone(),
        };
        *position += 1;
        Some(piece)
    }

    /// Position of the next item that comes.
    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn trim(&mut self, newest: Option<Duration>) -> u64 {
        let mut dropped = 0;
        while self.bytes > self.limits.bytes || newest.is_some_and(|newest| self.is_first_gop_too_old(newest)) {
            // An only GOP that is too large goes as a whole.
            let gop = self.second_beginning().unwrap_or(self.kept.len());
            for kept in self.kept.drain(..gop) {
                self.bytes -= kept.bytes;
            }
            self.first += gop as u64;
            dropped += gop as u64;
            if gop == 0 {
                break;
            }
        }
        dropped
    }

    /// Everything that is needed for the time that is kept comes after the first GOP.
    fn is_first_gop_too_old(&self, newest: Duration) -> bool {
        let second = self.second_beginning().and_then(|at| self.kept.get(at)?.begins);
        second.is_some_and(|second| newest.saturating_sub(second) >= self.limits.time)
    }

    fn second_beginning(&self) -> Option<usize> {
        let later = self.kept.iter().enumerate().skip(1);
        later.filter(|(_, kept)| kept.begins.is_some()).map(|(at, _)| at).next()
    }
}

/// The time of a frame with which readers may begin.
fn beginning(frame: &Frame) -> Option<Duration> {
    let leads = frame.track == Track::Video || frame.header.video.is_none();
    (leads && frame.is_key).then(|| frame.pts.duration())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use rotunda_media::program::{AudioHeader, ProgramHeader, VideoHeader};
    use rotunda_media::time::MediaTime;

    use super::*;

    fn frame(second: u64, is_key: bool, bytes: usize) -> Item {
        let header = ProgramHeader {
            video: Some(VideoHeader {
                width: 2,
                height: 2,
                framerate: 1,
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
        };
        Item::Frame(Arc::new(Frame {
            track: Track::Video,
            pts: MediaTime::new(second, 1),
            duration: 1,
            is_key,
            data: vec![0; bytes].into(),
            header: Arc::new(header),
        }))
    }

    /// A frame each second and a keyframe each three seconds.
    fn window(limits: Limits, seconds: u64) -> Window {
        let mut window = Window::new(limits);
        for second in 0..seconds {
            window.push(frame(second, second % 3 == 0, 1000));
        }
        window
    }

    const WIDE: Limits = Limits {
        bytes: 1 << 20,
        time: Duration::from_secs(1000),
    };

    /// What a reader gets: seconds of frames, and losses as negative numbers.
    fn read(window: &Window, mut position: u64) -> Vec<i64> {
        std::iter::from_fn(|| window.read(&mut position))
            .map(|piece| match piece.item {
                Item::Frame(frame) => frame.pts.ticks() as i64,
                Item::Lost(frames) => -(frames as i64),
                Item::Absence(_) => i64::MAX,
            })
            .collect()
    }

    #[test]
    fn a_viewer_begins_with_the_last_keyframe_and_an_interrupted_reader_where_it_was() {
        let window = window(WIDE, 8);
        assert_eq!(read(&window, window.start(ReadFrom::Keyframe)), [6, 7]);
        assert_eq!(read(&window, window.start(ReadFrom::After(3))), [4, 5, 6, 7]);
        assert_eq!(read(&window, window.start(ReadFrom::After(7))), [] as [i64; 0]);
        assert_eq!(read(&window, window.start(ReadFrom::After(u64::MAX))), [] as [i64; 0]);
    }

    #[test]
    fn a_recorder_that_takes_over_begins_with_the_gop_in_which_the_last_one_ended() {
        let mut window = window(WIDE, 8);
        assert_eq!(
            read(&window, window.start(ReadFrom::Unwritten))[0],
            0,
            "nobody has recorded"
        );
        window.handle_written(Duration::from_millis(4500));
        window.handle_written(Duration::from_millis(2000));
        assert_eq!(read(&window, window.start(ReadFrom::Unwritten)), [3, 4, 5, 6, 7]);
    }

    #[test]
    fn too_many_bytes_drop_whole_gops_and_a_reader_that_has_not_had_them_is_told() {
        let limits = Limits { bytes: 5000, ..WIDE };
        let window = window(limits, 11);
        assert!(window.bytes <= 5000);
        assert_eq!(read(&window, 4), [-5, 9, 10]);
    }

    #[test]
    fn frames_that_are_too_old_are_dropped_with_their_gop() {
        let limits = Limits {
            time: Duration::from_secs(4),
            ..WIDE
        };
        // At 9 s, 5 s ago is in the GOP of 3 s.
        assert_eq!(read(&window(limits, 10), 0), [-3, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_gop_that_is_larger_than_the_window_is_dropped_and_the_next_one_is_kept() {
        let mut window = Window::new(Limits { bytes: 3000, ..WIDE });
        for second in 0..6 {
            window.push(frame(second, second == 0, 1000));
        }
        window.push(frame(6, true, 1000));
        assert_eq!(read(&window, 2), [-4, 6]);
    }

    proptest! {
        /// Whatever comes, the window stays within its bytes, and a reader at any place gets or misses each item exactly once.
        #[test]
        fn positions_have_no_gaps(
            keys in prop::collection::vec((prop::bool::weighted(0.3), 1..2000_usize), 1..200),
            bytes in 500..20_000_usize,
            from in 0..100_u64,
        ) {
            let mut window = Window::new(Limits { bytes, time: Duration::from_secs(20) });
            let count = keys.len() as u64;
            for (second, (is_key, size)) in keys.into_iter().enumerate() {
                window.push(frame(second as u64, is_key, size));
                prop_assert!(window.bytes <= bytes);
            }
            let mut position = window.start(ReadFrom::After(from));
            let mut next = position;
            while let Some(piece) = window.read(&mut position) {
                match piece.item {
                    Item::Lost(frames) => next += frames,
                    Item::Frame(frame) => {
                        prop_assert_eq!(frame.pts.ticks(), next);
                        prop_assert_eq!(piece.position, next);
                        next += 1;
                    }
                    Item::Absence(_) => {}
                }
                prop_assert_eq!(position, next);
            }
            prop_assert_eq!(next, count);
        }
    }
}
