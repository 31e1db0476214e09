//! Encodes the mixed audio as AAC. It resamples to the wanted rate and takes the encoder's delay out of the timestamps.

use bytes::Bytes;
use rotunda_media::codec::aac::FRAME;
use rotunda_media::codec::{AacEncoder, CodecError};
use rotunda_media::program::AudioHeader;
use rotunda_media::time::MediaTime;
use rotunda_proto::mix::AudioEncode;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::audio_input::{CHANNELS, RATE};
use crate::mixer::BLOCK;

/// Blocks of silence that press out all that encoder and resampler hold, at any sample rate: 1 s.
const FLUSH_BLOCKS: usize = 100;

/// One AAC frame.
#[derive(Debug, Clone)]
pub struct AudioFrame {
    /// In samples of the output rate.
    pub pts: MediaTime,
    pub data: Bytes,
}

/// See the [module](self).
pub struct AudioOutput {
    asked: AudioEncode,
    encoder: AacEncoder,
    resampler: Option<Resampler>,
    /// At the output rate and channels, interleaved, less than one frame between calls.
    waiting: Vec<f32>,
    /// First sample of the next frame that the encoder hands out; below the first one it is priming.
    next: i64,
    first: i64,
    /// First sample that the encoder has not been given.
    consumed: i64,
    /// First sample that has not come in.
    taken: i64,
    /// Samples a channel still to be left out before the first one.
    skip: usize,
    /// From here on the next encoder's frames follow.
    end: Option<i64>,
}

struct Resampler {
    fft: Fft<f32>,
    /// Less than it takes at once.
    waiting: Vec<f32>,
    /// Output frames still to be thrown away: the filter's delay.
    skip: usize,
    out: Vec<f32>,
}

impl AudioOutput {
    /// `start`: the mix clock's sample (48 kHz) of the first block to come.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn new(asked: AudioEncode, start: i64) -> Result<Self, CodecError> {
        Self::with_skip(asked, start, 0)
    }

    /// As [`new`](Self::new), but the first frame begins where a frame of `before` ends, so that no audio is missing between the two
    /// and none comes twice.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn after(asked: AudioEncode, start: i64, before: &Self) -> Result<Self, CodecError> {
        let (from, to) = (i64::from(before.asked.sample_rate), i64::from(asked.sample_rate));
        let reached = start * from / RATE;
        let frames = (reached - before.next.min(reached)).div_euclid(FRAME as i64) + 1;
        let boundary = (before.next + frames * FRAME as i64).max(before.first);
        let first = (boundary * to + from - 1) / from;
        let skip = first - start * to / RATE;
        Self::with_skip(asked, start, usize::try_from(skip).unwrap_or(0))
    }

    fn with_skip(asked: AudioEncode, start: i64, skip: usize) -> Result<Self, CodecError> {
        let encoder = AacEncoder::new(asked.sample_rate, asked.channels, asked.bitrate_kbps)?;
        let resampler = if i64::from(asked.sample_rate) == RATE {
            None
        } else {
            Some(Resampler::new(asked.sample_rate)?)
        };
        let first = start * i64::from(asked.sample_rate) / RATE + skip as i64;
        let next = first - i64::from(AacEncoder::DELAY_SAMPLES);
        Ok(Self {
            asked,
            encoder,
            resampler,
            waiting: Vec::new(),
            next,
            first,
            consumed: first,
            taken: first - skip as i64,
            skip,
            end: None,
        })
    }

    /// The first frame's time.
    pub fn first(&self) -> MediaTime {
        MediaTime::new(self.first.max(0) as u64, self.asked.sample_rate)
    }

    /// Frames from `end` on are another encoder's.
    pub fn end_at(&mut self, end: MediaTime) {
        self.end = Some(end.rescale(self.asked.sample_rate).ticks() as i64);
    }

    /// Whether all frames before the end are out.
    pub fn is_over(&self) -> bool {
        // The end was rounded to the next encoder's sample rate.
        self.end.is_some_and(|end| self.next + FRAME as i64 / 2 > end)
    }

    pub fn asked(&self) -> AudioEncode {
        self.asked
    }

    pub fn header(&self) -> AudioHeader {
        AudioHeader {
            sample_rate: self.asked.sample_rate,
            channels: self.asked.channels,
            bitrate_kbps: self.asked.bitrate_kbps,
            config: self.encoder.config(),
        }
    }

    /// Another encoder in place of one that failed; the time goes on.
    fn renew(&mut self) -> Result<(), CodecError> {
        self.encoder = AacEncoder::new(self.asked.sample_rate, self.asked.channels, self.asked.bitrate_kbps)?;
        self.first = self.consumed;
        self.next = self.first - i64::from(AacEncoder::DELAY_SAMPLES);
        Ok(())
    }

    /// Takes one block of the mixer and appends the frames that are ready.
    ///
    /// Errors: [`CodecError::Encode`]; the next block is given to a new encoder.
    pub fn handle_block(&mut self, block: &[f32], out: &mut Vec<AudioFrame>) -> Result<(), CodecError> {
        let block = match &mut self.resampler {
            None => block,
            Some(resampler) => resampler.run(block)?,
        };
        self.taken += (block.len() / CHANNELS) as i64;
        match self.asked.channels {
            1 => self
                .waiting
                .extend(block.chunks_exact(CHANNELS).map(|frame| (frame[0] + frame[1]) / 2.0)),
            _ => self.waiting.extend_from_slice(block),
        }
        let channels = usize::from(self.asked.channels.clamp(1, 2));
        let skipped = self.skip.min(self.waiting.len() / channels);
        self.waiting.drain(..skipped * channels);
        self.skip -= skipped;
        let length = FRAME * channels;
        while self.waiting.len() >= length && !self.is_over() {
            let made = self.encoder.encode(&self.waiting[..length]);
            self.waiting.drain(..length);
            self.consumed += FRAME as i64;
            let made = match made {
                Ok(made) => made,
                Err(error) => {
                    self.renew()?;
                    return Err(error);
                }
            };
            let Some(data) = made else { continue };
            if self.next >= self.first {
                let pts = MediaTime::new(self.next as u64, self.asked.sample_rate);
                out.push(AudioFrame { pts, data });
            }
            self.next += FRAME as i64;
        }
        Ok(())
    }
}

