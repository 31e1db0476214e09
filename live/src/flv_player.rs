//! A player's FLV bytes: the frames that are due, gathered for one write.
//!
//! Most of a player's cost is the write, not its bytes: nginx and this server spend the same on each. So the frames of [`GATHER`] go out
//! together. The data of a larger frame is the program's own allocation, shared by all players; only the bytes around it belong to the player.
//!
//! A player that falls behind continues at the newest keyframe, and is closed when that happens too often.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use bytes::{BufMut, BytesMut};
use metrics::counter;
use rotunda_media::mux::flv;
use rotunda_media::program::{Frame, ProgramReader, ReadError};
use rotunda_media::time::MediaTime;
use rotunda_proto::clock::Clock;

use crate::timeline::{Step, Timeline};

/// Frames of this time go out in one write; it is the most that a frame waits for others. With it a player costs less than one of nginx's RTMP
/// module, with 40 ms a third more (`benches/live.mjs`).
const GATHER: Duration = Duration::from_millis(120);
/// Bytes after which a write is made, although more frames wait.
const MOST_GATHERED: usize = 64 * 1024;
/// Frames of at most this many bytes are copied: another piece of a write costs more than their copy.
const COPIED: usize = 1024;
/// A player with more waiting frames is too slow: 5 s of 25 frames and 47 audio frames a second.
const MOST_BEHIND: usize = 360;
/// A player that is too slow this often within [`SLOW_WITHIN`] is closed.
const MOST_SKIPS: usize = 3;
const SLOW_WITHIN: Duration = Duration::from_secs(60);

/// A program as FLV for one player, from its last keyframe on.
pub struct Player {
    reader: ProgramReader,
    timeline: Timeline,
    pieces: Pieces,
    state: State,
    begun: bool,
    /// Time of the newest frame that was read.
    read: MediaTime,
    /// When it was too slow.
    skips: VecDeque<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// More frames may wait already.
    Reading,
    /// All frames have been gathered; the next ones are gathered from this time on.
    Waiting(Instant),
    /// The program is over, or the player is too slow for it.
    Ended,
}

impl Player {
    pub fn new(reader: ProgramReader) -> Self {
        Self {
            reader,
            timeline: Timeline::new(),
            pieces: Pieces::default(),
            state: State::Reading,
            begun: false,
            read: MediaTime::new(0, 1),
            skips: VecDeque::new(),
        }
    }

    /// The next bytes; None at the end of the program, and when the player is too slow for it.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop() {
                return Some(piece);
            }
            match self.state {
                State::Ended => return None,
                State::Waiting(until) => Clock.sleep_until(until).await,
                State::Reading => {}
            }
            self.gather(Clock.now());
            if self.pieces.is_empty() && self.state != State::Ended {
                let next = self.reader.next().await;
                self.handle(Clock.now(), next);
                self.pieces.finish();
            }
        }
    }

    /// Reads the frames that wait, without waiting for more.
    fn gather(&mut self, now: Instant) {
        self.state = State::Reading;
        if self.reader.behind() > MOST_BEHIND && self.reader.skip_to_keyframe(self.read) {
            self.skip(now);
        }
        while self.state == State::Reading && self.pieces.bytes < MOST_GATHERED {
            match self.reader.try_next() {
                Some(next) => self.handle(now, next),
                None => self.state = State::Waiting(now + GATHER),
            }
        }
        self.pieces.finish();
    }

    fn handle(&mut self, now: Instant, next: Result<Arc<Frame>, ReadError>) {
        match next {
            Ok(frame) => self.add(&frame),
            Err(ReadError::Ended) => self.state = State::Ended,
            Err(_) => self.skip(now),
        }
    }

    fn add(&mut self, frame: &Frame) {
        self.read = self.read.max(frame.pts);
        let timestamp_ms = match self.timeline.step(frame) {
            Step::Skip => return,
            Step::Go { timestamp_ms } => timestamp_ms,
            Step::Begin { timestamp_ms } => {
                if !self.begun {
                    self.pieces.put(&flv::file_header(&frame.header));
                }
                self.begun = true;
                self.pieces.put(&flv::start_tags(&frame.header, timestamp_ms));
                timestamp_ms
            }
        };
        self.pieces.put_frame(frame, timestamp_ms);
    }

    /// The player continues at a keyframe, unless it was too slow too often.
    fn skip(&mut self, now: Instant) {
        counter!("rotunda_live_skips_total").increment(1);
        self.timeline.lose();
        self.skips.retain(|at| now.saturating_duration_since(*at) < SLOW_WITHIN);
        self.skips.push_back(now);
        if self.skips.len() >= MOST_SKIPS {
            counter!("rotunda_live_dropped_total").increment(1);
            self.state = State::Ended;
        }
    }
}

/// The pieces of one write, in order.
#[derive(Debug, Default)]
struct Pieces {
    ready: VecDeque<Bytes>,
    /// Copied bytes after the last of them.
    copied: BytesMut,
    bytes: usize,
}

impl Pieces {
    fn put(&mut self, bytes: &[u8]) {
        self.copied.put_slice(bytes);
        self.bytes += bytes.len();
    }

    fn put_frame(&mut self, frame: &Frame, timestamp_ms: u32) {
        flv::put_frame_head(&mut self.copied, frame, timestamp_ms);
        if frame.data.len() <= COPIED {
            self.copied.put_slice(&frame.data);
        } else {
            self.finish();
            self.ready.push_back(frame.data.clone());
        }
        flv::put_frame_tail(&mut self.copied, frame);
        self.bytes += frame.data.len() + flv::TAG_BYTES;
    }

    fn finish(&mut self) {
        if !self.copied.is_empty() {
            self.ready.push_back(self.copied.split().freeze());
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        let piece = self.ready.pop_front();
        if self.ready.is_empty() {
            self.bytes = 0;
        }
        piece
    }

    fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests;
