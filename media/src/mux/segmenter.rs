//! Cuts a program into CMAF segments: for live HLS and for recordings alike. Sans-IO: frames in, [`Output`] out.
//!
//! Frames are put in order of decode time first, so that a segment has all audio up to its end. Every time is the
//! program's, from the first keyframe on: a gap stays a gap, and audio is never early.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::MuxError;
use super::cmaf::{TimedFrame, chunk, init_segment, video_init_segment};
use crate::program::{Frame, ProgramHeader, Track};
use crate::time::MediaTime;

/// Longest time between keyframes that a mix may ask for.
pub const LONGEST_GOP: Duration = Duration::from_secs(5);
/// One track may be this far behind the other; then the other does not wait for it any more.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// A longer time without any frame ends the segment: nothing was received, and players skip it.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The same for a program's video alone, which may stand still. A segment that ends before the next frame is not too long.
const LONGEST_STILL: Duration = LONGEST_GOP.saturating_sub(Duration::from_millis(500));
/// Keyframes come at whole seconds, and rounding must not double a segment.
const TOLERANCE: Duration = Duration::from_millis(30);

/// How long segments and chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Least length of a segment; it ends at the next keyframe.
    pub segment: Duration,
    /// Length of a chunk.
    pub chunk: Duration,
}

impl Lengths {
    /// Longest segment in whole seconds, by the rounding of RFC 8216 §4.3.3.1: it holds for the whole life of a stream.
    ///
    /// Keyframes at whole seconds never end a segment before its least length.
    pub fn target_seconds(self) -> u64 {
        self.segment.as_secs() + LONGEST_GOP.as_secs() - 1
    }

    /// A segment that is longer is rounded to more than the target.
    fn limit(self) -> Duration {
        Duration::from_secs(self.target_seconds()) + Duration::from_millis(499)
    }
}

/// The outputs, in this order: a beginning, its chunks, its end.
#[derive(Debug, Clone)]
pub enum Output {
    Begin(SegmentStart),
    Chunk(Chunk),
    End(SegmentEnd),
}

#[derive(Debug, Clone)]
pub struct SegmentStart {
    /// The init segment, the same [`Bytes`] until it changes.
    pub init: Bytes,
    pub header: Arc<ProgramHeader>,
    /// It does not go on where the one before ended, or needs another init segment.
    pub discontinuity: bool,
    /// It begins with a keyframe.
    pub independent: bool,
    /// Program time.
    pub at: MediaTime,
}

#[derive(Debug, Clone)]
pub struct Chunk {
    pub bytes: Bytes,
    pub duration: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentEnd {
    pub duration: Duration,
}

/// See the [module](self).
pub struct Segmenter {
    lengths: Lengths,
    takes: Takes,
    /// In MP4 headers, since 1970.
    created: Duration,
    /// Frames that wait for their turn, video and audio.
    waiting: [VecDeque<Arc<Frame>>; 2],
    /// End of the newest frame of each track.
    seen: [Option<MediaTime>; 2],
    /// Program time of the stream's zero.
    origin: Option<MediaTime>,
    open: Option<Open>,
    /// Where the last segment ended, when frames go on there.
    cut_at: Option<MediaTime>,
    /// The last segment ended because the video stood still: any frame goes on.
    stood_still: bool,
    init: Option<(Arc<ProgramHeader>, Bytes)>,
    /// A segment was made before the one that is to come.
    is_later: bool,
    chunks: u32,
    out: VecDeque<Output>,
}

/// The segment being filled.
struct Open {
    header: Arc<ProgramHeader>,
    since: MediaTime,
    chunk_since: MediaTime,
    /// The newest frame of each track, whose duration is not known yet.
    held: [Option<Arc<Frame>>; 2],
    ready: Vec<TimedFrame>,
    /// End of the newest leading frame.
    end: MediaTime,
    /// End of the newest frame.
    reached: MediaTime,
    /// The audio that is left out has come up to here.
    heard: MediaTime,
}

/// The tracks that segments have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    All,
    /// The audio says how long the video stands still.
    VideoAlone,
}

impl Segmenter {
    /// `created`: time of creation in MP4 headers, since 1970.
    pub fn new(lengths: Lengths, created: Duration) -> Self {
        Self::taking(Takes::All, lengths, created)
    }

    /// Segments of the video alone. The audio is given to it, too: frames of the video that stand still last as long as it comes.
    pub fn of_video(lengths: Lengths, created: Duration) -> Self {
        Self::taking(Takes::VideoAlone, lengths, created)
    }

    fn taking(takes: Takes, lengths: Lengths, created: Duration) -> Self {
        Self {
            lengths,
            takes,
            created,
            waiting: Default::default(),
            seen: [None, None],
            origin: None,
            open: None,
            cut_at: None,
            stood_still: false,
            init: None,
            is_later: false,
            chunks: 0,
            out: VecDeque::new(),
        }
    }

