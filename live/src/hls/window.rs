//! The segments of a stream that players can see: a sliding window in memory, and the parts of the segment that is being made. Pure.
//!
//! Names are never reused, because caches keep them. A segment's name is its media sequence number. It continues
//! after the last number of an earlier program of the same stream; otherwise it begins at the Unix time, so that it
//! grows even after a restart. A part is named by its segment and its place there.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use rotunda_media::mux::hls::{Head, Kind, LowLatency, Part, Segment, Tail, playlist};
use rotunda_media::mux::segmenter::{Lengths, SegmentStart};
use rotunda_media::program::ProgramHeader;
use time::OffsetDateTime;

/// The length of a part, at least; it ends with a whole frame.
const PART: Duration = Duration::from_millis(350);
/// The segmenter ends a part this much before its length.
const TOLERANCE: Duration = Duration::from_millis(30);

/// Whether players get parts of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// Low-Latency HLS.
    Low,
    /// Whole segments only: for streams whose frame rate changes, as their parts have no target length.
    Ordinary,
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Window {
    lengths: Lengths,
    latency: Latency,
    /// Segments in the window, unless three target durations need more.
    most: usize,
    segments: VecDeque<Stored>,
    open: Option<Growing>,
    /// Longest part; known when the first segment begins.
    part_target: Option<Duration>,
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
    parts: Vec<StoredPart>,
}

#[derive(Debug, Clone)]
struct StoredPart {
    bytes: Bytes,
    duration: Duration,
}

/// The segment that is being made.
#[derive(Debug, Clone)]
struct Growing {
    start: SegmentStart,
    starts_at: Duration,
    /// The first segment of a program.
    is_first: bool,
    parts: Vec<StoredPart>,
}

/// A place in a stream that a player waits for: a segment, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub segment: u64,
    pub part: Option<u64>,
}

/// Whether a player gets what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    Yes,
    NotYet,
    /// It is too far ahead: the player is wrong.
    Never,
}

impl Window {
    /// `now`: since 1970.
    pub fn new(segment_seconds: u64, most: usize, latency: Latency, now: Duration) -> Self {
        Self {
            lengths: Lengths {
                segment: Duration::from_secs(segment_seconds),
                chunk: match latency {
                    Latency::Low => PART,
                    Latency::Ordinary => Duration::from_secs(1),
                },
            },
            latency,
            most,
            segments: VecDeque::new(),
            open: None,
            part_target: None,
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
            open: None,
            ..self.clone()
        }
    }

    pub fn lengths(&self) -> Lengths {
        self.lengths
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How long a player may wait for a playlist: three target durations.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_secs(3 * self.lengths.target_seconds())
    }

    /// `stream_id` is the folder of the segments, beside the playlist.
    pub fn playlist(&self, stream_id: &str) -> String {
        let mut rest = self.length() + self.open_length();
        // Older parts are of no use.
        let with_parts = self.longest_wait();
        let numbered = self.segments.iter().zip(self.media_sequence..);
        let segments: Vec<Segment> = numbered
            .map(|(stored, number)| {
                let has_parts = rest <= with_parts;
                rest = rest.saturating_sub(stored.duration);
                Segment {
                    uri: format!("{stream_id}/{number}.m4s"),
                    duration: stored.duration,
                    program_date_time: Some(rfc3339(stored.starts_at)),
                    init_uri: format!("{stream_id}/init-{}.mp4", stored.init_name),
                    discontinuity: stored.discontinuity,
                    independent: stored.independent,
                    parts: match has_parts {
                        true => self.parts(stream_id, number, &stored.parts, stored.independent),
                        false => Vec::new(),
                    },
                }
            })
            .collect();
        let head = Head {
            kind: if self.ended { Kind::Ended } else { Kind::Live },
            media_sequence: self.media_sequence,
            discontinuities: self.discontinuities,
            target_seconds: self.lengths.target_seconds(),
            low_latency: self.low_latency(),
        };
        playlist(head, &segments, &self.tail(stream_id))
    }

