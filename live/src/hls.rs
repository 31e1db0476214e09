//! HLS of a running program: a sliding window of segments in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use rotunda_media::mux::MuxError;
use rotunda_media::mux::fmp4::{Fragment, FragmentMuxer};
use rotunda_media::mux::hls::{Kind, Segment, playlist};
use rotunda_media::program::{Frame, ProgramReader, ReadError, Track};
use rotunda_proto::clock::Clock;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A GOP is at most 5 s, so a segment ends at most that much after its least length.
const LONGEST_GOP_SECONDS: u64 = 5;

/// What players see of a stream.
#[derive(Debug, Clone, Default)]
pub struct Window {
    segments: VecDeque<Stored>,
    /// Number of the first segment; never goes back.
    media_sequence: u64,
    discontinuities: u64,
    inits: Vec<Bytes>,
    segment_seconds: u64,
    most: usize,
    ended: bool,
}

/// Whether a segment goes on from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    New,
    Same,
}

/// A segment as it was cut.
struct Segmented {
    bytes: Bytes,
    duration_ms: u64,
    starts_at: Duration,
}

#[derive(Debug, Clone)]
struct Stored {
    bytes: Bytes,
    duration_ms: u64,
    init: usize,
    /// Its start, since 1970.
    starts_at: Duration,
}

impl Window {
    pub fn new(segment_seconds: u64, most: usize) -> Self {
        Self {
            segment_seconds,
            most,
            ..Self::default()
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
                duration_ms: stored.duration_ms,
                program_date_time: Some(rfc3339(stored.starts_at)),
                init_uri: format!("{stream_id}/init-{}.mp4", stored.init),
            })
            .collect();
        let kind = if self.ended { Kind::Ended } else { Kind::Live };
        playlist(
            kind,
            &segments,
            self.media_sequence,
            self.discontinuities,
            self.target_seconds(),
        )
    }

    /// The same for the whole life of a stream, so it is made for the longest GOP.
    fn target_seconds(&self) -> u64 {
        self.segment_seconds.max(LONGEST_GOP_SECONDS) + 1
    }

    fn length_ms(&self) -> u64 {
        self.segments.iter().map(|stored| stored.duration_ms).sum()
    }

    fn first_ms(&self) -> u64 {
        self.segments.front().map_or(0, |stored| stored.duration_ms)
    }

    pub fn segment(&self, number: u64) -> Option<Bytes> {
        let index = usize::try_from(number.checked_sub(self.media_sequence)?).ok()?;
        self.segments.get(index).map(|stored| stored.bytes.clone())
    }

    pub fn init(&self, number: usize) -> Option<Bytes> {
        self.inits.get(number).cloned()
    }

    /// Segments of one run follow one another in time; a new run is a discontinuity.
    fn push(&mut self, run: Run, init: &Bytes, segment: Segmented) {
        if run == Run::New {
            self.inits.push(init.clone());
        }
        let init = self.inits.len().saturating_sub(1);
        let Segmented {
            bytes,
            duration_ms,
            starts_at,
        } = segment;
        self.segments.push_back(Stored {
            bytes,
            duration_ms,
            init,
            starts_at,
        });
        // RFC 8216 §6.2.2: a live playlist holds at least three target durations.
        let least_ms = 3 * 1000 * self.target_seconds();
        while self.segments.len() > self.most && self.length_ms() - self.first_ms() >= least_ms {
            let gone = self.segments.pop_front().map(|stored| stored.init);
            self.media_sequence += 1;
            if gone.is_some() && gone != self.segments.front().map(|stored| stored.init) {
                self.discontinuities += 1;
            }
        }
    }
}

