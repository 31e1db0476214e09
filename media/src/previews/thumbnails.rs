//! A poster, and thumbnails at even distances on one sheet. Only keyframes are decoded, at most one for each thumbnail.

use std::path::PathBuf;
use std::time::Duration;

use shiguredo_mp4::boxes::SampleEntry;

use super::Segment;
use crate::codec::h264::{H264Decoder, to_annex_b};
use crate::mux::MuxError;
use crate::mux::movie::TrackDescription;
use crate::mux::stored::{SampleReader, StoredSample};
use crate::picture::to_jpeg;
use crate::scale::scale_into;
use crate::video_frame::{Rect, VideoFrame, Yuv};

/// Seconds from one thumbnail to the next, at least.
const LEAST_STEP: u64 = 5;
const MOST_THUMBNAILS: u64 = 100;
const COLUMNS: usize = 10;
/// The longer side of a thumbnail, and of the poster at most, pixels.
const THUMBNAIL: usize = 160;
const POSTER: usize = 1280;
const QUALITY: u8 = 80;
/// A poster's brightness varies at least so much, unless no frame's does: it should show something.
const DETAIL: u32 = 12;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The files.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    /// JPEG.
    pub poster: Vec<u8>,
    /// JPEG of all thumbnails, in rows of ten.
    pub sheet: Vec<u8>,
    pub layout: Sheet,
}

/// Where the thumbnails are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sheet {
    /// Of a thumbnail, pixels.
    pub width: usize,
    pub height: usize,
    pub count: usize,
    /// From one thumbnail to the next.
    pub step: Duration,
    /// Of the recording.
    pub length: Duration,
}

impl Sheet {
    /// The place of a thumbnail.
    pub fn rect(&self, index: usize) -> Rect {
        Rect {
            x: index % COLUMNS * self.width,
            y: index / COLUMNS * self.height,
            width: self.width,
            height: self.height,
        }
    }

    fn size(&self) -> (usize, usize) {
        (
            self.count.min(COLUMNS) * self.width,
            self.count.div_ceil(COLUMNS) * self.height,
        )
    }
}

/// A keyframe that may be wanted.
struct Candidate {
    segment: PathBuf,
    sample: StoredSample,
    /// Parameter sets, in Annex B.
    sets: Vec<u8>,
}

pub struct Thumbnails {
    step: Duration,
    length: Duration,
    count: usize,
    /// The newest keyframe.
    candidate: Option<Candidate>,
    decoder: Option<H264Decoder>,
    made: Vec<VideoFrame>,
    poster: Option<(u32, VideoFrame)>,
}

impl Thumbnails {
    pub fn new(length: Duration) -> Self {
        let step = length.as_secs().div_ceil(MOST_THUMBNAILS).max(LEAST_STEP);
        let step = Duration::from_secs(step);
        let count = length.as_nanos().div_ceil(step.as_nanos()).max(1) as usize;
        Self {
            step,
            length,
            count,
            candidate: None,
            decoder: None,
            made: Vec::new(),
            poster: None,
        }
    }