    /// Whether a player that waits for this gets a playlist with it now.
    pub fn has(&self, wanted: Position) -> Reached {
        let next = self.next_number();
        let open_parts = self.open.as_ref().map_or(0, |open| open.parts.len() as u64);
        // RFC 8216bis §6.2.5.2: a part after the last one of its segment is the first one of the next segment.
        let is_there = match wanted.part {
            None => wanted.segment < next,
            Some(part) if wanted.segment == next => part < open_parts,
            Some(part) if wanted.segment < next => {
                let index = wanted.segment.checked_sub(self.media_sequence);
                let stored = index.and_then(|index| self.segments.get(usize::try_from(index).ok()?));
                let parts = stored.map_or(u64::MAX, |stored| stored.parts.len() as u64);
                part < parts || open_parts > 0 || wanted.segment + 1 < next
            }
            Some(_) => false,
        };
        match is_there || self.ended {
            true => Reached::Yes,
            false if wanted.segment > next + 1 => Reached::Never,
            false => Reached::NotYet,
        }
    }

    pub fn segment(&self, number: u64) -> Option<Bytes> {
        self.stored(number).map(|stored| stored.bytes.clone())
    }

    pub fn part(&self, number: u64, part: u64) -> Option<Bytes> {
        let parts = match self.stored(number) {
            Some(stored) => &stored.parts,
            None => &self.open.as_ref().filter(|_| number == self.next_number())?.parts,
        };
        parts.get(usize::try_from(part).ok()?).map(|part| part.bytes.clone())
    }

    /// Whether this part will come: it is the one that the playlist hints at.
    pub fn will_have(&self, number: u64, part: u64) -> bool {
        let open_parts = self.open.as_ref().map_or(0, |open| open.parts.len() as u64);
        !self.ended && number == self.next_number() && part == open_parts
    }

    pub fn init(&self, name: u64) -> Option<Bytes> {
        let stored = self.segments.iter().find(|stored| stored.init_name == name);
        let open = || {
            self.open
                .as_ref()
                .filter(|open| self.init_name(open) == name)
                .map(|open| open.start.init.clone())
        };
        stored.map(|stored| stored.init.clone()).or_else(open)
    }

    /// A segment begins. `starts_at`: since 1970.
    pub fn begin(&mut self, start: SegmentStart, starts_at: Duration, is_first: bool) {
        // A segment that was given up: players know its parts, so its name is used.
        if let Some(open) = &self.open
            && !open.parts.is_empty()
        {
            let duration = open.parts.iter().map(|part| part.duration).sum();
            self.end_segment(duration);
        }
        if self.latency == Latency::Low {
            self.part_target.get_or_insert_with(|| part_target(&start.header));
        }
        self.open = Some(Growing {
            start,
            starts_at,
            is_first,
            parts: Vec::new(),
        });
    }

    /// The next part of the open segment.
    pub fn add_part(&mut self, bytes: Bytes, duration: Duration) {
        if let Some(open) = &mut self.open {
            open.parts.push(StoredPart { bytes, duration });
        }
    }

    /// The open segment is complete.
    pub fn end_segment(&mut self, duration: Duration) {
        let Some(open) = self.open.take() else { return };
        let (init_name, discontinuity) = (self.init_name(&open), self.is_discontinuity(&open));
        let pieces: Vec<&[u8]> = open.parts.iter().map(|part| part.bytes.as_ref()).collect();
        let bytes = Bytes::from(pieces.concat());
        let mut from = 0;
        let parts = open.parts.iter().map(|part| {
            let to = from + part.bytes.len();
            let slice = bytes.slice(from..to);
            from = to;
            StoredPart {
                bytes: slice,
                duration: part.duration,
            }
        });
        let parts = match self.latency {
            Latency::Low => parts.collect(),
            Latency::Ordinary => Vec::new(),
        };
        self.segments.push_back(Stored {
            bytes,
            duration,
            init_name,
            discontinuity,
            init: open.start.init,
            independent: open.start.independent,
            starts_at: open.starts_at,
            parts,
        });
        // RFC 8216 §6.2.2: a live playlist holds at least three target durations.
        let least = Duration::from_secs(3 * self.lengths.target_seconds());
        while self.segments.len() > self.most && self.length() - self.first_length() >= least {
            self.segments.pop_front();
            self.media_sequence += 1;
            self.discontinuities += u64::from(self.segments.front().is_some_and(|first| first.discontinuity));
        }
    }

