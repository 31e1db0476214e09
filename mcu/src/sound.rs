//! The mixed sound as AAC: resampled to the wanted rate, in frames of constant length, the encoder's delay taken out.

use bytes::Bytes;
use rotunda_media::codec::aac::FRAME;
use rotunda_media::codec::{AacEncoder, CodecError};
use rotunda_media::program::AudioHeader;
use rotunda_media::time::MediaTime;
use rotunda_proto::mix::AudioEncode;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::mixer::BLOCK;
use crate::voice::{CHANNELS, RATE};

/// One AAC frame.
#[derive(Debug, Clone)]
pub struct SoundFrame {
    /// In samples of the output rate.
    pub pts: MediaTime,
    pub data: Bytes,
}

/// See the [module](self).
pub struct SoundEncoder {
    asked: AudioEncode,
    encoder: AacEncoder,
    resampler: Option<Resampler>,
    /// At the output rate and channels, interleaved, less than one frame between calls.
    waiting: Vec<f32>,
    /// First sample of the next frame that the encoder hands out; below the first one it is priming.
    next: i64,
    first: i64,
}

struct Resampler {
    fft: Fft<f32>,
    /// Output frames still to be thrown away: the filter's delay.
    skip: usize,
    out: Vec<f32>,
}

impl SoundEncoder {
    /// `start`: the mix clock's sample (48 kHz) of the first block to come.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn new(asked: AudioEncode, start: i64) -> Result<Self, CodecError> {
        let encoder = AacEncoder::new(asked.sample_rate, asked.channels, asked.bitrate_kbps)?;
        let resampler = if i64::from(asked.sample_rate) == RATE {
            None
        } else {
            Some(Resampler::new(asked.sample_rate)?)
        };
        let first = start * i64::from(asked.sample_rate) / RATE;
        let next = first - i64::from(AacEncoder::DELAY_SAMPLES);
        Ok(Self {
            asked,
            encoder,
            resampler,
            waiting: Vec::new(),
            next,
            first,
        })
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

    /// Takes one block of the mixer and appends the frames that are ready.
    ///
    /// Errors: [`CodecError::Encode`].
    pub fn handle_block(&mut self, block: &[f32], out: &mut Vec<SoundFrame>) -> Result<(), CodecError> {
        let block = match &mut self.resampler {
            None => block,
            Some(resampler) => resampler.run(block)?,
        };
        match self.asked.channels {
            1 => self
                .waiting
                .extend(block.chunks_exact(CHANNELS).map(|frame| (frame[0] + frame[1]) / 2.0)),
            _ => self.waiting.extend_from_slice(block),
        }
        let length = FRAME * usize::from(self.asked.channels.clamp(1, 2));
        while self.waiting.len() >= length {
            let made = self.encoder.encode(&self.waiting[..length])?;
            self.waiting.drain(..length);
            let Some(data) = made else { continue };
            if self.next >= self.first {
                let pts = MediaTime::new(self.next as u64, self.asked.sample_rate);
                out.push(SoundFrame { pts, data });
            }
            self.next += FRAME as i64;
        }
        Ok(())
    }
}

impl Resampler {
    fn new(rate: u32) -> Result<Self, CodecError> {
        let fft = Fft::new(RATE as usize, rate as usize, BLOCK, CHANNELS, FixedSync::Input).map_err(|error| {
            CodecError::SetUp {
                codec: "resampler",
                reason: error.to_string(),
            }
        })?;
        let out = vec![0.0; fft.output_frames_max() * CHANNELS];
        Ok(Self {
            skip: fft.output_delay(),
            fft,
            out,
        })
    }

    fn run(&mut self, block: &[f32]) -> Result<&[f32], CodecError> {
        let failed = |reason: String| CodecError::Encode {
            codec: "resampler",
            reason,
        };
        let room = self.out.len() / CHANNELS;
        let input = InterleavedSlice::new(block, CHANNELS, BLOCK).map_err(|error| failed(error.to_string()))?;
        let mut output =
            InterleavedSlice::new_mut(&mut self.out, CHANNELS, room).map_err(|error| failed(error.to_string()))?;
        let (_read, written) = self
            .fft
            .process_into_buffer(&input, &mut output, None)
            .map_err(|error| failed(error.to_string()))?;
        let skipped = self.skip.min(written);
        self.skip -= skipped;
        Ok(&self.out[skipped * CHANNELS..written * CHANNELS])
    }
}