    pub fn add<'a>(
        &mut self,
        track: &TrackDescription,
        segment: Segment<'_>,
        samples: impl Iterator<Item = &'a StoredSample>,
    ) -> Result<(), MuxError> {
        let Some(sets) = parameter_sets(&track.entry) else {
            return Ok(());
        };
        for sample in samples.filter(|sample| sample.is_key) {
            let Some(at) = segment.presented(track, sample).filter(|at| *at < self.length) else {
                continue;
            };
            // Those before it show the frame before.
            self.show_before(Some(at))?;
            self.candidate = Some(Candidate {
                segment: segment.path.to_owned(),
                sample: *sample,
                sets: sets.clone(),
            });
        }
        Ok(())
    }

    /// None: there is no video.
    pub fn finish(mut self) -> Result<Option<Images>, MuxError> {
        self.show_before(None)?;
        let (Some((_, poster)), Some(first)) = (&self.poster, self.made.first()) else {
            return Ok(None);
        };
        let layout = Sheet {
            width: first.width(),
            height: first.height(),
            count: self.made.len(),
            step: self.step,
            length: self.length,
        };
        let (width, height) = layout.size();
        let mut sheet = VideoFrame::filled(width, height, Yuv::BLACK);
        for (index, thumbnail) in self.made.iter().enumerate() {
            // Another size is put into the place of the first one's.
            draw_inside(&mut sheet, layout.rect(index), thumbnail);
        }
        Ok(Some(Images {
            poster: to_jpeg(poster, QUALITY).map_err(MuxError::Picture)?,
            sheet: to_jpeg(&sheet, QUALITY).map_err(MuxError::Picture)?,
            layout,
        }))
    }

    /// Makes the thumbnails before that time from the candidate; None: all that are left. A thumbnail shows the middle of its time.
    fn show_before(&mut self, time: Option<Duration>) -> Result<(), MuxError> {
        let middle = |index: usize| (self.step * index as u32 + self.step / 2).min(self.length);
        let due = match time {
            Some(time) => (self.made.len()..self.count)
                .take_while(|index| middle(*index) < time)
                .count(),
            None => self.count - self.made.len(),
        };
        let Some(candidate) = self.candidate.take().filter(|_| due > 0) else {
            return Ok(());
        };
        let Some(frame) = self.decode(&candidate)? else {
            // The next keyframe stands for it.
            return Ok(());
        };
        let thumbnail = fitted(&frame, THUMBNAIL);
        let detail = detail(&thumbnail);
        if self
            .poster
            .as_ref()
            .is_none_or(|(best, _)| *best < DETAIL && *best < detail)
        {
            self.poster = Some((detail, fitted(&frame, POSTER)));
        }
        self.made.extend(std::iter::repeat_n(thumbnail, due));
        Ok(())
    }

    /// None: it is damaged.
    fn decode(&mut self, candidate: &Candidate) -> Result<Option<VideoFrame>, MuxError> {
        let files = [candidate.segment.clone()];
        let mut reader = SampleReader::new(&files);
        let mut unit = candidate.sets.clone();
        unit.extend_from_slice(&to_annex_b(reader.read(&candidate.sample)?));
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => H264Decoder::new().map_err(MuxError::Encode)?,
        };
        // Decoders of some profiles hold a frame back until the next one, or the end.
        let Ok(shown) = decoder.decode_reordered(&unit) else {
            return Ok(None);
        };
        let Ok(last) = decoder.flush() else { return Ok(shown) };
        self.decoder = Some(decoder);
        Ok(shown.or_else(|| last.into_iter().next()))
    }
}

fn parameter_sets(entry: &SampleEntry) -> Option<Vec<u8>> {
    let SampleEntry::Avc1(avc1) = entry else { return None };
    let sets = avc1.avcc_box.sps_list.iter().chain(&avc1.avcc_box.pps_list);
    Some(
        sets.flat_map(|set| [START_CODE.as_slice(), set.as_slice()].concat())
            .collect(),
    )
}

/// The frame with at most that longer side.
fn fitted(frame: &VideoFrame, longest: usize) -> VideoFrame {
    let (width, height) = (frame.width(), frame.height());
    let side = width.max(height);
    if side <= longest {
        return frame.clone();
    }
    let scaled = |pixels: usize| (pixels * longest / side).max(2) & !1;
    let mut target = VideoFrame::filled(scaled(width), scaled(height), Yuv::BLACK);
    let whole = target.rect();
    scale_into(&mut target, whole, frame, frame.rect());
    target
}

/// Draws a whole frame in the middle of a rectangle.
fn draw_inside(canvas: &mut VideoFrame, rect: Rect, frame: &VideoFrame) {
    let (width, height) = (frame.width(), frame.height());
    let (by_width, by_height) = (rect.width * height, rect.height * width);
    let (wide, high) = match by_width <= by_height {
        true => (rect.width, by_width / width),
        false => (by_height / height, rect.height),
    };
    let dest = Rect {
        x: (rect.x + (rect.width - wide) / 2) & !1,
        y: (rect.y + (rect.height - high) / 2) & !1,
        width: wide,
        height: high,
    };
    scale_into(canvas, dest, frame, frame.rect());
}

/// How much the brightness differs from its mean, on average.
fn detail(frame: &VideoFrame) -> u32 {
    let luma = frame.y();
    let count = luma.len().max(1) as u64;
    let mean = luma.iter().map(|value| u64::from(*value)).sum::<u64>() / count;
    let sum: u64 = luma.iter().map(|value| u64::from(*value).abs_diff(mean)).sum();
    (sum / count) as u32
}