    /// The program has ended.
    pub fn end(&mut self) {
        self.ended = true;
        self.open = None;
    }

    /// Removes all segments. What comes later does not go on where they ended.
    pub fn clear(&mut self) {
        let within = self.segments.iter().skip(1).filter(|stored| stored.discontinuity);
        self.discontinuities += 1 + within.count() as u64;
        self.media_sequence += self.segments.len() as u64;
        self.segments.clear();
        self.open = None;
    }

    fn low_latency(&self) -> Option<LowLatency> {
        // An ended stream has no parts to wait for.
        let part_target = self.part_target.filter(|_| !self.ended)?;
        Some(LowLatency {
            part_target,
            hold_back: 3 * part_target,
        })
    }

    /// The parts after the last complete segment.
    fn tail(&self, stream_id: &str) -> Tail {
        if self.low_latency().is_none() {
            return Tail::default();
        }
        let number = self.next_number();
        let Some(open) = &self.open else {
            return Tail {
                hint: Some(part_uri(stream_id, number, 0)),
                ..Tail::default()
            };
        };
        Tail {
            discontinuity: self.is_discontinuity(open),
            init_uri: Some(format!("{stream_id}/init-{}.mp4", self.init_name(open))),
            program_date_time: Some(rfc3339(open.starts_at)),
            parts: self.parts(stream_id, number, &open.parts, open.start.independent),
            hint: Some(part_uri(stream_id, number, open.parts.len() as u64)),
        }
    }

    fn parts(&self, stream_id: &str, number: u64, parts: &[StoredPart], independent: bool) -> Vec<Part> {
        if self.low_latency().is_none() {
            return Vec::new();
        }
        let part = |(part, stored): (u64, &StoredPart)| Part {
            uri: part_uri(stream_id, number, part),
            duration: stored.duration,
            independent: independent && part == 0,
        };
        (0..).zip(parts).map(part).collect()
    }

    /// The number of the segment after the complete ones.
    fn next_number(&self) -> u64 {
        self.media_sequence + self.segments.len() as u64
    }

    fn init_name(&self, open: &Growing) -> u64 {
        let before = self.segments.back().filter(|before| before.init == open.start.init);
        before.map_or_else(|| self.next_number(), |before| before.init_name)
    }

    fn is_discontinuity(&self, open: &Growing) -> bool {
        !self.segments.is_empty() && (open.start.discontinuity || open.is_first)
    }

    fn stored(&self, number: u64) -> Option<&Stored> {
        let index = usize::try_from(number.checked_sub(self.media_sequence)?).ok()?;
        self.segments.get(index)
    }

    fn length(&self) -> Duration {
        self.segments.iter().map(|stored| stored.duration).sum()
    }

    fn open_length(&self) -> Duration {
        let parts = self.open.iter().flat_map(|open| &open.parts);
        parts.map(|part| part.duration).sum()
    }

    fn first_length(&self) -> Duration {
        self.segments.front().map_or(Duration::ZERO, |stored| stored.duration)
    }
}

fn part_uri(stream_id: &str, number: u64, part: u64) -> String {
    format!("{stream_id}/{number}.{part}.m4s")
}

/// The longest part: as many whole frames as the segmenter puts into one.
fn part_target(header: &ProgramHeader) -> Duration {
    let frame = match &header.video {
        Some(video) => Duration::from_secs(1) / u32::from(video.framerate.max(1)),
        None => Duration::from_secs(1024) / header.audio.sample_rate.max(1),
    };
    let frames = (PART - TOLERANCE).as_nanos().div_ceil(frame.as_nanos().max(1));
    // Rounded up, as playlists have microseconds.
    frame * u32::try_from(frames).unwrap_or(u32::MAX) + Duration::from_millis(1)
}

/// UTC with milliseconds.
pub fn rfc3339(unix: Duration) -> String {
    let time = OffsetDateTime::UNIX_EPOCH + unix;
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, milli) = time.to_hms_milli();
    format!(
        "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z",
        u8::from(month)
    )
}
