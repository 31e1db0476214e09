//! HLS of a running program: a sliding window of segments in memory.
//!
//! Names are never reused, because caches keep them. A segment's name is its media sequence number. It continues
//! after the last number of an earlier program of the same stream; otherwise it begins at the Unix time, so that it
//! grows even after a restart.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use rotunda_media::mux::MuxError;
use rotunda_media::mux::hls::{Head, Kind, Segment, playlist};
use rotunda_media::mux::segmenter::{Lengths, Output, SegmentStart, Segmenter};
use rotunda_media::program::{ProgramReader, ReadError};
use rotunda_proto::clock::Clock;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The length of a chunk inside a segment.
const CHUNK: Duration = Duration::from_secs(1);

/// The part of a stream that players can see.
#[derive(Debug, Clone)]
pub struct Window {
    lengths: Lengths,
    /// Segments in the window, unless three target durations need more.
    most: usize,
    segments: VecDeque<Stored>,
    /// Number of the first segment; never decreases.
    media_sequence: u64,
    discontinuities: u64,
    ended: bool,
}

#[derive(Debug, Clone)]
struct Stored {
    bytes: Bytes,
    duration: Duration,
    /// Named by the number of the first segment that needs it.
    init_name: u64,
    init: Bytes,
    discontinuity: bool,
    independent: bool,
    /// Its start, since 1970.
    starts_at: Duration,
}

/// A segment being filled.
struct Filling {
    start: SegmentStart,
    starts_at: Duration,
    /// The first segment of a program.
    is_first: bool,
    chunks: Vec<Bytes>,
}

impl Window {
    /// `now`: since 1970.
    pub fn new(segment_seconds: u64, most: usize, now: Duration) -> Self {
        Self {
            lengths: Lengths {
                segment: Duration::from_secs(segment_seconds),
                chunk: CHUNK,
            },
            most,
            segments: VecDeque::new(),
            media_sequence: now.as_secs(),
            discontinuities: 0,
            ended: false,
        }
    }

    /// The window in which a new program of the same stream continues.
    #[must_use]
    pub fn resumed(&self) -> Self {
        Self {
            ended: false,
            ..self.clone()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// `stream_id` is the folder of the segments, beside the playlist.
    pub fn playlist(&self, stream_id: &str) -> String {
        let numbered = self.segments.iter().zip(self.media_sequence..);
        let segments: Vec<Segment> = numbered
            .map(|(stored, number)| Segment {
                uri: format!("{stream_id}/{number}.m4s"),
                duration: stored.duration,
                program_date_time: Some(rfc3339(stored.starts_at)),
                init_uri: format!("{stream_id}/init-{}.mp4", stored.init_name),
                discontinuity: stored.discontinuity,
                independent: stored.independent,
            })
            .collect();
        let head = Head {
            kind: if self.ended { Kind::Ended } else { Kind::Live },
            media_sequence: self.media_sequence,
            discontinuities: self.discontinuities,
            target_seconds: self.lengths.target_seconds(),
        };
        playlist(head, &segments)
    }

    pub fn segment(&self, number: u64) -> Option<Bytes> {
        let index = usize::try_from(number.checked_sub(self.media_sequence)?).ok()?;
        self.segments.get(index).map(|stored| stored.bytes.clone())
    }

    pub fn init(&self, name: u64) -> Option<Bytes> {
        let stored = self.segments.iter().find(|stored| stored.init_name == name);
        stored.map(|stored| stored.init.clone())
    }

    fn push(&mut self, filled: Filling, duration: Duration) {
        let number = self.media_sequence + self.segments.len() as u64;
        let before = self.segments.back();
        let same_init = before.filter(|before| before.init == filled.start.init);
        self.segments.push_back(Stored {
            bytes: filled.chunks.concat().into(),
            duration,
            init_name: same_init.map_or(number, |before| before.init_name),
            discontinuity: before.is_some() && (filled.start.discontinuity || filled.is_first),
            init: filled.start.init,
            independent: filled.start.independent,
            starts_at: filled.starts_at,
        });
        // RFC 8216 §6.2.2: a live playlist holds at least three target durations.
        let least = Duration::from_secs(3 * self.lengths.target_seconds());
        while self.segments.len() > self.most && self.length() - self.first_length() >= least {
            self.segments.pop_front();
            self.media_sequence += 1;
            self.discontinuities += u64::from(self.segments.front().is_some_and(|first| first.discontinuity));
        }
    }

    fn length(&self) -> Duration {
        self.segments.iter().map(|stored| stored.duration).sum()
    }

    fn first_length(&self) -> Duration {
        self.segments.front().map_or(Duration::ZERO, |stored| stored.duration)
    }
}

/// Cuts the program into segments until it ends.
pub async fn segment(mut reader: ProgramReader, window: watch::Sender<Window>, stop: CancellationToken) {
    let mut segmenter = Segmenter::new(window.borrow().lengths, Clock.unix());
    let mut filler = Filler::default();
    loop {
        let read = tokio::select! {
            read = reader.next() => read,
            () = stop.cancelled() => Err(ReadError::Ended),
        };
        let is_over = matches!(read, Err(ReadError::Ended));
        let done: Result<(), MuxError> = match read {
            Ok(frame) => segmenter.handle_frame(frame),
            Err(ReadError::Lagged(frames)) => {
                warn!(frames, "the segmenter was too slow");
                segmenter.handle_loss()
            }
            Err(ReadError::Ended) => segmenter.finish(),
        };
        if let Err(error) = done {
            warn!(error = &error as &dyn std::error::Error, "a segment could not be made");
        }
        while let Some(output) = segmenter.poll_output() {
            if let Some((filled, duration)) = filler.handle_output(output, || Clock.unix()) {
                window.send_modify(|window| window.push(filled, duration));
            }
        }
        if is_over {
            window.send_modify(|window| window.ended = true);
            return;
        }
    }
}

/// Assembles segments.
#[derive(Default)]
struct Filler {
    open: Option<Filling>,
    /// The wall-clock time of the program's zero.
    zero: Option<Duration>,
}

impl Filler {
    fn handle_output(&mut self, output: Output, now: impl FnOnce() -> Duration) -> Option<(Filling, Duration)> {
        match output {
            Output::Begin(start) => {
                let is_first = self.zero.is_none();
                let at = start.at.duration();
                let zero = *self.zero.get_or_insert_with(|| now().saturating_sub(at));
                self.open = Some(Filling {
                    starts_at: zero + at,
                    start,
                    is_first,
                    chunks: Vec::new(),
                });
                None
            }
            Output::Chunk(chunk) => {
                if let Some(open) = &mut self.open {
                    open.chunks.push(chunk.bytes);
                }
                None
            }
            Output::End(end) => self.open.take().map(|filled| (filled, end.duration)),
        }
    }
}

/// UTC with milliseconds.
fn rfc3339(unix: Duration) -> String {
    let time = OffsetDateTime::UNIX_EPOCH + unix;
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, milli) = time.to_hms_milli();
    format!(
        "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z",
        u8::from(month)
    )
}

#[cfg(test)]
#[path = "../../tests/support/hls_rules.rs"]
mod hls_rules;

#[cfg(test)]
#[path = "../../tests/support/program.rs"]
#[expect(dead_code, reason = "tests of other crates use the rest")]
pub mod program;

#[cfg(test)]
mod tests;