/// Cuts the program into segments until it ends.
pub async fn segment(mut reader: ProgramReader, window: watch::Sender<Window>, stop: CancellationToken) {
    let mut segmenter: Option<Segmenter> = None;
    loop {
        let read = tokio::select! {
            read = reader.next() => read,
            () = stop.cancelled() => Err(ReadError::Ended),
        };
        let done = match read {
            Ok(frame) => handle(&mut segmenter, frame, &window),
            Err(ReadError::Lagged(frames)) => {
                warn!(frames, "the segmenter was too slow");
                // Begins again with the next key frame, as a discontinuity.
                close(&mut segmenter, &window)
            }
            Err(ReadError::Ended) => {
                let closed = close(&mut segmenter, &window);
                window.send_modify(|window| window.ended = true);
                if let Err(error) = closed {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the last segment was not made"
                    );
                }
                return;
            }
        };
        if let Err(error) = done {
            warn!(error = &error as &dyn std::error::Error, "a segment was not made");
            segmenter = None;
        }
    }
}

/// The segment being filled.
struct Segmenter {
    muxer: FragmentMuxer,
    run: Run,
    since_ms: u64,
    starts_at: Duration,
}

fn handle(
    segmenter: &mut Option<Segmenter>,
    frame: Arc<Frame>,
    window: &watch::Sender<Window>,
) -> Result<(), MuxError> {
    let is_key = frame.is_key && (frame.track == Track::Video || frame.header.video.is_none());
    let at = frame.pts.millis();
    if segmenter
        .as_ref()
        .is_some_and(|open| !Arc::ptr_eq(open.muxer.header(), &frame.header))
    {
        close(segmenter, window)?;
    }
    let least_ms = window.borrow().segment_seconds * 1000;
    match segmenter {
        None if is_key => {
            let mut muxer = FragmentMuxer::new(frame.header.clone())?;
            muxer.push(frame);
            *segmenter = Some(Segmenter {
                muxer,
                run: Run::New,
                since_ms: at,
                starts_at: Clock.unix(),
            });
        }
        None => {}
        Some(open) => {
            open.muxer.push(frame);
            // Half a frame of tolerance: key frames come at whole GOPs, and rounding must not double the segment.
            if is_key && at + 30 >= open.since_ms + least_ms {
                let fragment = open.muxer.flush()?;
                publish(open, fragment, window);
                open.run = Run::Same;
                open.since_ms = at;
                open.starts_at = Clock.unix();
            }
        }
    }
    Ok(())
}

fn close(segmenter: &mut Option<Segmenter>, window: &watch::Sender<Window>) -> Result<(), MuxError> {
    if let Some(mut open) = segmenter.take() {
        let fragment = open.muxer.finish()?;
        publish(&open, fragment, window);
    }
    Ok(())
}

fn publish(open: &Segmenter, fragment: Option<Fragment>, window: &watch::Sender<Window>) {
    if let (Some(fragment), Some(init)) = (fragment, open.muxer.init_segment()) {
        window.send_modify(|window| {
            let Fragment { bytes, duration_ms, .. } = fragment.clone();
            window.push(
                open.run,
                &init,
                Segmented {
                    bytes,
                    duration_ms,
                    starts_at: open.starts_at,
                },
            );
        });
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
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_its_number_never_goes_back() {
        let mut window = Window::new(5, 3);
        let init = Bytes::from_static(b"init");
        for number in 0..7 {
            let run = if number == 0 || number == 2 {
                Run::New
            } else {
                Run::Same
            };
            let bytes = Bytes::from(vec![number]);
            window.push(
                run,
                &init,
                Segmented {
                    bytes,
                    duration_ms: 6000,
                    starts_at: Duration::ZERO,
                },
            );
        }
        // Three target durations of 6 s stay.
        assert_eq!((window.media_sequence, window.discontinuities), (4, 1));
        assert_eq!(window.segment(4).as_deref(), Some(&[4][..]));
        assert_eq!(window.segment(3), None);
        let text = window.playlist("s");
        assert!(
            text.contains("#EXT-X-MEDIA-SEQUENCE:4\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n"),
            "{text}"
        );
        assert!(
            text.contains("s/init-1.mp4") && !text.contains("#EXT-X-ENDLIST"),
            "{text}"
        );
        window.ended = true;
        assert!(window.playlist("s").ends_with("#EXT-X-ENDLIST\n"));
    }

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(
            rfc3339(Duration::from_millis(1_581_826_332_005)),
            "2020-02-16T04:12:12.005Z"
        );
        assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00.000Z");
    }
}