impl AudioOutput {
    /// Appends the frames of all audio taken so far: the encoder is fed silence until it has given them out.
    ///
    /// Errors: [`CodecError::Encode`].
    pub fn finish(&mut self, out: &mut Vec<AudioFrame>) -> Result<(), CodecError> {
        // The resampler's delay has been cut off its output, so its end is still inside.
        let delay = self.resampler.as_ref().map_or(0, Resampler::delay);
        let left = (self.taken + delay - self.next).max(0) as u64;
        let end = self.next + (left.next_multiple_of(FRAME as u64)) as i64;
        self.end = Some(self.end.map_or(end, |before| before.min(end)));
        let silence = [0.0; BLOCK * CHANNELS];
        for _ in 0..FLUSH_BLOCKS {
            if self.is_over() {
                break;
            }
            self.handle_block(&silence, out)?;
        }
        Ok(())
    }
}

impl Resampler {
    /// Output frames of all that is inside.
    fn delay(&self) -> i64 {
        (self.fft.output_delay() + self.fft.output_frames_max()) as i64
    }

    fn new(rate: u32) -> Result<Self, CodecError> {
        let fft = Fft::new(RATE as usize, rate as usize, BLOCK, CHANNELS, FixedSync::Input).map_err(|error| {
            CodecError::SetUp {
                codec: "resampler",
                reason: error.to_string(),
            }
        })?;
        Ok(Self {
            skip: fft.output_delay(),
            fft,
            waiting: Vec::new(),
            out: Vec::new(),
        })
    }

    fn run(&mut self, block: &[f32]) -> Result<&[f32], CodecError> {
        let failed = |reason: String| CodecError::Encode {
            codec: "resampler",
            reason,
        };
        self.waiting.extend_from_slice(block);
        let (mut done, chunk) = (0, self.fft.input_frames_next());
        let room = self.fft.output_frames_max();
        self.out.clear();
        while self.waiting.len() - done * CHANNELS >= chunk * CHANNELS {
            let from = &self.waiting[done * CHANNELS..(done + chunk) * CHANNELS];
            let input = InterleavedSlice::new(from, CHANNELS, chunk).map_err(|error| failed(error.to_string()))?;
            let begin = self.out.len();
            self.out.resize(begin + room * CHANNELS, 0.0);
            let mut output = InterleavedSlice::new_mut(&mut self.out[begin..], CHANNELS, room)
                .map_err(|error| failed(error.to_string()))?;
            let (_read, written) = self
                .fft
                .process_into_buffer(&input, &mut output, None)
                .map_err(|error| failed(error.to_string()))?;
            self.out.truncate(begin + written * CHANNELS);
            done += chunk;
        }
        self.waiting.drain(..done * CHANNELS);
        let skipped = self.skip.min(self.out.len() / CHANNELS);
        self.skip -= skipped;
        Ok(&self.out[skipped * CHANNELS..])
    }
}

#[cfg(test)]
mod tests;