    /// Takes the next frame.
    ///
    /// Errors: [`MuxError`]; then the segment is given up, and the next keyframe begins another.
    pub fn handle_frame(&mut self, frame: Arc<Frame>) -> Result<(), MuxError> {
        if self.takes == Takes::VideoAlone && frame.track == Track::Audio {
            if let Some(open) = &mut self.open {
                open.heard = open.heard.max(frame.pts.plus(frame.duration.into()));
            }
            return Ok(());
        }
        let track = index(frame.track);
        self.seen[track] = Some(frame.pts.plus(frame.duration.into()));
        self.waiting[track].push_back(frame);
        self.release(Wait::ForOther)
    }

    /// Frames were lost: the segment ends, and the next keyframe begins another.
    ///
    /// Errors: [`MuxError`]; the segment may lack its end.
    pub fn handle_loss(&mut self) -> Result<(), MuxError> {
        let released = self.release(Wait::No);
        self.seen = [None, None];
        let closed = self.close(None);
        self.stood_still = false;
        released.and(closed)
    }

    /// The program is over.
    ///
    /// Errors: [`MuxError`]; the segment may lack its end.
    pub fn finish(&mut self) -> Result<(), MuxError> {
        self.handle_loss()
    }

    /// The next piece; None: all are out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn release(&mut self, wait: Wait) -> Result<(), MuxError> {
        while let Some(track) = self.next_track(wait) {
            let Some(frame) = self.waiting[track].pop_front() else {
                break;
            };
            if let Err(error) = self.place(frame) {
                self.open = None;
                self.cut_at = None;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The track whose first waiting frame is next; None: it may not be known yet.
    fn next_track(&self, wait: Wait) -> Option<usize> {
        let [video, audio] = [self.waiting[0].front(), self.waiting[1].front()];
        let (track, frame) = match (video, audio) {
            (None, None) => return None,
            (Some(video), Some(audio)) => return Some(usize::from(audio.pts.is_before(video.pts))),
            (Some(video), None) => (0, video),
            (None, Some(audio)) => (1, audio),
        };
        let alone = frame.header.video.is_none() || self.takes == Takes::VideoAlone;
        let other_is_further = self.seen[1 - track].is_some_and(|seen| !seen.is_before(frame.pts));
        let newest = self.waiting[track].back().unwrap_or(frame).pts.duration();
        let waited = newest.saturating_sub(frame.pts.duration()) > LONGEST_WAIT;
        (wait == Wait::No || alone || other_is_further || waited).then_some(track)
    }

    /// Takes a frame in order.
    fn place(&mut self, frame: Arc<Frame>) -> Result<(), MuxError> {
        let leads = frame.track == Track::Video || frame.header.video.is_none();
        let longest = match self.takes {
            Takes::All => LONGEST_PAUSE,
            Takes::VideoAlone => LONGEST_STILL,
        };
        let is_pause = |open: &Open| frame.pts.since(open.reached) > longest;
        if self.open.as_ref().is_some_and(is_pause) {
            self.close(None)?;
            self.stood_still = self.takes == Takes::VideoAlone;
        }
        if (leads && self.ends_before(&frame)) || (!leads && self.ends_without_video(&frame)) {
            self.close(Some(&frame))?;
        }
        if self.open.is_none() {
            // Another frame than a keyframe begins a segment only where the segment before would become too long.
            let is_key = leads && frame.is_key;
            if !(is_key || self.stood_still || self.cut_at == Some(frame.pts)) {
                return Ok(());
            }
            self.begin(&frame, is_key)?;
        }
        let (Some(origin), Some(open)) = (self.origin, &mut self.open) else {
            return Ok(());
        };
        // Audio of another configuration waits for the init segment that begins with the next keyframe.
        let fits = leads || open.header.audio.decodes_like(&frame.header.audio);
        if !fits || frame.pts.is_before(origin) {
            return Ok(());
        }
        open.reached = open.reached.max(frame.pts.plus(frame.duration.into()));
        let drives = leads || open.lacks_video(&frame);
        if drives && frame.pts.since(open.chunk_since) + TOLERANCE >= self.lengths.chunk {
            open.settle(origin, frame.track, Some(frame.pts));
            self.out
                .extend(open.take_chunk(&mut self.chunks, frame.pts)?.map(Output::Chunk));
        }
        if leads {
            open.end = frame.pts.plus(frame.duration.into());
        }
        open.hold(origin, frame);
        Ok(())
    }

    /// Whether the open segment ends before this leading frame.
    fn ends_before(&self, frame: &Frame) -> bool {
        let Some(open) = &self.open else { return false };
        let length = frame.pts.since(open.since);
        if frame.is_key {
            let changed = !open.header.decodes_like(&frame.header);
            let long_enough = length + TOLERANCE >= self.lengths.segment;
            // The next chance may be a whole GOP away.
            let too_late_then = open.header.video.is_some() && length + LONGEST_GOP > self.lengths.limit();
            return changed || long_enough || too_late_then;
        }
        // A busy encoder may make keyframes later than it was asked to.
        let with_it = length + MediaTime::new(frame.duration.into(), frame.pts.rate()).duration();
        with_it > self.lengths.limit()
    }

    /// Whether the open segment ends before this audio frame, because no video comes.
    fn ends_without_video(&self, frame: &Frame) -> bool {
        let ends =
            |open: &Open| open.lacks_video(frame) && frame.pts.since(open.since) + TOLERANCE >= self.lengths.segment;
        self.open.as_ref().is_some_and(ends)
    }

    /// `is_independent`: players can begin here.
    fn begin(&mut self, frame: &Arc<Frame>, is_independent: bool) -> Result<(), MuxError> {
        self.origin.get_or_insert(frame.pts);
        let known = self
            .init
            .as_ref()
            .filter(|(header, _)| header.decodes_like(&frame.header));
        let (init, is_new) = match known {
            Some((_, init)) => (init.clone(), false),
            None => (self.describe(&frame.header)?, true),
        };
        self.init = Some((frame.header.clone(), init.clone()));
        let follows = self.cut_at == Some(frame.pts);
        self.out.push_back(Output::Begin(SegmentStart {
            init,
            header: frame.header.clone(),
            discontinuity: self.is_later && (is_new || !follows),
            independent: is_independent,
            at: frame.pts,
        }));
        self.is_later = true;
        self.stood_still = false;
        self.open = Some(Open {
            header: frame.header.clone(),
            since: frame.pts,
            chunk_since: frame.pts,
            held: [None, None],
            ready: Vec::new(),
            end: frame.pts,
            reached: frame.pts,
            heard: frame.pts,
        });
        Ok(())
    }

    fn describe(&self, header: &ProgramHeader) -> Result<Bytes, MuxError> {
        match self.takes {
            Takes::All => init_segment(header, self.created),
            Takes::VideoAlone => video_init_segment(header, self.created),
        }
    }

    /// Ends the open segment, before `next` or with what it has.
    fn close(&mut self, next: Option<&Frame>) -> Result<(), MuxError> {
        self.cut_at = next.map(|frame| frame.pts);
        let (Some(origin), Some(mut open)) = (self.origin, self.open.take()) else {
            return Ok(());
        };
        let end = next.map_or_else(|| open.last_end(self.lengths.limit()), |frame| frame.pts);
        let leading = match open.header.video {
            Some(_) => Track::Video,
            None => Track::Audio,
        };
        for track in [Track::Video, Track::Audio] {
            open.settle(origin, track, (track == leading).then_some(end));
        }
        self.out
            .extend(open.take_chunk(&mut self.chunks, end)?.map(Output::Chunk));
        let duration = end.since(open.since);
        self.out.push_back(Output::End(SegmentEnd { duration }));
        Ok(())
    }
}

impl Open {
    /// The end of a segment that no frame follows. `longest`: of a segment.
    fn last_end(&self, longest: Duration) -> MediaTime {
        let rate = self.end.rate();
        let longest = self
            .since
            .plus((longest.as_micros() * u128::from(rate) / 1_000_000) as u64);
        let heard = self.heard.rescale(rate);
        let heard = if longest.is_before(heard) { longest } else { heard };
        self.end.max(heard)
    }

    /// Whether the segment has video that has not come for so long that audio goes on without it.
    fn lacks_video(&self, audio: &Frame) -> bool {
        self.header.video.is_some() && audio.track == Track::Audio && audio.pts.since(self.end) > LONGEST_WAIT
    }

    /// Takes a frame; it is ready when the next one of its track is there.
    fn hold(&mut self, origin: MediaTime, frame: Arc<Frame>) {
        let track = frame.track;
        self.settle(origin, track, Some(frame.pts));
        self.held[index(track)] = Some(frame);
    }

    /// The track's newest frame lasts until `next`, or as long as it says.
    fn settle(&mut self, origin: MediaTime, track: Track, next: Option<MediaTime>) {
        let Some(frame) = self.held[index(track)].take() else {
            return;
        };
        let duration = match next {
            Some(next) => next.rescale(frame.pts.rate()).ticks().saturating_sub(frame.pts.ticks()),
            None => frame.duration.into(),
        };
        let zero = origin.rescale(frame.pts.rate()).ticks();
        self.ready.push(TimedFrame {
            decode_time: frame.pts.ticks().saturating_sub(zero),
            duration: u32::try_from(duration).unwrap_or(u32::MAX),
            frame,
        });
    }

    fn take_chunk(&mut self, chunks: &mut u32, end: MediaTime) -> Result<Option<Chunk>, MuxError> {
        let frames = std::mem::take(&mut self.ready);
        if frames.is_empty() {
            return Ok(None);
        }
        *chunks = chunks.wrapping_add(1);
        let duration = end.since(std::mem::replace(&mut self.chunk_since, end));
        let bytes = chunk(*chunks, &frames)?;
        Ok(Some(Chunk { bytes, duration }))
    }
}

/// Whether a frame waits until the other track cannot bring an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    ForOther,
    No,
}

fn index(track: Track) -> usize {
    match track {
        Track::Video => 0,
        Track::Audio => 1,
    }
}
