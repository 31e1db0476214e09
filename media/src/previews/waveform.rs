//! The peaks of the audio. Of a long recording a part of each point's audio is decoded.

use std::time::Duration;

use serde::Serialize;

use super::Segment;
use crate::codec::AacDecoder;
use crate::codec::aac::FRAME;
use crate::mux::MuxError;
use crate::mux::adts::audio_config;
use crate::mux::movie::TrackDescription;
use crate::mux::stored::{SampleReader, StoredSample};

const MOST_POINTS: u64 = 1000;
/// Frames decoded for each point, at most; of 48 kHz a quarter of a second.
const FRAMES_PER_POINT: u64 = 12;

/// As `audiowaveform` writes it in JSON (version 2, one channel), so that players of it need nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waveform {
    pub version: u8,
    pub channels: u8,
    pub sample_rate: u32,
    pub samples_per_pixel: u64,
    pub bits: u8,
    /// Points.
    pub length: usize,
    /// The least and the greatest value of each point, -128 to 127.
    pub data: Vec<i8>,
}

/// See the [module](self).
pub struct Peaks {
    length: Duration,
    decoder: Option<Decoder>,
    points: Option<Points>,
}

struct Decoder {
    decoder: AacDecoder,
    config: Vec<u8>,
}

struct Points {
    rate: u32,
    /// Samples a channel.
    per_point: u64,
    data: Vec<i8>,
    /// The point that is filled, and its decoded frames.
    point: u64,
    frames: u64,
    /// The frame before was left out: the next one only starts the decoder.
    has_skipped: bool,
}

impl Peaks {
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            decoder: None,
            points: None,
        }
    }

    pub fn add<'a>(
        &mut self,
        track: &TrackDescription,
        segment: Segment<'_>,
        samples: impl Iterator<Item = &'a StoredSample>,
    ) -> Result<(), MuxError> {
        let Ok(config) = audio_config(std::slice::from_ref(track)) else {
            return Ok(());
        };
        if self.decoder.as_ref().is_none_or(|decoder| decoder.config != config) {
            let Ok(decoder) = AacDecoder::new(&config) else {
                return Ok(());
            };
            self.decoder = Some(Decoder { decoder, config });
        }
        let Some(Decoder { decoder, .. }) = &mut self.decoder else {
            return Ok(());
        };
        let rate = track.timescale.get();
        let ticks = |time: Duration| (time.as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
        let points = self.points.get_or_insert_with(|| Points::new(rate, ticks(self.length)));
        let files = [segment.path.to_owned()];
        let mut reader = SampleReader::new(&files);
        let mut pcm = Vec::new();
        for sample in samples {
            let Some(at) = segment.presented(track, sample).filter(|at| *at < self.length) else {
                continue;
            };
            // Another rate would not fit the points.
            let at = ticks(at);
            if rate != points.rate || !points.wants(at) {
                points.has_skipped = true;
                continue;
            }
            pcm.clear();
            let is_decoded = decoder.decode(reader.read(sample)?, &mut pcm).is_ok();
            if std::mem::take(&mut points.has_skipped) || !is_decoded {
                continue;
            }
            points.take(at, &pcm, decoder.channels());
        }
        Ok(())
    }

    /// None: there is no audio.
    pub fn finish(self) -> Option<Waveform> {
        let points = self.points?;
        Some(Waveform {
            version: 2,
            channels: 1,
            sample_rate: points.rate,
            samples_per_pixel: points.per_point,
            bits: 8,
            length: points.data.len() / 2,
            data: points.data,
        })
    }
}

impl Points {
    fn new(rate: u32, length: u64) -> Self {
        let per_point = length.div_ceil(MOST_POINTS).max(FRAME as u64);
        let count = length.div_ceil(per_point).min(MOST_POINTS) as usize;
        Self {
            rate,
            per_point,
            data: vec![0; 2 * count],
            point: 0,
            frames: 0,
            // The first frame of a recording starts the decoder without a frame before it.
            has_skipped: false,
        }
    }

    /// Whether a frame that begins there is decoded.
    fn wants(&mut self, at: u64) -> bool {
        let point = at / self.per_point;
        if point != self.point {
            self.point = point;
            self.frames = 0;
        }
        self.frames += 1;
        self.frames <= FRAMES_PER_POINT
    }

    fn take(&mut self, at: u64, pcm: &[f32], channels: usize) {
        for (index, samples) in pcm.chunks_exact(channels.max(1)).enumerate() {
            let point = ((at + index as u64) / self.per_point) as usize;
            let Some([least, greatest]) = self.data.get_mut(2 * point..2 * point + 2) else {
                return;
            };
            for sample in samples {
                let value = (sample * 128.0).clamp(-128.0, 127.0) as i8;
                *least = (*least).min(value);
                *greatest = (*greatest).max(value);
            }
        }
    }
}
